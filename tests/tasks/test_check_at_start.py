"""Short check of an environment before a training run."""

from __future__ import annotations

import random
import threading
import time
from typing import Any, ClassVar

import numpy as np
import pytest

from surefoot.tasks import get_task, list_tasks
from surefoot.tasks.check import startup
from surefoot.tasks.check.startup import check_at_start
from tests import traits
from tests.tasks import broken, zoo

POINTER = "surefoot.check_env explains what was found, and checks more"


def lines(target: Any, **options: Any) -> list[str]:
    return check_at_start(get_task(target), **{"in_workers": False} | options)


class Recorded(traits.Reach):
    """Counts the living copies."""

    living = 0
    most: ClassVar[list[int]] = []

    def __init__(self) -> None:
        Recorded.living += 1
        self.most.append(Recorded.living)

    def close(self) -> None:
        Recorded.living -= 1


class SlowSteps(broken.TimeLimitTerminates):
    limit = 10

    def step(self, action: np.ndarray) -> Any:
        time.sleep(0.005)
        return super().step(action)


def test_each_finding_is_one_line_and_the_last_names_the_complete_check() -> None:
    found = lines("tests.traits:SharedUnseeded")
    assert found[0].startswith("error: copies of the environment share state [shared-state]: stepped alongside another")
    assert [line.partition(":")[0] for line in found[:-1]] == ["error", "warning", "warning"]
    assert found[-1] == "surefoot check-env tests.traits:SharedUnseeded explains what was found, and checks more"
    assert not any("\n" in line for line in found)


@pytest.mark.parametrize(
    ("target", "code"),
    [
        (traits.VectorReward, "[api]: step 1: a reward of shape (2,), expected one number"),
        (broken.TimeLimitTerminates, "[time-limit-terminates]: "),
        (SlowSteps, "[time-limit-terminates]: "),
        (broken.IgnoresActions, "[action-ignored]: "),
    ],
)
def test_faults_are_found_in_the_time(target: Any, code: str) -> None:
    started = time.process_time()
    *found, last = lines(target)
    assert time.process_time() - started < 3 * startup.SECONDS
    assert any(code in line for line in found), found
    assert last == POINTER


@pytest.mark.parametrize("target", [traits.Reach, broken.NeverEnds, "Pendulum-v1"])
def test_nothing_is_concluded_from_a_short_check(target: Any) -> None:
    assert lines(target) == []


def test_tasks_known_by_name_are_not_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise AssertionError

    monkeypatch.setattr(startup, "check_briefly", fail)
    assert [line for task in list_tasks() for line in check_at_start(task, in_workers=False)] == []


def test_copies_are_closed_and_the_global_generators_are_left_alone() -> None:
    states = random.getstate(), np.random.get_state()[1].tolist()  # noqa: NPY002
    lines(Recorded)
    lines(traits.SharedUnseeded)
    assert (random.getstate(), np.random.get_state()[1].tolist()) == states  # noqa: NPY002
    assert Recorded.living == 0
    assert max(Recorded.most) == 3
    Recorded.most.clear()
    lines(Recorded, one_per_process=True)
    assert max(Recorded.most) == 1


def test_slow_environment_is_checked_with_fewer_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(startup, "SECONDS", 0.2)
    steps = []

    class Slow(traits.Reach):
        def step(self, action: np.ndarray) -> Any:
            steps.append(action)
            time.sleep(0.01)
            return super().step(action)

    lines(Slow)
    assert 1 < len(steps) <= 20


def test_failing_check_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise RuntimeError("a\nfault")

    assert lines(zoo.raising_when_made) == []  # the training says so
    monkeypatch.setattr(startup, "check_briefly", fail)
    assert lines(traits.Reach) == ["the environment was not checked (RuntimeError: a fault): surefoot.check_env"]


def test_command_has_the_keywords_of_the_environment() -> None:
    task = get_task("Pendulum-v1", {"g": 9.5, "render_mode": None})
    assert startup._command(task) == "surefoot check-env Pendulum-v1 --env-set g=9.5 --env-set render_mode=none"


def test_other_process_is_used_where_environments_are_stepped_in_workers() -> None:
    before = dict(traits.SIMULATOR)
    found = lines("tests.traits:SharedSimulator", in_workers=True)
    assert "[shared-state]" in found[0]
    assert before == traits.SIMULATOR  # nothing was made here


@pytest.mark.slow
def test_other_process_may_print_die_or_hang(monkeypatch: pytest.MonkeyPatch) -> None:
    class Prints(traits.SharedSimulator):
        def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
            print("hello")
            return super().reset(seed=seed)

    assert "[shared-state]" in lines(Prints, in_workers=True)[0]
    (line,) = lines(zoo.failing(zoo.dies), in_workers=True)
    assert "the environment was not checked (RuntimeError: exit code -9" in line
    monkeypatch.setattr(startup, "SECONDS", 0.5)
    assert lines(zoo.failing(zoo.hangs), in_workers=True) == []
    lock = threading.Lock()
    assert lines(lambda: lock and traits.Reach(), in_workers=True) == []
