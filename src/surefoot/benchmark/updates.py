"""A population with a filled buffer, whose updates are measured without an environment or with one."""

from __future__ import annotations

import functools
import time
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from surefoot import replay
from surefoot.algorithms import Algorithm, Learner
from surefoot.benchmark.flops import count_dot_flops
from surefoot.machine import Precision, check_precision
from surefoot.tasks import VectorEnv
from surefoot.training.population import Population, PopulationState
from surefoot.types import EnvSpec, Transition

CAPACITY = 100_000
"""Replay transitions per seed, unless told."""


class Bench:
    """S agents, trained on noise.

    Args:
        algorithm: what is trained.
        spec: sizes of the environment.
        discount: per agent step.
        observation: [S, O] to begin with.
        precision: of the updates' products.
        capacity: replay transitions per seed, all of them there; None takes 100,000.

    Raises:
        UserError: the device does not have that precision.

    Attributes:
        utd: gradient updates per agent step.
        compile_seconds: of the train step, from tracing to the end of its first call.
    """

    def __init__(
        self,
        algorithm: Algorithm,
        spec: EnvSpec,
        discount: float,
        observation: np.ndarray,
        precision: Precision = "float32",
        capacity: int | None = None,
    ) -> None:
        check_precision(precision)
        capacity = capacity or CAPACITY
        seeds = range(len(observation))
        frames = replay.frame_capacity(capacity, 500)
        self.utd = algorithm.utd
        self._algorithm = algorithm
        self._population = Population(Learner(algorithm, spec, discount, precision), seeds, capacity, frames)
        state, action = self._population.init(observation)
        self._state = state._replace(replay=_fill(state.replay))
        self._action = np.asarray(action)
        self._grad_steps = 0
        none = np.zeros(len(observation), bool)
        self._transition = Transition(
            action=self._action,
            reward=np.zeros(len(observation), np.float32),
            next_observation=observation,
            terminated=none,
            observation=observation,
            ended=none,
        )
        began = time.perf_counter()
        self.update(1)
        self.compile_seconds = time.perf_counter() - began

    def update(self, calls: int) -> None:
        """The device's part of an agent step, as the loop calls it, without an environment."""
        for _ in range(calls):
            self._train(self._transition)

    def loop(self, vector: VectorEnv, calls: int, overlap: bool = False) -> None:
        """Agent steps with the environment in between, or beside the updates."""
        for _ in range(calls):
            vector.step_async(self._action)
            if overlap:
                self._state = self._population.learn(self._state, self._grad_steps)
            step = vector.step_wait()
            ended = step.ended
            taken = self._action
            transition = Transition(taken, step.reward, step.next_observation, step.terminated, step.observation, ended)
            if overlap:
                self._state, action = self._population.explore(self._state, transition, uniform=False)
                self._keep(action)
            else:
                self._train(transition)

    def gflop_per_update(self) -> float:
        """Count the matrix products of the traced update; the action chosen after it is left out."""
        share = 1.0 / self._algorithm.policy_delay
        update, traced = self._population.learner.update, (*self._one(), jnp.bool_(True))
        return count_dot_flops(update, *traced, branch_share=share) / 1e9

    def compiled_cost(self) -> tuple[float, float]:
        """Return 10^9 operations of an update and 10^9 bytes that they touch, as XLA counts its compiled program."""
        share = 1.0 / self._algorithm.policy_delay
        flops = size = 0.0
        for with_policy, weight in ((True, share), (False, 1.0 - share)):
            update = functools.partial(self._population.learner.update, update_policy=jnp.bool_(with_policy))
            cost: Any = jax.jit(update).lower(*self._one()).compile().cost_analysis()
            flops += weight * cost["flops"] / 1e9
            size += weight * cost["bytes accessed"] / 1e9
        return flops, size

    def _one(self) -> tuple[Any, ...]:
        """The arguments of one seed's update, but the last."""
        one: PopulationState = jax.tree.map(lambda leaf: leaf[0], self._state)
        return one.learner, replay.sample(one.replay, one.learner.key, self._algorithm.batch_size), one.learner.key

    def _train(self, transition: Transition) -> None:
        self._state, action = self._population.train(self._state, transition, self._grad_steps)
        self._keep(action)

    def _keep(self, action: jax.Array) -> None:
        self._grad_steps += self._algorithm.utd
        self._action = np.asarray(action)


def _fill(state: replay.ReplayState) -> replay.ReplayState:
    """Fill the buffers [S] with noise, as one long episode."""
    seeds, capacity = state.rewards.shape
    key = jax.random.key(0)
    count = jnp.full((seeds,), capacity, jnp.int32)
    return state._replace(
        frames=jax.random.normal(key, state.frames.shape),
        actions=jax.random.uniform(key, state.actions.shape, minval=-1.0, maxval=1.0),
        rewards=jax.random.uniform(key, state.rewards.shape),
        frame_of=jnp.tile(jnp.arange(capacity, dtype=jnp.int32), (seeds, 1)),
        num_frames=count + 1,
        num_transitions=count,
    )
