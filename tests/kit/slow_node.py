"""Run finetune with a node 1 that is slower than the others."""

from __future__ import annotations

import os
import time
from typing import Any

from finetune.cli import main
from finetune.training.step_metrics import MetricAccumulator

SECONDS = 1.0

if __name__ == "__main__":
    if os.environ.get("GROUP_RANK") == "1":
        add = MetricAccumulator.add

        def slow_add(*arguments: Any) -> None:
            time.sleep(SECONDS)
            add(*arguments)

        MetricAccumulator.add = slow_add  # type: ignore[method-assign]
    main()
