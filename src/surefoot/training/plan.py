"""Plan of a run: the numbers that the configuration leaves to the task."""

from __future__ import annotations

from dataclasses import dataclass

from surefoot.algorithms import Algorithm, ResetAt, ResetEvery, next_reset
from surefoot.errors import UserError
from surefoot.tasks import Task
from surefoot.training.config import MOST_TRANSITIONS, TrainConfig
from surefoot.training.warm_start.info import COLD_START, WarmStartInfo


@dataclass(frozen=True)
class Plan:
    """A run's resolved numbers, before any environment or array exists.

    Attributes:
        action_repeat: environment steps per agent step.
        discount: per agent step.
        agent_steps: decisions per seed in the whole run.
        capacity: replay transitions per seed.
        seeds: the training seeds.
        warmup_steps: agent steps before the first update: what the transitions that the run begins with leave of the
            algorithm's warm-up.
        random_steps: agent steps with uniform random actions: the warm-up, unless a trained policy can act in it.
        warm_start: what the run begins with.
    """

    action_repeat: int
    discount: float
    agent_steps: int
    capacity: int
    seeds: tuple[int, ...]
    warmup_steps: int
    random_steps: int
    warm_start: WarmStartInfo

    def next_reset(self, algorithm: Algorithm, after: int) -> int | None:
        """Return the first agent step after ``after`` whose updates come right after a reset, None if there is none."""
        return next_reset(
            algorithm.resets,
            after,
            utd=algorithm.utd,
            warmup=self.warmup_steps,
            action_repeat=self.action_repeat,
        )


def make_plan(config: TrainConfig, task: Task, warm_start: WarmStartInfo = COLD_START) -> Plan:
    """Resolve what the configuration leaves to the task.

    Args:
        config: what was asked for.
        task: what to learn.
        warm_start: what the run begins with.

    Raises:
        UserError: the run would end before its warm-up does.
    """
    algorithm = config.algorithm
    repeat = task.action_repeat if algorithm.action_repeat is None else algorithm.action_repeat
    agent_steps = config.env_steps // repeat
    warmup = max(0, algorithm.warmup_transitions - warm_start.transitions)
    if agent_steps <= warmup:
        raise UserError(
            f"env_steps must be more than the warm-up of {warmup:,} transitions, which takes {warmup * repeat:,} env "
            f"steps at action repeat {repeat}; got {config.env_steps:,}"
        )
    return Plan(
        action_repeat=repeat,
        discount=task.discount if algorithm.discount is None else algorithm.discount,
        agent_steps=agent_steps,
        capacity=config.replay_capacity or min(agent_steps + warm_start.transitions, MOST_TRANSITIONS),
        seeds=tuple(range(config.seed, config.seed + config.num_seeds)),
        warmup_steps=warmup,
        # Where networks are taken over, uniform actions would throw away what they know of getting anywhere: the
        # policy itself collects what the first updates need (arXiv 2412.07762, "warm-up").
        random_steps=0 if warm_start.init_from else warmup,
        warm_start=warm_start,
    )


def unreached_resets(algorithm: Algorithm, plan: Plan) -> str | None:
    """Return one line about the resets that lie beyond the run, or before its first update; None where none do."""
    match algorithm.resets:
        case ResetAt(agent_steps=steps):
            beyond = [step for step in steps if step > plan.agent_steps]
            early = [step for step in steps if step <= plan.warmup_steps + 1]
            lines = []
            if beyond:
                listed = ", ".join(f"{step:,}" for step in beyond)
                lines.append(f"resets not reached: at agent step {listed}, of {plan.agent_steps:,} in this run")
            if early:
                listed = ", ".join(f"{step:,}" for step in early)
                first_update = f"the first is at {plan.warmup_steps + 1:,}"
                lines.append(f"resets not made: at agent step {listed}, before any update: {first_update}")
            return "; ".join(lines) or None
        case ResetEvery() as resets:
            first = plan.next_reset(algorithm, 0)
            if first is None or first <= plan.agent_steps:
                return None
            unit, interval = ("env", resets.env_steps) if resets.env_steps else ("grad", resets.grad_steps)
            return (
                f"resets not reached: the first, after {interval:,} {unit} steps, comes at agent step {first:,}, of "
                f"{plan.agent_steps:,} in this run"
            )
    return None
