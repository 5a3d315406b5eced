"""Output of a run: rows of its CSV files, checkpoints and the policy."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import Any

import jax
import numpy as np

from surefoot.algorithms import Learner, to_data
from surefoot.errors import UserError
from surefoot.networks.validation import one_line
from surefoot.policy import PolicySpec
from surefoot.runs import EVALUATION_COLUMNS, CsvLog, RunDirectory
from surefoot.spaces import EnvSpaces, require_same
from surefoot.tasks import Task, VectorEnv
from surefoot.training.checkpointing.arrays import arrays_to_tree
from surefoot.training.checkpointing.host_state import HostState
from surefoot.training.checkpointing.writer import CheckpointWriter
from surefoot.training.config import TrainConfig
from surefoot.training.diagnosis import diagnostics_columns
from surefoot.training.evaluation import EvaluationResult
from surefoot.training.events import EvaluationDone
from surefoot.training.logs import TRAINING_COLUMNS, evaluation_rows, training_rows
from surefoot.training.metric_sums import MetricSums
from surefoot.training.plan import Plan
from surefoot.training.policy_arrays import policy_layers
from surefoot.training.population import PopulationState
from surefoot.training.weight_norms import WeightNorms


class RunWriter:
    """Writes the directory of one run.

    Args:
        directory: Run directory, locked by the caller.
        config: Configuration of the run.
        plan: Its resolved numbers.
        task: Training task.
        vector: Training environments; their spaces are part of checkpoints and the policy file.
        learner: Functions of one seed; its layers name columns.

    Attributes:
        last_evaluation: Newest evaluation of the run, also of the part before it was resumed.
        checkpoints: Writer of the checkpoints.
    """

    def __init__(
        self, directory: RunDirectory, config: TrainConfig, plan: Plan, task: Task, vector: VectorEnv, learner: Learner
    ) -> None:
        self._directory, self._config, self._plan, self._task = directory, config, plan, task
        self._vector = vector
        self._logs = {
            name: CsvLog(directory.path / f"{name}.csv", columns)
            for name, columns in (
                ("evaluations", EVALUATION_COLUMNS),
                ("training", TRAINING_COLUMNS),
                ("diagnostics", diagnostics_columns(learner)),
            )
        }
        self._scores: list[float] | None = None
        self.last_evaluation: EvaluationDone | None = None
        self.checkpoints = CheckpointWriter(directory, learner.spec.actor_columns)

    def clear(self) -> None:
        """Delete the rows of a run that was killed before its first checkpoint."""
        for log in self._logs.values():
            log.clear()

    def close(self) -> None:
        """Close the CSV files."""
        for log in self._logs.values():
            log.close()

    # ---------------------------------------------------------------- rows

    def append_evaluation(self, counts: dict[str, Any], result: EvaluationResult) -> EvaluationDone:
        """Append one evaluation of all seeds, and return its event."""
        self._directory.check_lock()
        counts = {"algorithm": self._config.algorithm.name, "utd": _column(self._config.algorithm.utd), **counts}
        self._logs["evaluations"].append(evaluation_rows(self._task, self._plan.seeds, counts, result))
        self._scores = result.scores(self._task).mean(axis=1).tolist()
        self.last_evaluation = EvaluationDone(
            env_steps=counts["env_steps"],
            seeds=self._plan.seeds,
            returns=tuple(result.returns.mean(axis=1).tolist()),
            successes=_shares(result.success_any, result.returns),
            last_successes=_shares(result.success_last, result.returns),
            wall_seconds=counts["wall_seconds"],
        )
        return self.last_evaluation

    def append_training(self, counts: dict[str, Any], host: HostState, sums: MetricSums, norms: WeightNorms) -> None:
        """Append one row per seed to the training log and start its next interval."""
        self._directory.check_lock()
        rows = training_rows(self._plan.seeds, counts, host.take_interval(), host.diverged, sums, norms)
        self._logs["training"].append(rows)

    def append_diagnostics(self, rows: list[dict[str, Any]]) -> None:
        """Append one row per seed to the diagnostics."""
        self._directory.check_lock()
        self._logs["diagnostics"].append(rows)

    # ---------------------------------------------------------------- checkpoints

    def save_checkpoint(self, env_steps: int, state: PopulationState, host: HostState, wall_seconds: float) -> None:
        """Copy everything the rest of the run depends on, and write it and the policy in the background."""
        meta = {
            "counters": {**host.counters(), "wall_seconds": wall_seconds},
            **{f"{name}_offset": log.offset() for name, log in self._logs.items()},
            "identity": self._identity(),
            "spaces": self._vector.spaces.to_data(),
            "scores": self._scores,
            "last_evaluation": dataclasses.asdict(self.last_evaluation) if self.last_evaluation else None,
        }
        simulator = self._vector.state
        self.checkpoints.save(env_steps, state, host, meta, self._policy_spec(env_steps), simulator)

    def restore(
        self, init: Callable[[], PopulationState], message: Callable[[str], None]
    ) -> tuple[PopulationState, HostState]:
        """Load the last good checkpoint, cut the CSV files back to it and write its policy.

        Args:
            init: Returns a fresh state; only its shapes are used.
            message: Called with one line for each checkpoint that could not be used.

        Raises:
            UserError: There is no good checkpoint, or it belongs to another run.
        """
        loaded = self._directory.checkpoints.load()
        for line in loaded.skipped:
            message(line)
        with self._explain_mismatch(loaded.env_steps):
            offsets = {name: _offset(loaded.meta[f"{name}_offset"]) for name in self._logs}
            _check_identity({"num_envs": 1, "engine": "suite", **loaded.meta["identity"]}, self._identity())
            require_same(EnvSpaces.from_data(loaded.meta.get("spaces")), self._vector.spaces, "it", self._task.name)
            host = HostState.restore(loaded.arrays["loop"], loaded.meta["counters"])
            sizes = self._vector.observation_size, self._vector.action_size
            host.check(len(self._plan.seeds), self._plan.num_envs, *sizes)
            if host.agent_steps * self._plan.action_repeat != loaded.env_steps:
                raise UserError("its counters are those of another step")
            state = self.checkpoints.restore(loaded, jax.eval_shape(init), host.observation)
            if (shapes := self._vector.state_shapes()) is not None:
                self._vector.restore_state(arrays_to_tree(shapes, loaded.arrays.get("simulator", {})))
            self._scores = loaded.meta["scores"]
            if (last := loaded.meta["last_evaluation"]) is not None:
                fields: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in last.items()}
                self.last_evaluation = EvaluationDone(**fields)
        # Only now is it certain that the run continues from this checkpoint.
        self._directory.checkpoints.discard_after(loaded)
        for name, log in self._logs.items():
            log.truncate(offsets[name])
        # The process may have ended between a policy and its checkpoint.
        self.checkpoints.write_policy(state.learner, self._policy_spec(loaded.env_steps))
        return state, host

    def _policy_spec(self, env_steps: int) -> PolicySpec:
        seeds = self._plan.seeds
        spaces, keys = self._vector.spaces, self._config.actor_keys
        return PolicySpec(
            spaces=spaces if keys is None else spaces.select(keys, "actor_keys"),
            task=self._task.name,
            algorithm=self._config.algorithm.name,
            env_steps=env_steps,
            seeds=seeds,
            scores=tuple(self._scores or [None] * len(seeds)),
            layers=policy_layers(self._config.algorithm),
        )

    def _identity(self) -> dict[str, Any]:
        """Return, as JSON values, what a checkpoint and the run that continues from it must have in common."""
        return {
            "task": self._task.name,
            "algorithm": to_data(self._config.algorithm),
            "seeds": list(self._plan.seeds),
            "num_envs": self._plan.num_envs,
            "engine": self._config.engine,
            "actor_keys": _listed(self._config.actor_keys),
            "critic_keys": _listed(self._config.critic_keys),
            "action_repeat": self._plan.action_repeat,
            "discount": self._plan.discount,
            "warm_start": self._plan.warm_start.to_data(),
        }

    @contextlib.contextmanager
    def _explain_mismatch(self, env_steps: int) -> Iterator[None]:
        """Convert errors caused by unexpected content under valid checksums to one line."""
        where = f"{self._directory.path}: the checkpoint at env step {env_steps:,}"
        try:
            yield
        except UserError as error:
            raise UserError(f"{where}: {error}") from error
        except (KeyError, ValueError, TypeError, AttributeError, IndexError, OverflowError) as error:
            raise UserError(f"{where} is inconsistent: {one_line(error)}") from error


def _column(utd: int | Fraction) -> int | float:
    """Return a UTD as tables hold it."""
    return utd if isinstance(utd, int) else float(utd)


def _listed(keys: tuple[str, ...] | None) -> list[str] | None:
    return None if keys is None else list(keys)


def _shares(solved: np.ndarray | None, returns: np.ndarray) -> tuple[float, ...] | None:
    """Return the share of each seed's solved episodes [S, E]; NaN for seeds that diverged, as their returns are."""
    return None if solved is None else tuple(np.where(np.isnan(returns), np.nan, solved).mean(axis=1).tolist())


def _offset(value: Any) -> int:
    """Validate the size of a log in bytes; that a row ends there is checked when the log is truncated."""
    if not isinstance(value, int) or isinstance(value, bool):
        raise UserError(f"a log's offset is {one_line(value)}, expected an integer")
    return value


def _check_identity(stored: dict[str, Any], expected: dict[str, Any]) -> None:
    """Validate that the run is the one that wrote the checkpoint, and that its config.json was not edited since."""
    for name, value in expected.items():
        if (found := stored.get(name)) != value:
            if isinstance(value, dict) and isinstance(found, dict):
                name, value, found = next(
                    (key, value[key], found.get(key)) for key in value if value[key] != found.get(key)
                )
            raise UserError(
                f"this run was trained with {name} {one_line(found)}, but config.json now has {one_line(value)}"
            )
