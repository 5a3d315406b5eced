"""Trained policies: save, load, act. NumPy and the standard library alone."""

from surefoot.policy.files import load_policy, save_policy
from surefoot.policy.policy import Policy
from surefoot.policy.spec import PolicySpec

__all__ = ["Policy", "PolicySpec", "load_policy", "save_policy"]
