"""Rows of a run's two logs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from surefoot.algorithms import ActorMetrics, CriticMetrics
from surefoot.tasks import Task
from surefoot.training.evaluation import EvaluationResult
from surefoot.training.metric_sums import MetricSums
from surefoot.training.population import WeightNorms

TRAINING_COLUMNS = (
    "seed",
    "env_steps",
    "agent_steps",
    "grad_steps",
    "episodes",
    "episode_return",
    *CriticMetrics._fields,
    *ActorMetrics._fields,
    "critic_weight_norm",
    "actor_weight_norm",
    "env_steps_per_second",
    "grad_steps_per_second",
    "wall_seconds",
)
"""Columns of training.csv. Means over the updates, and over the episodes finished, since the row before; empty where
there were none. Speeds count all seeds together."""


def training_rows(
    seeds: Sequence[int],
    counts: dict[str, Any],
    episodes: np.ndarray,
    returns: np.ndarray,
    sums: MetricSums,
    norms: WeightNorms,
) -> list[dict[str, Any]]:
    """Return one row per seed.

    Args:
        seeds: S training seeds.
        counts: columns that are the same for all seeds.
        episodes: [S] training episodes finished in the interval.
        returns: [S] sum of their returns.
        sums: of the updates' metrics, [S].
        norms: weight norms, [S].
    """
    rows = []
    for i, seed in enumerate(seeds):
        one: MetricSums = jax.tree.map(lambda leaf, i=i: leaf[i], sums)
        critic = _means(one.critic, int(one.critic_updates))
        actor = _means(one.actor, int(one.actor_updates))
        rows.append(
            {
                "seed": seed,
                **counts,
                "episodes": int(episodes[i]),
                "episode_return": float(returns[i] / episodes[i]) if episodes[i] else None,
                **critic,
                **actor,
                "critic_weight_norm": float(norms.critic[i]),
                "actor_weight_norm": float(norms.actor[i]),
            }
        )
    return rows


def _means(sums: CriticMetrics | ActorMetrics, count: int) -> dict[str, float]:
    if not count:
        return {}
    return {name: float(value) / count for name, value in sums._asdict().items()}


def evaluation_rows(
    task: Task, seeds: Sequence[int], counts: dict[str, Any], episodes: EvaluationResult
) -> list[dict[str, Any]]:
    """Return one row per seed and episode.

    Args:
        task: what was played.
        seeds: S training seeds.
        counts: columns that are the same for all of them.
        episodes: [S, E].
    """
    scores = episodes.scores(task)
    rows = []
    for s, seed in enumerate(seeds):
        for e in range(episodes.returns.shape[1]):
            row = {
                "task": task.name,
                "seed": seed,
                "episode": e,
                **counts,
                "return": float(episodes.returns[s, e]),
                "length_env_steps": int(episodes.lengths[s, e]),
                "score": float(scores[s, e]),
            }
            if episodes.success_any is not None:
                assert episodes.success_last is not None
                assert episodes.first_success is not None
                row["success_any"] = bool(episodes.success_any[s, e])
                row["success_last"] = bool(episodes.success_last[s, e])
                row["first_success_env_step"] = int(episodes.first_success[s, e]) or None
            rows.append(row)
    return rows
