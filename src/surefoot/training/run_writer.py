"""What a run leaves behind while it goes: rows, checkpoints, the policy."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
from collections.abc import Callable, Iterator
from typing import Any

import jax
import numpy as np

from surefoot.algorithms import Learner, to_data
from surefoot.errors import UserError
from surefoot.networks.validation import one_line
from surefoot.policy import PolicySpec, save_policy
from surefoot.replay import ReplayState
from surefoot.runs import EVALUATION_COLUMNS, Checkpoint, CsvLog, RunDirectory
from surefoot.tasks import Task, VectorEnv
from surefoot.training.checkpointing.arrays import arrays_to_tree, copy_tree, tree_to_arrays
from surefoot.training.checkpointing.host_state import HostState
from surefoot.training.checkpointing.replay_log import (
    NOTHING,
    ReplayCopy,
    ReplayRings,
    oldest_transition,
    replay_mark,
    segment_mark,
)
from surefoot.training.config import TrainConfig
from surefoot.training.diagnosis import diagnostics_columns
from surefoot.training.evaluation import Episodes
from surefoot.training.events import EvaluationDone
from surefoot.training.logs import TRAINING_COLUMNS, evaluation_rows, training_rows
from surefoot.training.plan import Plan
from surefoot.training.policy_arrays import policy_arrays, policy_layers
from surefoot.training.population import MetricSums, Population, PopulationState, WeightNorms
from surefoot.training.runtime.background import Background


class RunWriter:
    """Writes one run's directory.

    Args:
        directory: its lock is held by the caller.
        config: what was asked for.
        plan: its resolved numbers.
        task: what is learned.
        vector: the training environments, for the sizes and bounds that a policy file states.
        learner: of one seed, for the names of its layers.
    """

    def __init__(
        self, directory: RunDirectory, config: TrainConfig, plan: Plan, task: Task, vector: VectorEnv, learner: Learner
    ) -> None:
        self._directory, self._config, self._plan, self._task = directory, config, plan, task
        self._vector = vector
        self._evaluations = CsvLog(directory.path / "evaluations.csv", EVALUATION_COLUMNS)
        self._training = CsvLog(directory.path / "training.csv", TRAINING_COLUMNS)
        self._diagnostics = CsvLog(directory.path / "diagnostics.csv", diagnostics_columns(learner))
        self._segments: list[tuple[str, int]] = []
        self._mark = NOTHING
        self._scores: list[float] | None = None
        self.last_evaluation: EvaluationDone | None = None
        """Of this run, resumed parts included."""
        self.checkpoint_env_steps: int | None = None
        """Where the newest checkpoint stands, or will once it is written."""
        self._writer = Background("the checkpoint that was being written")
        self._held: Callable[[dict[str, Any], PolicySpec], None] | None = None

    def clear(self) -> None:
        """Drop the rows of a run that was killed before its first checkpoint."""
        self._evaluations.clear()
        self._training.clear()
        self._diagnostics.clear()

    def evaluation(self, counts: dict[str, Any], episodes: Episodes) -> EvaluationDone:
        """Append one evaluation of all seeds, and return what there is to tell about it."""
        counts = {"algorithm": self._config.algorithm.name, "utd": self._config.algorithm.utd, **counts}
        self._evaluations.append(evaluation_rows(self._task, self._plan.seeds, counts, episodes))
        self._scores = episodes.scores(self._task).mean(axis=1).tolist()
        self.last_evaluation = EvaluationDone(
            env_steps=counts["env_steps"],
            seeds=self._plan.seeds,
            returns=tuple(episodes.returns.mean(axis=1).tolist()),
            successes=None if episodes.success_any is None else tuple(episodes.success_any.mean(axis=1).tolist()),
            wall_seconds=counts["wall_seconds"],
        )
        return self.last_evaluation

    def training(self, counts: dict[str, Any], host: HostState, sums: MetricSums, norms: WeightNorms) -> None:
        """Append one row per seed to the training log and start its next interval."""
        returns, episodes = host.take_interval()
        self._training.append(training_rows(self._plan.seeds, counts, episodes, returns, sums, norms))

    def diagnosis(self, rows: list[dict[str, Any]]) -> None:
        """Append one row per seed to the diagnostics."""
        self._diagnostics.append(rows)

    def checkpoint(self, env_steps: int, state: PopulationState, host: HostState, wall_seconds: float) -> None:
        """Copy everything that decides the rest of the run, and the policy as it is now, for ``write`` to save.

        The checkpoint before must have been ``written``.
        """
        assert self._held is None, "write comes first"
        counters = {name: np.array(value) for name, value in state.replay._asdict().items() if value.ndim == 1}
        loop = host.to_arrays()
        meta = {
            "counters": {**host.counters(), "wall_seconds": wall_seconds},
            "training_offset": self._training.offset(),
            "diagnostics_offset": self._diagnostics.offset(),
            "identity": self._identity(),
        }
        learner, metrics = copy_tree((state.learner, state.metrics))
        new, oldest = self._take_new(state.replay), oldest_transition(state.replay)

        def save(evaluated: dict[str, Any], spec: PolicySpec) -> None:
            if new is not None:
                self._append_segment(new.to_arrays(), oldest)
            self._directory.checkpoints.save(
                env_steps,
                arrays={
                    "learner": tree_to_arrays(learner),
                    "metrics": tree_to_arrays(metrics),
                    "replay_counters": counters,
                    "loop": loop,
                },
                meta=meta | evaluated,
                segments=[name for name, _ in self._segments],
            )
            save_policy(self._directory.policy_path, spec, policy_arrays(learner.actor, learner.observations))

        self._held = save
        self.checkpoint_env_steps = env_steps

    def write(self) -> None:
        """Begin to write what ``checkpoint`` has copied, if anything, with the last evaluation's scores."""
        if self._held is None:
            return
        assert self.checkpoint_env_steps is not None
        evaluated = {
            "evaluations_offset": self._evaluations.offset(),
            "scores": self._scores,
            "last_evaluation": dataclasses.asdict(self.last_evaluation) if self.last_evaluation else None,
        }
        spec = self._policy_spec(self.checkpoint_env_steps)
        save, unlock = functools.partial(self._held, evaluated, spec), self._directory.keep_locked()

        def work() -> None:
            try:
                save()
            finally:
                unlock()  # An interrupt waits for nothing that is being written; others have to.

        self._writer.begin(work)
        self._held = None

    @property
    def holds(self) -> bool:
        """Whether a checkpoint was copied and waits for ``write``."""
        return self._held is not None

    def written(self, wait: bool = False) -> bool:
        """Return True once for every checkpoint that has come to be on disk.

        Args:
            wait: until the one that is being written is there.

        Raises:
            RunFailure: the disk refused; earlier checkpoints are as they were.
        """
        return self._writer.finished(wait)

    def settled(self) -> contextlib.AbstractContextManager[None]:
        """Return a block that is left only when no checkpoint is being written any more; see ``finishing``."""
        return self._writer.settled()

    def _policy_spec(self, env_steps: int) -> PolicySpec:
        seeds = self._plan.seeds
        return PolicySpec(
            observation_size=self._vector.observation_size,
            action_size=self._vector.action_size,
            action_low=tuple(self._vector.action_low.tolist()),
            action_high=tuple(self._vector.action_high.tolist()),
            observation_keys=self._vector.observation_keys,
            task=self._task.name,
            algorithm=self._config.algorithm.name,
            env_steps=env_steps,
            seeds=seeds,
            scores=tuple(self._scores or [None] * len(seeds)),
            layers=policy_layers(self._config.algorithm),
        )

    def _take_new(self, replay: ReplayState) -> ReplayCopy | None:
        """Copy what entered the buffers since the last checkpoint."""
        mark = replay_mark(replay)
        if mark.transitions == self._mark.transitions:
            return None  # Frames without a transition wait for the next segment.
        new = ReplayCopy(replay, self._mark)
        self._mark = mark
        return new

    def _append_segment(self, arrays: dict[str, np.ndarray], oldest: int) -> None:
        start, stop = int(arrays["start"]), int(arrays["stop"])
        self._segments.append((self._directory.checkpoints.write_segment(start, stop, arrays), stop))
        # A segment that ends where the oldest transition begins still holds that transition's first frame.
        self._segments = [(name, end) for name, end in self._segments if end >= oldest]

    def restore(self, population: Population, message: Callable[[str], None]) -> tuple[PopulationState, HostState]:
        """Load the last good checkpoint and cut the logs back to it.

        Args:
            population: of the same algorithm and sizes.
            message: takes one line for each checkpoint that could not be used.

        Raises:
            UserError: there is no good checkpoint, or it is of something else.
        """
        loaded = self._directory.checkpoints.load()
        for line in loaded.skipped:
            message(line)
        with self._naming_misfits(loaded.env_steps):
            offsets = [_offset(loaded.meta[f"{name}_offset"]) for name in ("evaluations", "training", "diagnostics")]
            state, host = self._decode(loaded, population)
        # Only now is it certain that the run goes on from here.
        self._directory.checkpoints.discard_after(loaded)
        for log, offset in zip((self._evaluations, self._training, self._diagnostics), offsets, strict=True):
            log.truncate(offset)
        self.checkpoint_env_steps = loaded.env_steps
        return state, host

    def _decode(self, loaded: Checkpoint, population: Population) -> tuple[PopulationState, HostState]:
        """Rebuild everything from a checkpoint's arrays; what does not fit raises one of several errors."""
        _refuse_other(loaded.meta, self._identity())
        host = HostState.restore(loaded.arrays["loop"], loaded.meta["counters"])
        _check_host(host, loaded.env_steps, self._plan, self._vector)
        fresh, _ = jax.eval_shape(population.init, host.observation)
        rings, segments, mark = ReplayRings(fresh.replay), [], NOTHING
        for path in loaded.segments:
            segment = self._directory.checkpoints.read_segment(path)
            rings.write(segment)
            mark = segment_mark(segment)
            segments.append((path.name, mark.transitions))
        state = PopulationState(
            learner=arrays_to_tree(fresh.learner, loaded.arrays["learner"]),
            replay=rings.finish(loaded.arrays["replay_counters"], host.observation),
            metrics=arrays_to_tree(fresh.metrics, loaded.arrays["metrics"]),
        )
        self._segments, self._mark = segments, mark
        self._scores = loaded.meta["scores"]
        if (last := loaded.meta["last_evaluation"]) is not None:
            fields: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in last.items()}
            self.last_evaluation = EvaluationDone(**fields)
        return state, host

    @contextlib.contextmanager
    def _naming_misfits(self, env_steps: int) -> Iterator[None]:
        """Turn what a checkpoint with right checksums and wrong content leads to into one line."""
        try:
            yield
        except UserError as error:
            raise UserError(f"{self._directory.path}: the checkpoint at env step {env_steps:,}: {error}") from error
        except (KeyError, ValueError, TypeError, AttributeError, IndexError, OverflowError) as error:
            raise UserError(
                f"{self._directory.path}: the checkpoint at env step {env_steps:,} does not fit together: "
                f"{one_line(error)}"
            ) from error

    def _identity(self) -> dict[str, Any]:
        """What must not change between a checkpoint and the run that goes on from it, as JSON values."""
        return {
            "task": self._task.name,
            "algorithm": to_data(self._config.algorithm),
            "seeds": list(self._plan.seeds),
            "action_repeat": self._plan.action_repeat,
            "discount": self._plan.discount,
            "warm_start": self._plan.warm_start.to_data(),
        }

    def close(self) -> None:
        """Close the logs."""
        self._evaluations.close()
        self._training.close()
        self._diagnostics.close()


def _offset(value: Any) -> int:
    """Return where a log ended; whether a row ends there is seen when it is cut."""
    if not isinstance(value, int) or isinstance(value, bool):
        raise UserError(f"a log's offset is {one_line(value)}, expected an integer")
    return value


def _check_host(host: HostState, env_steps: int, plan: Plan, vector: VectorEnv) -> None:
    """Refuse a loop state whose arrays and counters are not those of this run at this step."""
    seeds, observation_size, action_size = len(plan.seeds), vector.observation_size, vector.action_size
    like = HostState.start(np.zeros((seeds, observation_size), np.float32), np.zeros((seeds, action_size), np.float32))
    for name, expected in vars(like).items():
        found = getattr(host, name)
        if isinstance(expected, np.ndarray):
            fits = found.shape == expected.shape and found.dtype == expected.dtype
        elif isinstance(expected, list):
            fits = len(found) == seeds and all(np.shape(action) == (action_size,) for part in found for action in part)
        else:
            fits = isinstance(found, type(expected) | int) and not isinstance(found, bool)
        if not fits:
            raise UserError(f"the loop's {name} does not fit")
    if host.agent_steps * plan.action_repeat != env_steps or (host.episode < 0).any():
        raise UserError("the loop's counters are not those of this step")


def _refuse_other(meta: dict[str, Any], identity: dict[str, Any]) -> None:
    """Refuse to go on with another run than the one that made the checkpoint, such as one whose config was edited."""
    for name, value in identity.items():
        if (stored := meta["identity"].get(name)) != value:
            if isinstance(value, dict) and isinstance(stored, dict):
                name, value, stored = next(
                    (key, value[key], stored.get(key)) for key in value if value[key] != stored.get(key)
                )
            raise UserError(
                f"this run was trained with {name} {one_line(stored)}, which config.json now gives as {one_line(value)}"
            )
