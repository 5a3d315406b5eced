"""Observations and actions of an environment: shapes, dtypes, keys and bounds, as stored with runs and policies.

The one place that decides which spaces are supported and how actions in [-1, 1] become the environment's own.
"""

from surefoot.spaces.actions import ActionSpec
from surefoot.spaces.env_spaces import EnvSpaces, policy_view, require_same
from surefoot.spaces.parts import ObservationPart
from surefoot.spaces.validation import UnsupportedSpace

__all__ = ["ActionSpec", "EnvSpaces", "ObservationPart", "UnsupportedSpace", "policy_view", "require_same"]
