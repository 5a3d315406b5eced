"""Speed and progress of a run."""

from __future__ import annotations

import time
from typing import NamedTuple

import numpy as np

from surefoot.training.counters import Counters
from surefoot.training.events import Progress


class Speeds(NamedTuple):
    """Totals over seeds; the fields are columns of training.csv and fields of ``Progress``."""

    env_steps_per_second: float
    """Simulator control steps."""
    grad_steps_per_second: float
    """Critic updates; 0 where a part of the lap was in the warm-up."""


class Pace:
    """Stopwatch with laps; the first one starts at once.

    Args:
        counters: Counters of the run.
    """

    def __init__(self, counters: Counters) -> None:
        self._counters = counters
        self._start_time, self._start_agent_steps = time.monotonic(), counters.agent_steps

    @property
    def seconds(self) -> float:
        """Seconds since the start of the lap."""
        return time.monotonic() - self._start_time

    def lap(self) -> Speeds:
        """End a lap, start the next one, and return the speeds of the one that ended."""
        plan, agent_steps = self._counters.plan, self._counters.agent_steps
        rate = (agent_steps - self._start_agent_steps) * len(plan.seeds) / max(self.seconds, 1e-9)
        training = self._start_agent_steps >= plan.warmup_steps
        self._start_time, self._start_agent_steps = time.monotonic(), agent_steps
        return Speeds(rate * plan.action_repeat, rate * float(self._counters.utd) if training else 0.0)

    def progress(self, last_return: np.ndarray) -> Progress:
        """End a lap and return the run's progress.

        Args:
            last_return: [S] return of the last finished training episodes, NaN before the first.
        """
        speeds, counters, plan = self.lap(), self._counters, self._counters.plan
        left = (plan.agent_steps * plan.action_repeat - counters.env_steps) * len(plan.seeds)
        known = counters.grad_steps > 0 and speeds.env_steps_per_second > 0  # The warm-up is faster than training.
        return Progress(
            env_steps=counters.env_steps,
            agent_steps=counters.agent_steps,
            grad_steps=counters.grad_steps,
            **speeds._asdict(),
            seconds_left=left / speeds.env_steps_per_second if known else None,
            episode_returns=tuple(None if np.isnan(value) else float(value) for value in last_return),
        )
