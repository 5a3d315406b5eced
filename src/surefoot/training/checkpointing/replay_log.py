"""Replay buffers as an append-only log of segments, so that a checkpoint costs only what is new.

The content of a ring follows from the log, because the position of an entry follows from its number.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from surefoot.errors import UserError
from surefoot.replay import ReplayState

_MOST = 2**40
"""More transitions or frames than any run has; larger counts could overflow."""

_CHUNKS = (8192, 256)
"""Entries copied at a time, where there are many and where there are few: one compiled program each."""

_MOST_ON_DEVICE = 2 * 2**30
"""Bytes of a copy that stay on the device until they are written; of more, each piece goes to the host at once."""


class ReplayMark(NamedTuple):
    """How much of the log has been written: counts that only grow."""

    transitions: int
    frames: tuple[int, ...]
    """Per seed, since episodes of different seeds end at different times."""


NOTHING = ReplayMark(0, ())


def replay_mark(replay: ReplayState) -> ReplayMark:
    """Return how much has entered the buffers [S]."""
    return ReplayMark(int(replay.num_transitions[0]), tuple(np.asarray(replay.num_frames).tolist()))


def segment_mark(segment: Mapping[str, np.ndarray]) -> ReplayMark:
    """Return how much of the log had been written once ``segment`` was."""
    return ReplayMark(int(segment["stop"]), tuple((segment["first_frame"] + segment["frame_count"]).tolist()))


def oldest_transition(replay: ReplayState) -> int:
    """Return the smallest number of a transition that any seed still holds."""
    return int(np.min(np.asarray(replay.oldest)))


def replay_since(replay: ReplayState, mark: ReplayMark) -> dict[str, np.ndarray]:
    """Return what entered the buffers [S] after ``mark`` and is still there, as named arrays.

    Arrays: start and stop [], transition numbers, with n = stop - start; actions [S, n, A], rewards [S, n], terminated
    [S, n], frame_of [S, n]; and of the frames, one seed after the other, frames [sum of counts, O] with first_frame [S]
    and frame_count [S].
    """
    return ReplayCopy(replay, mark).to_arrays()


class ReplayCopy:
    """What ``replay_since`` returns, copied on the device: it outlives the buffers, which the next step gives away."""

    def __init__(self, replay: ReplayState, mark: ReplayMark) -> None:
        now = replay_mark(replay)
        seeds, ring = range(len(now.frames)), replay.frames.shape[1]
        start = max(mark.transitions, oldest_transition(replay))
        first = np.maximum(np.array(mark.frames or [0] * len(now.frames)), np.array(now.frames) - ring)
        self._numbers = {
            "start": np.int64(start),
            "stop": np.int64(now.transitions),
            "first_frame": first,
            "frame_count": np.array(now.frames) - first,
        }
        positions = np.arange(start, now.transitions) % replay.rewards.shape[1]
        rings = {name: getattr(replay, name) for name in ("actions", "rewards", "terminated", "frame_of")}
        frames = {"frames": replay.frames}
        entry = sum(leaf.nbytes // (leaf.shape[0] * leaf.shape[1]) for leaf in (*rings.values(), replay.frames))
        stays = entry * len(seeds) * len(positions) <= _MOST_ON_DEVICE
        self._transitions = [_Piece(rings, seed, positions, stays) for seed in seeds]
        self._frames = [_Piece(frames, seed, np.arange(first[seed], now.frames[seed]) % ring, stays) for seed in seeds]

    def to_arrays(self) -> dict[str, np.ndarray]:
        """Bring it to the host, and let go of the copy on the device; once."""
        transitions, frames = ([piece.take() for piece in pieces] for pieces in (self._transitions, self._frames))
        arrays = {name: np.stack([piece[name] for piece in transitions]) for name in transitions[0]}
        return {**self._numbers, **arrays, "frames": np.concatenate([piece["frames"] for piece in frames])}


class ReplayRings:
    """Buffers [S] while they are rebuilt from the log.

    Args:
        like: buffers of that shape, or their shapes; their capacity may be larger than that of the ones that were
            saved.
    """

    def __init__(self, like: ReplayState) -> None:
        self._rings = {name: np.zeros(leaf.shape, leaf.dtype) for name, leaf in like._asdict().items() if leaf.ndim > 1}
        self._counters = {name: leaf for name, leaf in like._asdict().items() if leaf.ndim == 1}

    def write(self, segment: Mapping[str, np.ndarray]) -> None:
        """Write the next segment; together they must reach back to the oldest transition.

        Raises:
            UserError: the segment is of other buffers, or its numbers do not fit together.
        """
        _check_segment(segment, self._rings)
        rings = self._rings
        stop = int(segment["stop"])
        positions = np.arange(stop - segment["rewards"].shape[1], stop) % rings["rewards"].shape[1]
        for name in ("actions", "rewards", "terminated", "frame_of"):
            rings[name][:, positions] = segment[name]
        begin = 0
        for seed, (first, count) in enumerate(zip(segment["first_frame"], segment["frame_count"], strict=True)):
            places = np.arange(first, first + count) % rings["frames"].shape[1]
            rings["frames"][seed, places] = segment["frames"][begin : begin + count]
            begin += count

    def finish(self, counters: Mapping[str, np.ndarray], observation: np.ndarray) -> ReplayState:
        """Return the buffers on the device, and let go of the rings.

        Args:
            counters: num_frames, num_transitions and oldest, each [S].
            observation: [S, O] to act on, the newest frame; no segment has it before the first transition.

        Raises:
            UserError: a counter is missing or of another shape or type.
        """
        for name, expected in self._counters.items():
            found = counters.get(name)
            if found is None or found.shape != expected.shape or found.dtype != expected.dtype or (found < 0).any():
                raise UserError(f"the counter {name} of the replay buffer does not fit")
        frames = self._rings["frames"]
        frames[np.arange(len(observation)), (counters["num_frames"] - 1) % frames.shape[1]] = observation
        del frames
        return ReplayState(
            # One by one, so that no more than one ring exists twice.
            **{name: jnp.array(self._rings.pop(name)) for name in list(self._rings)},
            **{name: jnp.array(counters[name]) for name in ("num_frames", "num_transitions", "oldest")},
        )


def _check_segment(segment: Mapping[str, np.ndarray], rings: Mapping[str, np.ndarray]) -> None:
    """Refuse a segment before its numbers are used as sizes and places: a checksum says nothing about who made it."""
    names = {"stop", "first_frame", "frame_count", *rings}
    if missing := sorted(names - segment.keys()):
        raise UserError(f"a replay segment has no array {missing[0]!r}")
    seeds, length = len(rings["rewards"]), segment["rewards"].shape[-1] if segment["rewards"].ndim else 0
    num_frames = len(segment["frames"]) if segment["frames"].ndim else 0
    whole = {"stop": (), "first_frame": (seeds,), "frame_count": (seeds,)}
    shapes = {name: (seeds, length, *ring.shape[2:]) for name, ring in rings.items()} | whole
    shapes["frames"] = (num_frames, *rings["frames"].shape[2:])
    for name, shape in shapes.items():
        found = segment[name]
        kinds = (rings[name].dtype,) if name in rings else (np.dtype(np.int64), np.dtype(np.int32))
        if found.shape != shape or found.dtype not in kinds:
            raise UserError(
                f"a replay segment's {name} is {found.dtype}{list(found.shape)}, expected {kinds[0]}{list(shape)}"
            )
    stop, first, count = (segment[name] for name in whole)
    fits = length <= stop < _MOST and ((first >= 0) & (first < _MOST) & (count >= 0) & (count <= num_frames)).all()
    if not fits or count.sum() != num_frames:
        raise UserError("a replay segment's counts do not fit its arrays")


@jax.jit
def _gather(rings: dict[str, jax.Array], seed: jax.Array, positions: jax.Array) -> dict[str, jax.Array]:
    return {name: ring[seed, positions] for name, ring in rings.items()}


class _Piece:
    """A copy of each ring[seed, positions] on the device, made without moving the rest of it."""

    def __init__(self, rings: dict[str, jax.Array], seed: int, positions: np.ndarray, stays: bool) -> None:
        self._empty = {name: np.zeros((0, *ring.shape[2:]), ring.dtype) for name, ring in rings.items()}
        self._parts: list[tuple[dict[str, Any], int]] = []
        many, few = _CHUNKS
        chunk = many if len(positions) > many // 4 else few
        for begin in range(0, len(positions), chunk):
            wanted = positions[begin : begin + chunk]
            padded = np.zeros(chunk, np.int32)
            padded[: len(wanted)] = wanted
            part: dict[str, Any] = _gather(rings, np.int32(seed), padded)
            self._parts.append((part if stays else jax.tree.map(np.asarray, part), len(wanted)))

    def take(self) -> dict[str, np.ndarray]:
        """Return it on the host, and let go of the copy on the device."""
        parts, self._parts = self._parts, []
        return {
            name: np.concatenate([empty, *(np.asarray(part[name])[:length] for part, length in parts)])
            for name, empty in self._empty.items()
        }
