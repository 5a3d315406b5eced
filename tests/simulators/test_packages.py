"""Tasks of gymnax and MuJoCo Playground, with stand-ins for the packages."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pytest

from surefoot.cli.main import main
from surefoot.errors import UserError
from surefoot.simulators.vector import shared_environment
from surefoot.tasks import get_task, make_vector
from surefoot.tasks.jax_tasks import list_names
from tests.simulators import fake_packages


@pytest.fixture
def loaded(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    shared_environment.cache_clear()
    for module in (fake_packages.gymnax(), fake_packages.playground(found)):
        vars(module)["__spec__"] = object()
        monkeypatch.setitem(sys.modules, module.__name__, module)
    return found


def test_gymnax_ends_are_told_from_its_time_limit(loaded: list[dict[str, Any]]) -> None:
    with make_vector(get_task("gymnax/Pendulum-v1"), [0, 1], "train") as env:
        first = env.reset([0, 0])
        steps = [env.step(np.full((2, 1), 0.1, np.float32)) for _ in range(5)]
        again = env.reset([0, 0])
    np.testing.assert_array_equal(first, again)
    assert [step.truncated.tolist() for step in steps] == [[False] * 2] * 4 + [[True] * 2]
    assert not any(step.terminated.any() for step in steps)
    with make_vector(get_task("gymnax/Pendulum-v1", {"max_steps_in_episode": 100}), [0, 1], "train") as env:
        env.reset([0, 0])
        fast = [env.step(np.ones((2, 1), np.float32)) for _ in range(100)]
    assert any(step.terminated.any() for step in fast)
    for step in fast:
        np.testing.assert_array_equal(step.terminated, np.abs(step.next_observation[:, 2]) > 6.0)


def test_playground_settings_are_passed_on(loaded: list[dict[str, Any]]) -> None:
    task = get_task("playground/PendulumSwingup", {"scales": {"speed": 0.5}, "episode_length": 3})
    assert task.name == "playground/PendulumSwingup(episode_length=3, scales={'speed': 0.5})"
    with make_vector(task, [0], "train") as env:
        env.reset([0])
        assert [bool(env.step(np.zeros((1, 1), np.float32)).truncated[0]) for _ in range(3)] == [False, False, True]
    assert loaded == [{"impl": "jax", "scales.speed": 0.5, "episode_length": 3}]
    with make_vector(get_task("playground/PendulumSwingup", {"impl": "warp"}), [0], "train") as env:
        env.reset([0])
        ended = [env.step(np.zeros((1, 1), np.float32)).truncated[0] for _ in range(7)]
    assert np.flatnonzero(ended).tolist() == [6]
    assert loaded[1] == {"impl": "warp"}


@pytest.mark.parametrize(
    ("name", "keywords", "message"),
    [
        ("gymnax/Pendulm-v1", {}, "gymnax has no 'Pendulm-v1'; did you mean 'Pendulum-v1'"),
        ("gymnax/CartPole-v1", {}, r"action space Discrete\(3\), which is not supported"),
        ("gymnax/Pendulum-v1", {"torqe": 1.0}, "has no parameter 'torqe'; did you mean 'torque'"),
        ("gymnax/Pendulum-v1", {"torque": "much"}, "has torque='much', expected a value like its default 2.0"),
        ("gymnax/Pendulum-v1", {"max_steps_in_episode": 0}, "has the max_steps_in_episode 0, expected a whole number"),
        ("playground/Pendulum", {}, "MuJoCo Playground has no 'Pendulum'; did you mean 'PendulumSwingup'"),
        ("playground/Offline", {}, "cannot be made: OSError: no network"),
        (
            "playground/PendulumSwingup",
            {"scales": {"sped": 1}},
            "no setting 'scales.sped'; did you mean 'scales.speed'",
        ),
        ("playground/PendulumSwingup", {"action_repeat": 2}, "expected --set action_repeat=K"),
    ],
)
def test_wrong_names_and_settings(
    name: str, keywords: dict[str, Any], message: str, loaded: list[dict[str, Any]]
) -> None:
    with pytest.raises(UserError, match=message) as caught:
        make_vector(get_task(name, keywords), [0], "train")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("module", "task", "message"),
    [
        ("gymnax", "gymnax/Pendulum-v1", "gymnax is not installed: pip install gymnax six"),
        ("mujoco_playground", "playground/CheetahRun", "pip install 'surefoot[playground]'"),
    ],
)
def test_missing_package_is_named(
    module: str, task: str, message: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, module, raising=False)
    assert main(["train", task, "--env-steps", "8000", "--out", "/nowhere/run"]) == 2
    assert message in " ".join(capsys.readouterr().err.split())


def test_ids_are_listed(loaded: list[dict[str, Any]], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["tasks", "--engine", "jax"]) == 0
    listed = capsys.readouterr().out.split()
    assert listed == ["playground/Offline", "playground/PendulumSwingup", "gymnax/CartPole-v1", "gymnax/Pendulum-v1"]
    assert list(list_names()) == listed


def test_listing_without_packages_says_what_to_install(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["tasks", "--engine", "jax"]) == 2
    assert "pip install 'surefoot[playground]'" in " ".join(capsys.readouterr().err.split())
