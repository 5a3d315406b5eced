"""Stable, sample-efficient off-policy reinforcement learning for continuous control, in JAX.

Importing this package starts no JAX backend and no simulator: public names are loaded when first used.
"""

from __future__ import annotations

from importlib import import_module, metadata
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from surefoot.algorithms import Algorithm
    from surefoot.algorithms.presets import crossq, crossq_wn, crossq_wn_code, crossq_wn_r, sac
    from surefoot.errors import MissingDependency, RunFailure, UserError
    from surefoot.policy import load_policy
    from surefoot.tasks import get_task, list_tasks
    from surefoot.training.api import Run, evaluate, resume, train
    from surefoot.training.callbacks import Callback, StopTraining

    __version__: str

_HOME = {
    "Algorithm": "surefoot.algorithms",
    "Callback": "surefoot.training.callbacks",
    "MissingDependency": "surefoot.errors",
    "Run": "surefoot.training.api",
    "RunFailure": "surefoot.errors",
    "StopTraining": "surefoot.training.callbacks",
    "UserError": "surefoot.errors",
    "crossq": "surefoot.algorithms.presets",
    "crossq_wn": "surefoot.algorithms.presets",
    "crossq_wn_code": "surefoot.algorithms.presets",
    "crossq_wn_r": "surefoot.algorithms.presets",
    "evaluate": "surefoot.training.api",
    "get_task": "surefoot.tasks",
    "list_tasks": "surefoot.tasks",
    "load_policy": "surefoot.policy",
    "resume": "surefoot.training.api",
    "sac": "surefoot.algorithms.presets",
    "train": "surefoot.training.api",
}

__all__ = [
    "Algorithm",
    "Callback",
    "MissingDependency",
    "Run",
    "RunFailure",
    "StopTraining",
    "UserError",
    "__version__",
    "crossq",
    "crossq_wn",
    "crossq_wn_code",
    "crossq_wn_r",
    "evaluate",
    "get_task",
    "list_tasks",
    "load_policy",
    "resume",
    "sac",
    "train",
]


def __getattr__(name: str) -> Any:
    """Load a public name from the module it lives in, once."""
    if name == "__version__":
        value: Any = metadata.version("surefoot")
    elif name in _HOME:
        value = getattr(import_module(_HOME[name]), name)
    else:
        raise AttributeError(f"module 'surefoot' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """The public names, loaded or not."""
    return sorted(set(globals()) | set(__all__))
