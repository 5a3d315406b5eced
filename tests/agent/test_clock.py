"""Control clock: fixed grid and missed deadlines."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import surefoot
from surefoot.agent import clock


@pytest.fixture
def time(monkeypatch: pytest.MonkeyPatch) -> FakeTime:
    fake = FakeTime()
    monkeypatch.setattr(clock, "time", fake)
    return fake


class FakeTime:
    """Simulated time that advances by sleeping; ``late`` seconds are added to every sleep."""

    def __init__(self) -> None:
        self.now, self.late = 100.0, 0.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        assert seconds >= 0.0
        self.now += seconds + self.late


def test_steps_start_on_the_grid(time: FakeTime) -> None:
    ticks = []
    control = surefoot.ControlClock(20)
    for work in (0.01, 0.0, 0.049, 0.03, 0.0):
        control.tick()
        ticks.append(time.now - 100.0)
        time.now += work
    assert ticks == pytest.approx([0.0, 0.05, 0.10, 0.15, 0.20])
    stats = control.stats()
    assert (stats.steps, stats.missed, stats.missed_share) == (4, 0, 0.0)
    assert stats.longest_step_seconds == pytest.approx(0.049)


def test_overrun_skips_missed_times(time: FakeTime) -> None:
    control, ticks = surefoot.ControlClock(20), []
    for work in (0.06, 0.01, 0.18, 0.01):
        control.tick()
        ticks.append(time.now - 100.0)
        time.now += work
    control.tick()
    # 60 ms miss one due time, 180 ms miss three.
    assert ticks == pytest.approx([0.0, 0.10, 0.15, 0.35])
    stats = control.stats()
    assert (stats.steps, stats.missed) == (8, 1 + 3)
    assert stats.missed_share == 0.5
    assert stats.longest_step_seconds == pytest.approx(0.18)


def test_late_wake_counts_towards_the_step(time: FakeTime) -> None:
    control = surefoot.ControlClock(20)
    control.tick()
    time.late = 0.03
    control.tick()
    time.now += 0.03  # started 30 ms late, so done 60 ms after it was due
    control.tick()
    assert control.stats().missed == 1
    assert control.stats().latest_wake_seconds == pytest.approx(0.03)


def test_rate_may_be_a_numpy_number() -> None:
    assert surefoot.ControlClock(np.int64(20)).period == surefoot.ControlClock(np.float32(20)).period == 0.05


@pytest.mark.parametrize("hz", [0, -1, float("nan"), float("inf"), "20", True, None])
def test_invalid_rate_is_rejected(hz: Any) -> None:
    with pytest.raises(surefoot.UserError, match="hz must be a positive number of control steps per second, got"):
        surefoot.ControlClock(hz)
