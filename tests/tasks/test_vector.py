"""Vector environments in this process and in workers."""

import functools
import os

import gymnasium
import numpy as np
import pytest

from surefoot.errors import EnvironmentFailure, UserError
from surefoot.tasks import episode_seed, get_task, make_vector
from surefoot.tasks.vector import choose_workers
from tests.tasks import zoo

MODES = pytest.mark.parametrize("num_workers", [0, 2], ids=["in-process", "workers"])
ZERO = np.zeros((2, 1), np.float32)


def roll(env, actions):
    return [env.step(action) for action in actions]


@MODES
def test_transitions_across_episode_end(num_workers):
    for factory, terminates in ((zoo.terminating, True), (zoo.truncating, False)):
        task = get_task(factory)
        with make_vector(task, [5, 6], "train", num_workers=num_workers) as env:
            before = env.reset([0, 4])
            steps = roll(env, [ZERO] * 4)
            firsts = [[first_draw(task, seed, start + k) for k in (0, 1)] for seed, start in ((5, 0), (6, 4))]
            np.testing.assert_array_equal(before, [[0, firsts[0][0]], [0, firsts[1][0]]])
            np.testing.assert_array_equal(
                [step.next_observation[:, 0] for step in steps], [[1, 1], [2, 2], [3, 3], [1, 1]]
            )
            np.testing.assert_array_equal([step.observation[:, 0] for step in steps], [[1, 1], [2, 2], [0, 0], [1, 1]])
            np.testing.assert_array_equal(steps[2].next_observation, [[3, firsts[0][0]], [3, firsts[1][0]]])
            np.testing.assert_array_equal(steps[2].observation, [[0, firsts[0][1]], [0, firsts[1][1]]])
            np.testing.assert_array_equal([step.reward for step in steps], [[1, 1], [2, 2], [3, 3], [1, 1]])
            ends = [[False] * 2, [False] * 2, [True] * 2, [False] * 2]
            never = [[False] * 2] * 4
            np.testing.assert_array_equal([step.terminated for step in steps], ends if terminates else never)
            np.testing.assert_array_equal([step.truncated for step in steps], never if terminates else ends)
            np.testing.assert_array_equal([step.ended for step in steps], ends)
            assert all(step.active.all() and (step.env_steps == 1).all() for step in steps)
            assert env.episodes.tolist() == [1, 5]


def first_draw(task, seed, episode):
    return task.make().reset(seed=episode_seed(task.name, seed, "train", episode))[0][1]


@MODES
def test_finished_slots_wait_without_autoreset(num_workers):
    with make_vector(get_task(zoo.terminating), [5, 6], "evaluate", num_workers=num_workers, autoreset=False) as env:
        env.reset([0, 0])
        steps = roll(env, [ZERO] * 5)
        assert [step.active.all() for step in steps] == [True, True, True, False, False]
        assert [step.terminated.all() for step in steps] == [False, False, True, False, False]
        np.testing.assert_array_equal(steps[4].observation, steps[2].next_observation)
        np.testing.assert_array_equal(steps[4].next_observation, steps[2].next_observation)
        for array in (steps[4].reward, steps[4].env_steps, steps[4].success):
            assert not array.any()
        assert env.episodes.tolist() == [0, 0]
        env.reset([1, 2])
        assert env.step(ZERO).active.all()
        assert env.episodes.tolist() == [1, 2]


@MODES
def test_returned_arrays_are_never_overwritten(num_workers):
    with make_vector(get_task(zoo.terminating), [5, 6], "train", num_workers=num_workers) as env:
        kept = [env.reset([0, 0]), *[array for step in roll(env, [ZERO] * 3) for array in step]]
        copies = [array.copy() for array in kept]
        roll(env, [ZERO] * 4)
        for array, copy in zip(kept, copies, strict=True):
            np.testing.assert_array_equal(array, copy)


@MODES
def test_caller_may_modify_returned_arrays(num_workers):
    with make_vector(get_task(zoo.terminating), [5, 6], "train", num_workers=num_workers, autoreset=False) as env:
        env.reset([0, 0])
        last = roll(env, [ZERO] * 3)[-1]
        expected = last.observation.copy()
        for array in last:
            array[...] = 0
        np.testing.assert_array_equal(env.step(ZERO).observation, expected)


@pytest.mark.parametrize("name", ["cheetah-run", pytest.param("myo-pen-twirl-hard", marks=pytest.mark.slow)])
def test_workers_give_identical_steps(name):
    task = get_task(name)
    actions = np.random.default_rng(0).uniform(-1, 1, (25, 3, task.action_size)).astype(np.float32)
    with make_vector(task, [3, 4, 3], "train") as ours, make_vector(task, [3, 4, 3], "train", num_workers=2) as theirs:
        np.testing.assert_array_equal(ours.reset([0, 0, 1]), theirs.reset([0, 0, 1]))
        for action in actions:
            for left, right in zip(ours.step(action), theirs.step(action), strict=True):
                assert left.dtype == right.dtype
                np.testing.assert_array_equal(left, right)
        np.testing.assert_array_equal(ours.episodes, theirs.episodes)
        assert (ours.num_workers, theirs.num_workers) == (0, 2)
        for attribute in ("num_envs", "spaces", "observation_size", "action_size"):
            assert getattr(ours, attribute) == getattr(theirs, attribute)


@pytest.mark.parametrize(("name", "size", "num_workers"), [("finger-turn_hard", 2, 0), ("Pendulum-v1", 1, 2)])
def test_restore_continues_an_episode(name, size, num_workers):
    task = get_task(name)
    actions = np.random.default_rng(0).uniform(-1, 1, (9, 2, size)).astype(np.float32)
    with make_vector(task, [0, 1], "train", num_workers=num_workers) as env:
        env.reset([3, 8])
        *_, last = roll(env, actions[:6])
        after = roll(env, actions[6:])
    with make_vector(task, [0, 1], "train", num_workers=num_workers) as env:
        np.testing.assert_array_equal(env.restore([3, 8], list(actions[:6].transpose(1, 0, 2))), last.observation)
        assert env.episodes.tolist() == [3, 8]
        for ours, theirs in zip(roll(env, actions[6:]), after, strict=True):
            for left, right in zip(ours, theirs, strict=True):
                np.testing.assert_array_equal(left, right)


@MODES
def test_restore_of_slots_at_different_steps(num_workers):
    with make_vector(get_task(zoo.terminating), [5, 6], "train", num_workers=num_workers) as env:
        observation = env.restore([0, 1], [np.zeros((2, 1), np.float32), np.zeros((0, 1), np.float32)])
        np.testing.assert_array_equal(observation[:, 0], [2, 0])
        assert env.step(ZERO).terminated.tolist() == [True, False]
        ended = env.restore([0, 1], [np.zeros((3, 1), np.float32), np.zeros((1, 1), np.float32)])
        np.testing.assert_array_equal(ended[:, 0], [np.nan, 1])


@MODES
def test_replay_that_raises_is_no_failure(num_workers):
    """An environment that is not a function of its seed may be in a state where the stored actions raise."""
    with make_vector(get_task(zoo.failing(zoo.raises)), [5, 6], "train", num_workers=num_workers) as env:
        observation = env.restore([0, 0], [np.zeros((2, 1), np.float32), np.zeros((1, 1), np.float32)])
        np.testing.assert_array_equal(observation[:, 0], [np.nan, 1])
        np.testing.assert_array_equal(env.restore([1, 0], [ZERO[:0], ZERO[:1]])[:, 0], [0, 1])


FAILURES = {
    "raises": (zoo.failing(zoo.raises), "ValueError: the second step fails"),
    "exits": (zoo.failing(zoo.exits), "SystemExit: 0"),
    "observation": (zoo.failing(zoo.makes_observation_nan), "the environment returned a non-finite observation"),
    "reward": (zoo.failing(zoo.makes_reward_infinite), "the environment returned a non-finite reward"),
}


@pytest.mark.parametrize(("kind", "num_workers"), [*((kind, 0) for kind in FAILURES), ("raises", 2)])
def test_failure_names_seed_and_cause(kind, num_workers):
    factory, detail = FAILURES[kind]
    with make_vector(get_task(factory), [5, 6], "train", num_workers=num_workers, autoreset=False) as env:
        env.restore([0, 0], [np.zeros((0, 1), np.float32), np.zeros((1, 1), np.float32)])  # slot 1 is a step ahead
        with pytest.raises(EnvironmentFailure) as caught:
            env.step(ZERO)
    assert (caught.value.seed, caught.value.detail) == (6, detail)


@MODES
def test_failures_before_the_first_step(num_workers):
    with pytest.raises(UserError, match="zoo:raising_when_made' cannot be made: RuntimeError: no such robot"):
        make_vector(get_task(zoo.raising_when_made), [5, 6], "train", num_workers=num_workers)
    with (
        make_vector(get_task(zoo.nan_on_reset), [5, 6], "train", num_workers=num_workers) as env,
        pytest.raises(EnvironmentFailure, match=r"seed 5: .*non-finite observation on reset"),
    ):
        env.reset([0, 0])
    discrete = get_task(lambda: zoo.Echo(gymnasium.spaces.Discrete(5), gymnasium.spaces.Box(-1, 1, (1,))))
    with pytest.raises(UserError, match=r"action space Discrete\(5\)"):
        make_vector(discrete, [5, 6], "train", num_workers=num_workers)


@pytest.mark.parametrize(("declared", "size"), [(2, 3), (2, 1)])
def test_observation_of_wrong_size_is_a_failure(declared, size):
    detail = rf"seed 5: .*flat shape \({size},\), but its space has \({declared},\)"
    on_reset, on_step = (
        get_task(functools.partial(zoo.WrongSize, declared, *sizes)) for sizes in ((size, declared), (declared, size))
    )
    with make_vector(on_reset, [5], "train") as env, pytest.raises(EnvironmentFailure, match=detail):
        env.reset([0])
    with make_vector(on_step, [5], "train") as env:
        env.reset([0])
        with pytest.raises(EnvironmentFailure, match=detail):
            env.step(ZERO[:1])
        assert np.isnan(env.restore([0], [ZERO[:1]])).all()


def test_close_reaches_every_environment_and_never_raises(monkeypatch):
    monkeypatch.setattr(zoo.RaisesOnClose, "closed", 0)
    with make_vector(get_task(zoo.RaisesOnClose), [5, 6], "train") as env:
        env.reset([0, 0])
    assert zoo.RaisesOnClose.closed == 2


@pytest.mark.slow
@pytest.mark.parametrize("num_workers", [0, 1])
def test_success_and_env_steps_of_a_real_task(num_workers):
    task = get_task("myo-pen-twirl")
    with make_vector(task, [0, 1], "evaluate", num_workers=num_workers, action_repeat=3) as env:
        env.reset([0, 0])
        step = env.step(np.zeros((2, 39), np.float32))
        assert step.reports_success.all()
        assert step.success.dtype == bool
        assert step.env_steps.tolist() == [3, 3]


def test_default_number_of_workers(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 1, 2, 3})
    assert [choose_workers(slots) for slots in (1, 2, 10)] == [0, 2, 3]
    for cores in ({0}, {0, 1}):
        monkeypatch.setattr(os, "sched_getaffinity", lambda pid, cores=cores: cores)
        assert choose_workers(10) == 0


def test_workers_never_outnumber_slots():
    with make_vector(get_task(zoo.terminating), [5], "train", num_workers=8) as env:
        assert env.num_workers == 1
        np.testing.assert_array_equal(env.reset([0])[:, 0], [0])
