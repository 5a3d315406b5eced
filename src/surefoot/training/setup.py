"""Population of a run, after the checks that its memory and precision are available."""

from __future__ import annotations

import jax

from surefoot.algorithms import Learner
from surefoot.errors import UserError
from surefoot.machine import device_name
from surefoot.networks.matmul import PRECISIONS, Precision
from surefoot.tasks import Task, VectorEnv
from surefoot.training.config import TrainConfig
from surefoot.training.memory import check_memory, replay_frames
from surefoot.training.plan import Plan
from surefoot.training.population import Population
from surefoot.types import EnvSpec


def make_population(config: TrainConfig, plan: Plan, task: Task, vector: VectorEnv) -> Population:
    """Return the learners of all seeds, having checked that their replay buffers fit.

    Raises:
        UserError: they do not fit into the device's free memory, or the device cannot multiply as asked.
    """
    check_precision(config.precision)
    spec = EnvSpec(vector.observation_size, vector.action_size)
    check_memory(plan, task, spec)
    return Population(
        Learner(config.algorithm, spec, plan.discount, config.precision),
        plan.seeds,
        plan.capacity,
        replay_frames(plan, task),
    )


def check_precision(precision: Precision) -> None:
    """Refuse a precision that the default device does not have.

    Raises:
        UserError: it does not.
    """
    if precision not in PRECISIONS:
        raise UserError(f"precision must be one of {', '.join(PRECISIONS)}, got {precision!r}")
    if precision == "tf32" and jax.default_backend() != "gpu":
        raise UserError(f"precision tf32 is of NVIDIA GPUs, and this is {device_name()}: choose float32 or bf16")
