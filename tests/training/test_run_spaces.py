"""Spaces stored with a run and compared with those of the environment wherever the run is used again."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.spaces import Box, Dict

import surefoot
from surefoot.policy import PolicySpec, save_policy
from surefoot.runs import RunDirectory
from surefoot.spaces import EnvSpaces
from surefoot.tasks import get_task
from surefoot.tasks.spaces import describe_spaces
from surefoot.training.config import TrainConfig
from surefoot.training.config_file import describe_run, read_run
from surefoot.training.plan import make_plan
from tests.training.recording import Recording
from tests.training.small import small


class Arm(gymnasium.Env[Any, Any]):
    """An arm whose number of joints, bounds and order of keys can be changed between two uses of a run."""

    metadata = {"render_modes": ["rgb_array"]}  # noqa: RUF012

    def __init__(self, joints: int = 3, low: float = -1.0, keys: tuple[str, ...] = ("joints", "goal")) -> None:
        parts = {"joints": Box(-np.inf, np.inf, (joints,)), "goal": Box(-np.inf, np.inf, (2,))}
        self.observation_space = Dict([(key, parts[key]) for key in keys])
        self.action_space = Box(low, 1.0, (joints,), np.float64)
        self.render_mode = "rgb_array"

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.steps = 0
        return self.observation_space.sample(), {}

    def step(self, action: np.ndarray) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        assert self.action_space.contains(action)
        self.steps += 1
        return self.observation_space.sample(), float(action.sum()), False, self.steps >= 5, {}

    def render(self) -> Any:
        return np.zeros((64, 64, 3), np.uint8)


DEFAULTS = {"joints": 3, "low": -1.0, "keys": ("joints", "goal")}
CHANGES: list[tuple[dict[str, Any], str]] = [
    ({"joints": 4}, r"observation\['joints'\] shape \(3,\), but the environment of '.*:Arm' now has \(4,\)"),
    ({"low": -2.0}, r"action low\[0\] -1.0, but the environment of '.*:Arm' now has -2.0"),
    ({"keys": ("goal", "joints")}, "observation keys joints, goal, but .* now has goal, joints"),
]


USES: dict[str, Callable[..., Any]] = {
    "resume": functools.partial(surefoot.resume, observer=Recording()),
    "evaluate": functools.partial(surefoot.evaluate, episodes=1),
    "record": lambda run, task: surefoot.record(run, run.parent / "video.gif", task=task, width=64, height=64),
}


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run that was stopped before its first checkpoint, with a policy that acts at the bounds."""
    algorithm, task, env = small(surefoot.sac()), get_task(Arm), Arm()
    config = TrainConfig(Arm, algorithm, env_steps=200, out=tmp_path / "run")
    spaces = describe_spaces(env.observation_space, env.action_space, task.name)
    run = RunDirectory.create(tmp_path / "run", describe_run(config, make_plan(config, task), task, spaces))
    arrays = {"mean/kernel": np.full((1, 5, 3), 1e6), "mean/bias": np.full((1, 3), 0.1)}
    spec = PolicySpec(spaces, task.name, algorithm.name, 100, (0,), (None,), ({"op": "tanh_head", "mean": "mean"},))
    save_policy(run.policy_path, spec, arrays)
    return run.path


def test_spaces_are_stored_with_run_and_policy(run: Path) -> None:
    stored = json.loads((run / "config.json").read_text())["spaces"]
    assert EnvSpaces.from_data(stored) == surefoot.load_policy(run).spaces == get_task(Arm).make().spaces


@pytest.mark.parametrize(("change", "message"), CHANGES, ids=lambda value: next(iter(value), ""))
@pytest.mark.parametrize("use", USES)
def test_changed_environment_is_one_line_with_both_sides(
    use: str, change: dict[str, Any], message: str, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Arm.__init__, "__defaults__", tuple((DEFAULTS | change).values()))
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(surefoot.UserError, match=message) as error:
        USES[use](run, task=Arm)
    assert "\n" not in str(error.value)
    assert sorted(tmp_path.rglob("*")) == before


OTHERS: list[Callable[[], Any] | str] = [
    functools.partial(Arm, joints=3),
    functools.partial(Arm, 3),
    lambda: Arm(),
    functools.partial(gymnasium.make, "Pendulum-v1"),
    "Pendulum-v1",
]


@pytest.mark.parametrize("use", USES)
def test_another_task_is_refused_also_where_its_spaces_are_equal(use: str, run: Path, tmp_path: Path) -> None:
    before = sorted(tmp_path.rglob("*"))
    for other in OTHERS:
        with pytest.raises(surefoot.UserError, match=r"trained on '.*:Arm', not on ") as error:
            USES[use](run, task=other)
        assert "\n" not in str(error.value)
    assert sorted(tmp_path.rglob("*")) == before


def test_keywords_of_a_run_are_stored_and_used(tmp_path: Path) -> None:
    task = get_task(Arm, {"joints": 2})
    config = TrainConfig(Arm, small(surefoot.sac()), env_steps=200, env_set={"joints": 2})
    spaces = task.make().spaces
    run = RunDirectory.create(tmp_path / "run", describe_run(config, make_plan(config, task), task, spaces))
    assert (run.config["task"], run.config["env_set"]) == (f"{__name__}:Arm(joints=2)", {"joints": 2})
    for given in (Arm, functools.partial(Arm, joints=2)):
        read, found, _ = read_run(run, given, {})
        assert (found.name, found.make().spaces, read.env_set) == (task.name, spaces, {"joints": 2})
    for edited in (3, {"joints": 3}, {"a b": 3}):
        run.update_config({"env_set": edited})
        with pytest.raises(surefoot.UserError, match=r"config\.json"):
            read_run(RunDirectory.open(run.path), Arm, {})


def test_unchanged_environment_is_evaluated_within_its_bounds(run: Path) -> None:
    _, result = surefoot.evaluate(run, task=Arm, episodes=2)
    assert result.lengths.tolist() == [[5, 5]]


@pytest.mark.parametrize("value", [None, [], {"observation": []}, {"observation": 3, "action": {}}])
def test_damaged_spaces_are_one_line(value: Any, run: Path) -> None:
    config = json.loads((run / "config.json").read_text())
    (run / "config.json").write_text(json.dumps(config | {"spaces": value}))
    for use in (surefoot.resume, surefoot.evaluate):
        with pytest.raises(surefoot.UserError, match=r"config\.json: spaces") as error:
            use(run, task=Arm)
        assert "\n" not in str(error.value)
