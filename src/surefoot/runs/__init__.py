"""What a run directory holds, and the only code that reads or writes one. NumPy and the standard library alone."""

from surefoot.runs.checkpoints import Checkpoint
from surefoot.runs.csvlog import EVALUATION_COLUMNS, CsvLog, read_diagnostics, read_evaluations, read_training
from surefoot.runs.directory import RunDirectory

__all__ = [
    "EVALUATION_COLUMNS",
    "Checkpoint",
    "CsvLog",
    "RunDirectory",
    "read_diagnostics",
    "read_evaluations",
    "read_training",
]
