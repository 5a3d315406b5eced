"""Replay buffers as an append-only log of segments; a checkpoint writes only what is new.

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

_MAX_COUNT = 2**40
"""Limit of transition and frame counts, which keeps arithmetic on them from overflowing."""

_CHUNKS = (8192, 256)
"""Entries copied at a time, for large and for small copies; one compiled program each."""

_MAX_BYTES_ON_DEVICE = 2 * 2**30
"""Bytes of a copy up to which it stays on the device until it is written; a larger one goes to the host at once."""


class ReplayMark(NamedTuple):
    """Amount of data in the log."""

    transitions: int
    frames: tuple[int, ...]
    """Per buffer, since episodes of different environments end at different times."""


NOTHING = ReplayMark(0, ())


def replay_mark(replay: ReplayState) -> ReplayMark:
    """Return the amount of data that has entered the buffers [K]."""
    return ReplayMark(int(replay.num_transitions[0]), tuple(np.asarray(replay.num_frames).tolist()))


def segment_mark(segment: Mapping[str, np.ndarray]) -> ReplayMark:
    """Return the amount of data in a log that ends with ``segment``."""
    return ReplayMark(int(segment["stop"]), tuple((segment["first_frame"] + segment["frame_count"]).tolist()))


def oldest_transition(replay: ReplayState) -> int:
    """Return the smallest number of a transition that any buffer still holds."""
    return int(np.min(np.asarray(replay.oldest)))


def replay_since(replay: ReplayState, mark: ReplayMark) -> dict[str, np.ndarray]:
    """Return a segment: the transitions and frames that entered the buffers [K] after ``mark`` and are still there.

    Arrays: transition numbers start and stop [], with n = stop - start; actions [K, n, A], rewards [K, n], terminated
    [K, n], frame_of [K, n]; frames [sum of frame_count, O], one buffer after the other, first_frame [K] and frame_count
    [K].
    """
    return ReplayCopy(replay, mark).to_arrays()


class ReplayCopy:
    """Device copy of a segment, see ``replay_since``; it outlives the donation of the buffers to the next step."""

    def __init__(self, replay: ReplayState, mark: ReplayMark) -> None:
        now = replay_mark(replay)
        buffers, ring = range(len(now.frames)), replay.frames.shape[1]
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
        stays = entry * len(buffers) * max(len(positions), _CHUNKS[1]) <= _MAX_BYTES_ON_DEVICE
        self._transitions = [_Piece(rings, buffer, positions, stays) for buffer in buffers]
        self._frames = [
            _Piece(frames, buffer, np.arange(first[buffer], now.frames[buffer]) % ring, stays) for buffer in buffers
        ]

    def to_arrays(self) -> dict[str, np.ndarray]:
        """Move the segment to the host; may be called once."""
        transitions, frames = ([piece.take() for piece in pieces] for pieces in (self._transitions, self._frames))
        arrays = {name: np.stack([piece[name] for piece in transitions]) for name in transitions[0]}
        return {**self._numbers, **arrays, "frames": np.concatenate([piece["frames"] for piece in frames])}


class ReplayRings:
    """Buffers [K] rebuilt from the log.

    Args:
        like: Buffers of the same shapes, or the shapes; their capacity may exceed that of the saved buffers.
    """

    def __init__(self, like: ReplayState) -> None:
        self._rings = {name: np.zeros(leaf.shape, leaf.dtype) for name, leaf in like._asdict().items() if leaf.ndim > 1}
        self._counters = {name: leaf for name, leaf in like._asdict().items() if leaf.ndim == 1}

    def write(self, segment: Mapping[str, np.ndarray]) -> None:
        """Write the next segment; all segments together must reach back to the oldest transition.

        Raises:
            UserError: The segment is that of other buffers, or its counts are inconsistent.
        """
        _check_segment(segment, self._rings)
        rings = self._rings
        stop = int(segment["stop"])
        positions = np.arange(stop - segment["rewards"].shape[1], stop) % rings["rewards"].shape[1]
        for name in ("actions", "rewards", "terminated", "frame_of"):
            rings[name][:, positions] = segment[name]
        start = 0
        for buffer, (first, count) in enumerate(zip(segment["first_frame"], segment["frame_count"], strict=True)):
            positions = np.arange(first, first + count) % rings["frames"].shape[1]
            rings["frames"][buffer, positions] = segment["frames"][start : start + count]
            start += count

    def finish(self, counters: Mapping[str, np.ndarray], observation: np.ndarray) -> ReplayState:
        """Return the buffers on the device and free the rings.

        Args:
            counters: Arrays num_frames, num_transitions and oldest, each [K].
            observation: [K, O] observations to act on, the newest frames; segments lack them before the first
                transition.

        Raises:
            UserError: A counter is missing or has another shape or type.
        """
        for name, expected in self._counters.items():
            found = counters.get(name)
            if found is None or found.shape != expected.shape or found.dtype != expected.dtype or (found < 0).any():
                raise UserError(f"the counter {name} of the replay buffer does not fit")
        frames = self._rings["frames"]
        frames[np.arange(len(observation)), (counters["num_frames"] - 1) % frames.shape[1]] = observation
        del frames
        return ReplayState(
            # One by one, so that at most one ring exists twice.
            **{name: jnp.array(self._rings.pop(name)) for name in list(self._rings)},
            **{name: jnp.array(counters[name]) for name in ("num_frames", "num_transitions", "oldest")},
        )


def _check_segment(segment: Mapping[str, np.ndarray], rings: Mapping[str, np.ndarray]) -> None:
    """Validate a segment, whose file may be untrusted, before its numbers are used as sizes and positions."""
    names = {"stop", "first_frame", "frame_count", *rings}
    if missing := sorted(names - segment.keys()):
        raise UserError(f"a replay segment has no array {missing[0]!r}")
    buffers, length = len(rings["rewards"]), segment["rewards"].shape[-1] if segment["rewards"].ndim else 0
    num_frames = len(segment["frames"]) if segment["frames"].ndim else 0
    whole = {"stop": (), "first_frame": (buffers,), "frame_count": (buffers,)}
    shapes = {name: (buffers, length, *ring.shape[2:]) for name, ring in rings.items()} | whole
    shapes["frames"] = (num_frames, *rings["frames"].shape[2:])
    for name, shape in shapes.items():
        found = segment[name]
        kinds = (rings[name].dtype,) if name in rings else (np.dtype(np.int64), np.dtype(np.int32))
        if found.shape != shape or found.dtype not in kinds:
            raise UserError(
                f"a replay segment's {name} is {found.dtype}{list(found.shape)}, expected {kinds[0]}{list(shape)}"
            )
    stop, first, count = (segment[name] for name in whole)
    fits = (
        length <= stop < _MAX_COUNT
        and ((first >= 0) & (first < _MAX_COUNT) & (count >= 0) & (count <= num_frames)).all()
    )
    if not fits or count.sum() != num_frames:
        raise UserError("a replay segment's counts do not fit its arrays")


@jax.jit
def _gather(rings: dict[str, jax.Array], buffer: jax.Array, positions: jax.Array) -> dict[str, jax.Array]:
    return {name: ring[buffer, positions] for name, ring in rings.items()}


class _Piece:
    """Copy of ``ring[buffer, positions]`` of each ring on the device, made without copying whole rings."""

    def __init__(self, rings: dict[str, jax.Array], buffer: int, positions: np.ndarray, stays: bool) -> None:
        self._empty = {name: np.zeros((0, *ring.shape[2:]), ring.dtype) for name, ring in rings.items()}
        self._parts: list[tuple[dict[str, Any], int]] = []
        many, few = _CHUNKS
        chunk = many if len(positions) > many // 4 else few
        for start in range(0, len(positions), chunk):
            wanted = positions[start : start + chunk]
            padded = np.zeros(chunk, np.int32)
            padded[: len(wanted)] = wanted
            part: dict[str, Any] = _gather(rings, np.int32(buffer), padded)
            self._parts.append((part if stays else jax.tree.map(np.asarray, part), len(wanted)))

    def take(self) -> dict[str, np.ndarray]:
        """Return the arrays on the host and free the copy on the device."""
        parts, self._parts = self._parts, []
        return {
            name: np.concatenate([empty, *(np.asarray(part[name])[:length] for part, length in parts)])
            for name, empty in self._empty.items()
        }
