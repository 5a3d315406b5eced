"""The speed benchmark: the update alone and the whole loop, in the same minutes as the machine's matrix products.

The limit is what this machine reaches in 512 x 512 x 512 float32 products through XLA, measured in every round beside
the rest, because shared machines change their speed within seconds. Only ratios compare between machines.
"""

from __future__ import annotations

import dataclasses
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from surefoot import replay
from surefoot.algorithms import Algorithm, Learner
from surefoot.algorithms.presets import crossq_wn
from surefoot.benchmark.flops import count_dot_flops
from surefoot.tasks import get_task, make_vector
from surefoot.training.population import Population, PopulationState
from surefoot.types import EnvSpec, Transition

_SIZE = 512
_CAPACITY = 100_000
_TASK = "cheetah-run"


@dataclass(frozen=True)
class Spread:
    """Several measurements of one quantity."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: list[float]) -> Spread:
        """Summarise."""
        return cls(statistics.median(values), min(values), max(values))


@dataclass(frozen=True)
class SpeedReport:
    """What one benchmark run measured on one device.

    Attributes:
        device: a person's name for it.
        utd: gradient updates per agent step.
        num_seeds: agents trained side by side; speeds count them all.
        gflop_per_update: of matrix products, the policy's share averaged over its delay.
        matmul_gflops: float32 matrix products of 512 x 512 x 512, 10^9 operations per second.
        updates_per_second: gradient updates alone: stored transition, sampling, U updates, next action.
        end_to_end_updates_per_second: the same with the environment (cheetah-run) in the loop.
        end_to_end_agent_steps_per_second: decisions of that loop.
        share_of_limit: updates alone as a share of matmul_gflops / gflop_per_update, round by round.
        end_to_end_share_of_limit: likewise of the loop.
        compile_seconds: of the train step, from tracing to the end of its first call.
    """

    device: str
    utd: int
    num_seeds: int
    gflop_per_update: float
    matmul_gflops: Spread
    updates_per_second: Spread
    end_to_end_updates_per_second: Spread
    end_to_end_agent_steps_per_second: Spread
    share_of_limit: Spread
    end_to_end_share_of_limit: Spread
    compile_seconds: float

    def to_data(self) -> dict[str, Any]:
        """Return JSON values."""
        return dataclasses.asdict(self)


def measure(utd: int = 5, num_seeds: int = 1, rounds: int = 9, seconds_per_part: float = 1.5) -> SpeedReport:
    """Run the benchmark: in every round the matrix products, the updates and the loop, one after the other.

    Args:
        utd: gradient updates per agent step.
        num_seeds: agents side by side.
        rounds: measurements of each part.
        seconds_per_part: aimed-at length of one measurement.
    """
    from surefoot.training.setup import device_name

    task = get_task(_TASK)
    algorithm = crossq_wn(utd=utd)
    with make_vector(task, range(num_seeds), "train", num_workers=0) as vector:
        spec = EnvSpec(vector.observation_size, vector.action_size)
        bench = _Bench(algorithm, spec, task.discount, num_seeds, vector.reset([0] * num_seeds))
        parts: dict[str, Callable[[int], None]] = {
            "matmul": _matmul_part(),
            "update": bench.update,
            "loop": lambda calls: bench.loop(vector, calls),
        }
        calls = {name: _calls_for(part, seconds_per_part) for name, part in parts.items()}
        rates: dict[str, list[float]] = {name: [] for name in parts}
        for _ in range(rounds):
            for name, part in parts.items():
                rates[name].append(calls[name] / _seconds(part, calls[name]))
    gflop = bench.gflop_per_update()
    per_call = utd * num_seeds
    matmul = [rate * 2.0 * _SIZE**3 / 1e9 for rate in rates["matmul"]]
    updates = [rate * per_call for rate in rates["update"]]
    loops = [rate * per_call for rate in rates["loop"]]
    return SpeedReport(
        device=device_name(),
        utd=utd,
        num_seeds=num_seeds,
        gflop_per_update=gflop,
        matmul_gflops=Spread.of(matmul),
        updates_per_second=Spread.of(updates),
        end_to_end_updates_per_second=Spread.of(loops),
        end_to_end_agent_steps_per_second=Spread.of([rate * num_seeds for rate in rates["loop"]]),
        share_of_limit=Spread.of([u * gflop / m for u, m in zip(updates, matmul, strict=True)]),
        end_to_end_share_of_limit=Spread.of([u * gflop / m for u, m in zip(loops, matmul, strict=True)]),
        compile_seconds=bench.compile_seconds,
    )


class _Bench:
    """A population with a filled buffer."""

    def __init__(
        self, algorithm: Algorithm, spec: EnvSpec, discount: float, num_seeds: int, observation: np.ndarray
    ) -> None:
        frames = replay.frame_capacity(_CAPACITY, 500)
        self._algorithm = algorithm
        self._population = Population(Learner(algorithm, spec, discount), range(num_seeds), _CAPACITY, frames)
        state, action = self._population.init(observation)
        self._state = state._replace(replay=_fill(state.replay))
        self._action = np.asarray(action)
        self._grad_steps = 0
        self._transition = Transition(
            action=self._action,
            reward=np.zeros(num_seeds, np.float32),
            next_observation=observation,
            terminated=np.zeros(num_seeds, bool),
            observation=observation,
            ended=np.zeros(num_seeds, bool),
        )
        began = time.perf_counter()
        self.update(1)
        self.compile_seconds = time.perf_counter() - began

    def update(self, calls: int) -> None:
        """The device's part of an agent step, as the loop calls it, without an environment."""
        for _ in range(calls):
            self._train(self._transition)

    def loop(self, vector: Any, calls: int) -> None:
        """Agent steps with the environment in between."""
        for _ in range(calls):
            step = vector.step(self._action)
            ended = step.terminated | step.truncated
            self._train(
                Transition(self._action, step.reward, step.next_observation, step.terminated, step.observation, ended)
            )

    def gflop_per_update(self) -> float:
        """Count from the traced train step; the action chosen at its end is left out."""
        algorithm, learner = self._algorithm, self._population.learner
        one: PopulationState = jax.tree.map(lambda leaf: leaf[0], self._state)
        batch = replay.sample(one.replay, one.learner.key, algorithm.batch_size)
        share = 1.0 / algorithm.policy_delay
        traced = (one.learner, batch, one.learner.key, jnp.bool_(True))
        return count_dot_flops(learner.update, *traced, branch_share=share) / 1e9

    def _train(self, transition: Transition) -> None:
        self._state, action = self._population.train(self._state, transition, self._grad_steps)
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


def _matmul_part() -> Callable[[int], None]:
    matrix = jax.random.normal(jax.random.key(0), (_SIZE, _SIZE))
    # Scaled so that the products neither vanish nor overflow.
    other = matrix / np.sqrt(_SIZE)

    @jax.jit
    def products(count: jax.Array) -> jax.Array:
        return jax.lax.fori_loop(0, count, lambda _, x: x @ other, matrix)

    def run(calls: int) -> None:
        products(jnp.int32(calls)).block_until_ready()

    return run


def _calls_for(part: Callable[[int], None], seconds: float) -> int:
    part(1)
    calls = 1
    while (taken := _seconds(part, calls)) < 0.2 * seconds:
        calls *= 2
    return max(1, round(calls * seconds / taken))


def _seconds(part: Callable[[int], None], calls: int) -> float:
    began = time.perf_counter()
    part(calls)
    return time.perf_counter() - began
