"""Evaluations beside training: the same rows, some steps later, and nothing lost however the run ends."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import surefoot
from surefoot.dashboards import LogFollower
from surefoot.errors import EnvironmentFailure, RunFailure
from surefoot.runs import RunDirectory
from surefoot.tasks import get_task, vector
from surefoot.tasks.probes import ActionProbe
from surefoot.training import evaluations
from surefoot.training.config import TrainConfig
from surefoot.training.evaluation import Evaluator
from surefoot.training.evaluations import Evaluations
from surefoot.training.plan import make_plan
from surefoot.training.population import Population
from tests.training.recording import Recording
from tests.training.small import small
from tests.training.test_resume import assert_same_run

SETTINGS: dict[str, Any] = {
    "algorithm": small(surefoot.crossq_wn(utd=2)),
    "env_steps": 240,
    "num_seeds": 2,
    "evaluate_every": 60,
    "checkpoint_every": 60,
    "diagnose_every": 0,
    "log_every": 20,
    "evaluation_episodes": 2,
    "overlap": True,
    "env_workers": 1,
}
"""Evaluations at 0, 60, 120, 180 and 240, each with a checkpoint."""


def train(out: Path, *callbacks: surefoot.Callback, **changes: Any) -> surefoot.Run:
    settings = {"task": "probe-action", "observer": Recording(), **SETTINGS, **changes}
    return surefoot.train(out=out, callbacks=list(callbacks), **settings)


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run whose evaluations keep training waiting, for want of cores."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(evaluations, "usable_cores", lambda: 2)
        patch.setattr(Evaluations, "begin", None)
        return train(tmp_path_factory.mktemp("plain") / "run").path


@pytest.fixture
def cores(monkeypatch: pytest.MonkeyPatch) -> None:
    """More cores than the run's environments and its learner need."""
    monkeypatch.setattr(evaluations, "usable_cores", lambda: 8)


class Slow(surefoot.Callback):
    """Holds one evaluation back until a step is over, and notes who is told of what, and when.

    Args:
        patch: puts it in the evaluator's way.
        number: of the evaluation, the one at step 0 being number 0.
        until: env steps.
        fail: what it raises then.
    """

    def __init__(self, patch: pytest.MonkeyPatch, number: int, until: int, fail: Exception | None = None) -> None:
        self.told: list[tuple[str, int, int]] = []
        self.now, self.until, self.may_end = 0, until, threading.Event()
        run, begun = Evaluator.run, []

        def slow(evaluator: Evaluator, act: Callable[[np.ndarray], np.ndarray]) -> Any:
            begun.append(evaluator)
            if len(begun) == number + 1:
                assert self.may_end.wait(timeout=60)
                if fail is not None:
                    raise fail
            return run(evaluator, act)

        patch.setattr(Evaluator, "run", slow)

    def on_step(self, view: surefoot.StepView) -> None:
        self.now = view.env_steps
        if self.now == self.until:
            self.may_end.set()

    def on_evaluation(self, event: Any) -> None:
        self.told.append(("evaluation", event.env_steps, self.now))

    def on_checkpoint(self, event: Any) -> None:
        self.told.append(("checkpoint", event.env_steps, self.now))


class Dashboard(surefoot.Callback):
    """Takes every step once, and in order only."""

    def __init__(self) -> None:
        self.steps: list[int] = []

    def on_start(self, event: Any) -> None:
        self._follower = LogFollower(event.path)

    def on_step(self, view: surefoot.StepView) -> None:
        self._take()

    def on_evaluation(self, event: Any) -> None:
        self._take()

    def on_finish(self, event: Any) -> None:
        self._take(last=True)

    def _take(self, last: bool = False) -> None:
        self.steps += [moment.env_steps for moment in self._follower.new_points()]


@pytest.mark.usefixtures("cores")
def test_training_goes_on_and_everything_comes_out_the_same(
    plain: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    watch = Slow(monkeypatch, number=2, until=150)
    assert_same_run(train(tmp_path / "run", watch).path, plain)
    at = {(what, env_steps): now for what, env_steps, now in watch.told}
    assert at["evaluation", 0] == at["checkpoint", 0] == 0
    assert 150 <= at["evaluation", 120] <= at["checkpoint", 120] <= 180
    assert at["evaluation", 240] == at["checkpoint", 240] == 240
    order = [(what, env_steps) for what, env_steps, _ in watch.told]
    assert order == [(what, step) for step in (0, 60, 120, 180, 240) for what in ("evaluation", "checkpoint")]


@pytest.mark.parametrize(
    ("due", "at"),
    [
        ({"checkpoint_every": 20}, 80),
        ({"checkpoint_every": 1000}, 120),
        ({"diagnose_every": 70, "log_every": 10}, 70),
        ({"env_steps": 110, "log_every": 10, "checkpoint_every": 1000}, 110),
    ],
    ids=["the next checkpoint", "the next evaluation", "diagnostics", "the end"],
)
@pytest.mark.usefixtures("cores")
def test_what_needs_an_evaluation_to_be_over_waits_for_it(
    due: dict[str, int], at: int, plain: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    watch = Slow(monkeypatch, number=1, until=-1)
    take = Evaluations.take

    def waiting(self: Evaluations, wait: bool = False) -> Any:
        if wait and self.under_way:
            watch.may_end.set()
        return take(self, wait)

    monkeypatch.setattr(Evaluations, "take", waiting)
    board = Dashboard()
    run = train(tmp_path / "run", watch, board, **due)
    assert ("evaluation", 60, at) in watch.told
    end, steps = due.get("env_steps", 240), due.get("checkpoint_every", 60)
    assert [step for what, step, _ in watch.told if what == "evaluation"] == sorted({*range(0, end, 60), end})
    assert [step for what, step, _ in watch.told if what == "checkpoint"] == sorted({*range(0, end, steps), end})
    assert board.steps == sorted({*board.steps, *run.evaluations()["env_steps"], *run.training()["env_steps"]})
    if due.keys() == {"checkpoint_every"}:
        assert_same_run(run.path, plain)


@pytest.mark.usefixtures("cores")
def test_a_run_that_is_stopped_takes_its_evaluation_along(
    plain: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Stop(surefoot.Callback):
        def on_step(self, view: surefoot.StepView) -> None:
            if view.env_steps == 130:
                watch.may_end.set()
                raise surefoot.StopTraining

    watch = Slow(monkeypatch, number=2, until=-1)
    run = train(tmp_path / "run", watch, Stop())
    assert not run.completed
    assert sorted(set(run.evaluations()["env_steps"].tolist())) == [0, 60, 120]
    assert RunDirectory.open(run.path).checkpoints.load().env_steps == 130
    surefoot.resume(run.path, observer=Recording())
    assert_same_run(run.path, plain)


@pytest.mark.usefixtures("cores")
def test_a_run_that_an_evaluation_stops_goes_on_as_if_it_had_not(plain: Path, tmp_path: Path) -> None:
    class Enough(surefoot.Callback):
        def on_evaluation(self, event: Any) -> None:
            if event.env_steps == 120:
                raise surefoot.StopTraining

    run = train(tmp_path / "run", Enough())
    assert not run.completed
    surefoot.resume(run.path, observer=Recording())
    assert_same_run(run.path, plain)


@pytest.mark.usefixtures("cores")
def test_a_policy_that_diverged_is_told_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And it does not fall silent in training at a step that would depend on the clock."""
    act, lost = Population.act_deterministic, [1]

    def poisoned(self: Population, learner: Any, observation: np.ndarray) -> np.ndarray:
        actions = np.array(act(self, learner, observation))
        if threading.current_thread() is not threading.main_thread():
            actions[lost] = np.nan
        return actions

    class Look(surefoot.Callback):
        def on_step(self, view: surefoot.StepView) -> None:
            actions.append(view.action.copy())

    actions: list[np.ndarray] = []
    monkeypatch.setattr(Population, "act_deterministic", poisoned)
    watcher = Recording()
    run = train(tmp_path / "run", Look(), observer=watcher)
    assert [line.split(":")[0] for line in watcher.messages] == ["seed 1 diverged at env step 60"]
    log = run.evaluations()
    beside = log["env_steps"] > 0
    np.testing.assert_array_equal(np.isnan(log["return"]), (log["seed"] == 1) & beside)
    assert (np.stack(actions)[-50:, 1] != 0.0).all()

    lost.append(0)
    with pytest.raises(RunFailure, match=r"in the evaluation of env step 60: .* no other seed is left"):
        train(tmp_path / "both", observer=watcher)
    assert len(watcher.messages) == 3


@pytest.mark.usefixtures("cores")
def test_a_task_that_cannot_be_sent_to_a_worker_is_evaluated_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock = threading.Lock()

    def make() -> Any:
        assert lock
        return ActionProbe()

    monkeypatch.setattr(vector, "usable_cores", lambda: 2)  # On more, it would be refused without overlap, too.
    monkeypatch.setattr(Evaluations, "begin", None)
    assert train(tmp_path / "run", task=make, num_seeds=1, env_workers=None).completed


@pytest.mark.usefixtures("cores")
def test_a_run_that_breaks_keeps_the_checkpoint_that_waited(
    plain: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Rude(surefoot.Callback):
        def on_step(self, view: surefoot.StepView) -> None:
            if view.env_steps == 130:
                watch.may_end.set()
                raise LookupError("mine")

    watch = Slow(monkeypatch, number=2, until=-1)
    with pytest.raises(LookupError, match="mine"):
        train(tmp_path / "run", watch, Rude())
    assert ("evaluation", 120, 130) not in watch.told
    with RunDirectory.open(tmp_path / "run").lock() as directory:
        assert directory.checkpoints.load().env_steps == 120
    surefoot.resume(tmp_path / "run", observer=Recording())
    assert_same_run(tmp_path / "run", plain)


@pytest.mark.usefixtures("cores")
def test_an_evaluation_that_fails_ends_the_run(plain: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    watch = Slow(monkeypatch, number=2, until=130, fail=EnvironmentFailure(1, "it fell over"))
    said = r"^probe-action, seed 1, env step 1[3-8]\d: in the evaluation of env step 120: it fell over; .* is intact"
    with pytest.raises(RunFailure, match=said):
        train(tmp_path / "run", watch)
    with RunDirectory.open(tmp_path / "run").lock() as directory:
        assert directory.checkpoints.load().env_steps == 60
    monkeypatch.undo()
    surefoot.resume(tmp_path / "run", observer=Recording())
    assert_same_run(tmp_path / "run", plain)


@pytest.mark.usefixtures("cores")
def test_both_failures_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Rude(surefoot.Callback):
        def on_step(self, view: surefoot.StepView) -> None:
            if view.env_steps == 130:
                watch.may_end.set()
                raise LookupError("mine")

    watch = Slow(monkeypatch, number=2, until=-1, fail=EnvironmentFailure(1, "it fell over"))
    with pytest.raises(LookupError, match="mine") as raised:
        train(tmp_path / "run", watch, Rude())
    (note,) = raised.value.__notes__
    assert note.startswith("the evaluation that was being played failed as well: ")
    assert note.endswith("in the evaluation of env step 120: it fell over")


@pytest.mark.usefixtures("cores")
def test_an_interrupt_waits_for_no_evaluation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Impatient(surefoot.Callback):
        def on_step(self, view: surefoot.StepView) -> None:
            if view.env_steps == 61:
                raise KeyboardInterrupt

    run, begun = Evaluator.run, []

    def endless(evaluator: Evaluator, act: Callable[[np.ndarray], np.ndarray]) -> Any:
        begun.append(evaluator)
        while len(begun) == 2:
            act(np.zeros((2, 2, evaluator.vector.observation_size), np.float32))
        return run(evaluator, act)

    monkeypatch.setattr(Evaluator, "run", endless)
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "run", Impatient())
    assert len(begun) == 2
    assert not [thread for thread in threading.enumerate() if "evaluation" in thread.name]


@pytest.mark.parametrize(
    ("overlap", "env_workers", "cores", "workers"),
    [
        (True, 1, 8, 1),
        (True, 3, 3, 3),
        (True, None, 8, 4),  # one for each lane
        (True, None, 3, 2),
        (True, 0, 8, None),
        (True, 1, 2, None),
        (False, 1, 8, None),
    ],
)
def test_evaluations_are_beside_training_where_cores_are_left(
    overlap: bool, env_workers: int | None, cores: int, workers: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cores: for the learner, for one worker that steps the training environments, and left over."""
    monkeypatch.setattr(evaluations, "usable_cores", lambda: cores)
    monkeypatch.setattr(vector, "usable_cores", lambda: cores)
    task = get_task("probe-action")
    changes = {"overlap": overlap, "env_workers": env_workers}
    config = TrainConfig(task=task.name, **{**SETTINGS, **changes})
    population: Any = None
    found = Evaluations(config, make_plan(config, task), task, population, training_workers=1)
    try:
        assert found.beside == (workers is not None)
        if workers is not None:
            assert found.make().vector.num_workers == workers
    finally:
        found.close()
