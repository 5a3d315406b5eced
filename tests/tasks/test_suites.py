"""Real environments of the suites: sizes in the table, protocols and reproducible episodes."""

import subprocess
import sys
from typing import Any

import gymnasium
import numpy as np
import pytest

from surefoot.tasks import dmc, get_task, list_tasks

SUITE_TASKS = [task for task in list_tasks() if task.suite != "probe"]
MUJOCO = [task for task in SUITE_TASKS if task.suite == "gymnasium"]
BENCHMARK = [task for task in SUITE_TASKS if task.benchmark]
DMC = [task for task in BENCHMARK if task.suite == "dmc"]
SHORT = 12


def slow_except(fast, tasks):
    """Parametrise over `tasks`, with all but the task named `fast` in the slow tier."""
    marks = [() if task.name == fast else pytest.mark.slow for task in tasks]
    return pytest.mark.parametrize(
        "task", [pytest.param(task, marks=mark, id=task.name) for task, mark in zip(tasks, marks, strict=True)]
    )


def play(env, seed, actions):
    """Return observations [T + 1, O] and rewards [T] of one episode."""
    observations, rewards = [env.reset(seed=seed)[0]], []
    for action in actions:
        observation, reward, terminated, truncated, _ = env.step(action)
        observations.append(observation)
        rewards.append(reward)
        if terminated or truncated:
            break
    return np.stack(observations), np.array(rewards)


def draw_actions(size, steps=SHORT):
    return np.random.default_rng(size).uniform(-1, 1, (steps, size)).astype(np.float32)


@slow_except("cheetah-run", SUITE_TASKS)
def test_sizes_and_types_are_those_of_the_table(task):
    env = task.make()
    assert env.observation_space.shape == (task.observation_size,)
    assert env.action_space.shape == (task.action_size,)
    observations, rewards = play(env, 1, draw_actions(task.action_size, 3))
    assert observations.dtype == np.float32
    assert np.isfinite(observations).all()
    assert np.isfinite(rewards).all()
    info = env.step(np.zeros(task.action_size, np.float32))[-1]
    assert info["env_steps"] in (1, 2)
    assert ("success" in info) == (task.suite == "myosuite")
    env.close()


@slow_except("finger-turn_hard", BENCHMARK + MUJOCO)
def test_episode_is_a_function_of_seed_and_actions(task):
    actions = draw_actions(task.action_size)
    used = task.make()
    play(used, 3, -actions)
    used.reset(seed=4)
    fresh = task.make()
    for theirs, ours in zip(play(fresh, 7, actions), play(used, 7, actions), strict=True):
        np.testing.assert_array_equal(theirs, ours)
    if task.suite != "myosuite" or task.name.endswith("-hard"):
        assert not np.array_equal(used.reset(seed=8)[0], used.reset(seed=9)[0])


@pytest.mark.slow
def test_episode_is_equal_in_another_process():
    code = (
        "import sys; from tests.tasks.test_suites import *\n"
        "print(hash_of('finger-turn_hard'), hash_of('myo-obj-hold-hard'))"
    )
    other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert other.split() == [hash_of("finger-turn_hard"), hash_of("myo-obj-hold-hard")]


def hash_of(name):
    task = get_task(name)
    return b"".join(array.tobytes() for array in play(task.make(), 5, draw_actions(task.action_size))).hex()


@slow_except("walker-run", DMC)
def test_dm_control_flattens_in_specification_order_and_sums_rewards(task):
    from surefoot.tasks.dmc import import_suite

    domain, _, name = task.name.partition("-")
    theirs = import_suite().load(domain, name, task_kwargs={"random": 11})
    first = theirs.reset()
    ours = task.make()
    np.testing.assert_array_equal(ours.reset(seed=11)[0], flat(first, theirs))
    for action in draw_actions(task.action_size):
        observation, reward, *_ = ours.step(action)
        scaled = ours._simulation._physics.control()
        steps = [theirs.step(scaled) for _ in range(2)]
        np.testing.assert_array_equal(observation, flat(steps[-1], theirs))
        assert reward == sum(step.reward for step in steps)


def flat(time_step, env):
    parts = [np.ravel(time_step.observation[key]) for key in env.observation_spec()]
    return np.concatenate(parts).astype(np.float32)


@pytest.mark.slow
def test_dm_control_name_cache_returns_same_entries():
    from dm_control.mujoco import index

    simulation: Any = get_task("dog-run").make()._simulation
    physics = simulation._physics
    xmat, sensors = physics.named.data.xmat, physics.named.data.sensordata
    rows, columns = ["skull", "torso"], ["zx", "zz"]
    plain = index.make_axis_indexers(physics.model)
    skull, torso = (plain["nbody"].convert_key_item(row) for row in rows)
    for _ in range(2):
        np.testing.assert_array_equal(xmat["skull", columns], physics.data.xmat[skull, [6, 8]])
        np.testing.assert_array_equal(xmat[rows, "zz"], physics.data.xmat[[skull, torso], 8])
        np.testing.assert_array_equal(xmat[:2, 0], physics.data.xmat[:2, 0])
        np.testing.assert_array_equal(xmat[[True] + [False] * (len(physics.data.xmat) - 1)], physics.data.xmat[:1])
        np.testing.assert_array_equal(xmat[[1, 0]], physics.data.xmat[[1, 0]])
        assert sensors[["gyro", "velocimeter"]].shape == (6,)
        with pytest.raises(KeyError):
            xmat["no such body"]
    assert xmat.axes.row.names == plain["nbody"].names
    lookups = []
    physics.named.data.xmat.axes.row._axis.convert_key_item = lambda key: lookups.append(key)
    np.testing.assert_array_equal(xmat["skull", "zz"], physics.data.xmat[skull, 8])
    np.testing.assert_array_equal(xmat[rows, 8], physics.data.xmat[[skull, torso], 8])
    assert lookups == []


def test_dm_control_time_limit_truncates():
    env = get_task("pendulum-swingup").make()
    env.reset(seed=0)
    ends = [env.step(np.zeros(1, np.float32))[2:4] for _ in range(500)]
    assert ends[:-1] == [(False, False)] * 499
    assert ends[-1] == (False, True)


def test_dm_control_discount_zero_terminates(monkeypatch):
    env = get_task("cheetah-run").make()
    env.reset(seed=0)
    simulation: Any = env._simulation
    monkeypatch.setattr(simulation._task, "get_termination", lambda physics: 0.0)
    _, _, terminated, truncated, info = env.step(np.zeros(6, np.float32))
    assert (terminated, truncated, info["env_steps"]) == (True, False, 1)


@slow_except("HalfCheetah-v5", MUJOCO)
def test_gymnasium_mujoco_tasks_are_unchanged(task):
    theirs: Any = gymnasium.make(task.name)
    assert theirs.spec.max_episode_steps == task.horizon
    ours = task.make()
    np.testing.assert_array_equal(ours.spaces.action.high_array, theirs.action_space.high)
    first, _ = theirs.reset(seed=3)
    np.testing.assert_array_equal(ours.reset(seed=3)[0], first.astype(np.float32))
    for action in np.sign(draw_actions(task.action_size, 5)):  # at the bounds, where scaling rounds nothing
        observation, reward, *_ = theirs.step(action * theirs.action_space.high)
        mine, my_reward, *_ = ours.step(action)
        np.testing.assert_array_equal(mine, observation.astype(np.float32))
        assert my_reward == reward


def test_mujoco_suite_is_complete():
    assert {task.name for task in MUJOCO} == {
        f"{robot}-v5" for robot in ("Ant", "HalfCheetah", "Hopper", "Humanoid", "Walker2d")
    }


@pytest.mark.slow
def test_quadruped_actions_reach_the_specified_bounds():
    env = get_task("quadruped-run").make()
    assert env.spaces.action.low == (-1.0, -1.0, -0.8) * 4
    assert env.spaces.action.high == (1.0, 1.1, 0.8) * 4


@pytest.mark.slow
def test_myosuite_random_targets_depend_on_seed():
    for name in ("reach", "pose", "obj-hold", "key-turn", "pen-twirl"):
        env = get_task(f"myo-{name}-hard").make()
        first, second, again = (env.reset(seed=seed)[0] for seed in (0, 1, 0))
        np.testing.assert_array_equal(first, again)
        assert not np.array_equal(first, second)


@pytest.mark.slow
def test_myosuite_time_limit_and_termination():
    env = get_task("myo-pose").make()  # registered with 100; the pose is never so far off that the suite terminates
    env.reset(seed=0)
    steps = [env.step(np.zeros(39, np.float32)) for _ in range(50)]
    assert [step[2:4] for step in steps] == [(False, False)] * 49 + [(False, True)]
    assert sum(step[-1]["env_steps"] for step in steps) == 100
    pen = get_task("myo-pen-twirl").make()  # registered with 50: the pen is dropped before that
    _, rewards = play(pen, 0, draw_actions(39, 50))
    assert len(rewards) < 25


@pytest.mark.slow
def test_myosuite_success_is_that_of_the_last_control_step(monkeypatch):
    env = get_task("myo-key-turn").make()
    env.reset(seed=0)
    simulation: Any = env._simulation
    solved = iter([True, False, False, True])
    step = simulation._env.step

    def step_with_solved(action):
        *rest, info = step(action)
        return *rest, {**info, "solved": next(solved)}

    monkeypatch.setattr(simulation._env, "step", step_with_solved)
    action = np.zeros(39, np.float32)
    assert env.step(action)[-1] == {"env_steps": 2, "success": False}
    assert env.step(action)[-1] == {"env_steps": 2, "success": True}
    assert env.reset(seed=0)[1] == {"env_steps": 0, "success": False}


@pytest.mark.slow
def test_myosuite_prints_nothing():
    code = "from surefoot.tasks import get_task; get_task('myo-reach').make().reset(seed=0)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("", "")


@pytest.mark.parametrize(
    "task",
    [("walker", "run"), *(pytest.param(task, marks=pytest.mark.slow) for task in (("dog", "run"), ("fish", "swim")))],
)
def test_copies_of_an_environment_behave_as_the_loaded_one(task: tuple[str, str], monkeypatch: Any) -> None:
    copies = [dmc.DMCSimulation(*task), dmc.DMCSimulation(*task)]
    copies[0].reset(1)  # independent of the other one
    dmc._load.cache_clear()
    with monkeypatch.context() as patch:
        patch.setattr(dmc.copy, "deepcopy", lambda loaded: loaded)
        loaded = dmc.DMCSimulation(*task)
    dmc._load.cache_clear()  # this one is changed from here on
    played = []
    for simulation in (copies[1], loaded, copies[0]):
        simulation.reset(3)
        actions = draw_actions(len(simulation.spaces.action.low))
        steps = [(simulation.advance(action), simulation.observe().tobytes()) for action in actions]
        played.append(steps)
    assert played[0] == played[1] == played[2]


def test_suite_is_imported_without_parts_of_scipy() -> None:
    code = (
        "from surefoot.tasks import dmc; import sys; dmc.import_suite(); "
        "assert 'scipy.ndimage._interpolation' not in sys.modules; "
        "from scipy import ndimage; ndimage.zoom; assert 'scipy.ndimage._interpolation' in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
