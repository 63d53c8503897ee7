"""Ask an advisory service about the installed packages: `make audit`.

Exit codes: 0 no known fault, 1 a known fault, 3 nothing was audited.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence

COMMAND = (sys.executable, "-m", "pip_audit", "--skip-editable", "--progress-spinner", "off")
NOT_REACHED = (
    "nothing was audited ({reason}): try again where the network reaches pypi.org, "
    "or api.osv.dev with make audit AUDIT='-s osv'"
)
NOT_INSTALLED = "nothing was audited (pip-audit is not installed): pip install pip-audit"


def report(answer: str, errors: str = "") -> tuple[int, str]:
    """Return the exit code and what to print for pip-audit's JSON and its messages.

    pip-audit itself exits with 0 and 'no known vulnerabilities' where a mirror of PyPI knows no
    advisories, and with a traceback where no server answers.
    """
    try:
        packages = json.loads(answer)["dependencies"]
    except (ValueError, KeyError):
        reason = (errors.strip() or "no answer").splitlines()[-1]
        if reason.endswith("No module named pip_audit"):
            return 3, NOT_INSTALLED
        return 3, NOT_REACHED.format(reason=reason)
    audited = [p for p in packages if "vulns" in p]
    if not audited:
        return 3, NOT_REACHED.format(reason="the service knows no package")
    faults = [
        f"{p['name']} {p['version']}: {fault['id']}, "
        f"mended in {', '.join(fault['fix_versions']) or 'no version yet'}"
        for p in audited
        for fault in p["vulns"]
    ]
    skipped = [p["name"] for p in packages if "vulns" not in p]
    lines = [*faults, f"{len(audited)} packages audited, {len(faults)} known faults"]
    if skipped:
        lines.append(f"not audited, as the service does not know them: {', '.join(skipped)}")
    return (1 if faults else 0), "\n".join(lines)


def main(options: Sequence[str] = (), command: Sequence[str] = COMMAND) -> int:
    """Run pip-audit, print its result and return the exit code."""
    done = subprocess.run(
        [*command, "--format", "json", *options], capture_output=True, text=True, check=False
    )
    code, text = report(done.stdout, done.stderr)
    print(text)
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
