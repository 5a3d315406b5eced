"""Plan of a run: the numbers that the configuration leaves to the task."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction

from surefoot.algorithms import AdamW, Algorithm, CosineDecay, LinearDecay, ResetAt, ResetEvery, next_reset
from surefoot.errors import UserError
from surefoot.tasks import Task
from surefoot.training.config import MAX_TRANSITIONS, TrainConfig
from surefoot.training.warm_start.info import COLD_START, WarmStartInfo


@dataclass(frozen=True)
class Plan:
    """Resolved numbers of a run, known before any environment or array exists.

    Attributes:
        action_repeat: Environment steps per agent step.
        discount: Discount per agent step.
        agent_steps: Agent steps per seed in the whole run.
        capacity: Replay transitions per seed.
        seeds: Training seeds, one per agent.
        num_envs: N, environments per seed. A vector step is one agent step in each of them.
        warmup_steps: Agent steps before the first update, in whole vector steps: the algorithm's warm-up less the
            initial transitions.
        random_steps: Agent steps with uniform random actions: the warm-up, or 0 where trained networks are loaded.
        warm_start: Initial networks and transitions.
    """

    action_repeat: int
    discount: float
    agent_steps: int
    capacity: int
    seeds: tuple[int, ...]
    num_envs: int
    warmup_steps: int
    random_steps: int
    warm_start: WarmStartInfo

    @property
    def ring_capacity(self) -> int:
        """Replay transitions per environment."""
        return -(-self.capacity // self.num_envs)

    @property
    def environments(self) -> tuple[int | None, ...]:
        """[K] numbers of the environments within their seed; None where a seed has one."""
        return (tuple(range(self.num_envs)) if self.num_envs > 1 else (None,)) * len(self.seeds)

    @property
    def slot_seeds(self) -> tuple[int, ...]:
        """[K] training seeds of the environments."""
        return tuple(seed for seed in self.seeds for _ in range(self.num_envs))

    @property
    def last_reset_step(self) -> int:
        """Last agent step before which networks can be reset: the first one of the last vector step."""
        return self.agent_steps - self.num_envs + 1

    @property
    def slot_names(self) -> tuple[str, ...]:
        """[K] environments as messages name them."""
        return tuple(
            f"seed {seed}" if environment is None else f"seed {seed}, environment {environment}"
            for seed, environment in zip(self.slot_seeds, self.environments, strict=True)
        )

    def grad_steps(self, utd: int | Fraction, agent_steps: int) -> int:
        """Return the gradient updates after ``agent_steps`` agent steps, of which those of the warm-up make none."""
        return math.floor(utd * max(0, agent_steps - self.warmup_steps))

    def next_reset(self, algorithm: Algorithm, after: int) -> int | None:
        """Return the first agent step after ``after`` with a reset before its updates; None if there is none."""
        return next_reset(
            algorithm.resets,
            after,
            utd=algorithm.utd,
            warmup=self.warmup_steps,
            action_repeat=self.action_repeat,
        )


LOW_TEMPERATURE = 0.01
"""Temperature with an entropy bonus that is small compared with rewards of order one."""


def make_plan(config: TrainConfig, task: Task, warm_start: WarmStartInfo = COLD_START) -> Plan:
    """Return the plan of a run.

    Args:
        config: Configuration of the run.
        task: Task to train on, whose defaults fill in what the configuration leaves open.
        warm_start: Initial networks and transitions.

    Raises:
        UserError: The run would end before its warm-up does, a vector step would have neither a whole number of updates
            nor one in a whole number of steps, or the environments cannot overlap with updates.
    """
    algorithm, envs = config.algorithm, config.num_envs
    if config.overlap and task.engine == "jax":
        raise UserError("overlap has no effect where the compiled program steps the environments (engine jax)")
    check_update_ratio(algorithm.utd, envs)
    repeat = task.action_repeat if algorithm.action_repeat is None else algorithm.action_repeat
    agent_steps = config.env_steps // repeat // envs * envs
    warmup = -(-max(0, algorithm.warmup_transitions - warm_start.transitions) // envs) * envs
    if agent_steps <= warmup:
        at = f"action repeat {repeat}" if envs == 1 else f"action repeat {repeat} with {envs} environments per seed"
        raise UserError(
            f"env_steps must be at least {(warmup + envs) * repeat:,}, one step more than the warm-up of {warmup:,} "
            f"transitions at {at}; got {config.env_steps:,}"
        )
    return Plan(
        action_repeat=repeat,
        discount=task.discount if algorithm.discount is None else algorithm.discount,
        agent_steps=agent_steps,
        capacity=config.replay_capacity or min(agent_steps + warm_start.transitions, MAX_TRANSITIONS),
        seeds=tuple(range(config.seed, config.seed + config.num_seeds)),
        num_envs=envs,
        warmup_steps=warmup,
        # A loaded policy collects the transitions for the first updates itself: uniform actions would waste what it
        # has learned (arXiv 2412.07762, "warm-up").
        random_steps=0 if warm_start.init_from else warmup,
        warm_start=warm_start,
    )


def check_update_ratio(utd: int | Fraction, num_envs: int) -> None:
    """Validate that a vector step has a whole number of updates, or that every k-th has one.

    Args:
        utd: Gradient updates per transition.
        num_envs: N, transitions of a seed in a vector step.

    Raises:
        UserError: It has neither; the message names the nearest ratios that fit.
    """
    updates = Fraction(utd) * num_envs
    if updates.denominator == 1 or updates.numerator == 1:
        return
    if updates > 1:
        near = [Fraction(math.floor(updates)), Fraction(math.ceil(updates))]
    else:
        near = [Fraction(1, math.ceil(1 / updates)), Fraction(1, math.floor(1 / updates))]
    environments = "one environment" if num_envs == 1 else f"{num_envs} environments"
    raise UserError(
        f"utd {utd} with {environments} per seed makes {updates} updates per vector step, expected a whole number or "
        f"1/k: the nearest are utd {' and '.join(str(ratio / num_envs) for ratio in near)}"
    )


def unreached_resets(algorithm: Algorithm, plan: Plan) -> str | None:
    """Return one line about resets after the run's end or before its first update; None if there are none."""
    match algorithm.resets:
        case ResetAt(agent_steps=steps):
            beyond = [step for step in steps if step > plan.last_reset_step]
            early = [step for step in steps if step <= plan.warmup_steps + 1]
            lines = []
            if beyond:
                listed = ", ".join(f"{step:,}" for step in beyond)
                lines.append(f"resets not reached: at agent step {listed}, {_end_of(plan)}")
            if early:
                listed = ", ".join(f"{step:,}" for step in early)
                first_update = f"the first is at {plan.warmup_steps + 1:,}"
                lines.append(f"resets not made: at agent step {listed}, before any update: {first_update}")
            return "; ".join(lines) or None
        case ResetEvery() as resets:
            first = plan.next_reset(algorithm, 0)
            if first is None or first <= plan.last_reset_step:
                return None
            unit, interval = ("env", resets.env_steps) if resets.env_steps else ("grad", resets.grad_steps)
            return (
                f"resets not reached: the first, after {interval:,} {unit} steps, comes at agent step {first:,}, "
                f"{_end_of(plan)}"
            )
    return None


def _end_of(plan: Plan) -> str:
    if plan.num_envs == 1:
        return f"of {plan.agent_steps:,} in this run"
    return f"and the last vector step of this run begins with agent step {plan.last_reset_step:,}"


def slow_temperature(algorithm: Algorithm, plan: Plan) -> str | None:
    """Return a warning if the run is too short for its temperature to fall to ``LOW_TEMPERATURE``, else None.

    Adam moves log alpha by at most about its learning rate per policy update.
    """
    temperature = algorithm.temperature
    if temperature is None or plan.warm_start.init_from or temperature.initial <= LOW_TEMPERATURE:
        return None
    updates_per_agent_step = float(algorithm.utd) / algorithm.policy_delay
    needed = _agent_steps_to_move(temperature.optimizer, updates_per_agent_step, temperature.initial / LOW_TEMPERATURE)
    available = _longest_without_reset(algorithm, plan)
    if needed <= available:
        return None
    without = algorithm.resets is None
    # Without resets, in env steps of the whole run, warm-up included.
    warmup = plan.warmup_steps if without else 0
    needed_steps, available_steps = ((warmup + math.ceil(steps)) * plan.action_repeat for steps in (needed, available))
    return (
        f"temperature: needs at least {needed_steps:,} env steps to fall from {temperature.initial:g} to "
        f"{LOW_TEMPERATURE:g}, and {'this run has' if without else 'resets leave at most'} {available_steps:,}: where "
        f"rewards are small, use --set temperature.initial={LOW_TEMPERATURE:g} or --algorithm crossq-wn-code"
    )


def _longest_without_reset(algorithm: Algorithm, plan: Plan) -> int:
    """Return the largest number of agent steps with updates between two resets, the start and the end included."""
    longest, start = 0, plan.warmup_steps + 1
    while (reset := plan.next_reset(algorithm, start)) is not None and reset <= plan.last_reset_step:
        longest, start = max(longest, reset - start), reset
    return max(longest, plan.agent_steps + 1 - start)


def _agent_steps_to_move(optimizer: AdamW, updates_per_agent_step: float, factor: float) -> float:
    """Return the agent steps after the warm-up in which the learning rates sum up to log(factor), or fewer."""
    updates, rate = math.log(factor), optimizer.learning_rate
    if isinstance(rate, CosineDecay):
        rate = rate.initial
    if not isinstance(rate, LinearDecay):
        return updates / rate / updates_per_agent_step
    # The sum after n agent steps is (initial n - slope n^2 / 2) times the updates per agent step.
    target, slope = updates / updates_per_agent_step, (rate.initial - rate.final) / rate.agent_steps
    during = (rate.initial + rate.final) / 2 * rate.agent_steps
    if target > during:
        return rate.agent_steps + (target - during) / rate.final
    if slope == 0.0:
        return target / rate.initial
    return (rate.initial - math.sqrt(rate.initial**2 - 2.0 * slope * target)) / slope
