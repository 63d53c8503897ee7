"""Answer questions about a build: why, what if, what changed, is this machine ready."""

from brickfilm.inspection.dataset_diff import ConfigDiff, DatasetDiff, diff_datasets
from brickfilm.inspection.decisions import ItemHistory, why
from brickfilm.inspection.machine_checks import MachineCheck, check_machine
from brickfilm.inspection.measured_files import (
    DropShare,
    MeasuredFile,
    drop_shares,
    measure_files,
)
from brickfilm.inspection.probed_files import ProbedFile, probe_files
from brickfilm.inspection.recount import recount

__all__ = [
    "ConfigDiff",
    "DatasetDiff",
    "DropShare",
    "ItemHistory",
    "MachineCheck",
    "MeasuredFile",
    "ProbedFile",
    "check_machine",
    "diff_datasets",
    "drop_shares",
    "measure_files",
    "probe_files",
    "recount",
    "why",
]
