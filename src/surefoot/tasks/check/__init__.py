"""Checks of an environment before training on it. No JAX, no network."""

from surefoot.tasks.check.checker import check_env
from surefoot.tasks.check.findings import CheckReport, Finding, Measurements
from surefoot.tasks.check.kinds import KINDS, Kind, Severity

__all__ = ["KINDS", "CheckReport", "Finding", "Kind", "Measurements", "Severity", "check_env"]
