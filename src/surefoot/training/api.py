"""The functions a user calls: train, resume, evaluate."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from surefoot.algorithms import Algorithm, algorithm_from_data
from surefoot.algorithms.presets import crossq_wn
from surefoot.errors import EnvironmentFailure, RunFailure, UserError
from surefoot.policy import Policy, load_policy
from surefoot.runs import RunDirectory, read_evaluations, read_training
from surefoot.tasks import Task, get_task
from surefoot.training.callbacks import Callback, Watchers
from surefoot.training.config import TrainConfig
from surefoot.training.evaluation import Episodes, Evaluator
from surefoot.training.events import Observer
from surefoot.training.loop import TrainingLoop
from surefoot.training.observers import PlainObserver
from surefoot.training.setup import Plan, describe, describe_machine, make_plan
from surefoot.training.signals import StopSignal


@dataclass(frozen=True)
class Run:
    """A run on disk.

    Attributes:
        path: its directory.
        completed: whether it reached its last step.
    """

    path: Path
    completed: bool

    def evaluations(self) -> dict[str, np.ndarray]:
        """Return evaluations.csv by column, one entry per seed, evaluation and episode."""
        return read_evaluations(self.path)

    def training(self) -> dict[str, np.ndarray]:
        """Return training.csv by column, one entry per seed and logging interval."""
        return read_training(self.path)

    def policy(self, seed: int | None = None) -> Policy:
        """Return the trained policy of one seed, the best one unless told otherwise."""
        return load_policy(self.path, seed)


def train(
    task: str | Callable[[], Any],
    *,
    algorithm: Algorithm | None = None,
    observer: Observer | None = None,
    callbacks: Sequence[Callback] = (),
    **settings: Any,
) -> Run:
    """Train, save and evaluate.

    Args:
        task: a task name (``surefoot tasks``), a registered Gymnasium id, or a zero-argument callable that returns a
            gymnasium.Env with Box (or Dict of Box) observations and Box actions.
        algorithm: what to train, CrossQ + WN by default.
        observer: who watches; by default one plain line is printed per evaluation.
        callbacks: your own code inside the run; see ``Callback``.
        **settings: fields of ``TrainConfig``: num_seeds, seed, env_steps, evaluate_every, evaluation_episodes,
            checkpoint_every, log_every, replay_capacity, env_workers, out, overwrite.

    Returns:
        The run. Where a signal stopped it, ``completed`` is False and ``resume`` goes on.

    Raises:
        UserError: the request cannot be carried out as asked; nothing was written.
        RunFailure: something broke on the way; the last checkpoint is intact.
    """
    names = {field.name for field in dataclasses.fields(TrainConfig)}
    if unknown := sorted(settings.keys() - names):
        raise UserError(f"train has no setting {unknown[0]!r}, expected one of {', '.join(sorted(names))}")
    watchers = Watchers(observer or PlainObserver(), callbacks)
    config = TrainConfig(task=task, algorithm=algorithm or crossq_wn(), **settings)
    resolved = get_task(task)
    plan = make_plan(config, resolved)
    out = config.out or _free_path(resolved, config.algorithm)
    RunDirectory.check_free(out, overwrite=config.overwrite)
    # Everything that can be refused is refused before the directory is made.
    with _naming_task(resolved, watchers), TrainingLoop.make(config, plan, resolved, watchers) as loop:
        directory = RunDirectory.create(out, describe(config, plan, resolved), overwrite=config.overwrite)
        with directory.lock(), StopSignal() as stop, watchers:
            loop.start(directory)
            return _run(loop, stop, directory)


def resume(
    path: str | Path,
    *,
    task: Callable[[], Any] | None = None,
    observer: Observer | None = None,
    callbacks: Sequence[Callback] = (),
    **changes: Any,
) -> Run:
    """Go on with a run from its last good checkpoint.

    On the machine that began it, on CPU, the result is bit for bit that of a run that was never interrupted.

    Args:
        path: the run directory.
        task: the callable that made the environment, where one did: code is not stored in a run directory.
        observer: who watches.
        callbacks: your own code inside the run; see ``Callback``.
        **changes: what may differ from the run's configuration: env_steps (more only),
            evaluate_every, evaluation_episodes, checkpoint_every, log_every, env_workers.

    Raises:
        UserError: there is no run or no good checkpoint, or a change would alter what is being trained.
        RunFailure: something broke on the way; the last checkpoint is intact.
    """
    watchers = Watchers(observer or PlainObserver(), callbacks)
    directory = RunDirectory.open(path)
    config, resolved = _stored_config(directory, task, changes)
    plan = make_plan(config, resolved)
    _refuse_other_plan(directory, plan)
    with (
        _naming_task(resolved, watchers),
        directory.lock(),
        TrainingLoop.make(config, plan, resolved, watchers) as loop,
        StopSignal() as stop,
        watchers,
    ):
        if directory.has_checkpoints():
            loop.restore(directory)
        else:
            watchers.on_message("this run was stopped before its first checkpoint: it begins again")
            loop.start(directory)
        described = describe(config, plan, resolved)
        kept = ("started", "command", "machine")
        directory.update_config(
            {name: value for name, value in described.items() if name not in kept}
            | {"resumed": [*directory.config.get("resumed", []), {"machine": describe_machine()}]}
        )
        return _run(loop, stop, directory)


def evaluate(
    path: str | Path, *, episodes: int = 5, task: Callable[[], Any] | None = None, env_workers: int | None = None
) -> tuple[tuple[int, ...], Episodes]:
    """Play the saved policies of a run.

    Episode e of a seed is the one that training's evaluations play, so scores are paired between runs.

    Args:
        path: the run directory.
        episodes: per seed.
        task: the callable that made the environment, where one did.
        env_workers: processes that step the environments; 0 means this one, None chooses.

    Returns:
        The training seeds and their episodes, deterministic actions.

    Raises:
        UserError: there is no run or no policy.
    """
    if episodes < 1:
        raise UserError(f"episodes must be at least 1, got {episodes}")
    directory = RunDirectory.open(path)
    config, resolved = _stored_config(directory, task, {})
    plan = make_plan(config, resolved)
    policies = [load_policy(directory.path, seed) for seed in plan.seeds]
    span = policies[0].action_high - policies[0].action_low

    def act(observation: np.ndarray) -> np.ndarray:
        actions = np.stack([policy(own) for policy, own in zip(policies, observation, strict=True)])
        return 2.0 * (actions - policies[0].action_low) / span - 1.0

    with Evaluator(resolved, plan.seeds, episodes, plan.action_repeat, env_workers) as evaluator:
        return plan.seeds, evaluator.run(act)


@contextlib.contextmanager
def _naming_task(task: Task, watchers: Watchers) -> Iterator[None]:
    """Say in a failure of an environment that did not even start which task it was."""
    try:
        yield
    except EnvironmentFailure as error:
        if error is watchers.raised:
            raise
        raise RunFailure(f"{task.name}, seed {error.seed}, at the start: {error.detail}") from error


def _run(loop: TrainingLoop, stop: StopSignal, directory: RunDirectory) -> Run:
    finished = loop.run(stop)
    return Run(directory.path, finished.completed)


def _free_path(task: Task, algorithm: Algorithm) -> Path:
    stem = f"{task.name}-{algorithm.name}".replace("/", "-").replace(":", "-").replace("<", "").replace(">", "")
    number = 1
    while (path := Path("runs") / f"{stem}-{number}").exists():
        number += 1
    return path


_CHANGEABLE = ("env_steps", "evaluate_every", "evaluation_episodes", "checkpoint_every", "log_every", "env_workers")


def _stored_config(
    directory: RunDirectory, task: Callable[[], Any] | None, changes: dict[str, Any]
) -> tuple[TrainConfig, Task]:
    if unknown := sorted(changes.keys() - set(_CHANGEABLE)):
        raise UserError(
            f"a resumed run cannot change {unknown[0]!r}: only {', '.join(_CHANGEABLE)} leave what is trained as it is"
        )
    resolved = _stored_task(directory, task)
    settings = {name: _entry(directory, name, int) for name in ("num_seeds", "seed", *_CHANGEABLE[:-1])}
    settings |= {name: _entry(directory, name, int | None) for name in ("replay_capacity", "env_workers")}
    algorithm = algorithm_from_data(_entry(directory, "algorithm", dict))
    stored = settings["env_steps"]
    config = TrainConfig(task=task or resolved.name, algorithm=algorithm, **(settings | changes))
    if config.env_steps < stored:
        raise UserError(f"env_steps can only grow when a run is resumed: it was {stored:,}, got {config.env_steps:,}")
    return config, resolved


def _stored_task(directory: RunDirectory, task: Callable[[], Any] | None) -> Task:
    name = _entry(directory, "task", str)
    if _entry(directory, "suite", str) == "callable" and task is None:
        raise UserError(
            f"this run was trained on the callable {name}, which a run directory cannot hold: pass it again "
            "from Python with task="
        )
    resolved = get_task(task or name)
    if resolved.name != name:
        raise UserError(f"this run was trained on {name!r}, not on {resolved.name!r}")
    return resolved


def _entry(directory: RunDirectory, name: str, kind: Any) -> Any:
    """Return an entry of config.json, which somebody may have edited."""
    value = directory.config.get(name)
    if not isinstance(value, kind) or isinstance(value, bool):
        expected = getattr(kind, "__name__", str(kind))
        raise UserError(f"{directory.path / 'config.json'}: {name} is {value!r}, expected {expected}")
    return value


def _refuse_other_plan(directory: RunDirectory, plan: Plan) -> None:
    """Refuse to go on where the task's own settings have changed since."""
    stored = _entry(directory, "resolved", dict)
    for name in ("action_repeat", "discount"):
        if stored.get(name) != getattr(plan, name):
            raise UserError(f"this run was trained with {name} {stored.get(name)}, which is now {getattr(plan, name)}")
