"""Short check of an environment before a training run."""

from __future__ import annotations

import functools
import os
import random
import threading
import time
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from surefoot.tasks import get_task, list_tasks
from surefoot.tasks.check import startup
from surefoot.tasks.check.checker import check_briefly
from surefoot.tasks.check.startup import check_at_start
from tests import traits
from tests.tasks import broken, zoo

POINTER = "surefoot.check_env explains what was found, and checks more"


@pytest.fixture(autouse=True)
def no_hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a busy machine, two seconds may be too short for any check."""
    monkeypatch.setattr(startup, "SECONDS", 60.0)
    monkeypatch.setattr(startup, "_START_SECONDS", 60.0)


def lines(target: Any, **options: Any) -> list[str]:
    return check_at_start(get_task(target), **options)


def codes(target: Any, seconds: float = 60.0, **options: Any) -> list[str]:
    return [finding.code for finding in check_briefly(get_task(target), seconds, **options)]


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
    before = dict(traits.SIMULATOR)
    found = lines("tests.traits:SharedUnseeded")
    assert found[0].startswith("error: copies of the environment share state [shared-state]: stepped alongside another")
    assert [line.partition(":")[0] for line in found[:-1]] == ["error", "warning", "warning"]
    assert found[-1] == "surefoot check-env tests.traits:SharedUnseeded explains what was found, and checks more"
    assert not any("\n" in line for line in found)
    assert before == traits.SIMULATOR  # nothing was made in this process


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        (traits.VectorReward, ["reward-unusable"]),
        (broken.TimeLimitTerminates, ["time-limit-terminates"]),
        (SlowSteps, ["time-limit-terminates"]),
        (broken.IgnoresActions, ["action-ignored"]),
        (traits.SharedOwnEntropy, ["shared-state", "seed-ignored"]),
        # Nothing is concluded from what a short check does not see.
        (traits.Reach, []),
        (broken.NeverEnds, []),
        ("Pendulum-v1", []),
    ],
)
def test_findings_of_a_brief_check(target: Any, expected: list[str]) -> None:
    found = codes(target, 2.0 if target is SlowSteps else 60.0)
    assert [code for code in found if code != "slow"] == expected


def test_tasks_known_by_name_are_not_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(startup, "_check", lambda _: pytest.fail("checked"))
    assert [line for task in list_tasks() for line in check_at_start(task)] == []


def test_copies_are_closed_and_the_global_generators_are_left_alone() -> None:
    states = random.getstate(), np.random.get_state()[1].tolist()  # noqa: NPY002
    codes(Recorded)
    codes(traits.SharedUnseeded)
    assert (random.getstate(), np.random.get_state()[1].tolist()) == states  # noqa: NPY002
    assert Recorded.living == 0
    assert max(Recorded.most) == 3
    Recorded.most.clear()
    codes(Recorded, one_per_process=True)
    assert max(Recorded.most) == 1


def test_slow_environment_is_checked_with_fewer_steps() -> None:
    steps = []

    class Slow(traits.Reach):
        def step(self, action: np.ndarray) -> Any:
            steps.append(action)
            time.sleep(0.01)
            return super().step(action)

    codes(Slow, 0.2)
    assert 1 < len(steps) <= 20


def test_command_has_the_keywords_of_the_environment() -> None:
    task = get_task("Pendulum-v1", {"g": 9.5, "gravity": None})
    assert startup._command(task) == "surefoot check-env Pendulum-v1 --env-set g=9.5 --env-set gravity=none"


class Prints(traits.SharedSimulator):
    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        print("hello")
        os.write(1, b"hello")
        return super().reset(seed=seed)


@pytest.mark.slow
def test_environment_may_print_die_hang_or_be_impossible_to_make(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "[shared-state]" in lines(Prints)[0]
    (line,) = lines(zoo.failing(zoo.dies))
    assert "the environment was not checked (exit code -9, no message): surefoot.check_env" in line
    (line,) = lines(zoo.failing(zoo.exits_while_a_thread_runs))[:1]
    assert "SystemExit" in line
    assert lines(zoo.raising_when_made) == []
    lock = threading.Lock()
    assert lines(lambda: lock and traits.Reach()) == []
    monkeypatch.setattr(startup, "SECONDS", 0.5)
    started = time.monotonic()
    program = tmp_path / "program"
    assert lines(zoo.failing(functools.partial(zoo.hangs_with_a_program, str(program)))) == []
    assert time.monotonic() - started < 10.0
    deadline = time.monotonic() + 10.0
    while _is_alive(int(program.read_text())):
        assert time.monotonic() < deadline, "what the environment started is still running"
        time.sleep(0.01)


def _is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
