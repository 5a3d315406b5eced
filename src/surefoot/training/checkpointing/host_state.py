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
        episodes: [S] numbers of episodes.
        returns: [S] sums of their returns.
        solved: [S] numbers of those solved at their last step; None if no success is reported.
    """

    episodes: np.ndarray
    returns: np.ndarray
    solved: np.ndarray | None


@dataclass
class HostState:
    """State of S seeds between two agent steps, complete together with ``PopulationState``.

    Attributes:
        observation: [S, O] observations to act on.
        action: [S, A] actions chosen for them, not yet taken.
        episode: [S] numbers of the current episodes.
        episode_actions: Actions taken in the current episode, per seed; with the episode's seed they determine the
            state of the environment.
        episode_return: [S] sums of rewards in the current episode so far.
        last_return: [S] returns of the last finished training episode, NaN before the first.
        interval_return, interval_episodes: [S] sums of returns and numbers of episodes finished since the last row of
            the training log.
        interval_solved: [S] numbers of those episodes that were solved at their last step.
        diverged: [S] whether a seed has diverged.
        random_return, random_episodes: Sum of returns and number of episodes finished within the warm-up, all seeds.
        agent_steps: Decisions per seed so far.
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
    def start(cls, observation: np.ndarray, action: np.ndarray) -> Self:
        """Return the state before the first step, at the start of every seed's episode 0."""
        seeds = len(observation)
        return cls(
            observation=observation,
            action=action,
            episode=np.zeros(seeds, np.int64),
            episode_actions=[[] for _ in range(seeds)],
            episode_return=np.zeros(seeds),
            last_return=np.full(seeds, np.nan),
            interval_return=np.zeros(seeds),
            interval_episodes=np.zeros(seeds, np.int64),
            interval_solved=np.zeros(seeds, np.int64),
            diverged=np.zeros(seeds, bool),
        )

    def advance(self, step: VectorStep, in_warmup: bool) -> None:
        """Update the counters with the outcome of ``self.action``."""
        self.agent_steps += 1
        self.observation = step.observation
        self.episode_return += step.reward
        self.has_success = self.has_success or bool(step.reports_success.any())
        ended = step.ended
        for seed, actions in enumerate(self.episode_actions):
            if ended[seed]:
                actions.clear()
            else:
                actions.append(self.action[seed])
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
        taken = FinishedEpisodes(
            self.interval_episodes, self.interval_return, self.interval_solved if self.has_success else None
        )
        self.interval_return, self.interval_episodes = np.zeros_like(taken.returns), np.zeros_like(taken.episodes)
        self.interval_solved = np.zeros_like(self.interval_solved)
        return taken

    def restore_episodes(self, vector: VectorEnv, seeds: Sequence[int], message: Callable[[str], None]) -> np.ndarray:
        """Restore the environments by replaying the actions since each reset.

        Args:
            vector: S environments.
            seeds: Training seeds, for messages.
            message: Called with one line for each seed whose environment could not be restored.

        Returns:
            [S] bool, the seeds whose episode could not be restored and that start a new one.
        """
        actions = [
            np.array(taken, np.float32).reshape(len(taken), vector.action_size) for taken in self.episode_actions
        ]
        abandoned = np.any(vector.restore(self.episode.tolist(), actions) != self.observation, axis=1)
        if not abandoned.any():
            return abandoned
        for i in np.flatnonzero(abandoned):
            message(
                f"seed {seeds[int(i)]}: replaying its actions did not restore the environment, so a new episode "
                "starts; the run differs from an uninterrupted one from here on"
            )
        self._abandon(abandoned)
        actions = [taken[:0] if dropped else taken for taken, dropped in zip(actions, abandoned, strict=True)]
        self.observation = vector.restore(self.episode.tolist(), actions)
        return abandoned

    def _abandon(self, abandoned: np.ndarray) -> None:
        """Start the next episode for the seeds in ``abandoned`` [S], without counting the unfinished one."""
        self.episode += abandoned
        self.episode_return[abandoned] = 0.0
        for i in np.flatnonzero(abandoned):
            self.episode_actions[i].clear()

    @property
    def mean_random_return(self) -> float:
        """Mean return of the episodes finished within the warm-up; NaN if none."""
        return self.random_return / self.random_episodes if self.random_episodes else math.nan

    def to_arrays(self) -> dict[str, np.ndarray]:
        """Return copies of all arrays; the actions of all seeds are concatenated."""
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

    def check(self, seeds: int, observation_size: int, action_size: int) -> None:
        """Validate shapes and types of a restored state.

        Raises:
            UserError: An array or counter has another shape or type.
        """
        like = HostState.start(
            np.zeros((seeds, observation_size), np.float32), np.zeros((seeds, action_size), np.float32)
        )
        for name, expected in vars(like).items():
            found = getattr(self, name)
            if isinstance(expected, np.ndarray):
                fits = found.shape == expected.shape and found.dtype == expected.dtype
            elif isinstance(expected, list):
                fits = len(found) == seeds and all(
                    np.shape(action) == (action_size,) for part in found for action in part
                )
            else:
                fits = isinstance(found, type(expected) | int) and isinstance(found, bool) == isinstance(expected, bool)
            if not fits:
                raise UserError(f"the loop's {name} does not have the expected shape and type")
        if (self.episode < 0).any():
            raise UserError("the loop's episode numbers are negative")
