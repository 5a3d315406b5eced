"""Samples from the buffer of one environment."""

from __future__ import annotations

import jax

from surefoot import replay
from surefoot.replay import ReplayState
from surefoot.types import Batch


def sample_one(state: ReplayState, key: jax.Array, batch_size: int) -> Batch:
    """Return a batch [B, ...] from one buffer."""
    batch = replay.sample(jax.tree.map(lambda leaf: leaf[None], state), key[None], batch_size)
    return jax.tree.map(lambda leaf: leaf[0], batch)
