"""The population's training step on stored noise: its rate, and the operations of its matrix products."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.interpreters import partial_eval

from surefoot import replay
from surefoot.algorithms import Algorithm, Learner
from surefoot.machine import Precision
from surefoot.training.population import get_population
from surefoot.types import Batch, EnvSpec, Transition

_CAPACITY = 10_000
_STORED = 300


class TrainStep:
    """S agents trained on noise by the population's own training step, without environments.

    Args:
        algorithm: Algorithm to train.
        spec: Observation and action size of the environment.
        num_seeds: Number of agents S.
        num_envs: Environments of each agent, N.
        precision: Precision of the products in updates; not checked against the device.

    Attributes:
        population: The S agents.
        updates_per_call: Gradient updates of all agents in one step.
        compile_seconds: Time of the first step, tracing and compilation included.
    """

    def __init__(
        self,
        algorithm: Algorithm,
        spec: EnvSpec,
        num_seeds: int = 1,
        precision: Precision = "float32",
        num_envs: int = 1,
    ) -> None:
        frames = replay.frame_capacity(_CAPACITY, 500)
        self.population = get_population(algorithm, spec, 0.99, precision)
        self.transition = noise(spec, num_seeds * num_envs)
        first = np.asarray(self.transition.observation)
        self.state = self.population.init(range(num_seeds), _CAPACITY, frames, first, num_envs)
        self._updates = self.population.default_updates(self.state)
        self.updates_per_call = self._updates * num_seeds
        for _ in range(max(1, _STORED // num_envs)):
            self.state, _ = self.population.train_step(self.state, self.transition, num_updates=0, uniform=True)
        self._grad_steps = 0
        start = time.perf_counter()
        self.run(1)
        self.compile_seconds = time.perf_counter() - start

    def run(self, calls: int) -> None:
        """Run the training step ``calls`` times: store a transition, update, choose the next actions."""
        for _ in range(calls):
            self.state, action = self.population.train_step(self.state, self.transition, self._grad_steps)
            self._grad_steps += self._updates
            np.asarray(action)  # the training loop waits for the actions of every step

    def updates_per_second(self, seconds: float) -> float:
        """Return the update rate of all agents, measured for at least ``seconds``."""
        calls, start = 0, time.perf_counter()
        while (elapsed := time.perf_counter() - start) < seconds or not calls:
            self.run(1)
            calls += 1
        return calls * self.updates_per_call / elapsed


def flop_per_update(learner: Learner) -> float:
    """Return the operations of the matrix products in one update of one seed, the policy's divided by its delay."""
    size, spec = learner.algorithm.batch_size, learner.spec
    observation, action = jnp.zeros((size, spec.observation_size)), jnp.zeros((size, spec.action_size))
    batch = Batch(observation, action, jnp.zeros(size), observation, jnp.zeros(size))
    key = jax.random.key(0)
    state = jax.eval_shape(learner.init, key)
    share = 1.0 / learner.algorithm.policy_delay
    return count_dot_flops(learner.update, state, batch, key, jnp.bool_(True), branch_share=share)


def count_dot_flops(function: Callable[..., Any], *arguments: Any, branch_share: float = 1.0) -> float:
    """Return the floating-point operations (multiply-add counts as two) of the matrix products in a call.

    Args:
        function: Function to trace; it is not run.
        *arguments: Arguments to trace it with.
        branch_share: Share of calls, from 0 to 1, that take the costlier branch of a ``cond``; the others take the
            cheapest.
    """
    program = jax.make_jaxpr(function)(*arguments).jaxpr
    # XLA removes dead code when it compiles, so it does not count.
    program, _ = partial_eval.dce_jaxpr(program, [True] * len(program.outvars))
    return _count(program, branch_share)


def inner_jaxprs(params: dict[str, Any]) -> Iterator[Any]:
    """Yield the programs inside an equation, such as the body of a scan or a jit."""
    for value in params.values():
        if hasattr(value, "jaxpr"):
            yield value.jaxpr
        elif hasattr(value, "eqns"):
            yield value


def _count(jaxpr: Any, branch_share: float) -> float:
    total = 0.0
    for equation in jaxpr.eqns:
        if equation.primitive.name == "dot_general":
            total += _dot(equation)
        elif equation.primitive.name == "cond":
            branches = [_count(branch.jaxpr, branch_share) for branch in equation.params["branches"]]
            total += branch_share * max(branches) + (1.0 - branch_share) * min(branches)
        else:
            repeats = equation.params["length"] if equation.primitive.name == "scan" else 1
            total += repeats * sum(_count(inner, branch_share) for inner in inner_jaxprs(equation.params))
    return total


def _dot(equation: Any) -> float:
    left, right = (variable.aval.shape for variable in equation.invars)
    (contracted, _), (batched, _) = equation.params["dimension_numbers"]
    shared = math.prod(left[axis] for axis in (*contracted, *batched))
    return 2.0 * math.prod(left) * math.prod(right) / shared


def noise(spec: EnvSpec, environments: int) -> Transition:
    """Return one random transition of each environment, [K, ...]."""
    random = np.random.default_rng(0)
    observation = random.normal(size=(environments, spec.observation_size)).astype(np.float32)
    return Transition(
        action=random.uniform(-1, 1, (environments, spec.action_size)).astype(np.float32),
        reward=np.ones(environments, np.float32),
        next_observation=observation,
        terminated=np.zeros(environments, bool),
        observation=observation,
        ended=np.zeros(environments, bool),
    )
