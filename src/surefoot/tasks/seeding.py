"""Seeds of episodes."""

from __future__ import annotations

import zlib

import numpy as np


def episode_seed(task_name: str, seed: int, stream: str, episode: int, environment: int | None = None) -> int:
    """Return the seed with which an episode's environment is reset.

    Every argument changes the result. Names enter through CRC-32, which, unlike Python's `hash`, is the same in every
    process and version; NumPy guarantees the same for `SeedSequence`.

    Args:
        task_name: `Task.name`.
        seed: Training seed of the episode, at least 0.
        stream: "train" or "evaluate"; their episodes are disjoint.
        episode: Episode number within the stream, counted from 0.
        environment: Number of the environment within its training seed; 0 is the same as None.

    Returns:
        An integer in [0, 2**31), which every simulator accepts.
    """
    own = (environment,) if environment else ()
    names = (zlib.crc32(task_name.encode()), zlib.crc32(stream.encode()))
    words = np.random.SeedSequence((*names, seed, episode, *own)).generate_state(1, np.uint32)
    return int(words[0]) >> 1
