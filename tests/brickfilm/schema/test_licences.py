"""Only licences that are open for sure allow redistribution."""

from __future__ import annotations

import pytest

from brickfilm.errors import UsageError
from brickfilm.schema.licences import (
    HUB_VERSIONS,
    OPEN_PATTERNS,
    LicenceError,
    check_licence_is_known,
    check_redistribution,
    common_licence,
    hub_licence_id,
)
from tests.kit.servers.hub_card import card_errors


@pytest.mark.parametrize(
    ("written", "hub"),
    [
        ("Creative Commons Attribution license (reuse allowed)", "cc-by-4.0"),
        ("CC-BY 4.0", "cc-by-4.0"),
        ("cc-by-3.0", "cc-by-3.0"),
        ("CC BY 2.0", "cc-by-2.0"),
        ("CC BY 1.0", "cc"),
        ("CC BY-SA 4.0", "cc-by-sa-4.0"),
        ("CC BY-SA 3.0", "cc-by-sa-3.0"),
        ("Creative Commons Attribution-ShareAlike 3.0 Unported", "cc-by-sa-3.0"),
        ("https://creativecommons.org/licenses/by/3.0/", "cc-by-3.0"),
        ("CC0", "cc0-1.0"),
        ("https://creativecommons.org/publicdomain/zero/1.0/", "cc0-1.0"),
        ("Public Domain", "cc0-1.0"),
        ("MIT", "mit"),
        ("The MIT License", "mit"),
        ("Apache-2.0", "apache-2.0"),
        ("Apache License, Version 2.0", "apache-2.0"),
        ("BSD 2-Clause", "bsd-2-clause"),
        ("BSD 3-Clause", "bsd-3-clause"),
        ("CC BY-NC 4.0", None),
        ("cc-by-nd-4.0", None),
        ("Creative Commons Attribution-NonCommercial", None),
        ("Standard YouTube License", None),
        ("all rights reserved", None),
        ("permitted for study", None),
        ("nur mit Genehmigung", None),
        ("Apache helicopters, ask the maker", None),
        ("not in the public domain", None),
        ("public domain music, all rights reserved", None),
        ("", None),
    ],
)
def test_only_plainly_open_licences_are_open(written: str, hub: str | None) -> None:
    assert hub_licence_id(written) == hub


def test_the_hub_accepts_every_identifier() -> None:
    versions = [f"{name}-{number}" for name, held in HUB_VERSIONS.items() for number in held]
    for name in ("cc", *versions, *(OPEN_PATTERNS.keys() - HUB_VERSIONS.keys())):
        assert card_errors(f"---\nlicense: {name}\n---\n") == []


def test_a_card_has_one_licence_or_other() -> None:
    assert common_licence(["CC-BY 4.0", "cc by 4.0"]) == "cc-by-4.0"
    assert common_licence(["CC-BY 4.0", "MIT"]) == "other"
    assert common_licence([""]) == "other"


def test_one_closed_clip_stops_a_push_and_is_counted() -> None:
    check_redistribution({"CC0": 10})
    with pytest.raises(LicenceError, match=r"3 of 13 clips and stills .*'no stated licence'"):
        check_redistribution({"CC0": 10, "": 3})
    with pytest.raises(LicenceError, match=r"1 of 11 .* have no open licence \(1 under 'CC BY-NC'"):
        check_redistribution({"CC0": 10, "CC BY-NC": 1})


@pytest.mark.parametrize("written", ["", "CC BY 4.0", "cc-by-nc-4.0", "All rights reserved"])
def test_a_stated_licence_is_returned_unchanged(written: str) -> None:
    assert check_licence_is_known(written) == written


def test_an_unknown_licence_is_an_error_that_names_the_known_ones() -> None:
    with pytest.raises(UsageError, match=r"'CC BX 4.0' .*cc-by-4.0.*'all rights reserved'"):
        check_licence_is_known("CC BX 4.0")
