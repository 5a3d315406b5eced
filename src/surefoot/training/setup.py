"""Population of a run, made after the checks that it fits the device."""

from __future__ import annotations

from surefoot.algorithms import Learner
from surefoot.machine import resolve_precision
from surefoot.tasks import Task, VectorEnv
from surefoot.training.config import TrainConfig
from surefoot.training.memory import check_memory, replay_frames
from surefoot.training.plan import Plan
from surefoot.training.population import Population
from surefoot.types import EnvSpec


def make_population(config: TrainConfig, plan: Plan, task: Task, vector: VectorEnv) -> Population:
    """Return the population of all seeds.

    Raises:
        UserError: The replay buffers do not fit into the device's free memory, or it lacks the precision.
    """
    precision = resolve_precision(config.precision)
    spec = EnvSpec(vector.observation_size, vector.action_size)
    check_memory(plan, task, spec)
    learner = Learner(config.algorithm, spec, plan.discount, precision)
    return Population(learner, plan.seeds, plan.capacity, replay_frames(plan, task))
