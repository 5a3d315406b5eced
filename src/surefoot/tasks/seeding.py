"""A seed for every episode, so that an episode is a function of its number and the actions taken in it."""

from __future__ import annotations

import zlib

import numpy as np


def episode_seed(task_name: str, seed: int, stream: str, episode: int) -> int:
    """Return the seed an episode's environment is reset with.

    Every argument changes the result. Names enter through CRC-32, which, unlike Python's `hash`, is the same in every
    process and version; NumPy promises the same of `SeedSequence`.

    Args:
        task_name: `Task.name`.
        seed: the training seed the episode belongs to, at least 0.
        stream: "train" or "evaluate"; the two never share episodes.
        episode: the episode's number within the stream, counted from 0.

    Returns:
        An integer in [0, 2**31), which every simulator's seeding accepts.
    """
    names = (zlib.crc32(task_name.encode()), zlib.crc32(stream.encode()))
    words = np.random.SeedSequence((*names, seed, episode)).generate_state(1, np.uint32)
    return int(words[0]) >> 1
