"""The functions a user calls: train, resume, evaluate."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from surefoot.algorithms import Algorithm
from surefoot.algorithms.presets import crossq_wn
from surefoot.errors import UserError
from surefoot.machine import resolve_precision
from surefoot.model_card import write_model_card
from surefoot.policy import Policy, load_policy
from surefoot.runs import RunDirectory, read_diagnostics, read_evaluations, read_training
from surefoot.runs.layout import check_free
from surefoot.tasks import Task, get_task
from surefoot.training.callbacks import Callback, EventDispatcher
from surefoot.training.config import TrainConfig, check_names
from surefoot.training.config_file import describe_resumed_run, describe_run, read_run
from surefoot.training.evaluation import Episodes, Evaluator
from surefoot.training.events import Observer
from surefoot.training.loop import TrainingLoop
from surefoot.training.observers import PlainObserver
from surefoot.training.plan import make_plan
from surefoot.training.runtime.compile_cache import use_compile_cache
from surefoot.training.runtime.failures import naming_start
from surefoot.training.runtime.signals import StopSignal
from surefoot.training.warm_start.warm_start import WarmStart


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

    def diagnostics(self) -> dict[str, np.ndarray]:
        """Return diagnostics.csv by column, one entry per seed and diagnosis."""
        return read_diagnostics(self.path)

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
            checkpoint_every, log_every, diagnose_every, precision, overlap, curvature, replay_capacity, env_workers,
            out, overwrite; init_from, init_replay and prefill to begin with another run's networks or with recorded
            transitions.

    Returns:
        The run. Where a signal or a callback stopped it, ``completed`` is False and ``resume`` goes on.

    Raises:
        UserError: the request cannot be carried out as asked; nothing was written.
        RunFailure: something broke on the way; the last checkpoint is intact.
    """
    check_names(settings)
    use_compile_cache()
    watchers = EventDispatcher(observer or PlainObserver(), callbacks)
    config = TrainConfig(task=task, algorithm=algorithm or crossq_wn(), **settings)
    config = dataclasses.replace(config, precision=resolve_precision(config.precision))
    resolved = get_task(task)
    check_free(Path(config.out or next(_free_paths(resolved, config.algorithm))).absolute(), config.overwrite)
    warm_start = WarmStart(config)
    plan = make_plan(config, resolved, warm_start.info)
    # Everything that can be refused is refused before the directory is made.
    with (
        naming_start(resolved, watchers),
        contextlib.ExitStack() as until_closed,
        TrainingLoop.make(config, plan, resolved, watchers) as loop,
    ):
        loop.prepare(warm_start)
        directory = _create(config, resolved, describe_run(config, plan, resolved))
        until_closed.enter_context(directory.lock())  # Until the loop has closed its logs, as in ``resume``.
        with StopSignal() as stop, watchers:
            loop.start(directory)
            return _run(loop, stop, directory)


def resume(
    path: str | Path,
    *,
    task: str | Callable[[], Any] | None = None,
    observer: Observer | None = None,
    callbacks: Sequence[Callback] = (),
    **changes: Any,
) -> Run:
    """Go on with a run from its last good checkpoint.

    On the machine that began it, on CPU, the result is bit for bit that of a run that was never interrupted.

    Args:
        path: the run directory.
        task: what the run was trained on, where that is code (a callable, or a name with a colon): none runs because a
            run directory names it.
        observer: who watches.
        callbacks: your own code inside the run; see ``Callback``.
        **changes: what may differ from the run's configuration: env_steps (more only),
            evaluate_every, evaluation_episodes, checkpoint_every, log_every, diagnose_every, curvature, env_workers.

    Raises:
        UserError: there is no run or no good checkpoint, or a change would alter what is being trained.
        RunFailure: something broke on the way; the last checkpoint is intact.
    """
    use_compile_cache()
    watchers = EventDispatcher(observer or PlainObserver(), callbacks)
    directory = RunDirectory.open(path)
    config, resolved, plan = read_run(directory, task, changes)
    with (
        naming_start(resolved, watchers),
        directory.lock(),
        TrainingLoop.make(config, plan, resolved, watchers) as loop,
        StopSignal() as stop,
        watchers,
    ):
        if directory.checkpoints.any():
            loop.restore(directory)
        else:
            watchers.on_message("this run was stopped before its first checkpoint: it begins again")
            loop.prepare(WarmStart.again(config, plan.warm_start))
            loop.start(directory)
        directory.update_config(describe_resumed_run(config, plan, resolved, directory.config))
        return _run(loop, stop, directory)


def evaluate(
    path: str | Path, *, episodes: int = 5, task: str | Callable[[], Any] | None = None, env_workers: int | None = None
) -> tuple[tuple[int, ...], Episodes]:
    """Play the saved policies of a run.

    Episode e of a seed is the one that training's evaluations play, so scores are paired between runs.

    Args:
        path: the run directory.
        episodes: per seed.
        task: what the run was trained on, where that is code; see ``resume``.
        env_workers: processes that step the environments; 0 means this one, None chooses.

    Returns:
        The training seeds and their episodes, deterministic actions.

    Raises:
        UserError: there is no run or no policy.
    """
    if episodes < 1:
        raise UserError(f"episodes must be at least 1, got {episodes}")
    directory = RunDirectory.open(path)
    _, resolved, plan = read_run(directory, task, {})
    policies = [load_policy(directory.path, seed) for seed in plan.seeds]
    span = policies[0].action_high - policies[0].action_low

    def act(observation: np.ndarray) -> np.ndarray:
        actions = np.stack([policy(own) for policy, own in zip(policies, observation, strict=True)])
        return 2.0 * (actions - policies[0].action_low) / span - 1.0

    with Evaluator(resolved, plan.seeds, episodes, plan.action_repeat, env_workers) as evaluator:
        return plan.seeds, evaluator.run(act)


def _run(loop: TrainingLoop, stop: StopSignal, directory: RunDirectory) -> Run:
    finished = loop.run(stop)
    write_model_card(directory.path)
    return Run(directory.path, finished.completed)


def _free_paths(task: Task, algorithm: Algorithm) -> Iterator[Path]:
    """Yield runs/TASK-ALGORITHM-1 and so on, without those that are there."""
    stem = f"{task.name}-{algorithm.name}".replace("/", "-").replace(":", "-").replace("<", "").replace(">", "")
    paths = (Path("runs") / f"{stem}-{number}" for number in itertools.count(1))
    return (path for path in paths if not path.exists())


def _create(config: TrainConfig, task: Task, described: dict[str, Any]) -> RunDirectory:
    """Make the run directory that was asked for, or one of its own that no other process has."""
    if config.out is not None:
        return RunDirectory.create(config.out, described, overwrite=config.overwrite)
    path = _claim(task, config.algorithm)
    try:
        return RunDirectory.create(path, described)
    except BaseException:
        with contextlib.suppress(OSError):
            path.rmdir()
        raise


def _claim(task: Task, algorithm: Algorithm) -> Path:
    """Make a new folder that is this process's alone, however many start at once."""
    while True:
        path = next(_free_paths(task, algorithm))
        try:
            path.mkdir(parents=True)
        except FileExistsError:
            continue  # Another process was faster.
        except OSError as error:
            raise UserError(f"cannot make the run directory {path}: {error.strerror}") from error
        return path
