"""Saved policies, which load and act with NumPy alone."""

from surefoot.policy.files import load_policy, save_policy
from surefoot.policy.policy import Policy
from surefoot.policy.spec import PolicySpec

__all__ = ["Policy", "PolicySpec", "load_policy", "save_policy"]
