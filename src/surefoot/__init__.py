"""Stable, sample-efficient off-policy reinforcement learning for continuous control, in JAX.

Importing this package starts no JAX backend and no simulator: public names are loaded when first used.
"""

from __future__ import annotations

from importlib import import_module, metadata
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from surefoot.agent import Agent, AsyncLearner, ControlClock
    from surefoot.algorithms import Algorithm
    from surefoot.algorithms.presets import crossq, crossq_wn, crossq_wn_code, crossq_wn_r, sac
    from surefoot.errors import MissingDependency, RunFailure, UserError
    from surefoot.export.api import Export, export_policy
    from surefoot.exporters import TensorBoard, WandB
    from surefoot.model_card import write_model_card
    from surefoot.policy import load_policy
    from surefoot.tasks import get_task, list_tasks
    from surefoot.tasks.check import CheckReport, Finding, check_env
    from surefoot.training.api import Run, evaluate, resume, train
    from surefoot.training.callbacks import Callback, StopTraining
    from surefoot.video import record

    __version__: str

_HOME = {
    "Agent": "surefoot.agent",
    "Algorithm": "surefoot.algorithms",
    "AsyncLearner": "surefoot.agent",
    "Callback": "surefoot.training.callbacks",
    "CheckReport": "surefoot.tasks.check",
    "ControlClock": "surefoot.agent",
    "Export": "surefoot.export.api",
    "Finding": "surefoot.tasks.check",
    "MissingDependency": "surefoot.errors",
    "Run": "surefoot.training.api",
    "RunFailure": "surefoot.errors",
    "StopTraining": "surefoot.training.callbacks",
    "TensorBoard": "surefoot.exporters",
    "UserError": "surefoot.errors",
    "WandB": "surefoot.exporters",
    "check_env": "surefoot.tasks.check",
    "crossq": "surefoot.algorithms.presets",
    "crossq_wn": "surefoot.algorithms.presets",
    "crossq_wn_code": "surefoot.algorithms.presets",
    "crossq_wn_r": "surefoot.algorithms.presets",
    "evaluate": "surefoot.training.api",
    "export_policy": "surefoot.export.api",
    "get_task": "surefoot.tasks",
    "list_tasks": "surefoot.tasks",
    "load_policy": "surefoot.policy",
    "record": "surefoot.video",
    "resume": "surefoot.training.api",
    "sac": "surefoot.algorithms.presets",
    "train": "surefoot.training.api",
    "write_model_card": "surefoot.model_card",
}

__all__ = [
    "Agent",
    "Algorithm",
    "AsyncLearner",
    "Callback",
    "CheckReport",
    "ControlClock",
    "Export",
    "Finding",
    "MissingDependency",
    "Run",
    "RunFailure",
    "StopTraining",
    "TensorBoard",
    "UserError",
    "WandB",
    "__version__",
    "check_env",
    "crossq",
    "crossq_wn",
    "crossq_wn_code",
    "crossq_wn_r",
    "evaluate",
    "export_policy",
    "get_task",
    "list_tasks",
    "load_policy",
    "record",
    "resume",
    "sac",
    "train",
    "write_model_card",
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
