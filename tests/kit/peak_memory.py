"""Build a folder of videos in one process of its own: `python -m tests.kit.peak_memory FILMS WORK`.

It prints the peak of the resident memory in MB (`VmHWM`): driver, decoder and encoders together.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.kit import ROOT


def peak_megabytes(films: Path, work: Path) -> float:
    """Return the peak memory of a build with clips, stills and measures."""
    command = [sys.executable, "-m", "tests.kit.peak_memory", str(films), str(work)]
    done = subprocess.run(command, check=True, capture_output=True, text=True, cwd=ROOT)
    return float(done.stdout.split()[-1])


def main(films: Path, work: Path) -> None:
    """Build, and print the peak of the resident memory."""
    from brickfilm import FolderSource, FrameSampler, SceneSplitter
    from brickfilm.build.build_dataset import build
    from tests.kit.inline_executor import InlineExecutor

    executor = InlineExecutor()
    try:
        stages = (SceneSplitter(min_frames=5), FrameSampler())
        build(FolderSource(films), stages, workdir=work, executor=executor)
    finally:
        executor.close()
    status = Path("/proc/self/status").read_text().splitlines()
    (line,) = (line for line in status if line.startswith("VmHWM"))
    print(int(line.split()[1]) / 1024)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
