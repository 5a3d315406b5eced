"""Warm start of a run: networks of another run, transitions for the replay buffer."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import Self

import jax
import numpy as np

from surefoot.algorithms import Learner, LearnerState
from surefoot.errors import UserError
from surefoot.spaces import EnvSpaces
from surefoot.tasks import Task, VectorEnv
from surefoot.text import printable
from surefoot.training.config import MAX_TRANSITIONS, TrainConfig
from surefoot.training.plan import Plan
from surefoot.training.population import PopulationState
from surefoot.training.warm_start.dataset import Dataset
from surefoot.training.warm_start.dataset_files import read_dataset
from surefoot.training.warm_start.info import COLD_START, WarmStartInfo
from surefoot.training.warm_start.init_from import SourceRun, with_transferred
from surefoot.training.warm_start.transitions import Experience


class WarmStart:
    """Initial networks and transitions, read when this object is made.

    Args:
        config: Configuration of the run.

    Attributes:
        info: Provenance, for config.json and the plan.
        messages: Lines for the user.

    Raises:
        UserError: A source is missing, damaged, too large or does not fit the algorithm.
    """

    def __init__(self, config: TrainConfig) -> None:
        room = config.replay_capacity or MAX_TRANSITIONS
        self.messages: tuple[str, ...] = ()
        self.info = COLD_START
        self._source: SourceRun | None = None
        self._learner: LearnerState | None = None
        self._experience: Experience | None = None
        self._dataset: Dataset | None = None
        if config.init_from is not None:
            self._open_source(config, room)
        if config.prefill is not None:
            algorithm = config.algorithm
            if config.init_from is None and (algorithm.observation_norm or algorithm.reward_scaling):
                raise UserError(
                    f"prefill cannot be used with {algorithm.name}: its running statistics of observations or rewards "
                    "do not include recorded transitions; start from a run with such statistics (init_from), or "
                    "replace the part"
                )
            self._open_dataset(config.prefill, room, config.num_envs)

    @classmethod
    def again(cls, config: TrainConfig, info: WarmStartInfo) -> Self:
        """Read the warm start of a run that was stopped before its first checkpoint.

        Raises:
            UserError: It cannot be read, or has changed since.
        """
        warm_start = cls(config)
        if warm_start.info != info:
            changed = info.init_from or info.prefill
            raise UserError(f"{changed} has changed since this run started from it: start a new run")
        return warm_start

    def _open_source(self, config: TrainConfig, room: int) -> None:
        assert config.init_from is not None
        self._source = source = SourceRun.open(config.init_from)
        source.check(config.algorithm, config.num_seeds, (config.actor_keys, config.critic_keys))
        if config.init_replay:
            if source.held < 1:
                raise UserError(f"the replay buffer of {source.path} is empty: leave init_replay out")
            self._experience = source.experience(room).dealt(len(source.seeds), config.num_envs)
        self.info = WarmStartInfo(
            init_from=str(source.path),
            init_task=source.task,
            init_algorithm=source.algorithm.name,
            init_seeds=source.seeds,
            init_env_steps=source.env_steps,
            init_replay=config.init_replay,
            transitions=0 if self._experience is None else self._experience.rewards.shape[1] * config.num_envs,
            sequences=0 if self._experience is None else self._experience.sequences,
        )
        with_replay = f" and {self.info.transitions:,} transitions" if config.init_replay else ""
        self.messages = (
            *source.skipped,
            f"starts with the networks{with_replay} of {printable(source.path)}, env step {source.env_steps:,}",
        )

    def _open_dataset(self, data: str, room: int, num_envs: int) -> None:
        self._dataset = dataset = read_dataset(data)
        count = len(dataset.rewards)
        if count > room:
            raise UserError(
                f"{data} holds {count:,} transitions, more than the replay buffer's {room:,}: raise replay_capacity"
            )
        self.info = dataclasses.replace(
            self.info,
            prefill=str(Path(data).absolute()) if os.path.exists(data) else data,
            prefill_sha256=dataset.sha256,
            transitions=count // num_envs * num_envs,
            sequences=dataset.sequences(num_envs),
        )
        each = "in each replay buffer" if num_envs == 1 else "for each seed"
        self.messages += (f"starts with {self.info.transitions:,} transitions of {printable(data)} {each}",)

    def fit(self, learner: Learner, num_seeds: int, vector: VectorEnv, task: Task, plan: Plan) -> None:
        """Validate against the environment.

        Raises:
            UserError: Sizes or keys differ, with transitions also action bounds or the action repeat, or, for networks
                of the same task, anything in its spaces.
        """
        if self._source is not None:
            if (difference := self._source.check_spaces(vector.spaces, task.name)) is not None:
                self.messages += (difference,)
            self._learner = self._source.learner(learner, num_seeds)
            if self._experience is not None:
                _check_same_actions(self._source, vector.spaces, task, plan.action_repeat)
                sizes = self._experience.frames[0].shape[1:] + self._experience.actions.shape[2:]
                if sizes != (vector.observation_size, vector.action_size):
                    raise UserError(f"the replay log of {self._source.path} does not fit its networks")
                for frames in self._experience.frames:
                    if (reason := vector.spaces.unstorable(frames)) is not None:
                        raise UserError(f"the replay log of {self._source.path} does not fit: an observation {reason}")
        if self._dataset is not None:
            if (difference := self._dataset.action_difference(vector.spaces)) is not None:
                self.messages += (difference,)
            self._experience = self._dataset.fit(vector.spaces).dealt(1, plan.num_envs)
        if self._experience is not None and len(self._experience.frames) != num_seeds * plan.num_envs:
            self._experience = self._experience.for_seeds(num_seeds)

    def apply(self, state: PopulationState, observation: np.ndarray) -> PopulationState:
        """Return the state of step 0 with the networks and transitions in it; ``fit`` comes first.

        Args:
            state: Fresh state; its replay buffers are deleted where transitions replace them.
            observation: [K, O] first observations of the run.
        """
        if self._learner is not None:
            state = state._replace(learner=with_transferred(state.learner, self._learner))
        if self._experience is not None:
            like = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype), state.replay)
            for leaf in state.replay:
                leaf.delete()  # Frees the memory that the full buffers need.
            state = state._replace(replay=self._experience.fill(like, observation))
        return state


def _check_same_actions(source: SourceRun, spaces: EnvSpaces, task: Task, action_repeat: int) -> None:
    """Validate that stored actions have the same meaning in this run."""
    if source.action_repeat != action_repeat:
        raise UserError(
            f"a transition of {source.path} takes {source.action_repeat} env steps, one of this run {action_repeat}: "
            "leave init_replay out, or set the same action_repeat"
        )
    # Stored actions are in [-1, 1]: of another task's, only the bounds matter, up to the rounding of its dtype.
    there, here = (np.array((spec.low, spec.high)) for spec in (source.spaces.action, spaces.action))
    if not (same := np.isclose(there, here, rtol=1e-6, atol=0.0)).all():
        place = tuple(np.argwhere(~same)[0])
        raise UserError(
            f"{source.path} was trained on {source.task} with action {('low', 'high')[place[0]]}[{place[1]}] "
            f"{there[place]!s}; {task.name} has {here[place]!s}: leave init_replay out"
        )
