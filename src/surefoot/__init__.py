"""Stable, sample-efficient off-policy reinforcement learning for continuous control, in JAX.

Importing this package imports neither JAX nor a simulator: public names are imported on first use.
"""

from __future__ import annotations

from importlib import import_module

TYPE_CHECKING = False  # typing takes longer to import than this file
if TYPE_CHECKING:
    import typing

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
    from surefoot.algorithms.presets.flashsac import flashsac
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
    from surefoot.training.callbacks import Callback, StepView, StopTraining
    from surefoot.video.record import record

    __version__: str

_NAMES = {
    "surefoot.agent": "Agent AsyncLearner ControlClock",
    "surefoot.algorithms": (
        "AdamW Algorithm L2Penalty LinearDecay PolyakTarget ResetAt ResetEvery Temperature UnitNorm"
    ),
    "surefoot.algorithms.presets.bro": "bro",
    "surefoot.algorithms.presets.crossq": "crossq crossq_2024 crossq_wn crossq_wn_code crossq_wn_r td3_wn",
    "surefoot.algorithms.presets.flashsac": "flashsac",
    "surefoot.algorithms.presets.sac": "droq redq sac sr_sac",
    "surefoot.algorithms.presets.simba": "simba",
    "surefoot.algorithms.presets.xqc": "xqc",
    "surefoot.dashboards": "TensorBoard WandB",
    "surefoot.errors": "MissingDependency RunFailure UserError",
    "surefoot.export.api": "Export export_policy",
    "surefoot.model_card": "write_model_card",
    "surefoot.networks": "BatchNorm BroNet LayerNorm MLP SimBaNet",
    "surefoot.policy": "load_policy",
    "surefoot.tasks": "get_task list_tasks",
    "surefoot.tasks.check": "CheckReport Finding check_env",
    "surefoot.training.api": "Run evaluate resume train",
    "surefoot.training.callbacks": "Callback StepView StopTraining",
    "surefoot.video.record": "record",
}
_HOME = {name: module for module, names in _NAMES.items() for name in names.split()}

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
    "StepView",
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
    "flashsac",
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


if not TYPE_CHECKING:  # type checkers would accept every name

    def __getattr__(name: str) -> typing.Any:
        """Import a public name from its module on first use."""
        if name == "__version__":
            from importlib import metadata  # takes longer to import than the rest of this file

            value: typing.Any = metadata.version("surefoot")
        elif name in _HOME:
            from surefoot.errors import full_installation

            with full_installation(f"surefoot.{name}"):
                value = getattr(import_module(_HOME[name]), name)
        else:
            raise AttributeError(f"module 'surefoot' has no attribute {name!r}")
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    """Return the public names, imported or not."""
    return sorted(set(globals()) | set(__all__))
