"""Task registry: names, protocols and error messages."""

import functools
import re
import subprocess
import sys

import pytest

from surefoot.errors import MissingDependency, UserError
from surefoot.tasks import get_task, list_tasks
from tests.tasks import zoo

PUBLISHED = [
    *("acrobot-swingup", "cheetah-run", "dog-run", "dog-stand", "dog-trot", "dog-walk", "finger-turn_hard"),
    *("hopper-stand", "humanoid-run", "humanoid-walk", "myo-key-turn", "myo-key-turn-hard", "myo-obj-hold"),
    *("myo-pen-twirl", "myo-pose-hard", "myo-reach", "myo-reach-hard", "pendulum-swingup", "walker-run"),
]
"""Task names in published results."""


def test_table_matches_suite_without_lqr():
    from surefoot.tasks.dmc import import_suite

    theirs = {f"{domain}-{task}" for domain, task in import_suite().ALL_TASKS if domain != "lqr"}
    assert {task.name for task in list_tasks() if task.suite == "dmc"} == theirs


def test_benchmark_tasks_are_those_of_the_paper():
    marked = [task for task in list_tasks() if task.benchmark]
    assert [task.suite for task in marked].count("dmc") == 15
    assert [task.suite for task in marked].count("myosuite") == 10
    assert {"dog-stand", "finger-turn_hard", "hopper-hop", "myo-pen-twirl-hard"} <= {task.name for task in marked}
    assert not get_task("acrobot-swingup").benchmark
    assert not get_task("quadruped-walk").benchmark


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_names_are_found(name):
    assert get_task(name).name == name


@pytest.mark.parametrize(
    ("name", "protocol"),
    [
        ("dog-run", (2, 0.99, 1000, "return", 1000.0)),
        ("myo-reach-hard", (2, 0.95, 100, "success", 1.0)),
        ("myo-pen-twirl", (2, 0.95, 100, "success", 1.0)),
        ("Pendulum-v1", (1, 0.99, 200, "return", 1.0)),
        ("Humanoid-v5", (1, 0.99, 1000, "return", 1.0)),
    ],
)
def test_tasks_have_the_published_protocol(name, protocol):
    task = get_task(name)
    assert (task.action_repeat, task.discount, task.horizon, task.score_metric, task.score_scale) == protocol


@pytest.mark.parametrize("spelling", ["finger-turn_hard", "finger-turn-hard", "FINGER_TURN_HARD"])
def test_alternative_spellings_find_the_same_task(spelling):
    assert get_task(spelling).name == "finger-turn_hard"


def test_spellings_are_unambiguous():
    assert len({task.name.lower().replace("_", "-") for task in list_tasks()}) == len(list_tasks())


def test_unknown_name_suggests_similar():
    with pytest.raises(UserError, match=r"unknown task 'cheeta-run'; did you mean 'cheetah-run'.*surefoot tasks"):
        get_task("cheeta-run")


def test_missing_namespace_gives_one_line():
    with pytest.raises(UserError, match="Namespace ALE not found") as caught:
        get_task("ALE/Pong-v5")
    assert "\n" not in str(caught.value)


def test_unknown_version_lists_existing():
    with pytest.raises(UserError, match=r"Pendulum-v1"):
        get_task("Pendulum-v77")


def test_unknown_module_is_a_user_error():
    with pytest.raises(UserError, match="no_such_module"):
        get_task("no_such_module:Thing-v0")


@pytest.mark.parametrize("module", ["./env.py", "..envs", "."])
def test_invalid_module_name_is_a_user_error(module):
    with pytest.raises(
        UserError, match=rf"'{re.escape(module)}' is not a module's name; expected module:callable or module:id"
    ):
        get_task(f"{module}:Foo-v0")


@pytest.mark.parametrize(
    ("source", "detail"),
    [
        ("import no_such_module", "imports 'no_such_module', which is not installed"),
        ("raise ValueError('of\\nno use')", "'broken_envs' cannot be imported: ValueError: of no use"),
        ("def f(:", "'broken_envs' cannot be imported: SyntaxError: "),
    ],
)
def test_module_that_raises_is_a_user_error(tmp_path, monkeypatch, source, detail):
    (tmp_path / "broken_envs.py").write_text(source)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(UserError, match=f"task 'broken_envs:Foo-v0': .*{detail}") as caught:
        get_task("broken_envs:Foo-v0")
    assert "\n" not in str(caught.value)


def test_moved_environment_is_a_user_error():
    with pytest.raises(UserError, match=r"'HalfCheetah-v3' cannot be made: .*moved to the gymnasium-robotics"):
        get_task("HalfCheetah-v3").make()


def test_registered_ids_and_callables():
    assert get_task("InvertedPendulum-v5").make().observation_space.shape == (4,)
    task = get_task(zoo.terminating)
    assert (task.name, task.suite) == ("tests.tasks.zoo:terminating", "callable")
    assert (task.action_repeat, task.discount, task.score_metric) == (1, 0.99, "return")
    assert get_task(zoo.failing(zoo.raises)).name == "tests.tasks.zoo:Counter(False, tests.tasks.zoo:raises)"


def test_invalid_task_types_are_rejected():
    with pytest.raises(UserError, match="got 3"):
        get_task(3)
    with pytest.raises(UserError, match=r"must return a gymnasium\.Env, but returned int"):
        get_task(functools.partial(int, 3)).make()


@pytest.mark.parametrize(
    ("package", "name", "extra"),
    [
        ("dm_control", "dog-run", "dmc"),
        ("myosuite", "myo-reach", "myosuite"),
        ("mujoco", "Hopper-v5", "mujoco"),
        ("imageio", "Hopper-v5", "mujoco"),
        ("packaging", "Hopper-v5", "mujoco"),
    ],
)
def test_missing_suite_names_the_extra(monkeypatch, package, name, extra):
    monkeypatch.setattr("surefoot.tasks.dmc._INSTALLABLE", True)
    monkeypatch.setitem(sys.modules, package, None)  # `import` then raises as if it were missing
    with pytest.raises(MissingDependency, match=rf"'{package}'.*surefoot\[{extra}\]"):
        get_task(name).make()


def test_missing_dm_control_names_the_python_that_has_it(monkeypatch):
    monkeypatch.setattr("surefoot.tasks.dmc._INSTALLABLE", False)
    monkeypatch.setitem(sys.modules, "dm_control", None)
    with pytest.raises(UserError, match=r"Python 3\.13: use Python 3\.12, .*surefoot\[envpool\].*surefoot\[mujoco\]"):
        get_task("dog-run").make()


def test_missing_gymnasium_dependency_is_a_user_error(monkeypatch):
    monkeypatch.setitem(sys.modules, "mujoco", None)
    for module in [name for name in sys.modules if name.startswith("gymnasium.envs.mujoco")]:
        monkeypatch.delitem(sys.modules, module)
    with pytest.raises(UserError, match=r"HalfCheetah-v4.*cannot be made") as caught:
        get_task("HalfCheetah-v4").make()
    assert "\n" not in str(caught.value)


def test_action_repeat_is_validated():
    with pytest.raises(UserError, match="at least 1, got 0"):
        get_task("probe-action").make(action_repeat=0)


def test_listing_tasks_imports_no_simulator_and_no_jax():
    code = (
        "import sys, surefoot.tasks as t; t.list_tasks(); t.get_task('dog-run')\n"
        "print([m for m in ('jax', 'mujoco', 'dm_control', 'myosuite') if m in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "[]\n"
