"""What is wrong with an environment, what that does to learning, and how to mend it. No JAX, no network."""

from surefoot.tasks.check.checker import check_env
from surefoot.tasks.check.findings import Finding, Kind, Severity
from surefoot.tasks.check.kinds import KINDS
from surefoot.tasks.check.report import CheckReport, Measurements

__all__ = ["KINDS", "CheckReport", "Finding", "Kind", "Measurements", "Severity", "check_env"]
