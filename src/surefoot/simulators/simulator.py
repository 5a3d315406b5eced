"""Many environments of one kind as traceable functions of their state, with time limits and next episodes."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import Any, NamedTuple, Self

import jax
import jax.numpy as jnp
import numpy as np

from surefoot.simulators.environments import JaxEnv
from surefoot.tasks.seeding import episode_seed
from surefoot.types import Array, PyTree


class SimulatorState(NamedTuple):
    """State of K environments."""

    env: PyTree
    """[K, ...] the environments' own states."""
    observation: jax.Array
    """[K, O] float32, to act on next."""
    steps: jax.Array
    """[K] int32, control steps of the current episodes so far."""
    episode: jax.Array
    """[K] int32, numbers of the current episodes."""


class Outcome(NamedTuple):
    """Results of one decision in K environments."""

    next_observation: Array
    """[K, O] float32, also at the end of an episode."""
    reward: Array
    """[K] float32, summed over the action repeat."""
    terminated: Array
    """[K] bool"""
    truncated: Array
    """[K] bool, the time limit was reached and the state is not terminal."""
    env_steps: Array
    """[K] int32, control steps taken."""
    success: Array
    """[K] bool; False where success is not reported."""

    @classmethod
    def zeros(cls, slots: int, observation_size: int) -> Self:
        """Return an outcome of nothing, on the host."""
        number, flag = np.zeros(slots, np.float32), np.zeros(slots, bool)
        observation = np.zeros((slots, observation_size), np.float32)
        return cls(observation, number, flag, flag, np.zeros(slots, np.int32), flag)

    @property
    def ended(self) -> Array:
        """[K] bool, terminated or truncated."""
        return self.terminated | self.truncated


class _Own(NamedTuple):
    """Outcome of one environment within a decision."""

    env: PyTree
    steps: jax.Array
    reward: jax.Array
    taken: jax.Array
    terminated: jax.Array


class Simulator:
    """Functions of K environments; the episode of a key and a number is always the same.

    Args:
        env: One environment.
        action_repeat: Control steps per decision.

    Attributes:
        spaces: Observations and actions.
        reports_success: Whether the environments report success.
        horizon: Control steps after which an episode is truncated; None for no limit.
    """

    def __init__(self, env: JaxEnv, action_repeat: int = 1) -> None:
        self._env, self._repeat = env, action_repeat
        self.spaces = env.spaces
        action = env.spaces.action
        self._low, self._high = action.low_array, action.high_array
        self.reports_success = env.reports_success
        self.horizon = env.horizon

    def start(self, keys: jax.Array, episode: Array) -> SimulatorState:
        """Start numbered episodes.

        Args:
            keys: [K] keys of the environments (``slot_keys``).
            episode: [K] numbers of the episodes.
        """
        number = jnp.asarray(episode, jnp.int32)
        with _full_precision():
            return self._start(keys, number)

    def _start(self, keys: jax.Array, number: jax.Array) -> SimulatorState:
        env = jax.vmap(lambda key, episode: self._env.reset(jax.random.fold_in(key, episode)))(keys, number)
        return SimulatorState(env, jax.vmap(self._observe)(env), jnp.zeros_like(number), number)

    def step(self, state: SimulatorState, actions: Array) -> tuple[SimulatorState, Outcome]:
        """Take one decision in every environment; an episode that ends stays at its end.

        Where an episode terminates with numbers that are not finite, the outcome has the previous observation, and such
        a reward counts as 0.

        Args:
            state: Environments whose episodes have not ended.
            actions: [K, A] in [-1, 1].
        """
        with _full_precision():
            own = jax.vmap(self._decide)(state.env, state.steps, actions)
            reading = jax.vmap(self._env.read)(own.env)
            observation = jax.vmap(self._observe)(own.env)
        limit = self._env.horizon
        # A simulation that diverged is over where the environment says so: its last observation is not used.
        apart = own.terminated & ~jnp.isfinite(observation).all(axis=1)
        observation = jnp.where(apart[:, None], state.observation, observation)
        truncated = jnp.zeros_like(own.terminated) if limit is None else (own.steps >= limit) & ~own.terminated
        success = jnp.zeros_like(own.terminated) if reading.success is None else reading.success
        outcome = Outcome(observation, own.reward, own.terminated, truncated, own.taken, success)
        return SimulatorState(own.env, observation, own.steps, state.episode), outcome

    def start_next(self, keys: jax.Array, state: SimulatorState, ended: Array) -> SimulatorState:
        """Start the next episode where the last one has ended, [K] bool.

        First states are computed for all environments, in steps in which an episode ends.
        """

        def start(state: SimulatorState) -> SimulatorState:
            return where(ended, self.start(keys, state.episode + 1), state)

        return jax.lax.cond(ended.any(), start, lambda state: state, state)

    def _decide(self, env: PyTree, steps: jax.Array, action: Array) -> _Own:
        own = _Own(env, steps, jnp.float32(0.0), jnp.int32(0), jnp.bool_(False))
        given = self._from_unit(action)
        own = self._control(own, given)
        if self._repeat == 1:
            return own

        def again(own: _Own, _: None) -> tuple[_Own, None]:
            over = own.terminated
            if self._env.horizon is not None:
                over |= own.steps >= self._env.horizon
            after = self._control(own, given)
            return jax.tree.map(lambda new, old: jnp.where(over, old, new), after, own), None

        return jax.lax.scan(again, own, None, length=self._repeat - 1)[0]

    def _control(self, own: _Own, action: jax.Array) -> _Own:
        env = self._env.step(own.env, action)
        reading = self._env.read(env)
        done, reward = jnp.asarray(reading.done) > 0, jnp.asarray(reading.reward, jnp.float32)
        reward = jnp.where(done & ~jnp.isfinite(reward), 0.0, reward)
        return _Own(env, own.steps + 1, own.reward + reward, own.taken + 1, done)

    def _from_unit(self, action: Array) -> jax.Array:
        """Do what ``ActionSpec.from_unit`` does."""
        shaped = action.reshape(self._low.shape)
        if (self._low == -1.0).all() and (self._high == 1.0).all():
            scaled = shaped
        else:
            scaled = self._low + (shaped + 1.0) * (0.5 * (self._high - self._low))
        return jnp.clip(scaled, self._low, self._high).astype(self._low.dtype)

    def _observe(self, env: PyTree) -> jax.Array:
        observation: Any = self._env.read(env).observation
        parts = [jnp.asarray(part.of(observation), jnp.float32).reshape(-1) for part in self.spaces.observation]
        return parts[0] if len(parts) == 1 else jnp.concatenate(parts)


def slot_keys(task: str, seeds: Sequence[int], environments: Sequence[int | None], stream: str) -> jax.Array:
    """Return the keys [K] of environments, each a function of task, seed, environment and stream."""
    slots = zip(seeds, environments, strict=True)
    return jax.vmap(jax.random.key)(np.array([episode_seed(task, seed, stream, 0, number) for seed, number in slots]))


def _full_precision() -> contextlib.AbstractContextManager[Any]:
    """Return a context in which products are of float32: on a GPU, JAX's default rounds their factors to TF32."""
    # On a CPU float32 is the default, and requesting it would disable the fast library.
    if jax.default_backend() == "cpu" or jax.config.jax_default_matmul_precision is not None:
        return contextlib.nullcontext()
    return jax.default_matmul_precision("float32")


def where(condition: Array, new: PyTree, old: PyTree) -> PyTree:
    """Return the leaves of ``new`` in the environments [K] for which the condition holds, of ``old`` in the others."""
    return jax.tree.map(
        lambda one, other: jnp.where(condition.reshape(-1, *(1,) * (one.ndim - 1)), one, other), new, old
    )
