"""A pendulum written in JAX, with the interface that Brax and MuJoCo Playground share."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp


class State(NamedTuple):
    angle: jax.Array
    speed: jax.Array
    obs: Any
    reward: jax.Array
    done: jax.Array
    info: dict[str, Any]


class Pendulum:
    """Gymnasium's Pendulum-v1; it ends where it reaches ``top_speed``, if given."""

    action_size = 1

    def __init__(self, episode_length: int = 200, top_speed: float | None = None, keys: bool = False) -> None:
        self.episode_length, self._top_speed, self._keys = episode_length, top_speed, keys

    def reset(self, key: jax.Array) -> State:
        key, own = jax.random.split(key)
        angle, speed = jax.random.uniform(own, (2,), minval=jnp.array([-jnp.pi, -1.0]), maxval=jnp.array([jnp.pi, 1.0]))
        return self._state(angle, speed, 0, 0.0, key, 0)

    def step(self, state: State, action: jax.Array) -> State:
        state.info["steps"] += 1  # in place, as Playground's environments do
        torque = 2.0 * action[0]
        angle = (state.angle + jnp.pi) % (2 * jnp.pi) - jnp.pi
        cost = angle**2 + 0.1 * state.speed**2 + 0.001 * torque**2
        speed = jnp.clip(state.speed + (15.0 * jnp.sin(state.angle) + 3.0 * torque) * 0.05, -8.0, 8.0)
        done = False if self._top_speed is None else jnp.abs(speed) > self._top_speed
        return self._state(state.angle + speed * 0.05, speed, -cost, done, **state.info)

    def _state(
        self, angle: jax.Array, speed: jax.Array, reward: Any, done: Any, key: jax.Array, steps: Any, **_: Any
    ) -> State:
        obs: Any = jnp.stack([jnp.cos(angle), jnp.sin(angle), speed])
        if self._keys:
            obs = {"state": obs[:2], "privileged_state": obs}
        upright = (jnp.cos(angle) > 0.99) & (jnp.abs(speed) < 0.5)
        # Of mixed types on purpose, as environments have them: the reward starts as a whole number.
        info = {"key": key, "success": upright, "steps": jnp.asarray(steps)}
        return State(angle, speed, obs, jnp.asarray(reward), jnp.asarray(done), info)
