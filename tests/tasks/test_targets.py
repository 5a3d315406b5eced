"""Targets ``module:callable`` and ``module:id``, and their error messages."""

import functools
import json
import sys
from collections.abc import Iterator
from pathlib import Path

import gymnasium
import numpy as np
import pytest

import surefoot
from surefoot.errors import UserError
from surefoot.tasks import get_task, make_vector
from surefoot.tasks.targets import require_callable
from tests.training.recording import Recording
from tests.training.small import small

ENVS = """
import functools, sys
import gymnasium
from surefoot.tasks.probes import ActionProbe, ConstantProbe

class Arms:
    @staticmethod
    def left():
        return ActionProbe()

gymnasium.register("HomeArm-v0", ActionProbe)
gymnasium.register("shadowed", ActionProbe, max_episode_steps=77)

def make_arm(size=1):
    return ActionProbe()

def shadowed():
    return ConstantProbe()

def needs(size):
    return ActionProbe()

def needs_keyword(*, size):
    return ActionProbe()

def takes_anything(*sizes, **options):
    return ActionProbe()

class HasNoSpaces(gymnasium.Env):
    pass

class HasAListForASpace(ActionProbe):
    def __init__(self):
        self.observation_space, self.action_space = ActionProbe().observation_space, [-1, 1]

def raises():
    raise RuntimeError("no such\\nrobot")

def ends():
    sys.exit(3)

ready_made = functools.partial(needs, 3)
instance = ActionProbe()
number = 7

class Single(ActionProbe):
    taken = False

    def __init__(self):
        if Single.taken:
            raise RuntimeError("the port is taken")
        Single.taken = True
        super().__init__()

    def close(self):
        Single.taken = False
"""


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Make and enter a directory with the package `home_arms`, whose module `envs` has callables."""
    package = tmp_path / "home_arms"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "envs.py").write_text(ENVS)
    (tmp_path / "ends_us.py").write_text("import sys; sys.exit(5)")
    (tmp_path / "needs_more.py").write_text("raise ModuleNotFoundError('pip install vendor-sdk')")
    (tmp_path / "loads_late.py").write_text(
        "def __getattr__(name):\n    raise ImportError(f'no {name} without an extra')"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry])
    yield tmp_path
    for name in [name for name in sys.modules if name.partition(".")[0] in ("home_arms", "ends_us", "loads_late")]:
        del sys.modules[name]
    for env_id in ("HomeArm-v0", "shadowed"):
        gymnasium.registry.pop(env_id, None)


@pytest.mark.parametrize("path", ["make_arm", "Arms.left", "takes_anything", "ready_made"])
def test_callable_in_current_directory(home: Path, path: str) -> None:
    task = get_task(f"home_arms.envs:{path}")
    assert (task.name, task.suite, task.horizon) == (f"home_arms.envs:{path}", "module", None)
    assert (task.action_repeat, task.discount, task.score_metric) == (1, 0.99, "return")
    assert task.make().spaces.observation_size == 2
    assert task.source is not None
    assert isinstance(task.source(), gymnasium.Env)


def test_registered_id_takes_precedence_over_callable(home: Path) -> None:
    assert (get_task("home_arms.envs:HomeArm-v0").suite, get_task("home_arms.envs:shadowed").horizon) == (
        "gymnasium",
        77,
    )


def test_workers_import_the_callable(home: Path) -> None:
    task = get_task("home_arms.envs:ready_made")
    first = []
    for workers in (0, 1):
        with make_vector(task, [3], "train", num_workers=workers) as env:
            first.append(env.reset([0]))
    np.testing.assert_array_equal(*first)


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("home_arms.envs:", "'' is neither a callable's name nor a registered id; expected module:callable"),
        ("home_arms.envs:a..b", "'a..b' is neither"),
        (":make_arm", "'' is not a module's name; expected module:callable"),
        ("home arms:make_arm", "'home arms' is not a module's name"),
        ("home_arms/envs.py:make_arm", "is a file, name its module: 'home_arms.envs:make_arm'"),
        ("./home_arms/envs.py:make_arm", "is a file, name its module: 'home_arms.envs:make_arm'"),
        ("home_arm.envs:make_arm", "no module named 'home_arm' here or among .*; did you mean 'home_arms'"),
        ("home_arms.env:make_arm", "the package 'home_arms' has no module 'env'; did you mean 'envs'"),
        ("home_arms.envs.deep:make_arm", "'home_arms.envs' is a module and not a package"),
        ("home_arms.envs:make_amr", "module 'home_arms.envs' has no attribute 'make_amr'; did you mean 'make_arm'"),
        ("home_arms.envs:Arms.lef", "'Arms' has no attribute 'lef'; did you mean 'left'"),
        ("home_arms.envs:HomeArm", "has no attribute 'HomeArm'; did you mean 'home_arms.envs:HomeArm-v0'"),
        ("home_arms.envs:Nothing-v7", "unknown task 'home_arms.envs:Nothing-v7'; `surefoot tasks`"),
        (
            "home_arms.envs:HomeArm-v7",
            "unknown task 'home_arms.envs:HomeArm-v7'; did you mean 'home_arms.envs:HomeArm-v0'",
        ),
        ("home_arms.envs:needs", "needs the argument 'size': give it a default"),
        ("home_arms.envs:needs_keyword", "needs the argument 'size'"),
        ("home_arms.envs:number", "is 7, expected a callable"),
        ("home_arms.envs:instance", "is an environment itself, expected a callable that makes one"),
        ("home_arms.envs.make_arm", "did you mean 'home_arms.envs:make_arm'"),
        ("ends_us:make_arm", "the module 'ends_us' cannot be imported: SystemExit: 5"),
        ("needs_more:make_arm", "'needs_more' cannot be imported: ModuleNotFoundError: pip install vendor-sdk"),
        ("loads_late:make_arm", "'make_arm' of module 'loads_late' raised ImportError: no make_arm without an extra"),
    ],
)
def test_invalid_target_gives_one_line(home: Path, target: str, expected: str) -> None:
    with pytest.raises(UserError, match=expected) as caught:
        get_task(target)
    assert "\n" not in str(caught.value)
    assert target in str(caught.value)


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("raises", r"cannot be made: RuntimeError: no such robot \(envs.py, line 37\)"),
        ("ends", r"cannot be made: SystemExit: 3 \(envs.py, line 40\)"),
        ("HasNoSpaces", r"'home_arms.envs:HasNoSpaces' has no observation_space, expected"),
        ("HasAListForASpace", r"has the action_space \[-1, 1\], expected a gymnasium.Space"),
        ("Arms", r"must return a gymnasium.Env, but returned Arms"),
    ],
)
def test_failing_callable_gives_one_line(home: Path, path: str, expected: str) -> None:
    task = get_task(f"home_arms.envs:{path}")
    for workers in (0, 1) if path == "raises" else (0,):
        with pytest.raises(UserError, match=expected) as caught:
            make_vector(task, [0], "train", num_workers=workers)
        assert "\n" not in str(caught.value)


def test_passed_callable_is_validated() -> None:
    def needs(size: int) -> None: ...

    with pytest.raises(UserError, match="needs the argument 'size'"):
        get_task(needs)
    get_task(functools.partial(needs, 3))
    require_callable(dict, "a builtin", {})


@pytest.mark.slow
def test_train_and_resume_with_named_callable(home: Path) -> None:
    settings = {"env_workers": 0, "evaluation_episodes": 1, "observer": Recording()}
    algorithm = small(surefoot.crossq_wn(utd=1))
    run = surefoot.train("home_arms.envs:make_arm", algorithm=algorithm, env_steps=200, out=home / "run", **settings)
    config = json.loads((run.path / "config.json").read_text())
    assert (config["task"], config["suite"]) == ("home_arms.envs:make_arm", "module")
    resumed = surefoot.resume(run.path, task="home_arms.envs:make_arm", env_steps=260, observer=Recording())
    assert resumed.completed
    with pytest.raises(UserError, match=r"trained on 'home_arms.envs:make_arm', not on 'home_arms.envs:Arms.left'"):
        surefoot.resume(run.path, task="home_arms.envs:Arms.left", env_steps=270)


@pytest.mark.parametrize("path", ["raises", "Single"])
def test_rejected_target_writes_nothing(home: Path, path: str) -> None:
    with pytest.raises(UserError, match=rf"'home_arms.envs:{path}' cannot be made"):
        surefoot.train(f"home_arms.envs:{path}", out=home / "run", env_workers=0, observer=Recording())
    assert not (home / "run").exists()
    assert {path.suffix for path in home.iterdir() if path.is_file()} == {".py"}
