"""Task environments: scaling, flattening and action repeat."""

import gymnasium
import numpy as np
import pytest

from surefoot.errors import UserError
from surefoot.tasks import get_task
from surefoot.tasks.wrappers import TaskEnv
from tests.tasks import zoo


def echo(action_space, observation_space=None):
    return get_task(lambda: zoo.Echo(action_space, observation_space))


def test_actions_are_scaled_to_environment_bounds():
    low, high = np.array([-1.0, 0.1], np.float32), np.array([1.1, 0.7], np.float32)
    env = echo(gymnasium.spaces.Box(low, high)).make()
    env.reset(seed=0)
    for unit, expected in ((-1.0, low), (1.0, high), (0.0, (low + high) / 2)):
        # Echo asserts that actions lie in its space, so rounding must not exceed the bounds.
        np.testing.assert_allclose(env.step(np.full(2, unit, np.float32))[0], expected, atol=1e-6)
    np.testing.assert_array_equal(env.spaces.action.low_array, low)
    np.testing.assert_array_equal(env.spaces.action.high_array, high)
    assert (env.action_space.low == -1).all()
    assert (env.action_space.high == 1).all()


def test_action_shape_and_dtype_match_environment():
    space = gymnasium.spaces.Box(-2.0, 2.0, (2, 3), np.float64)
    env = echo(space).make()
    env.reset(seed=0)
    observation, *_ = env.step(np.linspace(-1, 1, 6, dtype=np.float32))
    np.testing.assert_allclose(observation, np.linspace(-2, 2, 6), atol=1e-6)


@pytest.mark.parametrize(
    "space",
    [
        gymnasium.spaces.Discrete(5),
        gymnasium.spaces.MultiBinary(3),
        gymnasium.spaces.Box(-np.inf, np.inf, (2,)),
        gymnasium.spaces.Box(np.array([-1.0, -np.inf]), np.array([1.0, 1.0]), dtype=np.float64),
        gymnasium.spaces.Box(0.0, 0.0, (2,)),
        gymnasium.spaces.Box(0, 5, (2,), np.int64),
    ],
    ids=str,
)
def test_unsupported_action_spaces_are_named(space):
    observed = gymnasium.spaces.Box(-1.0, 1.0, (2,))
    with pytest.raises(UserError) as caught:
        echo(space, observed).make()
    assert f"action space {space}" in str(caught.value)


@pytest.mark.parametrize(
    ("space", "named"),
    [
        (gymnasium.spaces.Discrete(5), "observation space Discrete(5)"),
        (gymnasium.spaces.Tuple([gymnasium.spaces.Discrete(3)]), "observation space Tuple"),
        (gymnasium.spaces.Dict(position=gymnasium.spaces.Box(-1, 1), mode=gymnasium.spaces.Discrete(3)), "'mode'"),
    ],
)
def test_unsupported_observation_spaces_are_named(space, named):
    with pytest.raises(UserError) as caught:
        echo(gymnasium.spaces.Box(-1, 1, (1,)), space).make()
    assert named in str(caught.value)


def test_dict_observations_are_concatenated_in_space_order():
    env = get_task(zoo.DictObservations).make()
    observation, _ = env.reset(seed=0)
    assert observation.dtype == np.float32
    expected = {"z": [1.0, 2.0, 3.0, 4.0], "a": [5.0], "m": [6.0]}
    order = list(zoo.DictObservations.observation_space.spaces)
    np.testing.assert_array_equal(observation, np.concatenate([expected[key] for key in order]))


def test_action_repeat_sums_rewards_until_episode_end():
    env = get_task(zoo.terminating).make(action_repeat=2)  # rewards 1, 2, 3; terminates on the third control step
    env.reset(seed=0)
    action = np.zeros(1, np.float32)
    assert env.step(action)[1:] == (3.0, False, False, {"env_steps": 2})
    assert env.step(action)[1:] == (3.0, True, False, {"env_steps": 1})


def test_success_is_that_of_the_last_control_step():
    simulation = get_task(zoo.terminating).simulate()
    simulation.solved = iter([False, False, True]).__next__
    env = TaskEnv(simulation, action_repeat=2)
    assert env.reset(seed=0)[1] == {"env_steps": 0, "success": False}
    assert env.step(np.zeros(1, np.float32))[-1] == {"env_steps": 2, "success": False}
    assert env.step(np.zeros(1, np.float32))[-1] == {"env_steps": 1, "success": True}


def test_reset_without_seed_starts_next_random_episode():
    env = get_task(zoo.terminating).make()
    firsts = [env.reset(seed=3)[0][1], env.reset()[0][1], env.reset()[0][1]]
    assert len(set(firsts)) == 3
    assert firsts == [env.reset(seed=3)[0][1], env.reset()[0][1], env.reset()[0][1]]


def test_observations_are_copies():
    env = get_task(zoo.terminating).make()
    kept = [env.reset(seed=0)[0], *[env.step(np.zeros(1, np.float32))[0] for _ in range(2)]]
    assert [observation[0] for observation in kept] == [0.0, 1.0, 2.0]
