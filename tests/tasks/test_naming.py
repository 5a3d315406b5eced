"""Names of callables: equal for equal environments, in every process, and different otherwise."""

from __future__ import annotations

import argparse
import functools
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest

from surefoot.tasks import get_task
from surefoot.tasks.naming import callable_name
from tests.tasks import zoo

SIZE = 3
ARGUMENTS = argparse.Namespace(size=3, out="runs/a")


class Maker:
    """Makes environments when it is called, by a method and by a class method."""

    def __init__(self, size: int) -> None:
        self.size = size

    def __call__(self) -> gymnasium.Env:
        return zoo.Counter()

    def make(self) -> gymnasium.Env:
        return zoo.Counter()

    @classmethod
    def build(cls) -> gymnasium.Env:
        return zoo.Counter()

    left, right = (lambda self: zoo.terminating()), (lambda self: zoo.truncating())


class Other(Maker):
    pass


class Light(zoo.Counter):
    pass


def closure(size: int) -> Callable[[], gymnasium.Env]:
    def make() -> gymnasium.Env:
        return zoo.Counter(size > 3)

    return make


def local_class(size: int) -> type[gymnasium.Env]:
    class Local(zoo.Counter):
        limit = size

    return Local


def wrapped(function: Callable[[], gymnasium.Env]) -> Callable[[], gymnasium.Env]:
    @functools.wraps(function)
    def make() -> gymnasium.Env:
        return function()

    return make


def needs(size: Any, *, mode: Any = "a") -> gymnasium.Env:
    return zoo.Counter()


DIFFERENT: dict[str, tuple[Callable[[], Any], ...]] = {
    "arguments of a partial": tuple(functools.partial(needs, size) for size in (3, 3.0, "3", True, None, (3,), [3])),
    "nested arguments": tuple(functools.partial(needs, {"a": [{"b": size}]}) for size in (3, 4)),
    "arrays": tuple(functools.partial(needs, np.full(2000, size)) for size in (0, 1)),
    "long texts": tuple(functools.partial(needs, "x" * 500 + end) for end in "ab"),
    "functions as arguments": (
        functools.partial(needs, zoo.raises),
        functools.partial(needs, zoo.makes_observation_nan),
    ),
    "lambdas on one line": ((lambda: zoo.terminating()), (lambda: zoo.truncating())),
    "lambdas in an argument": (functools.partial(needs, lambda: 3), functools.partial(needs, lambda: 4)),
    "constants": ((lambda: needs(3)), (lambda: needs(4)), (lambda: needs(3.0))),
    "defaults": tuple((lambda size=size: needs(size)) for size in (3, 4)),
    "closures": (closure(3), closure(4)),
    "partials of a closure": (functools.partial(closure(3)), functools.partial(closure(4))),
    "local classes": (local_class(3), local_class(4)),
    "wrapped functions": (wrapped(zoo.terminating), wrapped(zoo.truncating)),
    "states of a called object": (Maker(3), Maker(4), Other(3)),
    "bound methods": (Maker(3).make, Maker(4).make, Other(3).make, Maker(3).left, Maker(3).right),
    "class methods": (Maker.build, Other.build),
    "classes": (zoo.Counter, Light),
    "registered ids": (
        functools.partial(gymnasium.make, "Pendulum-v1"),
        functools.partial(gymnasium.make, "Pendulum-v1", g=9.8),
        functools.partial(gymnasium.make, "Pendulum-v1", max_episode_steps=7),
        functools.partial(gymnasium.make, "Ant-v5"),
    ),
}


@pytest.mark.parametrize("kind", DIFFERENT)
def test_different_callables_have_different_names(kind: str) -> None:
    names = [get_task(factory).name for factory in DIFFERENT[kind]]
    assert len(set(names)) == len(names)
    assert all(name.isprintable() and len(name) <= 300 for name in names)


def test_global_variables_are_part_of_the_name_as_far_as_they_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    def names() -> list[str]:
        return [callable_name(factory)[0] for factory in (lambda: needs(SIZE), lambda: needs(ARGUMENTS.size))]

    before = names()
    monkeypatch.setattr(ARGUMENTS, "out", "runs/b")
    assert names() == before
    monkeypatch.setattr(ARGUMENTS, "size", 4)
    monkeypatch.setitem(globals(), "SIZE", 4)
    assert all(now != old for now, old in zip(names(), before, strict=True))


def test_names_are_readable() -> None:
    here = __name__
    assert [get_task(factory).name for factory in (zoo.terminating, Light, functools.partial(zoo.terminating))] == [
        "tests.tasks.zoo:terminating",
        f"{here}:Light",
        "tests.tasks.zoo:terminating",
    ]
    assert get_task(functools.partial(needs, 3, mode="b")).name == f"{here}:needs(3, mode='b')"
    assert get_task(functools.partial(needs, size=3)).name == f"{here}:needs(size=3)"
    assert get_task(Maker(3)).name == f"{here}:Maker(size=3)"
    assert get_task(Maker(3).make).name == f"{here}:Maker(size=3).make"
    assert get_task(Other.build).name == f"{here}:Other.build"
    assert get_task(closure(3)).name.startswith(f"{here}:closure.<locals>.make#")
    assert get_task(closure(3)).name.endswith("(size=3)")


def test_long_arguments_are_cut() -> None:
    name = get_task(functools.partial(needs, "x" * 10_000)).name
    assert len(name) < 150
    assert name.startswith(f"{__name__}:needs('xxx")


def test_callable_that_holds_what_cannot_be_described_has_a_note() -> None:
    lock = threading.Lock()
    task = get_task(lambda: needs(lock))
    assert task.name.endswith("(lock=<lock>)")
    assert task.note is not None
    assert "does not describe the _thread.lock that it holds" in task.note
    assert get_task(lambda: needs(3)).note is None


def test_object_that_contains_itself_has_a_name() -> None:
    maker, other = Maker(3), Maker(4)
    maker.itself, other.itself = maker, other  # type: ignore[attr-defined]
    assert get_task(maker).name != get_task(other).name


def test_sampled_space_keeps_its_name() -> None:
    space = gymnasium.spaces.Box(-1.0, 1.0, (3,))
    before = get_task(functools.partial(needs, space)).name
    space.sample()
    assert get_task(functools.partial(needs, space)).name == before


SCRIPT = """
import functools, sys
from surefoot.tasks import get_task
from tests.tasks import zoo

def make(): return zoo.Counter(KIND in CHOICES)

CHOICES = ("a", "b")
for KIND in CHOICES:
    print(get_task(make).name)
    print(get_task(lambda: zoo.Counter(KIND in {"a", "b", "c", "d"})).name)
print(get_task(functools.partial(make)).name, get_task(lambda: zoo.terminating()).name)
"""


def test_names_in_a_script_are_the_same_in_every_process(tmp_path: Path) -> None:
    paths = tmp_path / "arms.py", tmp_path / "legs.py"
    outputs = []
    for path, lines_above in zip((*paths, paths[0]), ("", "", "\n\n\n"), strict=True):
        path.write_text(lines_above + SCRIPT)
        environment = {**os.environ, "PYTHONHASHSEED": str(len(outputs)), "PYTHONPATH": os.pathsep.join(sys.path)}
        done = subprocess.run([sys.executable, path], capture_output=True, text=True, env=environment)
        assert done.stderr == ""
        outputs.append(done.stdout)
    assert outputs[0] == outputs[2]
    assert outputs[1] == outputs[0].replace("arms:", "legs:")
    assert len(set(outputs[0].splitlines())) == 5
    assert outputs[0].startswith("arms:make(CHOICES=('a', 'b'), KIND='a')\narms:<lambda>#")
