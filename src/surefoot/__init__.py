"""Stable, sample-efficient off-policy reinforcement learning for continuous control, in JAX.

Importing this package starts no JAX backend and no simulator: public names are loaded when first used.
"""

from __future__ import annotations

from importlib import import_module, metadata
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from surefoot.agent import Agent, AsyncLearner, ControlClock
    from surefoot.algorithms import (
        AdamW,
        Algorithm,
        L2Penalty,
        LinearDecay,
        PolyakTarget,
        ResetAt,
        ResetEvery,
        Temperature,
        UnitNorm,
    )
    from surefoot.algorithms.presets.bro import bro
    from surefoot.algorithms.presets.crossq import crossq, crossq_2024, crossq_wn, crossq_wn_code, crossq_wn_r, td3_wn
    from surefoot.algorithms.presets.sac import droq, redq, sac, sr_sac
    from surefoot.algorithms.presets.simba import simba
    from surefoot.algorithms.presets.xqc import xqc
    from surefoot.dashboards import TensorBoard, WandB
    from surefoot.errors import MissingDependency, RunFailure, UserError
    from surefoot.export.api import Export, export_policy
    from surefoot.model_card import write_model_card
    from surefoot.networks import MLP, BatchNorm, BroNet, LayerNorm, SimBaNet
    from surefoot.policy import load_policy
    from surefoot.tasks import get_task, list_tasks
    from surefoot.tasks.check import CheckReport, Finding, check_env
    from surefoot.training.api import Run, evaluate, resume, train
    from surefoot.training.callbacks import Callback, StopTraining
    from surefoot.video import record

    __version__: str

_HOME = {
    "AdamW": "surefoot.algorithms",
    "Agent": "surefoot.agent",
    "Algorithm": "surefoot.algorithms",
    "AsyncLearner": "surefoot.agent",
    "BatchNorm": "surefoot.networks",
    "BroNet": "surefoot.networks",
    "Callback": "surefoot.training.callbacks",
    "CheckReport": "surefoot.tasks.check",
    "ControlClock": "surefoot.agent",
    "Export": "surefoot.export.api",
    "Finding": "surefoot.tasks.check",
    "L2Penalty": "surefoot.algorithms",
    "LayerNorm": "surefoot.networks",
    "LinearDecay": "surefoot.algorithms",
    "MLP": "surefoot.networks",
    "MissingDependency": "surefoot.errors",
    "PolyakTarget": "surefoot.algorithms",
    "ResetAt": "surefoot.algorithms",
    "ResetEvery": "surefoot.algorithms",
    "Run": "surefoot.training.api",
    "RunFailure": "surefoot.errors",
    "SimBaNet": "surefoot.networks",
    "StopTraining": "surefoot.training.callbacks",
    "Temperature": "surefoot.algorithms",
    "TensorBoard": "surefoot.dashboards",
    "UnitNorm": "surefoot.algorithms",
    "UserError": "surefoot.errors",
    "WandB": "surefoot.dashboards",
    "bro": "surefoot.algorithms.presets.bro",
    "check_env": "surefoot.tasks.check",
    "crossq": "surefoot.algorithms.presets.crossq",
    "crossq_2024": "surefoot.algorithms.presets.crossq",
    "crossq_wn": "surefoot.algorithms.presets.crossq",
    "crossq_wn_code": "surefoot.algorithms.presets.crossq",
    "crossq_wn_r": "surefoot.algorithms.presets.crossq",
    "droq": "surefoot.algorithms.presets.sac",
    "evaluate": "surefoot.training.api",
    "export_policy": "surefoot.export.api",
    "get_task": "surefoot.tasks",
    "list_tasks": "surefoot.tasks",
    "load_policy": "surefoot.policy",
    "record": "surefoot.video",
    "redq": "surefoot.algorithms.presets.sac",
    "resume": "surefoot.training.api",
    "sac": "surefoot.algorithms.presets.sac",
    "simba": "surefoot.algorithms.presets.simba",
    "sr_sac": "surefoot.algorithms.presets.sac",
    "td3_wn": "surefoot.algorithms.presets.crossq",
    "train": "surefoot.training.api",
    "write_model_card": "surefoot.model_card",
    "xqc": "surefoot.algorithms.presets.xqc",
}

__all__ = [
    "MLP",
    "AdamW",
    "Agent",
    "Algorithm",
    "AsyncLearner",
    "BatchNorm",
    "BroNet",
    "Callback",
    "CheckReport",
    "ControlClock",
    "Export",
    "Finding",
    "L2Penalty",
    "LayerNorm",
    "LinearDecay",
    "MissingDependency",
    "PolyakTarget",
    "ResetAt",
    "ResetEvery",
    "Run",
    "RunFailure",
    "SimBaNet",
    "StopTraining",
    "Temperature",
    "TensorBoard",
    "UnitNorm",
    "UserError",
    "WandB",
    "__version__",
    "bro",
    "check_env",
    "crossq",
    "crossq_2024",
    "crossq_wn",
    "crossq_wn_code",
    "crossq_wn_r",
    "droq",
    "evaluate",
    "export_policy",
    "get_task",
    "list_tasks",
    "load_policy",
    "record",
    "redq",
    "resume",
    "sac",
    "simba",
    "sr_sac",
    "td3_wn",
    "train",
    "write_model_card",
    "xqc",
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
