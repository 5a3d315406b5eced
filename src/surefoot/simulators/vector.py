"""Vectors of environments written in JAX."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from surefoot.errors import UserError
from surefoot.simulators.environments import JaxEnv
from surefoot.simulators.simulator import Outcome, Simulator, SimulatorState, slot_keys, where
from surefoot.tasks.rendering import Camera, View
from surefoot.tasks.slots import VectorStep, require_finite
from surefoot.tasks.vector import VectorEnv
from surefoot.tasks.wrappers import Advance
from surefoot.types import Array


@functools.lru_cache(maxsize=1)
def shared_environment(make: Callable[[], JaxEnv]) -> JaxEnv:
    """Return one environment for the vectors of a task: tracing a physics engine takes seconds."""
    return make()


@functools.lru_cache(maxsize=1)
def _compiled(make: Callable[[], JaxEnv]) -> tuple[Simulator, Callable[..., Any], Callable[..., Any]]:
    """Return the functions of a single environment, compiled once for all copies of it."""
    simulator = Simulator(shared_environment(make))
    return simulator, jax.jit(simulator.start), jax.jit(simulator.step)


class _Same:
    """An environment as a key of a cache: by identity, since a class may compare by value and have no hash."""

    def __init__(self, env: JaxEnv) -> None:
        self.env = env

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and other.env is self.env

    def __hash__(self) -> int:
        return id(self.env)


@functools.lru_cache(maxsize=4)
def _vector_programs(
    key: _Same, action_repeat: int, autoreset: bool
) -> tuple[Simulator, Callable[..., Any], Callable[..., Any]]:
    """Return the functions of environments, compiled once for all vectors of equal size."""
    simulator = Simulator(key.env, action_repeat)

    def advance(
        keys: jax.Array, state: SimulatorState, actions: jax.Array, running: jax.Array
    ) -> tuple[SimulatorState, Outcome, jax.Array]:
        """Return the next state, the outcome and the observations to act on; slots that do not run stay as they are."""
        stepped, outcome = simulator.step(state, actions)
        if autoreset:
            stepped = simulator.start_next(keys, stepped, outcome.ended & running)
        stepped = where(running, stepped, state)
        idle = Outcome(state.observation, *(jnp.zeros_like(field) for field in outcome[1:]))
        return stepped, where(running, outcome, idle), stepped.observation

    return simulator, jax.jit(simulator.start), jax.jit(advance)


class JaxVectorEnv(VectorEnv):
    """Slots stepped on JAX's default device.

    Each step is one call of a compiled program. Training does without: it steps ``simulator`` within its own program
    (``training.compiled_steps``), and exchanges the state through ``state``.

    Args:
        env: One environment.
        task: Name of the task.
        slot_seeds: Training seed of each slot.
        stream: "train" or "evaluate".
        action_repeat: Control steps per decision.
        autoreset: Whether the step that ends an episode starts the next one.
        environments: Number of each slot within its seed; None for none.

    Attributes:
        simulator: Functions of the environments.
        keys: [K] keys of the environments.
        state: State of the environments.
    """

    state: SimulatorState

    def __init__(
        self,
        env: JaxEnv,
        task: str,
        slot_seeds: Sequence[int],
        stream: str,
        action_repeat: int,
        autoreset: bool,
        environments: Sequence[int | None] | None,
    ) -> None:
        super().__init__(len(slot_seeds), 0, autoreset)
        self._ids = tuple(zip(slot_seeds, environments or [None] * len(slot_seeds), strict=True))
        self.simulator, self._start, self._step = _vector_programs(_Same(env), action_repeat, autoreset)
        self.keys = slot_keys(task, slot_seeds, [number for _, number in self._ids], stream)
        self.spaces, self.horizon = self.simulator.spaces, self.simulator.horizon
        self._running = np.zeros(len(slot_seeds), bool)
        self._result: tuple[Outcome, jax.Array]

    def state_shapes(self) -> SimulatorState:
        """Return the shapes of ``state``."""
        shapes: SimulatorState = jax.eval_shape(self.simulator.start, self.keys, self.episodes)
        return shapes

    def restore_state(self, state: SimulatorState) -> None:
        """Continue from a state."""
        self.state = state
        self.episodes = np.array(state.episode, np.int64)
        self._running[:] = True

    def step_async(self, actions: np.ndarray) -> None:
        """Start a step on the device."""
        self.state, *result = self._step(self.keys, self.state, actions, self._running)
        self._result = result[0], result[1]

    def close(self) -> None:
        """Do nothing: the state is freed with this object."""

    def as_step(self, outcome: Outcome, observation: Array) -> VectorStep:
        """Return an outcome as arrays on the host, with the observations [K, O] to act on next."""
        host: Any = jax.tree.map(np.array, outcome)
        active = self._running.copy()
        return VectorStep(
            next_observation=host.next_observation,
            reward=host.reward,
            terminated=host.terminated,
            truncated=host.truncated,
            env_steps=host.env_steps,
            success=host.success,
            reports_success=active & self.simulator.reports_success,
            observation=np.array(observation),
            active=active,
        )

    def require_finite(self, observation: np.ndarray, reward: np.ndarray) -> None:
        """Raise an error if an observation [K, O] or a reward [K] is not finite.

        Raises:
            EnvironmentFailure: One is not.
        """
        require_finite(self._ids, observation, reward)

    def _reset(self, episodes: np.ndarray) -> np.ndarray:
        self.state = self._start(self.keys, episodes)
        self._running[:] = True
        observation = np.array(self.state.observation)
        self.require_finite(observation, np.zeros(len(observation), np.float32))
        return observation

    def _finish_step(self) -> VectorStep:
        step = self.as_step(*self._result)
        self.require_finite(step.next_observation, step.reward)
        self.require_finite(step.observation, step.reward)
        if not self._autoreset:
            self._running &= ~step.ended
        return step

    def _restore(self, episodes: np.ndarray, actions: Sequence[np.ndarray]) -> np.ndarray:
        self._reset(episodes)
        lengths = np.array([len(own) for own in actions])
        rows = np.zeros((self.num_envs, self.action_size), np.float32)
        for step in range(lengths.max(initial=0)):
            self._running = lengths > step
            for slot in np.flatnonzero(self._running):
                rows[slot] = actions[int(slot)][step]
            self.step_async(rows)
            self._finish_step()
        self._running = np.ones(self.num_envs, bool)  # the episodes are unfinished ones
        return np.array(self.state.observation)


class JaxSimulation:
    """A single environment written in JAX, in control steps.

    Args:
        make: Factory of the environment.
        task: Name of the task.
    """

    def __init__(self, make: Callable[[], JaxEnv], task: str) -> None:
        self._task = task
        self._simulator, self._start, self._step = _compiled(make)
        self.spaces = self._simulator.spaces
        self._solved: bool | None = None
        self._state: SimulatorState

    def reset(self, seed: int) -> None:
        """Start the episode of ``seed``."""
        self._state = self._start(jax.random.key(seed)[None], np.zeros(1, np.int32))
        self._solved = None

    def advance(self, action: np.ndarray) -> Advance:
        """Take one control step."""
        self._state, outcome = self._step(self._state, self.spaces.action.to_unit(action.reshape(1, -1)))
        self._solved = bool(outcome.success[0]) if self._simulator.reports_success else None
        return Advance(float(outcome.reward[0]), bool(outcome.terminated[0]), bool(outcome.truncated[0]))

    def observe(self) -> np.ndarray:
        """Return the current observation, [O] float32."""
        return np.array(self._state.observation[0])

    def solved(self) -> bool | None:
        """Return whether the task counts as solved; None if the environment does not report it."""
        return self._solved

    def control_seconds(self) -> None:
        """Return None: environments written in JAX do not tell."""

    def camera(self, view: View) -> Camera:
        """Raise an error: pictures of environments written in JAX are not supported."""
        raise UserError(f"task '{self._task}' is written in JAX and cannot be filmed")

    def close(self) -> None:
        """Do nothing."""
