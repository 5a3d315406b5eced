"""Measurements of a run's networks: rows of diagnostics.csv.

They do not affect training: batches are drawn with separate keys, and Q bias is measured on episodes of the evaluation
environments that no evaluation uses.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from surefoot.algorithms import Learner, LearnerState
from surefoot.diagnostics import (
    PAIRS,
    Curvature,
    NetworkDiagnostics,
    QBias,
    ValuedActions,
    act_and_value,
    critic_curvature,
    diagnose_actor,
    diagnose_critic,
    discounted_returns,
    parameter_count,
    q_bias,
)
from surefoot.tasks import VectorEnv
from surefoot.training.population import Population, PopulationState
from surefoot.training.seed_axis import over_seeds
from surefoot.types import Batch

TRAJECTORIES = 5
"""Episodes of the stochastic policy per seed behind each value of Q bias (Chen et al. 2021)."""

MAX_AGENT_STEPS = 1000
"""Agent steps after which a trajectory is cut and its tail bootstrapped."""

_FIRST_EPISODE = 1_000_000
"""Number of the first episode; those of evaluations start at 0."""

_NETWORK_COLUMNS = {
    "weight_norm_sum": "weight_norm",
    "gradient_norm_total": "gradient_norm",
    "effective_learning_rate_mean": "effective_learning_rate",
    "dead_units": "dead_units",
    "feature_norm": "feature_norm",
}
"""Field of ``NetworkDiagnostics`` -> suffix of its column after "critic_" or "actor_"."""
_BY_LAYER = ("weight_norm", "gradient_norm", "effective_learning_rate")
_Q_BIAS = tuple(f"q_bias_{field}" for field in QBias._fields)
_CURVATURE = tuple(f"critic_hessian_{field}" for field in Curvature._fields)


class _Measured(NamedTuple):
    """Measurements of one seed, or of all with a leading axis S."""

    critic: NetworkDiagnostics
    actor: NetworkDiagnostics
    curvature: Curvature | None
    temperature: jax.Array
    """[] alpha; zero for a policy without entropy."""
    reward_scale: jax.Array
    """[] factor from rewards to the units of the critics."""


class _Programs(NamedTuple):
    """Jitted measurements of S seeds."""

    measure: Callable[..., _Measured]
    act_and_value: Callable[..., ValuedActions]


_programs: weakref.WeakKeyDictionary[Population, dict[bool, _Programs]] = weakref.WeakKeyDictionary()
"""Programs shared by all diagnoses of a population, by whether they measure curvature."""


class _Wave(NamedTuple):
    """Concurrent trajectories of N environment slots; the longest has T steps."""

    reward: np.ndarray
    """[T, N]"""
    log_prob: np.ndarray
    """[T + 1, N]; the last is that of an action drawn after the last step."""
    q: np.ndarray
    """[T + 1, N], likewise."""
    steps: np.ndarray
    """[N] agent steps of each trajectory."""
    terminated: np.ndarray
    """[N] whether the trajectory ended in a terminal state."""


def diagnostics_columns(learner: Learner) -> tuple[str, ...]:
    """Return the columns of diagnostics.csv in order; the layers depend on the algorithm."""
    networks = (("critic", learner.critic), ("actor", learner.actor))
    return (
        "seed",
        "env_steps",
        "agent_steps",
        "grad_steps",
        *(f"{name}_{column}" for name, _ in networks for column in _NETWORK_COLUMNS.values()),
        *_Q_BIAS,
        *_CURVATURE,
        "parameters",
        *(
            f"{name}_{field}/{'/'.join(path)}"
            for name, network in networks
            for field in _BY_LAYER
            for path in (*network.hidden_layers, *network.heads)
        ),
        "wall_seconds",
    )


def _make_programs(learner: Learner, curvature: bool) -> _Programs:
    def measure(state: LearnerState, batch: Batch, key: jax.Array) -> _Measured:
        critic_key, actor_key, curvature_key = jax.random.split(key, 3)
        return _Measured(
            critic=diagnose_critic(learner, state, batch, critic_key),
            actor=diagnose_actor(learner, state, batch, actor_key),
            curvature=critic_curvature(learner, state, batch, curvature_key) if curvature else None,
            temperature=jnp.asarray(state.alpha),
            reward_scale=learner.statistics.scale_reward(state, jnp.ones(())),
        )

    def value(state: LearnerState, observation: jax.Array, key: jax.Array, step: jax.Array) -> ValuedActions:
        return act_and_value(learner, state, observation, jax.random.fold_in(key, step))

    return _Programs(jax.jit(over_seeds(measure)), jax.jit(over_seeds(value)))


class Diagnosis:
    """Measures all seeds of a population.

    Args:
        population: Population to measure.
        seeds: Training seeds, S of them.
        vector: Evaluation environments, L for each seed, without autoreset.
        curvature: Also measure the curvature of the critic loss.
    """

    def __init__(self, population: Population, seeds: Sequence[int], vector: VectorEnv, curvature: bool) -> None:
        self._population, self._seeds, self._vector = population, tuple(seeds), vector
        programs = _programs.setdefault(population, {})
        if curvature not in programs:
            programs[curvature] = _make_programs(population.learner, curvature)
        self._measure, self._act_and_value = programs[curvature]

    def rows(self, state: PopulationState, counts: dict[str, Any]) -> list[dict[str, Any]]:
        """Return one row per seed.

        Args:
            state: State with replay buffers that are not empty; not donated.
            counts: Columns shared by all seeds.
        """
        batch, keys = self._population.diagnosis_batch(state)
        measured: _Measured = jax.tree.map(np.asarray, self._measure(state.learner, batch, keys))
        biases = self._q_biases(state.learner, keys, measured)
        parameters = parameter_count(state.learner) // len(self._seeds)
        rows = []
        for s, seed in enumerate(self._seeds):
            one: _Measured = jax.tree.map(lambda leaf, s=s: float(leaf[s]), measured)
            rows.append(
                {
                    "seed": seed,
                    **counts,
                    **_network_cells("critic", one.critic),
                    **_network_cells("actor", one.actor),
                    **dict(zip(_Q_BIAS, biases[s], strict=True)),
                    **({} if one.curvature is None else dict(zip(_CURVATURE, one.curvature, strict=True))),
                    "parameters": parameters,
                }
            )
        return rows

    # ---------------------------------------------------------------- Q bias

    def _q_biases(self, state: LearnerState, keys: jax.Array, measured: _Measured) -> list[QBias]:
        """Return the Q bias per seed from ``TRAJECTORIES`` episodes each, run in waves of one episode per slot."""
        seeds = len(self._seeds)
        slots = self._vector.num_envs // seeds
        values: list[list[np.ndarray]] = [[] for _ in range(seeds)]
        returns: list[list[np.ndarray]] = [[] for _ in range(seeds)]
        for first in range(0, TRAJECTORIES, slots):
            wave = self._run_wave(state, keys, first)
            for s, slot in np.ndindex(seeds, min(slots, TRAJECTORIES - first)):
                alpha, scale = float(measured.temperature[s]), float(measured.reward_scale[s])
                found = self._returns(wave, s * slots + slot, alpha, scale)[:PAIRS]
                values[s].append(wave.q[: len(found), s * slots + slot])
                returns[s].append(found)
        # In the task's units: the bias per state compares returns with a number of rewards.
        scales = measured.reward_scale
        return [
            q_bias(np.concatenate(values[s]) / scales[s], np.concatenate(returns[s]) / scales[s]) for s in range(seeds)
        ]

    def _run_wave(self, state: LearnerState, keys: jax.Array, first: int) -> _Wave:
        """Run one episode of the stochastic policy per slot; ``first`` is the offset of the first one's number."""
        seeds, count = len(self._seeds), self._vector.num_envs
        slots = count // seeds
        episodes = np.tile(np.arange(first, first + slots) + _FIRST_EPISODE, seeds)
        observation = self._vector.reset(episodes.tolist())
        steps, terminated, active = np.zeros(count, np.int64), np.zeros(count, bool), np.ones(count, bool)
        rewards, valued = [], []
        for t in range(MAX_AGENT_STEPS + 1):
            draw = np.full(seeds, 1 + first * (MAX_AGENT_STEPS + 1) + t, np.uint32)
            values = self._act_and_value(state, observation.reshape(seeds, slots, -1), keys, draw)
            valued.append(jax.tree.map(lambda leaf: np.array(leaf).reshape(count, *leaf.shape[2:]), values))
            if t == MAX_AGENT_STEPS or not active.any():
                break
            # Seeds that diverged have no finite actions.
            step = self._vector.step(np.nan_to_num(valued[-1].action))
            rewards.append(step.reward)
            steps += active
            terminated |= active & step.terminated
            active = active & ~step.ended
            observation = step.observation
        return _Wave(
            np.stack(rewards).astype(np.float64),
            np.stack([values.log_prob for values in valued]),
            np.stack([values.q for values in valued]),
            steps,
            terminated,
        )

    def _returns(self, wave: _Wave, slot: int, alpha: float, reward_scale: float) -> np.ndarray:
        """Return the soft return from each step of one trajectory, bootstrapped unless it ended in a terminal state."""
        steps = int(wave.steps[slot])
        after = 0.0 if wave.terminated[slot] else float(wave.q[steps, slot] - alpha * wave.log_prob[steps, slot])
        reward = wave.reward[:steps, slot] * reward_scale
        return discounted_returns(reward, wave.log_prob[:steps, slot], self._population.learner.discount, alpha, after)


def _network_cells(name: str, measured: NetworkDiagnostics) -> dict[str, float]:
    cells = {f"{name}_{column}": getattr(measured, field) for field, column in _NETWORK_COLUMNS.items()}
    for field in _BY_LAYER:
        cells |= {f"{name}_{field}/{layer}": value for layer, value in getattr(measured, field).items()}
    return cells
