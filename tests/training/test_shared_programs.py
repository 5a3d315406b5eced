"""Programs of a run: traced and compiled once for equal runs in a process, ahead of their use."""

from __future__ import annotations

import re
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import jax
import pytest

import surefoot
from surefoot.simulators.vector import shared_environment
from surefoot.training.population import Population, get_population
from surefoot.training.runtime.compile_ahead import CompileAhead
from tests.simulators import fake_packages
from tests.training.small import small
from tests.training.test_compiled_steps import train as train_compiled
from tests.training.test_resume import assert_same_run

_STEP = "_store_update_act"
_TRACED = re.compile(r"Finished tracing (\w+)")


def train(out: Path, seed: int, **settings: object) -> Path:
    algorithm = small(surefoot.crossq_wn(utd=2), batch_size=11)  # programs of its own
    settings = {"env_steps": 130, "replay_capacity": 130, "evaluation_episodes": 1, **settings}
    return surefoot.train("probe-action", algorithm=algorithm, seed=seed, out=out, **settings).path  # type: ignore[arg-type]


@pytest.fixture
def traced(caplog: pytest.LogCaptureFixture) -> Iterator[Callable[[], list[str]]]:
    """Function that returns the names of the functions traced since its last call, in any thread."""

    def take() -> list[str]:
        names = [match[1] for record in caplog.records if (match := _TRACED.match(record.getMessage()))]
        caplog.clear()
        return names

    jax.config.update("jax_log_compiles", True)
    yield take
    jax.config.update("jax_log_compiles", False)


def test_runs_of_equal_shapes_trace_once(tmp_path: Path, traced: Callable[[], list[str]]) -> None:
    get_population.cache_clear()
    train(tmp_path / "first", 0)
    assert traced().count(_STEP) == 3  # uniform, the first with the policy, and those with updates
    second = train(tmp_path / "second", 1)
    assert traced() == []
    get_population.cache_clear()
    alone = train(tmp_path / "alone", 1)
    assert traced().count(_STEP) == 3
    assert_same_run(second, alone)


def test_runs_of_environments_written_in_jax_trace_once(
    tmp_path: Path, traced: Callable[[], list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    module = fake_packages.gymnax()
    vars(module)["__spec__"] = object()
    monkeypatch.setitem(sys.modules, "gymnax", module)

    def run(name: str, seed: int) -> Path:
        return train_compiled(tmp_path / name, "gymnax/Pendulum-v1", seed=seed, env_steps=240).path

    shared_environment.cache_clear()
    run("first", 0)
    assert traced().count("steps") == 1
    second = run("second", 9)
    assert traced() == []
    shared_environment.cache_clear()
    alone = run("alone", 9)
    assert traced().count("steps") == 1
    assert_same_run(second, alone)


@pytest.mark.parametrize("settings", [{}, {"overlap": True}, {"num_envs": 2}])
def test_train_steps_are_compiled_in_another_thread(
    settings: dict[str, object], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    get_population.cache_clear()
    with jax.log_compiles():  # in this thread
        train(tmp_path / "run", 0, **settings)
    compiled = [record.getMessage() for record in caplog.records if "XLA compilation" in record.getMessage()]
    assert any("_initial_state" in text for text in compiled)
    assert not [text for text in compiled if _STEP in text or "_updates" in text]


# ---------------------------------------------------------------- the thread


def failing() -> jax.stages.Lowered:
    raise ValueError("cannot be traced")


def test_a_failure_is_left_to_the_function_that_needs_the_program() -> None:
    ahead = CompileAhead({"a": failing, "b": lambda: jax.jit(lambda x: x + 1).lower(1.0)})
    for key in ("b", "another one", "a"):
        ahead.wait(key)
    ahead.close()


def test_run_ends_as_usual_where_the_thread_cannot_trace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Population, "lower_train_step", lambda *arguments: failing())
    assert surefoot.Run(train(tmp_path / "run", 0), completed=True).evaluations()["env_steps"][-1] == 130


def test_closing_waits_for_one_program_and_leaves_out_the_next() -> None:
    begun, ending, done = threading.Event(), threading.Event(), []

    def slow() -> jax.stages.Lowered:
        begun.set()
        ending.wait(10)
        done.append("slow")
        return jax.jit(lambda x: x + 2).lower(1.0)

    def next_one() -> jax.stages.Lowered:
        done.append("next")
        return jax.jit(lambda x: x + 3).lower(1.0)

    ahead = CompileAhead({"slow": slow, "next": next_one})
    begun.wait(10)
    threading.Timer(0.1, ending.set).start()
    ahead.close()
    ahead.close()
    assert done == ["slow"]
