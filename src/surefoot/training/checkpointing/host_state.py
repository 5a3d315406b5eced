"""State of the training loop on the host."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Self

import numpy as np

from surefoot.errors import UserError
from surefoot.tasks import VectorEnv, VectorStep

_ARRAYS = (
    *("observation", "action", "episode", "episode_return", "last_return", "interval_return", "interval_episodes"),
    *("interval_solved", "diverged"),
)
_COUNTERS = ("random_return", "random_episodes", "agent_steps", "wall_seconds", "has_success")


class FinishedEpisodes(NamedTuple):
    """Training episodes finished in an interval.

    Attributes:
        episodes: [S] numbers of episodes, in all environments of a seed.
        returns: [S] sums of their returns.
        solved: [S] numbers of those solved at their last step; None if no success is reported.
    """

    episodes: np.ndarray
    returns: np.ndarray
    solved: np.ndarray | None


@dataclass
class HostState:
    """State of S seeds and their K environments between two vector steps, complete together with ``PopulationState``.

    Attributes:
        observation: [K, O] observations to act on.
        action: [K, A] actions chosen for them, not yet taken.
        episode: [K] numbers of the current episodes.
        episode_actions: Actions taken in the current episode, per environment; with the episode's seed they determine
            the environment's state.
        episode_return: [K] sums of rewards in the current episode so far.
        last_return: [K] returns of the last finished training episode, NaN before the first.
        interval_return, interval_episodes: [K] sums of returns and numbers of episodes finished since the last row of
            the training log.
        interval_solved: [K] numbers of those episodes that were solved at their last step.
        diverged: [S] whether a seed has diverged.
        random_return, random_episodes: Sum of returns and number of episodes finished within the warm-up, all seeds.
        agent_steps: Decisions per seed so far, in all of its environments.
        wall_seconds: Seconds spent by earlier processes of the run.
        has_success: Whether an environment has reported success or its absence so far, in training or evaluation.
    """

    observation: np.ndarray
    action: np.ndarray
    episode: np.ndarray
    episode_actions: list[list[np.ndarray]]
    episode_return: np.ndarray
    last_return: np.ndarray
    interval_return: np.ndarray
    interval_episodes: np.ndarray
    interval_solved: np.ndarray
    diverged: np.ndarray
    random_return: float = 0.0
    random_episodes: int = 0
    agent_steps: int = 0
    wall_seconds: float = 0.0
    has_success: bool = False

    @classmethod
    def start(cls, observation: np.ndarray, action: np.ndarray, num_envs: int = 1) -> Self:
        """Return the state before the first step, at the start of every environment's episode 0.

        Args:
            observation: [K, O] observations to act on.
            action: [K, A] actions chosen for them.
            num_envs: N, environments per seed.
        """
        slots = len(observation)
        return cls(
            observation=observation,
            action=action,
            episode=np.zeros(slots, np.int64),
            episode_actions=[[] for _ in range(slots)],
            episode_return=np.zeros(slots),
            last_return=np.full(slots, np.nan),
            interval_return=np.zeros(slots),
            interval_episodes=np.zeros(slots, np.int64),
            interval_solved=np.zeros(slots, np.int64),
            diverged=np.zeros(slots // num_envs, bool),
        )

    def advance(self, step: VectorStep, in_warmup: bool) -> None:
        """Update the counters with the outcome of ``self.action``."""
        self.agent_steps += len(self.action) // len(self.diverged)
        self.observation = step.observation
        self.episode_return += step.reward
        self.has_success = self.has_success or bool(step.reports_success.any())
        ended = step.ended
        for slot, actions in enumerate(self.episode_actions):
            if ended[slot]:
                actions.clear()
            else:
                actions.append(self.action[slot])
        if ended.any():
            self.last_return[ended] = self.episode_return[ended]
            self.interval_return[ended] += self.episode_return[ended]
            self.interval_episodes += ended
            self.interval_solved += ended & step.success
            self.episode += ended
            if in_warmup:
                self.random_return += float(self.episode_return[ended].sum())
                self.random_episodes += int(ended.sum())
            self.episode_return[ended] = 0.0

    def take_interval(self) -> FinishedEpisodes:
        """Return the sums since the last row of the training log and set them to zero."""
        episodes, returns, solved = (
            array.reshape(len(self.diverged), -1).sum(axis=1)
            for array in (self.interval_episodes, self.interval_return, self.interval_solved)
        )
        for array in (self.interval_episodes, self.interval_return, self.interval_solved):
            array[:] = 0
        return FinishedEpisodes(episodes, returns, solved if self.has_success else None)

    def restore_episodes(self, vector: VectorEnv, names: Sequence[str], message: Callable[[str], None]) -> np.ndarray:
        """Restore the environments by replaying the actions since each reset.

        Args:
            vector: K environments.
            names: Their seeds and numbers, for messages.
            message: Called with one line for each environment that could not be restored.

        Returns:
            [K] bool, the environments whose episode could not be restored and that start a new one.
        """
        actions = [
            np.array(taken, np.float32).reshape(len(taken), vector.action_size) for taken in self.episode_actions
        ]
        abandoned = np.zeros(vector.num_envs, bool)
        while True:
            observation = vector.restore(self.episode.tolist(), actions)
            differs = np.any(observation != self.observation, axis=1) & ~abandoned
            if not differs.any():
                break
            for i in np.flatnonzero(differs):
                message(
                    f"{names[int(i)]}: replaying its actions did not restore the environment, so a new episode starts; "
                    "the run differs from an uninterrupted one from here on"
                )
            self._abandon(differs)
            actions = [taken[:0] if dropped else taken for taken, dropped in zip(actions, differs, strict=True)]
            abandoned |= differs
        self.observation = observation
        return abandoned

    def _abandon(self, abandoned: np.ndarray) -> None:
        """Start the next episode of the environments in ``abandoned`` [K], without counting the unfinished one."""
        self.episode += abandoned
        self.episode_return[abandoned] = 0.0
        for i in np.flatnonzero(abandoned):
            self.episode_actions[i].clear()

    @property
    def mean_random_return(self) -> float:
        """Mean return of the episodes finished within the warm-up; NaN if none."""
        return self.random_return / self.random_episodes if self.random_episodes else math.nan

    def to_arrays(self) -> dict[str, np.ndarray]:
        """Return copies of all arrays; the actions of all environments are concatenated."""
        lengths = np.array([len(actions) for actions in self.episode_actions], np.int64)
        taken = [action for actions in self.episode_actions for action in actions]
        flat = np.array(taken, np.float32).reshape(len(taken), self.action.shape[1])
        named = {name: np.array(getattr(self, name)) for name in _ARRAYS}
        return {**named, "episode_actions": flat, "episode_lengths": lengths}

    def counters(self) -> dict[str, Any]:
        """Return the counters as JSON values."""
        return {name: getattr(self, name) for name in _COUNTERS}

    @classmethod
    def restore(cls, arrays: dict[str, np.ndarray], counters: dict[str, Any]) -> Self:
        """Return the state from ``to_arrays`` and ``counters``.

        Raises:
            UserError: Something is missing.
        """
        try:
            ends = np.cumsum(arrays["episode_lengths"])[:-1]
            actions = [list(part) for part in np.split(arrays["episode_actions"], ends)]
            named: dict[str, Any] = {name: np.array(arrays[name]) for name in _ARRAYS}
            named |= {name: counters[name] for name in _COUNTERS}
            return cls(**named, episode_actions=actions)
        except (KeyError, TypeError, ValueError) as error:
            raise UserError(f"the loop state is inconsistent: {error}") from error

    @property
    def last_returns(self) -> np.ndarray:
        """[S] mean of each seed's environments' last finished training episodes, NaN before the first."""
        by_seed = self.last_return.reshape(len(self.diverged), -1)
        finished = ~np.isnan(by_seed)
        with np.errstate(invalid="ignore"):  # 0 / 0 before the first episode
            return np.where(finished, by_seed, 0.0).sum(axis=1) / finished.sum(axis=1)

    def check(self, seeds: int, num_envs: int, observation_size: int, action_size: int) -> None:
        """Validate shapes and types of a restored state.

        Raises:
            UserError: An array or counter has another shape or type.
        """
        slots = seeds * num_envs
        like = HostState.start(
            np.zeros((slots, observation_size), np.float32), np.zeros((slots, action_size), np.float32), num_envs
        )
        for name, expected in vars(like).items():
            found = getattr(self, name)
            if isinstance(expected, np.ndarray):
                fits = found.shape == expected.shape and found.dtype == expected.dtype
            elif isinstance(expected, list):
                fits = len(found) == slots and all(
                    np.shape(action) == (action_size,) for part in found for action in part
                )
            else:
                fits = isinstance(found, type(expected) | int) and isinstance(found, bool) == isinstance(expected, bool)
            if not fits:
                raise UserError(f"the loop's {name} does not have the expected shape and type")
        if (self.episode < 0).any():
            raise UserError("the loop's episode numbers are negative")
