"""Counters of a run."""

from __future__ import annotations

import time
from fractions import Fraction
from typing import NamedTuple

from surefoot.training.checkpointing.host_state import HostState
from surefoot.training.config import TrainConfig
from surefoot.training.plan import Plan


class Due(NamedTuple):
    """What happens after a vector step, in this order."""

    log: bool
    diagnose: bool
    evaluate: bool
    checkpoint: bool


class Counters:
    """Counters per seed that follow from the agent steps so far.

    Args:
        plan: Resolved numbers of the run.
        utd: Gradient updates per agent step after the warm-up.
        host: State that holds the agent steps.
        start_time: ``time.monotonic()`` at the start of this process's part of the run.
    """

    def __init__(self, plan: Plan, utd: int | Fraction, host: HostState, start_time: float) -> None:
        self.plan, self.utd = plan, utd
        self._host, self._start_time = host, start_time

    @property
    def agent_steps(self) -> int:
        """Decisions so far, in all environments of a seed."""
        return self._host.agent_steps

    @property
    def env_steps(self) -> int:
        """Simulator control steps so far, action repeats included."""
        return self.agent_steps * self.plan.action_repeat

    @property
    def grad_steps(self) -> int:
        """Critic updates so far."""
        return self.plan.grad_steps(self.utd, self.agent_steps)

    @property
    def next_updates(self) -> int:
        """Critic updates of the next vector step."""
        return self.plan.grad_steps(self.utd, self.agent_steps + self.plan.num_envs) - self.grad_steps

    @property
    def wall_seconds(self) -> float:
        """Seconds of training so far, resumed parts included."""
        return self._host.wall_seconds + time.monotonic() - self._start_time

    @property
    def completed(self) -> bool:
        """Whether the run has reached its last step."""
        return self.agent_steps >= self.plan.agent_steps

    def due(self, before: int, config: TrainConfig) -> Due:
        """Return what is due after the vector step that started at ``before`` env steps."""
        now, last = self.env_steps, self.completed

        def crosses(interval: int) -> bool:
            return interval > 0 and now // interval > before // interval

        return Due(
            log=crosses(config.log_every),
            diagnose=crosses(config.diagnose_every),
            evaluate=last or crosses(config.evaluate_every),
            checkpoint=last or crosses(config.checkpoint_every),
        )

    def vector_steps_to_due(self, config: TrainConfig) -> int:
        """Return the vector steps until something is due or the run ends, at least 1."""
        per_step, now = self.plan.num_envs * self.plan.action_repeat, self.env_steps
        intervals = (config.log_every, config.diagnose_every, config.evaluate_every, config.checkpoint_every)
        ends = [(now // interval + 1) * interval for interval in intervals if interval > 0]
        ends.append(self.plan.agent_steps * self.plan.action_repeat)
        return max(1, -(-(min(ends) - now) // per_step))

    def row(self) -> dict[str, int | float]:
        """Return the columns that the run's logs share."""
        return {
            "env_steps": self.env_steps,
            "agent_steps": self.agent_steps,
            "grad_steps": self.grad_steps,
            "wall_seconds": round(self.wall_seconds, 3),
        }
