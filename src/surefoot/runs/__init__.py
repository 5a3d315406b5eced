"""Run directories: configuration, CSV logs, checkpoints and locks. NumPy and the standard library only."""

from surefoot.runs.checkpoints import Checkpoint, CheckpointStore
from surefoot.runs.csvlog import EVALUATION_COLUMNS, CsvLog
from surefoot.runs.csvread import read_diagnostics, read_evaluations, read_training
from surefoot.runs.directory import RunDirectory

__all__ = [
    "EVALUATION_COLUMNS",
    "Checkpoint",
    "CheckpointStore",
    "CsvLog",
    "RunDirectory",
    "read_diagnostics",
    "read_evaluations",
    "read_training",
]
