"""What the training loop knows that is not on the device; with the device's state it is all that a checkpoint holds."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from surefoot.errors import UserError
from surefoot.tasks import VectorEnv, VectorStep

_ARRAYS = ("observation", "action", "episode", "episode_return", "last_return", "interval_return", "interval_episodes")
_COUNTERS = ("random_return", "random_episodes", "agent_steps", "wall_seconds")


@dataclass
class HostState:
    """Of S seeds between two agent steps.

    Attributes:
        observation: [S, O] to act on.
        action: [S, A] chosen for it, not yet taken.
        episode: [S] number of each seed's current episode.
        episode_actions: per seed, the actions taken in that episode: with its seed they are the environment's state.
        episode_return: [S] sum of rewards in that episode so far.
        last_return: [S] return of the last finished training episode, NaN before the first.
        interval_return, interval_episodes: [S] sums since the last row of the training log.
        random_return, random_episodes: sums over episodes that ended within the warm-up.
        agent_steps: decisions taken per seed.
        wall_seconds: time spent before this process took over.
    """

    observation: np.ndarray
    action: np.ndarray
    episode: np.ndarray
    episode_actions: list[list[np.ndarray]]
    episode_return: np.ndarray
    last_return: np.ndarray
    interval_return: np.ndarray
    interval_episodes: np.ndarray
    random_return: float = 0.0
    random_episodes: int = 0
    agent_steps: int = 0
    wall_seconds: float = 0.0

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
        )

    def record(self, step: VectorStep, in_warmup: bool) -> None:
        """Take note of what ``self.action`` led to."""
        self.agent_steps += 1
        self.observation = step.observation
        self.episode_return += step.reward
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
            self.episode += ended
            if in_warmup:
                self.random_return += float(self.episode_return[ended].sum())
                self.random_episodes += int(ended.sum())
            self.episode_return[ended] = 0.0

    def take_interval(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the sums since the last row of the training log (returns, episodes) and set them to zero."""
        taken = self.interval_return, self.interval_episodes
        self.interval_return, self.interval_episodes = np.zeros_like(taken[0]), np.zeros_like(taken[1])
        return taken

    def restore_episodes(self, vector: VectorEnv, seeds: Sequence[int], message: Callable[[str], None]) -> np.ndarray:
        """Bring the environments back to where their episodes stood, by replaying the actions since each reset.

        Args:
            vector: S environments.
            seeds: the training seeds, for messages.
            message: takes one line for each seed whose environment did not come back.

        Returns:
            [S] bool, the seeds for which a new episode had to start.
        """
        actions = [
            np.array(taken, np.float32).reshape(len(taken), vector.action_size) for taken in self.episode_actions
        ]
        lost = np.any(vector.restore(self.episode.tolist(), actions) != self.observation, axis=1)
        if not lost.any():
            return lost
        for i in np.flatnonzero(lost):
            message(
                f"seed {seeds[int(i)]}: seed and actions did not bring the environment back to where it was, so "
                "a new episode starts; from here on the run is not the one an uninterrupted one would have been"
            )
        self._abandon(lost)
        actions = [taken[:0] if gone else taken for taken, gone in zip(actions, lost, strict=True)]
        self.observation = vector.restore(self.episode.tolist(), actions)
        return lost

    def _abandon(self, lost: np.ndarray) -> None:
        """Go on to the next episode where ``lost`` [S] says so, without a record of the unfinished one."""
        self.episode += lost
        self.episode_return[lost] = 0.0
        for i in np.flatnonzero(lost):
            self.episode_actions[i].clear()

    @property
    def mean_random_return(self) -> float:
        """Mean return of the warm-up's episodes; NaN if none finished."""
        return self.random_return / self.random_episodes if self.random_episodes else math.nan

    def to_arrays(self) -> dict[str, np.ndarray]:
        """Return copies of all arrays; episodes of different lengths go one after the other."""
        lengths = np.array([len(actions) for actions in self.episode_actions], np.int64)
        taken = [action for actions in self.episode_actions for action in actions]
        flat = np.array(taken, np.float32).reshape(len(taken), self.action.shape[1])
        named = {name: np.array(getattr(self, name)) for name in _ARRAYS}
        return {**named, "episode_actions": flat, "episode_lengths": lengths}

    def counters(self) -> dict[str, Any]:
        """Return what is not an array, as JSON values."""
        return {name: getattr(self, name) for name in _COUNTERS}

    @classmethod
    def restore(cls, arrays: dict[str, np.ndarray], counters: dict[str, Any]) -> Self:
        """Return the state that ``to_arrays`` and ``counters`` described.

        Raises:
            UserError: something is missing.
        """
        try:
            ends = np.cumsum(arrays["episode_lengths"])[:-1]
            actions = [list(part) for part in np.split(arrays["episode_actions"], ends)]
            named: dict[str, Any] = {name: np.array(arrays[name]) for name in _ARRAYS}
            named |= {name: counters[name] for name in _COUNTERS}
            return cls(**named, episode_actions=actions)
        except (KeyError, TypeError, ValueError) as error:
            raise UserError(f"the checkpoint's loop state does not fit: {error}") from error
