"""Replay buffers with observations stored once, one for each environment, as pure functions on a pytree.

Consecutive transitions share an observation: observations form a log of *frames*, a transition stores the number of its
frame, and the frame after it is its next observation. An episode of T steps takes T + 1 frames. Both logs are rings
addressed by ever-increasing counters, so that the position of an entry follows from its number alone and a checkpoint
can append only new entries.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from surefoot.types import Batch, EnvSpec, Transition


class ReplayState(NamedTuple):
    """Transitions of one environment: at most R of them, and M frames (at least R + 2)."""

    frames: jax.Array
    """[M, O] float32 or uint8 (``EnvSpec.stored_dtype``). Frame f is at position f modulo M."""
    actions: jax.Array
    """[R, A] float32. Transition t is at position t modulo R, here and below."""
    rewards: jax.Array
    """[R] float32."""
    terminated: jax.Array
    """[R] bool."""
    frame_of: jax.Array
    """[R] int32, the frame number of the transition's observation; its next observation is the frame after."""
    num_frames: jax.Array
    """[] int32, frames written so far. The newest one is the observation to act on."""
    num_transitions: jax.Array
    """[] int32, transitions written so far."""
    oldest: jax.Array
    """[] int32, number of the oldest complete transition."""


def frame_capacity(capacity: int, shortest_episode: int | None) -> int:
    """Return M for a buffer of ``capacity`` transitions.

    Every episode needs one frame more than it has transitions. With a known shortest length (a time limit and no
    termination) the number of frames is exact; otherwise an eighth is added, and with episodes shorter than eight agent
    steps on average the oldest transitions are dropped early.

    Args:
        capacity: R, in transitions.
        shortest_episode: Agent steps of the shortest possible episode; None if it can terminate at any time.
    """
    episodes = capacity // (shortest_episode or 8) + 1
    return capacity + episodes + 2


def nbytes(spec: EnvSpec, capacity: int, frames: int) -> int:
    """Return the size of one environment's buffer in bytes.

    Args:
        spec: Sizes of the environment.
        capacity: R, in transitions.
        frames: M, in frames.
    """
    frame_bytes = np.dtype(spec.stored_dtype).itemsize * spec.observation_size
    return frame_bytes * frames + capacity * (4 * spec.action_size + 4 + 1 + 4) + 12


def init(spec: EnvSpec, capacity: int, frames: int, first_observation: jax.Array) -> ReplayState:
    """Return an empty buffer at the start of the first episode.

    Args:
        spec: Sizes of the environment.
        capacity: R, in transitions.
        frames: M, at least R + 2; see ``frame_capacity``.
        first_observation: [O] float32.
    """
    if frames < capacity + 2:
        raise ValueError(f"frames must be at least capacity + 2 = {capacity + 2}, got {frames}")
    ring = jnp.zeros((frames, spec.observation_size), spec.stored_dtype)
    return ReplayState(
        frames=ring.at[0].set(first_observation.astype(ring.dtype)),
        actions=jnp.zeros((capacity, spec.action_size), jnp.float32),
        rewards=jnp.zeros((capacity,), jnp.float32),
        terminated=jnp.zeros((capacity,), jnp.bool_),
        frame_of=jnp.zeros((capacity,), jnp.int32),
        num_frames=jnp.int32(1),
        num_transitions=jnp.int32(0),
        oldest=jnp.int32(0),
    )


def add(state: ReplayState, transition: Transition) -> ReplayState:
    """Return the buffer with one more transition, from the newest frame to ``transition.next_observation``.

    Args:
        state: Buffer.
        transition: Transition of the environment.
    """
    capacity, frames = state.rewards.shape[0], state.frames.shape[0]
    position = state.num_transitions % capacity
    ended = transition.ended.astype(jnp.int32)
    # Within an episode both writes store the same observation at the same position; a branch would cost more.
    dtype = state.frames.dtype
    ring = state.frames.at[state.num_frames % frames].set(transition.next_observation.astype(dtype))
    ring = ring.at[(state.num_frames + ended) % frames].set(transition.observation.astype(dtype))
    added = state._replace(
        frames=ring,
        actions=state.actions.at[position].set(transition.action),
        rewards=state.rewards.at[position].set(transition.reward),
        terminated=state.terminated.at[position].set(transition.terminated),
        frame_of=state.frame_of.at[position].set(state.num_frames - 1),
        num_frames=state.num_frames + 1 + ended,
        num_transitions=state.num_transitions + 1,
        oldest=jnp.maximum(state.oldest, state.num_transitions + 1 - capacity),
    )
    # At most two frames were written, so at most two transitions lost their first frame.
    return added._replace(oldest=_skip_overwritten(added, _skip_overwritten(added, added.oldest)))


def _skip_overwritten(state: ReplayState, oldest: jax.Array) -> jax.Array:
    """Return ``oldest``, or the transition after it if its first frame has been overwritten."""
    overwritten = state.frame_of[oldest % state.rewards.shape[0]] + state.frames.shape[0] < state.num_frames
    return oldest + overwritten.astype(jnp.int32)


def start_episode(state: ReplayState, observation: jax.Array, starts: jax.Array) -> ReplayState:
    """Return the buffer with a new episode started, without an end of the previous one.

    Args:
        state: Buffer.
        observation: [O], first observation of the new episode.
        starts: [] bool; False leaves the buffer unchanged.
    """
    number = state.num_frames + starts.astype(jnp.int32)
    current = (number - 1) % state.frames.shape[0]
    newest = jnp.where(starts, observation.astype(state.frames.dtype), state.frames[current])
    frames = state.frames.at[current].set(newest)
    started = state._replace(frames=frames, num_frames=number)
    return started._replace(oldest=_skip_overwritten(started, started.oldest))


def sample(states: ReplayState, keys: jax.Array, batch_size: int) -> Batch:
    """Sample a batch [S, B, ...] uniformly from all that the environments of each seed have stored, with replacement.

    Args:
        states: Buffers [K, ...], of which each seed's hold at least one transition.
        keys: [S] random keys.
        batch_size: B.
    """
    seeds, rings = keys.shape[0], states.oldest.shape[0]
    per_seed = rings // seeds
    oldest = states.oldest.reshape(seeds, per_seed)
    stored = states.num_transitions.reshape(seeds, per_seed) - oldest
    ends = jnp.cumsum(stored, axis=1)

    def draw(key: jax.Array, oldest: jax.Array, stored: jax.Array, ends: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Return environments [B] of one seed, and numbers [B] of their transitions."""
        chosen = jax.random.randint(key, (batch_size,), 0, ends[-1])
        if per_seed == 1:
            return jnp.zeros_like(chosen), oldest[0] + chosen
        environment = jnp.searchsorted(ends, chosen, side="right")
        return environment, oldest[environment] + chosen - (ends - stored)[environment]

    environment, number = jax.vmap(draw)(keys, oldest, stored, ends)
    # One gather from the rings of all seeds: taking a seed's rings out first would copy them.
    ring = environment + per_seed * jnp.arange(seeds)[:, None]
    position = number % states.rewards.shape[1]
    frame, frames = states.frame_of[ring, position], states.frames.shape[1]
    return Batch(
        observation=states.frames[ring, frame % frames].astype(jnp.float32),
        action=states.actions[ring, position],
        reward=states.rewards[ring, position],
        next_observation=states.frames[ring, (frame + 1) % frames].astype(jnp.float32),
        terminated=states.terminated[ring, position].astype(jnp.float32),
    )
