"""Initial transitions in the layout of the replay buffer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from surefoot.replay import ReplayState
from surefoot.training.checkpointing.replay_log import ReplayRings


@dataclass(frozen=True)
class Experience:
    """n transitions for each of S seeds, oldest first.

    As in the replay buffer, an observation shared by two transitions is stored once: transition t leads from frame
    ``frame_of[t]`` to the next one.

    Attributes:
        actions: [S, n, A] float32 in [-1, 1].
        rewards: [S, n] float32.
        terminated: [S, n] bool.
        frame_of: [S, n] int32.
        frames: [F, O] float32 or uint8 per seed; F is n plus the seed's number of unbroken sequences.
    """

    actions: np.ndarray
    rewards: np.ndarray
    terminated: np.ndarray
    frame_of: np.ndarray
    frames: tuple[np.ndarray, ...]

    @property
    def sequences(self) -> int:
        """Number of unbroken sequences, for the seed with the most."""
        return max(len(frames) for frames in self.frames) - self.rewards.shape[1]

    def for_seeds(self, count: int) -> Experience:
        """Return the transitions of one seed for each of ``count`` seeds, without copying them."""

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
        """Return buffers [S] that contain these transitions.

        Args:
            like: Empty buffers, or their shapes, that are large enough.
            observation: [S, O] first observations of the run.
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
                "frames": np.concatenate(self.frames).astype(like.frames.dtype, copy=False),
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
        follows: [n] bool, whether a transition starts with the last frame of the previous one; the first entry is
            ignored.
    """
    starts = ~follows
    starts[:1] = True
    return np.arange(len(follows), dtype=np.int32) + np.cumsum(starts, dtype=np.int32) - 1


def newest(segments: Sequence[Mapping[str, np.ndarray]], oldest: np.ndarray, most: int) -> Experience:
    """Return the newest transitions of a replay log that all S seeds still hold.

    Args:
        segments: Segments of the log in order, see ``replay_log.replay_since``.
        oldest: [S] number of each seed's oldest transition.
        most: Maximum number of transitions.
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
        own = np.zeros((int(frame_of[seed, -1]) + 2, rows.shape[1]), rows.dtype)
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
    """Return the ascending numbers [F] and the frames [F, O] of one seed in a log."""
    numbers, rows = [], []
    for segment in segments:
        counts = segment["frame_count"]
        start, first, count = int(counts[:seed].sum()), int(segment["first_frame"][seed]), int(counts[seed])
        rows.append(segment["frames"][start : start + count])
        numbers.append(first + np.arange(len(rows[-1])))  # not `count`, which is huge in a malicious file
    return np.concatenate(numbers), np.concatenate(rows)
