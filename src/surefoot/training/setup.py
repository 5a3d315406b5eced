"""Population of a run, after the checks that its memory and precision are available."""

from __future__ import annotations

from surefoot.machine import resolve_precision
from surefoot.tasks import Task, VectorEnv
from surefoot.training.config import TrainConfig
from surefoot.training.memory import check_memory
from surefoot.training.plan import Plan
from surefoot.training.population import Population, get_population
from surefoot.types import EnvSpec


def make_population(config: TrainConfig, plan: Plan, task: Task, vector: VectorEnv) -> Population:
    """Return the population of a run.

    Raises:
        UserError: The replay buffers do not fit into the device's free memory, or it lacks the precision.
    """
    precision = resolve_precision(config.precision)
    spec = EnvSpec(vector.observation_size, vector.action_size)
    check_memory(plan, task, spec)
    return get_population(config.algorithm, spec, plan.discount, precision)
