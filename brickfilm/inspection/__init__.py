"""Answer questions about a build: why, what if, what changed, is this machine ready."""

from brickfilm.inspection.dataset_diff import ConfigDiff, DatasetDiff, diff_datasets
from brickfilm.inspection.decisions import ItemHistory, why
from brickfilm.inspection.machine_checks import MachineCheck, check_machine
from brickfilm.inspection.probed_files import ProbedFile, probe_files
from brickfilm.inspection.recount import recount

__all__ = [
    "ConfigDiff",
    "DatasetDiff",
    "ItemHistory",
    "MachineCheck",
    "ProbedFile",
    "check_machine",
    "diff_datasets",
    "probe_files",
    "recount",
    "why",
]
