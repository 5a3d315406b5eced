"""Initial transitions in the layout of the replay buffer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from surefoot.errors import UserError
from surefoot.replay import ReplayState
from surefoot.training.checkpointing.replay_log import ReplayRings


@dataclass(frozen=True)
class Experience:
    """n transitions for each of K replay buffers, oldest first.

    As in the replay buffer, an observation shared by two transitions is stored once: transition t leads from frame
    ``frame_of[t]`` to the next one.

    Attributes:
        actions: [K, n, A] float32 in [-1, 1].
        rewards: [K, n] float32.
        terminated: [K, n] bool.
        frame_of: [K, n] int32.
        frames: [F, O] float32 or uint8 per buffer; F is n plus the buffer's number of unbroken sequences.
    """

    actions: np.ndarray
    rewards: np.ndarray
    terminated: np.ndarray
    frame_of: np.ndarray
    frames: tuple[np.ndarray, ...]

    @property
    def sequences(self) -> int:
        """Number of unbroken sequences, for the buffer with the most."""
        return max(len(frames) for frames in self.frames) - self.rewards.shape[1]

    def for_seeds(self, count: int) -> Experience:
        """Return the transitions of one seed for each of ``count`` seeds; those of one buffer are not copied."""

        def shared(array: np.ndarray) -> np.ndarray:
            return np.broadcast_to(array[None], (count, *array.shape)).reshape(-1, *array.shape[1:])

        return Experience(
            actions=shared(self.actions),
            rewards=shared(self.rewards),
            terminated=shared(self.terminated),
            frame_of=shared(self.frame_of),
            frames=self.frames * count,
        )

    def dealt(self, seeds: int, num_envs: int) -> Experience:
        """Return each seed's transitions in as many buffers as it has environments, in equal parts.

        Where they cannot be dealt out evenly, the oldest are left out.

        Args:
            seeds: S, by which the number of buffers can be divided.
            num_envs: N.

        Raises:
            UserError: There are fewer transitions than environments.
        """
        before = len(self.frames) // seeds
        if before == num_envs:
            return self
        per_buffer = self.rewards.shape[1] * before // num_envs
        if not per_buffer:
            raise UserError(
                f"{self.rewards.shape[1] * before} initial transitions cannot be dealt out to {num_envs} environments"
            )
        parts = [part for seed in range(seeds) for part in self._parts(seed * before, before, num_envs, per_buffer)]
        arrays = {
            name: np.stack([part[name] for part in parts]) for name in ("actions", "rewards", "terminated", "frame_of")
        }
        return Experience(**arrays, frames=tuple(part["frames"] for part in parts))

    def _parts(self, first: int, count: int, parts: int, length: int) -> Iterator[dict[str, np.ndarray]]:
        """Yield parts of equal length of the ``count`` buffers from ``first`` on, one after the other."""
        buffers = slice(first, first + count)
        frames = self.frames[buffers]
        starts = np.cumsum([0, *(len(own) for own in frames[:-1])], dtype=np.int32)
        joined = {
            "actions": np.concatenate(self.actions[buffers]),
            "rewards": np.concatenate(self.rewards[buffers]),
            "terminated": np.concatenate(self.terminated[buffers]),
            "frame_of": np.concatenate(self.frame_of[buffers] + starts[:, None]),
        }
        all_frames, left_out = np.concatenate(frames), len(joined["rewards"]) - parts * length
        for start in range(left_out, len(joined["rewards"]), length):
            part = {name: array[start : start + length] for name, array in joined.items()}
            numbers = part["frame_of"]
            part["frames"] = all_frames[numbers[0] : numbers[-1] + 2]
            part["frame_of"] = numbers - numbers[0]
            yield part

    def fill(self, like: ReplayState, observation: np.ndarray) -> ReplayState:
        """Return buffers [K] that contain these transitions.

        Args:
            like: Empty buffers, or their shapes, that are large enough.
            observation: [K, O] first observations of the run.
        """
        buffers, stored = self.rewards.shape
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
            "num_transitions": np.full(buffers, stored, np.int32),
            "oldest": np.zeros(buffers, np.int32),
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
    """Return the newest transitions of a replay log that all K buffers still hold.

    Args:
        segments: Segments of the log in order, see ``replay_log.replay_since``.
        oldest: [K] number of each buffer's oldest transition.
        most: Maximum number of transitions per buffer.
    """
    stop = int(segments[-1]["stop"])
    wanted = min(most, stop - int(np.max(oldest)))

    def tail(name: str, kind: type) -> np.ndarray:
        return np.concatenate([segment[name] for segment in segments], axis=1)[:, -wanted:].astype(kind)

    numbered = tail("frame_of", np.int32)
    buffers = len(oldest)
    frames, frame_of = [], np.zeros((buffers, wanted), np.int32)
    for buffer in range(buffers):
        numbers, rows = _frames_of(segments, buffer)
        first = numbered[buffer]
        follows = np.zeros(wanted, bool)
        follows[1:] = first[1:] == first[:-1] + 1
        frame_of[buffer] = number_frames(follows)
        own = np.zeros((int(frame_of[buffer, -1]) + 2, rows.shape[1]), rows.dtype)
        for offset in (0, 1):
            own[frame_of[buffer] + offset] = rows[np.searchsorted(numbers, first + offset)]
        frames.append(own)
    return Experience(
        actions=tail("actions", np.float32),
        rewards=tail("rewards", np.float32),
        terminated=tail("terminated", np.bool_),
        frame_of=frame_of,
        frames=tuple(frames),
    )


def _frames_of(segments: Sequence[Mapping[str, np.ndarray]], buffer: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the ascending numbers [F] and the frames [F, O] of one replay buffer in a log."""
    numbers, rows = [], []
    for segment in segments:
        counts = segment["frame_count"]
        start, first, count = int(counts[:buffer].sum()), int(segment["first_frame"][buffer]), int(counts[buffer])
        rows.append(segment["frames"][start : start + count])
        numbers.append(first + np.arange(len(rows[-1])))  # not `count`, which is huge in a malicious file
    return np.concatenate(numbers), np.concatenate(rows)
