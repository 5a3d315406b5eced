"""Many vector steps of environments written in JAX in one compiled program, without a round trip to the host.

The program steps the environments, stores, updates and acts, for a number of vector steps that is an argument, so that
all of a run compile once. It ends early where an environment returns a number that is not finite, or a seed diverges:
the host reports both at their step.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable
from fractions import Fraction
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from surefoot.simulators.simulator import Outcome, Simulator, SimulatorState
from surefoot.simulators.vector import JaxVectorEnv
from surefoot.tasks import VectorStep
from surefoot.training.checkpointing.host_state import HostState
from surefoot.training.plan import Plan
from surefoot.training.population import Population, PopulationState
from surefoot.types import Array, Transition

_SECONDS = 0.25
"""Duration of a call that the number of its vector steps approaches: signals and displays wait for its end."""

_CACHED_PROGRAMS = 4
"""Programs that a process keeps."""


class _Episodes(NamedTuple):
    """What ``HostState`` counts, during a call."""

    episode_return: jax.Array
    """[K] float32"""
    last_return: jax.Array
    """[K] float32"""
    interval_return: jax.Array
    """[K] float32"""
    interval_episodes: jax.Array
    """[K] int32"""
    interval_solved: jax.Array
    """[K] int32"""
    random_return: jax.Array
    """[] float32"""
    random_episodes: jax.Array
    """[] int32"""


class _Numbers(NamedTuple):
    """Numbers of a run that its program contains."""

    seeds: int
    """S."""
    num_envs: int
    """N, environments per seed."""
    warmup: int
    """Vector steps before the first update."""
    random: int
    """Vector steps with uniform actions."""
    updates: int
    """Updates in a vector step that has any."""
    every: int
    """Vector steps per update, where there is less than one in each."""


class _Carry(NamedTuple):
    state: PopulationState
    simulator: SimulatorState
    action: jax.Array
    """[K, A], not yet taken."""
    last_action: jax.Array
    """[K, A] of the last step."""
    last: Outcome
    """Of the last step."""
    episodes: _Episodes
    diverged: jax.Array
    """[S] bool"""
    faulty: jax.Array
    """[2, K] bool, whether an observation or a reward was not finite."""
    grad_steps: jax.Array
    """[] int32"""
    vector_steps: jax.Array
    """[] int32, since the start of the run."""


class CompiledSteps:
    """Vector steps of one run.

    Args:
        population: Functions of the learners.
        vector: K environments.
        plan: Resolved numbers of the run.
        utd: Gradient updates per transition.
    """

    def __init__(self, population: Population, vector: JaxVectorEnv, plan: Plan, utd: int | Fraction) -> None:
        self._vector, self._plan = vector, plan
        per_vector_step = Fraction(utd) * plan.num_envs
        numbers = _Numbers(
            seeds=len(plan.seeds),
            num_envs=plan.num_envs,
            warmup=plan.warmup_steps // plan.num_envs,
            random=plan.random_steps // plan.num_envs,
            updates=max(1, per_vector_step.numerator // per_vector_step.denominator),
            every=per_vector_step.denominator,
        )
        self._run = _program(population, vector.simulator, numbers)
        self._length = 1

    def run(
        self, state: PopulationState, host: HostState, grad_steps: int, limit: int
    ) -> tuple[PopulationState, np.ndarray, VectorStep]:
        """Take up to ``limit`` vector steps, as many as take about a quarter of a second, and update ``host``.

        Args:
            state: Donated.
            host: State of the loop.
            grad_steps: Updates done before this call.
            limit: Vector steps at most, at least 1.

        Returns:
            The new state, and the actions [K, A] and results of the last vector step.

        Raises:
            EnvironmentFailure: An environment returned a number that is not finite.
        """
        started, vector, plan = time.monotonic(), self._vector, self._plan
        done, first_update = host.agent_steps // plan.num_envs, plan.warmup_steps // plan.num_envs
        if done == first_update:
            self._length = 1  # steps with updates take longer
        elif done < first_update:
            limit = min(limit, first_update - done)
        after = self._run(
            state,
            vector.state,
            vector.keys,
            np.int32(done + min(limit, self._length)),
            action=host.action,
            last_action=np.zeros_like(host.action),
            last=Outcome.zeros(vector.num_envs, vector.observation_size),
            episodes=_episodes(host),
            diverged=host.diverged,
            faulty=np.zeros((2, vector.num_envs), bool),
            grad_steps=np.int32(grad_steps),
            vector_steps=np.int32(done),
        )
        vector.restore_state(after.simulator)
        taken, faulty = int(after.vector_steps) - done, np.asarray(after.faulty)
        # A failure is reported at the step before, as where the host takes the steps.
        host.agent_steps += (taken - bool(faulty.any())) * plan.num_envs
        self._update_host(host, after)
        observation, reward = faulty
        vector.require_finite(np.where(observation, np.nan, 0.0)[:, None], np.where(reward, np.nan, 0.0))
        fitting = int(taken * _SECONDS / (time.monotonic() - started))
        self._length = max(1, min(fitting, 2 * self._length))
        return after.state, np.array(after.last_action), vector.as_step(after.last, host.observation)

    def _update_host(self, host: HostState, after: _Carry) -> None:
        host.observation, host.action = np.array(after.simulator.observation), np.array(after.action)
        host.episode = np.array(after.simulator.episode, np.int64)
        host.has_success = host.has_success or self._vector.simulator.reports_success
        for name, value in after.episodes._asdict().items():
            old = getattr(host, name)
            setattr(host, name, np.array(value, old.dtype) if isinstance(old, np.ndarray) else type(old)(value))
        host.diverged |= np.asarray(after.diverged)


@functools.lru_cache(maxsize=_CACHED_PROGRAMS)
def _program(population: Population, simulator: Simulator, numbers: _Numbers) -> Callable[..., _Carry]:
    """Return the jitted program; runs with equal arguments share one."""
    return jax.jit(_Program(population, simulator, numbers).steps, donate_argnums=(0, 1))


class _Program:
    """Vector steps as traceable functions.

    Args:
        population: Functions of the learners.
        simulator: Functions of the environments.
        numbers: Numbers of the run.
    """

    def __init__(self, population: Population, simulator: Simulator, numbers: _Numbers) -> None:
        self._population, self._simulator, self._numbers = population, simulator, numbers

    def steps(
        self, state: PopulationState, simulator: SimulatorState, keys: jax.Array, stop: jax.Array, **rest: Any
    ) -> _Carry:
        """Take vector steps up to number ``stop``, or until a seed diverges or an environment fails."""
        carry = _Carry(state, simulator, **rest)
        diverged_before = carry.diverged

        def goes_on(carry: _Carry) -> jax.Array:
            newly = carry.diverged & ~diverged_before
            return (carry.vector_steps < stop) & ~carry.faulty.any() & ~newly.any()

        return jax.lax.while_loop(goes_on, functools.partial(self._step, keys), carry)

    def _step(self, keys: jax.Array, carry: _Carry) -> _Carry:
        run, simulator = self._numbers, self._simulator
        number = carry.vector_steps
        stepped, outcome = simulator.step(carry.simulator, carry.action)
        ended = outcome.ended
        next_up = simulator.start_next(keys, stepped, ended)
        observations = jnp.stack([outcome.next_observation, next_up.observation])
        faulty = jnp.stack([~jnp.isfinite(observations).all(axis=(0, 2)), ~jnp.isfinite(outcome.reward)])
        transition = Transition(
            action=carry.action,
            reward=outcome.reward,
            next_observation=outcome.next_observation,
            terminated=outcome.terminated,
            observation=next_up.observation,
            ended=ended,
        )
        after_warmup = number + 1 - run.warmup
        updates = (after_warmup > 0) & (after_warmup % run.every == 0)
        state, action = self._population.programs.traced_step(
            carry.state,
            transition,
            carry.grad_steps,
            run.updates,
            updates=updates,
            uniform=number + 1 < run.random,
        )
        finite = jnp.isfinite(action).reshape(run.seeds, -1).all(axis=1)
        diverged = carry.diverged | ~finite
        zeroed = jnp.repeat(diverged, run.num_envs)[:, None]
        return _Carry(
            state=state,
            simulator=next_up,
            action=jnp.where(zeroed, 0.0, action),
            last_action=carry.action,
            last=outcome,
            episodes=_count(carry.episodes, outcome.reward, ended, outcome.success, number < run.random),
            diverged=diverged,
            faulty=faulty,
            grad_steps=carry.grad_steps + updates * run.updates,
            vector_steps=number + 1,
        )


def _episodes(host: HostState) -> _Episodes:
    """Return the counts before a call, in the types of the device."""
    counts: dict[str, Any] = {name: np.asarray(getattr(host, name)) for name in _Episodes._fields}
    on_device: Any = {name: v.astype(np.float32 if v.dtype.kind == "f" else np.int32) for name, v in counts.items()}
    return _Episodes(**on_device)


def _count(episodes: _Episodes, reward: Array, ended: Array, success: Array, in_warmup: jax.Array) -> _Episodes:
    """Return the counts after a vector step, as ``HostState.advance`` makes them."""
    returns = episodes.episode_return + reward
    finished = jnp.where(ended, returns, 0.0)
    random = in_warmup * finished.sum(), in_warmup * ended.sum()
    return _Episodes(
        episode_return=jnp.where(ended, 0.0, returns),
        last_return=jnp.where(ended, returns, episodes.last_return),
        interval_return=episodes.interval_return + finished,
        interval_episodes=episodes.interval_episodes + ended,
        interval_solved=episodes.interval_solved + (ended & success),
        random_return=episodes.random_return + random[0],
        random_episodes=episodes.random_episodes + random[1].astype(jnp.int32),
    )
