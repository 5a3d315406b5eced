"""How fast a run is."""

from __future__ import annotations

import time
from typing import NamedTuple

from surefoot.training.plan import Plan


class Speeds(NamedTuple):
    """Of all seeds together; the field names are those of training.csv and of ``Progress``."""

    env_steps_per_second: float
    """Simulator control steps."""
    grad_steps_per_second: float
    """Critic updates; 0 where a part of the lap was in the warm-up."""


class Pace:
    """A stopwatch whose laps are counted in agent steps.

    Args:
        plan: the run's resolved numbers.
        utd: gradient updates per agent step once the warm-up is over.
        agent_steps: per seed so far; the first lap begins now.
    """

    def __init__(self, plan: Plan, utd: int, agent_steps: int) -> None:
        self._plan, self._utd = plan, utd
        self._began, self._first = time.monotonic(), agent_steps

    @property
    def seconds(self) -> float:
        """Since the lap began."""
        return time.monotonic() - self._began

    def lap(self, agent_steps: int) -> Speeds:
        """End a lap at ``agent_steps`` and begin the next; return the speeds of the one that ended."""
        rate = (agent_steps - self._first) * len(self._plan.seeds) / max(self.seconds, 1e-9)
        training = self._first >= self._plan.warmup_steps
        self._began, self._first = time.monotonic(), agent_steps
        return Speeds(rate * self._plan.action_repeat, rate * self._utd if training else 0.0)
