"""Public functions ``train``, ``resume`` and ``evaluate``."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import os
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, SupportsIndex, Unpack

import numpy as np

from surefoot.algorithms import Algorithm
from surefoot.algorithms.presets import as_algorithm
from surefoot.errors import UserError
from surefoot.machine import resolve_precision, start_jax
from surefoot.misplaced import explains_keywords
from surefoot.model_card import write_model_card
from surefoot.policy import Policy, load_policy
from surefoot.policy.files import load_policies
from surefoot.runs import RunDirectory, read_diagnostics, read_evaluations, read_training
from surefoot.runs.layout import absolute, check_free
from surefoot.signals import StopSignal
from surefoot.spaces import policy_view, require_same
from surefoot.streams import reserve_descriptors
from surefoot.tasks import Task, get_task, with_engine
from surefoot.tasks.check.startup import check_at_start
from surefoot.text import printable
from surefoot.training.callbacks import Callback, EventDispatcher
from surefoot.training.config import TrainConfig, check_names
from surefoot.training.config_file import describe_resumed_run, describe_run, read_run, read_spaces
from surefoot.training.evaluation import EvaluationResult, Evaluator, environments_per_seed
from surefoot.training.events import Observer
from surefoot.training.loop import TrainingLoop
from surefoot.training.notebook import default_observer
from surefoot.training.plan import Plan, make_plan
from surefoot.training.runtime.compile_cache import use_compile_cache
from surefoot.training.runtime.failures import explain_start_failures
from surefoot.training.warm_start.warm_start import WarmStart
from surefoot.whole_numbers import whole_number

if TYPE_CHECKING:
    from surefoot.typed_settings import ResumeSettings, TrainSettings


@dataclass(frozen=True)
class Run:
    """Run on disk.

    Attributes:
        path: Run directory.
        completed: Whether the run reached its last step; False where a callback stopped it.
    """

    path: Path
    completed: bool

    def __repr__(self) -> str:
        return f"Run({str(self.path)!r}, completed={self.completed})"

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
        """Return the trained policy of one training seed, by default the one with the best score."""
        return load_policy(self.path, seed)


def train(
    task: str | Callable[[], Any],
    *,
    algorithm: Algorithm | str | None = None,
    observer: Observer | None = None,
    callbacks: Sequence[Callback] = (),
    skip_check: bool = False,
    **settings: Unpack[TrainSettings],
) -> Run:
    """Train, save and evaluate.

    Args:
        task: Task name (``surefoot tasks``), registered Gymnasium id, or callable that returns a gymnasium.Env with Box
            (or Dict of Box) observations and Box actions; ``functools.partial`` or the setting ``env_set`` gives it
            arguments.
        algorithm: Algorithm to train, or its name (``surefoot algorithms``); by default CrossQ + WN as released
            (``crossq_wn_code()``).
        observer: Receiver of the run's events; by default one line is printed per evaluation, and a notebook also
            shows the progress and the time left.
        callbacks: Callbacks called during the run.
        skip_check: Whether to leave out the short check, of about two seconds, of an environment that is not one of
            ``list_tasks()``. Its findings are messages to the observer; ``check_env`` is the complete check.
        **settings: Settings of the run, such as env_steps=100_000; the reference lists them.

    Returns:
        The run; ``completed`` is False where a callback stopped it.

    Raises:
        UserError: The request is invalid; nothing was written.
        RunFailure: The run failed; its last checkpoint is intact.
        KeyboardInterrupt: Ctrl-C, once the run has written a checkpoint; ``resume`` continues it. A second Ctrl-C does
            not wait, except for a program that is being compiled. SIGTERM and SIGHUP likewise have their usual effect
            after the checkpoint: they end the process.
    """
    given: dict[str, Any] = {**settings}
    check_names(given, algorithm=algorithm if isinstance(algorithm, str) else getattr(algorithm, "name", ""))
    reserve_descriptors()
    use_compile_cache()
    events = EventDispatcher(observer or default_observer(), callbacks)
    config = TrainConfig(task=task, algorithm=as_algorithm(algorithm), **given)
    start_jax()
    config = dataclasses.replace(config, precision=resolve_precision(config.precision))
    resolved = with_engine(get_task(task, config.env_set), config.engine)
    config = dataclasses.replace(config, engine=resolved.engine)  # some tasks have one engine
    check_free(absolute(config.out or next(_free_paths(resolved, config.algorithm))), config.overwrite)
    warm_start = WarmStart(config)
    plan = make_plan(config, resolved, warm_start.info)
    if not skip_check:
        _check_env(resolved, config, plan, events)
    # Everything is validated before the directory is created.
    with (
        explain_start_failures(resolved, events),
        contextlib.ExitStack() as until_closed,
        TrainingLoop.make(config, plan, resolved, events) as loop,
    ):
        loop.prepare(warm_start)
        with StopSignal() as stop:  # before the directory exists: from then on a run ends with a checkpoint
            directory = _create(config, resolved, describe_run(config, plan, resolved, loop.spaces))
            until_closed.enter_context(directory.lock())  # until the loop has closed its logs, as in ``resume``
            _report_lock(directory, events)
            with events:
                loop.start(directory)
                run = _run(loop, stop, directory)
    stop.deliver()
    return run


def resume(
    path: str | Path,
    *,
    task: str | Callable[[], Any] | None = None,
    observer: Observer | None = None,
    callbacks: Sequence[Callback] = (),
    **changes: Unpack[ResumeSettings],
) -> Run:
    """Resume a run from its last intact checkpoint.

    On CPU, on the machine that started the run, the result is bit-identical to that of an uninterrupted run.

    Args:
        path: Run directory.
        task: Task the run was trained on, required where it is code (a callable, or a name with a colon), since a run
            directory is not trusted to name code.
        observer: Receiver of the run's events; by default one line is printed per evaluation, and a notebook also
            shows the progress and the time left.
        callbacks: Callbacks called during the run.
        **changes: New values of settings that leave what is trained unchanged; the reference marks them.

    Raises:
        UserError: There is no run or no intact checkpoint, a setting cannot be changed, or the environment has other
            spaces than it was trained with.
        RunFailure: The run failed; its last checkpoint is intact.
        KeyboardInterrupt: Ctrl-C, as for ``train``.
    """
    reserve_descriptors()
    use_compile_cache()
    events = EventDispatcher(observer or default_observer(), callbacks)
    directory = RunDirectory.open(path)
    config, resolved, plan = read_run(directory, task, {**changes})
    trained = read_spaces(directory)
    start_jax()
    with (
        explain_start_failures(resolved, events),
        directory.lock(),
        TrainingLoop.make(config, plan, resolved, events) as loop,
        StopSignal() as stop,
        events,
    ):
        _report_lock(directory, events)
        require_same(trained, loop.spaces, str(directory.path), resolved.name)
        described = describe_resumed_run(config, plan, resolved, loop.spaces, directory.config)
        # The configuration changes only once nothing is rejected any more, and before observers may read it.
        if directory.checkpoints.any():
            loop.restore(directory)
            directory.update_config(described)
            loop.announce_start()
        else:
            events.on_message("this run was stopped before its first checkpoint: it starts again")
            loop.prepare(WarmStart.again(config, plan.warm_start))
            directory.update_config(described)
            loop.start(directory)
        run = _run(loop, stop, directory)
    stop.deliver()
    return run


@explains_keywords
def evaluate(
    path: str | Path,
    *,
    episodes: SupportsIndex | float = 5,
    task: str | Callable[[], Any] | None = None,
    env_workers: SupportsIndex | float | None = None,
) -> tuple[tuple[int, ...], EvaluationResult]:
    """Evaluate the saved policies of a run with deterministic actions.

    Episode e of a seed is the same as in the evaluations during training, so scores are paired between runs.

    Args:
        path: Run directory.
        episodes: Episodes per seed.
        task: Task the run was trained on, required where it is code; see ``resume``.
        env_workers: Processes that step the environments; 0 for this one, None to choose from cores and seeds.

    Returns:
        The training seeds and their episodes. Seeds that diverged are played with zero actions, and their returns are
        NaN.

    Raises:
        UserError: There is no run or no policy, all seeds diverged, evaluations.csv is damaged, or the environment has
            other spaces than it was trained with.
    """
    episodes = whole_number("episodes", episodes, 1)
    env_workers = None if env_workers is None else whole_number("env_workers", env_workers, 0)
    directory = RunDirectory.open(path)
    _, resolved, plan = read_run(directory, task, {})
    if resolved.engine == "jax":
        use_compile_cache()
        start_jax()
    policies, reported = load_policies(directory.path, plan.seeds), _reported_success(directory.path)
    trained = next(policy.spaces for policy in policies if policy is not None)

    with Evaluator(resolved, plan.seeds, episodes, plan.action_repeat, env_workers) as evaluator:
        spaces = evaluator.vector.spaces
        require_same(read_spaces(directory), spaces, str(directory.path), resolved.name)
        seen = policy_view(trained, spaces, str(directory.path), resolved.name)

        def act(observation: np.ndarray) -> np.ndarray:
            actions = np.zeros((*observation.shape[:-1], trained.action.size), np.float32)
            for policy, own, action in zip(policies, observation[..., seen], actions, strict=True):
                if policy is not None:
                    action[:] = policy.unit_action(own)
            return actions

        result = evaluator.run(act, reported)
        diverged = np.array([policy is None for policy in policies])
        return plan.seeds, dataclasses.replace(result, returns=np.where(diverged[:, None], np.nan, result.returns))


def _reported_success(run: Path) -> bool:
    """Return whether an evaluation so far had success or its absence; some environments report only success."""
    if not os.path.exists(run / "evaluations.csv"):
        return False
    return not np.isnan(read_evaluations(run)["success_any"]).all()


def _check_env(task: Task, config: TrainConfig, plan: Plan, events: EventDispatcher) -> None:
    """Report what a short check of the environment finds."""
    seeds = len(plan.seeds)
    environments = seeds * max(plan.num_envs, environments_per_seed(seeds, config.evaluation_episodes))
    for line in check_at_start(task, environments, one_per_process=(config.env_workers or 0) >= environments):
        events.on_message(line)


def _report_lock(directory: RunDirectory, events: EventDispatcher) -> None:
    if directory.lock_note is not None:
        events.on_message(directory.lock_note)


def _run(loop: TrainingLoop, stop: StopSignal, directory: RunDirectory) -> Run:
    finished = loop.run(stop)
    write_model_card(directory.path)
    return Run(directory.path, finished.completed)


def _free_paths(task: Task, algorithm: Algorithm) -> Iterator[Path]:
    """Yield runs/TASK-ALGORITHM-1 and so on, without existing ones."""
    stem = re.sub(r"[^\w.]+", "-", printable(f"{task.name}-{algorithm.name}"))[:100]  # a name is limited to 255 bytes
    paths = (Path("runs") / f"{stem}-{number}" for number in itertools.count(1))
    return (path for path in paths if not os.path.lexists(path))


def _create(config: TrainConfig, task: Task, described: dict[str, Any]) -> RunDirectory:
    """Create the requested run directory, or a new one with the next free name."""
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
    """Create a directory that no other process creates at the same time."""
    while True:
        path = next(_free_paths(task, algorithm))
        try:
            path.mkdir(parents=True)
        except FileExistsError:
            continue  # created by another process in the meantime
        except OSError as error:
            raise UserError(f"cannot make the run directory {path}: {error.strerror}") from error
        return path
