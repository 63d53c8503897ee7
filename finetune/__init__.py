"""Train text-to-video models on a dataset with brickfilm's columns: docs/finetune.md."""

import sys
from importlib.util import find_spec

for _command in ("cache", "demo", "release", "sample"):
    # `sys.argv[0]` is "-m" while Python looks for the module to run
    if sys.argv[:1] == ["-m"] and f"finetune.{_command}" in sys.orig_argv:
        _words = " ".join(sys.argv[1:])
        print(f"error: this command is now: finetune {_command} {_words}", file=sys.stderr)
        sys.exit(2)

if find_spec("torch") is None:
    raise ImportError(
        "finetune needs torch, which is not installed: pip install 'brickfilm[finetune]'"
    )
