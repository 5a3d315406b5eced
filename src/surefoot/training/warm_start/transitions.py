"""Transitions that were made elsewhere, in the form in which a replay buffer keeps them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from surefoot.replay import ReplayState
from surefoot.training.checkpointing.replay_log import ReplayRings


@dataclass(frozen=True)
class Experience:
    """n transitions for each of S seeds, oldest first.

    An observation that ends one transition and begins the next is there once, as in the replay buffer: transition t
    leads from frame ``frame_of[t]`` to the frame after it.

    Attributes:
        actions: [S, n, A] float32 in [-1, 1].
        rewards: [S, n] float32.
        terminated: [S, n] bool.
        frame_of: [S, n] int32.
        frames: per seed, [F, O] float32; F is n plus the seed's number of unbroken stretches.
    """

    actions: np.ndarray
    rewards: np.ndarray
    terminated: np.ndarray
    frame_of: np.ndarray
    frames: tuple[np.ndarray, ...]

    @property
    def stretches(self) -> int:
        """How many frames more than transitions there are, for the seed with the most."""
        return max(len(frames) for frames in self.frames) - self.rewards.shape[1]

    def for_seeds(self, count: int) -> Experience:
        """Return the transitions of one seed as those of ``count`` seeds, in the same memory."""

        def shared(array: np.ndarray) -> np.ndarray:
            return np.broadcast_to(array[:1], (count, *array.shape[1:]))

        return Experience(
            actions=shared(self.actions),
            rewards=shared(self.rewards),
            terminated=shared(self.terminated),
            frame_of=shared(self.frame_of),
            frames=self.frames[:1] * count,
        )

    def fill(self, like: ReplayState, observation: np.ndarray) -> ReplayState:
        """Return buffers [S] that hold these transitions and know the observation at which the run begins.

        Args:
            like: empty buffers, or their shapes, with room for all of it.
            observation: [S, O] first observations.
        """
        seeds, stored = self.rewards.shape
        counts = np.array([len(frames) for frames in self.frames], np.int32)
        rings = ReplayRings(like)
        rings.write(
            {
                "stop": np.array(stored),
                "actions": self.actions,
                "rewards": self.rewards,
                "terminated": self.terminated,
                "frame_of": self.frame_of,
                "frames": np.concatenate(self.frames),
                "first_frame": np.zeros_like(counts),
                "frame_count": counts,
            }
        )
        counters = {
            "num_frames": counts + 1,
            "num_transitions": np.full(seeds, stored, np.int32),
            "oldest": np.zeros(seeds, np.int32),
        }
        return rings.finish(counters, observation)


def number_frames(follows: np.ndarray) -> np.ndarray:
    """Return the frame number [n] of each transition's observation, counted from 0.

    Args:
        follows: [n] bool, whether a transition begins with the very frame that ended the one before it; the first
            one's entry is ignored.
    """
    begins = ~follows
    begins[:1] = True
    return np.arange(len(follows), dtype=np.int32) + np.cumsum(begins, dtype=np.int32) - 1


def newest(segments: Sequence[Mapping[str, np.ndarray]], oldest: np.ndarray, most: int) -> Experience:
    """Return the newest transitions of a replay log that all S seeds still hold.

    Args:
        segments: of the log, in order, as ``checkpoint.replay_since`` makes them.
        oldest: [S] number of each seed's oldest whole transition.
        most: transitions to return at most.
    """
    stop = int(segments[-1]["stop"])
    wanted = min(most, stop - int(np.max(oldest)))

    def tail(name: str, kind: type) -> np.ndarray:
        return np.concatenate([segment[name] for segment in segments], axis=1)[:, -wanted:].astype(kind)

    numbered = tail("frame_of", np.int32)
    seeds = len(oldest)
    frames, frame_of = [], np.zeros((seeds, wanted), np.int32)
    for seed in range(seeds):
        numbers, rows = _frames_of(segments, seed)
        first = numbered[seed]
        follows = np.zeros(wanted, bool)
        follows[1:] = first[1:] == first[:-1] + 1
        frame_of[seed] = number_frames(follows)
        own = np.zeros((int(frame_of[seed, -1]) + 2, rows.shape[1]), np.float32)
        for offset in (0, 1):
            own[frame_of[seed] + offset] = rows[np.searchsorted(numbers, first + offset)]
        frames.append(own)
    return Experience(
        actions=tail("actions", np.float32),
        rewards=tail("rewards", np.float32),
        terminated=tail("terminated", np.bool_),
        frame_of=frame_of,
        frames=tuple(frames),
    )


def _frames_of(segments: Sequence[Mapping[str, np.ndarray]], seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the numbers [F], ascending, and the frames [F, O] that a log holds of one seed."""
    numbers, rows = [], []
    for segment in segments:
        counts = segment["frame_count"]
        begin, first, count = int(counts[:seed].sum()), int(segment["first_frame"][seed]), int(counts[seed])
        rows.append(segment["frames"][begin : begin + count])
        numbers.append(first + np.arange(len(rows[-1])))  # not of `count`, which a stranger's file may make huge
    return np.concatenate(numbers), np.concatenate(rows)
