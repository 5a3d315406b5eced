"""Environment slots stepped one after another in one process."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from surefoot.errors import EnvironmentFailure, UserError
from surefoot.spaces import EnvSpaces
from surefoot.tasks.rewards import UnusableReward
from surefoot.tasks.seeding import episode_seed
from surefoot.tasks.task import Task
from surefoot.tasks.wrappers import TaskEnv


class VectorStep(NamedTuple):
    """Results of one decision in N environment slots. All arrays are new and never overwritten.

    Attributes:
        next_observation: [N, O] float32, the observation after the action, also at the end of an episode.
        reward: [N] float32, summed over the action repeat.
        terminated: [N] bool, whether the episode ended in a terminal state, whose value is 0.
        truncated: [N] bool, whether the episode was cut off by a time limit; its value continues.
        env_steps: [N] int32, control steps taken.
        success: [N] bool, whether the task counts as solved after the decision; False where that is not reported.
        reports_success: [N] bool, whether the environment reported success or its absence in this step.
        observation: [N, O] float32, the observation for the next action: `next_observation`, or the first observation
            of the next episode if one ended under autoreset.
        active: [N] bool, whether the slot took this step; False after the end of its episode without autoreset. An
            inactive slot has reward 0, no flags, and its last observation.
    """

    next_observation: np.ndarray
    reward: np.ndarray
    terminated: np.ndarray
    truncated: np.ndarray
    env_steps: np.ndarray
    success: np.ndarray
    reports_success: np.ndarray
    observation: np.ndarray
    active: np.ndarray

    @property
    def ended(self) -> np.ndarray:
        """[N] bool, whether the episode ended in this step: terminated or truncated."""
        return self.terminated | self.truncated


def require_equal(spaces: Sequence[EnvSpaces], task_name: str) -> EnvSpaces:
    """Return the spaces of all copies of an environment.

    Raises:
        UserError: They differ.
    """
    first = spaces[0]
    for other in spaces[1:]:
        if (different := first.difference(other)) is not None:
            what, one, another = different
            raise UserError(
                f"task '{task_name}' makes environments whose spaces differ, expected copies of one: {what} is {one}, "
                f"then {another}"
            )
    return first


def require_finite(ids: Sequence[tuple[int, int | None]], observation: np.ndarray, reward: np.ndarray) -> None:
    """Validate observations [N, O] and rewards [N].

    Args:
        ids: [N] seed of each slot, and its number within the seed or None.
        observation: Observations.
        reward: Rewards.

    Raises:
        EnvironmentFailure: A number is not finite.
    """
    for name, finite in (("observation", np.isfinite(observation).all(axis=1)), ("reward", np.isfinite(reward))):
        if not finite.all():
            seed, environment = ids[int(np.argmin(finite))]
            raise EnvironmentFailure(seed, f"the environment returned a non-finite {name}", environment)


class EnvSlots:
    """Environments of one task, each of which plays its own numbered episodes.

    Args:
        task: Task to play.
        seeds: Training seed of each environment.
        stream: "train" or "evaluate".
        action_repeat: Control steps per decision, instead of the task's own.
        autoreset: Whether the step that ends an episode starts the next one.
        environments: Number of each environment within its seed, as `episode_seed` takes it; None for none.

    Attributes:
        spaces: Spaces of the environments.
    """

    def __init__(
        self,
        task: Task,
        seeds: Sequence[int],
        stream: str,
        action_repeat: int | None,
        autoreset: bool,
        environments: Sequence[int | None] | None = None,
    ) -> None:
        """Make the environments.

        Raises:
            UserError: The task cannot be made, or its environments differ in their spaces.
            EnvironmentFailure: Making an environment raised another exception.
        """
        self._task_name, self._stream, self._autoreset = task.name, stream, autoreset
        self._ids = tuple(zip(seeds, [None] * len(seeds) if environments is None else environments, strict=True))
        """Seed and number within it of each environment."""
        self._envs: list[TaskEnv] = []
        try:
            for own in self._ids:
                with _failures_of(*own):
                    self._envs.append(task.make(action_repeat))
            self.spaces = require_equal([env.spaces for env in self._envs], task.name)
        except BaseException:
            self.close()  # environments made so far may hold a robot or a port
            raise
        self._episodes = np.zeros(len(self._envs), np.int64)
        self._running = np.zeros(len(self._envs), bool)
        self._observation = np.zeros((len(self._envs), self.spaces.observation_size), np.float32)

    def __len__(self) -> int:
        """Return the number of environments."""
        return len(self._ids)

    def reset(self, episodes: Sequence[int] | np.ndarray) -> np.ndarray:
        """Start episode `episodes[i]` in slot i and return the first observations, [N, O]."""
        self._episodes = np.array(episodes, np.int64)
        self._running[:] = True
        self._observation = np.stack([self._reset_slot(slot) for slot in range(len(self._envs))])
        return self._observation.copy()

    def step(self, actions: np.ndarray) -> VectorStep:
        """Take one decision in every running slot, `actions` [N, A] in [-1, 1]."""
        slots = len(self._envs)
        reward, env_steps = np.zeros(slots, np.float32), np.zeros(slots, np.int32)
        terminated, truncated, success, reports_success = np.zeros((4, slots), bool)
        next_observation = self._observation.copy()
        active = self._running.copy()
        for slot in np.flatnonzero(active).tolist():
            next_observation[slot], reward[slot], terminated[slot], truncated[slot], info = self._step_slot(
                slot, actions[slot]
            )
            env_steps[slot] = info["env_steps"]
            success[slot], reports_success[slot] = info.get("success", False), "success" in info
        require_finite(self._ids, next_observation, reward)
        observation = next_observation.copy()
        for slot in np.flatnonzero(terminated | truncated).tolist():
            if self._autoreset:
                self._episodes[slot] += 1
                observation[slot] = self._reset_slot(slot)
            else:
                self._running[slot] = False
        self._observation = observation
        return VectorStep(
            next_observation=next_observation,
            reward=reward,
            terminated=terminated,
            truncated=truncated,
            env_steps=env_steps,
            success=success,
            reports_success=reports_success,
            observation=observation.copy(),
            active=active,
        )

    def restore(self, episodes: Sequence[int] | np.ndarray, actions: Sequence[np.ndarray]) -> np.ndarray:
        """Reset slot i to `episodes[i]`, replay `actions[i]` [T_i, A] and return the observations, [N, O].

        They are NaN where the episode ended, or where the environment raised: one that is not a function of its seed
        and actions may be in another state.
        """
        observation = self.reset(episodes)
        for slot in range(len(self._envs)):
            for action in actions[slot]:
                try:
                    observation[slot], _, terminated, truncated, _ = self._step_slot(slot, action)
                except EnvironmentFailure:
                    terminated = True
                if terminated or truncated:
                    self._running[slot] = False
                    break
        self._observation = observation.copy()
        observation[~self._running] = np.nan
        return observation

    def close(self) -> None:
        """Close every environment, ignoring exceptions: they must not hide the reason for closing."""
        for env in self._envs:
            with contextlib.suppress(Exception):
                env.close()
        self._envs = []

    def _reset_slot(self, slot: int) -> np.ndarray:
        seed, environment = self._ids[slot]
        with _failures_of(seed, environment):
            observation, _ = self._envs[slot].reset(
                seed=episode_seed(self._task_name, seed, self._stream, int(self._episodes[slot]), environment)
            )
        self._require_size(slot, observation)
        if not np.isfinite(observation).all():
            raise self._failure(slot, "the environment returned a non-finite observation on reset")
        return observation

    def _step_slot(self, slot: int, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        with _failures_of(*self._ids[slot]):
            step = self._envs[slot].step(action)
        self._require_size(slot, step[0])
        return step

    def _require_size(self, slot: int, observation: np.ndarray) -> None:
        # Without this check, NumPy would broadcast a single number to the whole row.
        if observation.shape != (self.spaces.observation_size,):
            raise self._failure(
                slot,
                f"the environment returned an observation of flat shape {observation.shape}, but its space has "
                f"{(self.spaces.observation_size,)}",
            )

    def _failure(self, slot: int, detail: str) -> EnvironmentFailure:
        seed, environment = self._ids[slot]
        return EnvironmentFailure(seed, detail, environment)


@contextlib.contextmanager
def _failures_of(seed: int, environment: int | None) -> Iterator[None]:
    """Convert any exception of an environment to an `EnvironmentFailure`."""
    try:
        yield
    except UserError:
        raise
    except UnusableReward as error:
        raise EnvironmentFailure(seed, f"the environment returned {error}", environment) from error
    except (Exception, SystemExit) as error:  # the environment is user code
        message = " ".join(str(error).split())
        detail = f"{type(error).__name__}: {message}" if message else type(error).__name__
        raise EnvironmentFailure(seed, detail, environment) from error
