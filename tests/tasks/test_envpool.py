"""Vectors of EnvPool's environments, with a stand-in for EnvPool; tests/third_party has the tests of EnvPool itself."""

from __future__ import annotations

import dataclasses
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import surefoot
from surefoot.cli.main import main
from surefoot.errors import EnvironmentFailure, MissingDependency, UserError
from surefoot.runs import RunDirectory
from surefoot.tasks import VectorEnv, get_task, list_tasks, make_vector, with_engine
from surefoot.tasks import envpool as module
from surefoot.tasks.engines import list_pool_tasks
from surefoot.tasks.task import Task
from tests.tasks import fake_envpool
from tests.training.recording import Recording
from tests.training.small import small
from tests.training.test_resume import assert_same_run

LIMIT = fake_envpool.LIMIT


@pytest.fixture(autouse=True)
def fake(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "envpool", fake_envpool)
    module.list_ids.cache_clear()


def point(keys: tuple[str, ...] | None = ("place", "goal"), env_id: str = "PointReach-v1", repeat: int = 1) -> Task:
    task = get_task(f"envpool/{env_id}")
    assert task.pool is not None
    return dataclasses.replace(task, pool=dataclasses.replace(task.pool, keys=keys), action_repeat=repeat)


def vector(task: Task, stream: str = "train", autoreset: bool = True, **options: Any) -> VectorEnv:
    seeds, environments = [5, 5, 6, 6], [0, 1, 0, 1]
    return make_vector(task, seeds, stream, autoreset=autoreset, environments=environments, **options)


def actions(steps: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-1.0, 1.0, (steps, 4, 1)).astype(np.float32)


def test_episodes_end_with_their_own_observation_and_restart_at_once() -> None:
    with vector(point()) as env:
        before = env.reset([0] * 4)
        assert before.shape == (4, 2)
        for number, action in enumerate(actions(3 * LIMIT)):
            step = env.step(action)
            np.testing.assert_allclose(step.next_observation[:, 0], before[:, 0] + 0.2 * action[:, 0], atol=1e-6)
            np.testing.assert_array_equal(step.next_observation[:, 1], before[:, 1])
            np.testing.assert_array_equal(step.truncated, (number + 1) % LIMIT == 0)
            np.testing.assert_array_equal((step.observation != step.next_observation).any(axis=1), step.ended)
            distance = np.abs(np.subtract(*step.next_observation.T))
            np.testing.assert_allclose(step.reward, -distance, atol=1e-6)
            np.testing.assert_array_equal(step.success, distance < 0.3)
            before = step.observation
        assert env.episodes.tolist() == [3] * 4


def test_observation_has_all_keys_unless_some_are_chosen() -> None:
    with vector(point(None)) as env:
        assert env.spaces.observation_keys == ("goal", "more", "place")
    with pytest.raises(UserError, match="EnvPool's observation has no 'angle': another version is installed"):
        vector(point(("angle",)))


def test_repeated_action_stops_at_the_end_of_the_episode() -> None:
    with vector(point(repeat=5), autoreset=False) as env:
        env.reset([0] * 4)
        steps = [env.step(np.zeros((4, 1), np.float32)) for _ in range(4)]
        assert [step.env_steps.tolist() for step in steps] == [[5] * 4, [5] * 4, [2] * 4, [0] * 4]
        assert [step.active.tolist() for step in steps[2:]] == [[True] * 4, [False] * 4]
        np.testing.assert_allclose(steps[0].reward, 5 * steps[2].reward / 2, rtol=1e-5)


def test_environments_may_end_within_a_repeated_action_at_different_steps() -> None:
    """A point leaves the field after as many control steps as it is away from its edge, in steps of 0.2."""
    with vector(point(repeat=4)) as env:
        first = env.reset([0] * 4)
        taken = np.ones((4, 1), np.float32)
        lengths, ended = np.zeros(4, int), np.zeros(4, bool)
        for _ in range(3):
            step = env.step(taken)
            lengths += np.where(ended, 0, step.env_steps)
            np.testing.assert_array_equal(step.terminated & step.truncated, False)
            new = step.ended & ~ended
            np.testing.assert_array_equal(step.terminated[new], (step.next_observation[new, 0] > 2.0))
            ended |= step.ended
        expected = np.minimum(np.floor((2.0 - first[:, 0]) / 0.2) + 1, LIMIT)
        np.testing.assert_array_equal(lengths, expected)
        assert len(set(expected % 4)) > 1


def first_observations(task: Task, stream: str, autoreset: bool, episodes: list[int]) -> np.ndarray:
    with vector(task, stream, autoreset) as env:
        return env.reset(episodes)


def test_evaluation_episode_follows_from_seed_and_number() -> None:
    one, other = (first_observations(point(), "evaluate", False, episodes) for episodes in ([3, 4] * 2, [4, 3] * 2))
    assert len(np.unique(one, axis=0)) == 4
    with make_vector(point(), [6, 5], "evaluate", autoreset=False) as env:
        np.testing.assert_array_equal(env.reset([3, 4])[0], one[2])
    assert (one != other).all()


def test_training_episode_follows_from_the_resets_before_it() -> None:
    with vector(point()) as env:
        env.reset([0] * 4)
        starts = [env.step(action).observation for action in actions(3 * LIMIT)][LIMIT - 1 :: LIMIT]
    for number, start in enumerate(starts, 1):
        np.testing.assert_array_equal(first_observations(point(), "train", True, [number] * 4), start)
    assert len(np.unique(np.concatenate(starts), axis=0)) == 12


def test_restored_environments_continue_as_the_original_ones() -> None:
    with vector(point()) as env, vector(point(), num_workers=1) as other:
        env.reset([0] * 4)
        taken = actions(LIMIT + 5)
        for action in taken:
            step = env.step(action)
        played = [taken[LIMIT:, slot] for slot in range(4)]
        np.testing.assert_array_equal(other.restore([1] * 4, played), step.observation)
        played[2] = played[2][:2]
        restored = other.restore([1] * 4, played)
        np.testing.assert_array_equal((restored == step.observation).all(axis=1), [True, True, False, True])
        other.restore([1] * 4, [taken[LIMIT:, slot] for slot in range(4)])
        for action in actions(2 * LIMIT, seed=1):
            for mine, theirs in zip(env.step(action), other.step(action), strict=True):
                np.testing.assert_array_equal(mine, theirs)


def test_number_that_is_not_finite_names_seed_and_environment() -> None:
    with vector(point(env_id="Nan-v1")) as env:
        env.reset([0] * 4)
        for action in actions(2):
            env.step(action)
        with pytest.raises(EnvironmentFailure, match=r"seed 5, environment 1: .* a non-finite reward"):
            env.step(action)


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("envpool/PointReech-v1", "EnvPool has no 'PointReech-v1'; did you mean 'PointReach-v1'"),
        ("envpool/Choice-v1", "has the action space Discrete"),
        ("envpool/Fails-v1", "EnvPool cannot make Fails-v1: no model"),
    ],
)
def test_unusable_environment_is_one_line(target: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=message):
        surefoot.train(target, algorithm=small(surefoot.sac()), env_steps=300, out=tmp_path / "run")
    assert list(tmp_path.iterdir()) == []


def test_invalid_engine_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "myo-pen-twirl", "--engine", "envpool", "--out", str(tmp_path / "run")]) == 2
    assert main(["train", "probe-action", "--engine", "mjx", "--out", str(tmp_path / "run")]) == 2
    assert capsys.readouterr().err.count("\n") == 2
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("installed", "error", "message"),
    [
        (
            None,
            MissingDependency,
            r"needs the package 'envpool', .*: pip install 'surefoot\[envpool\]'",
        ),
        ("1.2.5", UserError, "EnvPool 1.2.5 is too old, expected 1.2.6 or later"),
    ],
)
def test_missing_or_old_package_is_one_line(
    installed: str | None, error: type[Exception], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if installed is None:
        monkeypatch.setitem(sys.modules, "envpool", None)
    else:
        monkeypatch.setattr(fake_envpool, "__version__", installed)
    with pytest.raises(error, match=message):
        vector(point())


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (
            "libEGL.so.1: cannot open shared object file",
            r": libEGL\.so\.1: .* file; .*apt install libegl1 libopengl0\)$",
        ),
        ("numpy.core.multiarray failed to import", r": numpy\.core\.multiarray failed to import$"),
    ],
)
def test_package_that_cannot_be_imported_is_one_line(
    error: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "envpool.py").write_text(f"raise ImportError({error!r})")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "envpool")
    with pytest.raises(UserError, match=f"EnvPool cannot be imported{message}"):
        vector(point())


def test_engine_offers_the_tasks_that_are_the_same() -> None:
    offered = [task.name for task in list_pool_tasks(list_tasks())]
    assert len(offered) == 23
    dog, key = (with_engine(get_task(name), "envpool") for name in ("dog-run", "myo-key-turn"))
    assert dog.pool is not None
    assert key.pool is not None
    assert (dog.pool.env_id, dog.pool.horizon, len(dog.pool.keys or ())) == ("DogRun-v1", 1000, 9)
    assert (key.pool.env_id, key.pool.keys, key.pool.horizon) == ("myoHandKeyTurnFixed-v0", None, 100)
    finger = with_engine(get_task("finger-turn_hard"), "envpool").pool
    assert finger is not None
    assert finger.env_id == "FingerTurnHard-v1"
    with pytest.raises(UserError, match=r"'myo-pen-twirl' differs .*; envpool/myoHandPenTwirlFixed-v0 is"):
        with_engine(get_task("myo-pen-twirl"), "envpool")
    with pytest.raises(UserError, match="'Ant-v5' is not one of the 23 tasks"):
        with_engine(get_task("Ant-v5"), "envpool")
    with pytest.raises(UserError, match="'envpool/PointReach-v1' takes no keywords, got 'size'"):
        get_task("envpool/PointReach-v1", {"size": 3})


def test_tasks_of_the_engine_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["tasks", "--engine", "envpool"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "envpool/PointReach-v1" in lines
    assert not any("Suite/" in line or line.startswith("Ant-v5") for line in lines)
    assert any(line.startswith("dog-run ") for line in lines)


def test_resume_says_where_steps_draw_random_numbers(tmp_path: Path) -> None:
    with vector(point(env_id="Draws-v1")) as env, vector(point(env_id="Draws-v1")) as other:
        env.reset([0] * 4)
        for action in actions(LIMIT + 2):
            step = env.step(action)
        taken = [actions(LIMIT + 2)[LIMIT:, slot] for slot in range(4)]
        assert (other.restore([1] * 4, taken) != step.observation).any(axis=1).all()


def test_run_resumes_and_evaluates_as_it_trained(tmp_path: Path) -> None:
    settings = {"num_seeds": 2, "num_envs": 2, "evaluation_episodes": 2, "checkpoint_every": 150, "diagnose_every": 0}
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    algorithm = small(surefoot.sac(1))
    surefoot.train(
        "envpool/PointReach-v1", algorithm=algorithm, env_steps=240, out=whole, observer=Recording(), **settings
    )
    shutil.copytree(whole, cut)
    shutil.rmtree(cut / "checkpoints" / f"env_steps_{240:012d}")
    assert RunDirectory.open(cut).config["engine"] == "envpool"
    surefoot.resume(cut, observer=Recording())
    assert_same_run(whole, cut)
    _, result = surefoot.evaluate(whole, episodes=2)
    rows = surefoot.Run(whole, completed=True).evaluations()
    np.testing.assert_allclose(result.returns.reshape(-1), rows["return"][rows["env_steps"] == 240], rtol=1e-4)
