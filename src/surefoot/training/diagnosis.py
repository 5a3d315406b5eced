"""What a run measures of its networks beside returns, at an interval: rows of diagnostics.csv.

Nothing here touches what training draws or learns: batches come with keys of their own, and Q bias is measured on
episodes of the evaluation's environments that no evaluation plays.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from surefoot.algorithms import Learner, LearnerState
from surefoot.algorithms.statistics import scale_reward
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

LONGEST = 1000
"""Agent steps after which a trajectory is cut and its tail bootstrapped, where the task has no earlier time limit."""

_FIRST_EPISODE = 1_000_000
"""Number of the first episode that is played here; an evaluation plays those from 0 on."""

_NETWORK_COLUMNS = {
    "weight_norm_sum": "weight_norm",
    "gradient_norm_total": "gradient_norm",
    "effective_learning_rate_mean": "effective_learning_rate",
    "dead_units": "dead_units",
    "feature_norm": "feature_norm",
}
"""Field of ``NetworkDiagnostics`` -> its column, behind "critic_" or "actor_"."""
_BY_LAYER = ("weight_norm", "gradient_norm", "effective_learning_rate")
_Q_BIAS = tuple(f"q_bias_{field}" for field in QBias._fields)
_CURVATURE = tuple(f"critic_hessian_{field}" for field in Curvature._fields)


class _Measured(NamedTuple):
    """Of one seed, or of all with a leading axis S."""

    critic: NetworkDiagnostics
    actor: NetworkDiagnostics
    curvature: Curvature | None
    temperature: jax.Array
    """alpha, []; zero for a policy without entropy."""
    reward_scale: jax.Array
    """[], what a reward of 1 is to the critics."""


class _Wave(NamedTuple):
    """Trajectories side by side: T steps of the longest one, N lanes."""

    reward: np.ndarray
    """[T, N]"""
    log_prob: np.ndarray
    """[T + 1, N], like Q also of an action drawn in the state after the last step."""
    q: np.ndarray
    """[T + 1, N]"""
    steps: np.ndarray
    """[N], agent steps of each trajectory."""
    terminated: np.ndarray
    """[N], whether it ended in a terminal state."""


def diagnostics_columns(learner: Learner) -> tuple[str, ...]:
    """Return the columns of diagnostics.csv, in order; which layers there are depends on the algorithm."""
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


@functools.lru_cache(maxsize=8)
def _programs(learner: Learner, curvature: bool) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """Return the jitted measurements of S seeds; every diagnosis of one learner shares them."""

    def measure(state: LearnerState, batch: Batch, key: jax.Array) -> _Measured:
        critic_key, actor_key, curvature_key = jax.random.split(key, 3)
        scale = jnp.ones(())
        if (scaling := learner.algorithm.reward_scaling) is not None:
            assert state.returns is not None
            scale = scale_reward(state.returns, scale, scaling.epsilon)
        return _Measured(
            critic=diagnose_critic(learner, state, batch, critic_key),
            actor=diagnose_actor(learner, state, batch, actor_key),
            curvature=critic_curvature(learner, state, batch, curvature_key) if curvature else None,
            temperature=jnp.asarray(state.alpha),
            reward_scale=scale,
        )

    def value(state: LearnerState, observation: jax.Array, key: jax.Array, step: jax.Array) -> ValuedActions:
        return act_and_value(learner, state, observation, jax.random.fold_in(key, step))

    return jax.jit(over_seeds(measure)), jax.jit(over_seeds(value))


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
        self._measure, self._judge = _programs(population.learner, curvature)

    def rows(self, state: PopulationState, counts: dict[str, Any]) -> list[dict[str, Any]]:
        """Return one row per seed.

        Args:
            state: whose replay buffers are not empty; not donated.
            counts: columns that are the same for all seeds.
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
        """Play ``TRAJECTORIES`` episodes per seed, in waves of as many as there are lanes, and hold Q against them."""
        seeds = len(self._seeds)
        lanes = self._vector.num_envs // seeds
        values: list[list[np.ndarray]] = [[] for _ in range(seeds)]
        returns: list[list[np.ndarray]] = [[] for _ in range(seeds)]
        for first in range(0, TRAJECTORIES, lanes):
            wave = self._play(state, keys, first)
            for s, lane in np.ndindex(seeds, min(lanes, TRAJECTORIES - first)):
                alpha, scale = float(measured.temperature[s]), float(measured.reward_scale[s])
                followed = self._returns(wave, s * lanes + lane, alpha, scale)[:PAIRS]
                values[s].append(wave.q[: len(followed), s * lanes + lane])
                returns[s].append(followed)
        return [q_bias(np.concatenate(values[s]), np.concatenate(returns[s])) for s in range(seeds)]

    def _play(self, state: LearnerState, keys: jax.Array, first: int) -> _Wave:
        """Let the stochastic policy play one episode in every lane, from number ``first`` on."""
        seeds, count = len(self._seeds), self._vector.num_envs
        lanes = count // seeds
        episodes = np.tile(np.arange(first, first + lanes) + _FIRST_EPISODE, seeds)
        observation = self._vector.reset(episodes.tolist())
        steps, terminated, active = np.zeros(count, np.int64), np.zeros(count, bool), np.ones(count, bool)
        rewards, judgements = [], []
        for t in range(LONGEST + 1):
            draw = np.full(seeds, 1 + first * (LONGEST + 1) + t, np.uint32)
            judged = self._judge(state, observation.reshape(seeds, lanes, -1), keys, draw)
            judgements.append(jax.tree.map(lambda leaf: np.array(leaf).reshape(count, *leaf.shape[2:]), judged))
            if t == LONGEST or not active.any():
                break
            # A seed that diverged has no finite action; the others' trajectories go on.
            step = self._vector.step(np.nan_to_num(judgements[-1].action))
            rewards.append(step.reward)
            steps += active
            terminated |= active & step.terminated
            active = active & ~step.ended
            observation = step.observation
        return _Wave(
            np.stack(rewards).astype(np.float64),
            np.stack([judged.log_prob for judged in judgements]),
            np.stack([judged.q for judged in judgements]),
            steps,
            terminated,
        )

    def _returns(self, wave: _Wave, lane: int, alpha: float, reward_scale: float) -> np.ndarray:
        """Return the soft return from each step of one trajectory; a tail that a time limit cut is bootstrapped."""
        steps = int(wave.steps[lane])
        after = 0.0 if wave.terminated[lane] else float(wave.q[steps, lane] - alpha * wave.log_prob[steps, lane])
        reward = wave.reward[:steps, lane] * reward_scale
        return discounted_returns(reward, wave.log_prob[:steps, lane], self._population.learner.discount, alpha, after)


def _network_cells(name: str, seen: NetworkDiagnostics) -> dict[str, float]:
    cells = {f"{name}_{column}": getattr(seen, field) for field, column in _NETWORK_COLUMNS.items()}
    for field in _BY_LAYER:
        cells |= {f"{name}_{field}/{layer}": value for layer, value in getattr(seen, field).items()}
    return cells
