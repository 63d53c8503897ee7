"""Check a card's YAML; the real Hub checks more."""

from __future__ import annotations

import re

import yaml

LICENCES = {
    *(
        "apache-2.0",
        "bsd-2-clause",
        "bsd-3-clause",
        "cc",
        "cc-by-2.0",
        "cc-by-2.5",
        "cc-by-3.0",
        "cc-by-4.0",
    ),
    *("cc-by-sa-3.0", "cc-by-sa-4.0", "cc0-1.0", "mit", "other"),
}
SIZES = {"n<1K", "1K<n<10K", "10K<n<100K", "100K<n<1M", "1M<n<10M"}


def card_errors(content: str) -> list[str]:
    """Return the errors that the Hub would report for a card."""
    found = re.match(r"---\n(.*?)\n---", content, re.DOTALL)
    card = yaml.safe_load(found[1]) if found else {}
    errors = []
    if card.get("license", "other") not in LICENCES:
        errors.append(f'"license" must be one of {sorted(LICENCES)}')
    if set(card.get("size_categories", [])) - SIZES:
        errors.append(f'"size_categories" must be among {sorted(SIZES)}')
    if any("config_name" not in config for config in card.get("configs", [])):
        errors.append('"configs[0].config_name" is required')
    return errors
