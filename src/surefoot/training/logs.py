"""Rows of training.csv and evaluations.csv."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from surefoot.algorithms import ActorMetrics, CriticMetrics
from surefoot.tasks import Task
from surefoot.training.checkpointing.host_state import FinishedEpisodes
from surefoot.training.evaluation import EvaluationResult
from surefoot.training.metric_sums import MetricSums
from surefoot.training.weight_norms import WeightNorms

TRAINING_COLUMNS = (
    "seed",
    "env_steps",
    "agent_steps",
    "grad_steps",
    "episodes",
    "episode_return",
    "episode_success",
    *CriticMetrics._fields,
    *ActorMetrics._fields,
    "critic_weight_norm",
    "actor_weight_norm",
    "env_steps_per_second",
    "grad_steps_per_second",
    "wall_seconds",
)
"""Columns of training.csv. Means over the updates, and over the episodes finished, since the previous row;
empty where there were none. Speeds are totals over seeds."""


def training_rows(
    seeds: Sequence[int],
    counts: dict[str, Any],
    finished: FinishedEpisodes,
    diverged: np.ndarray,
    sums: MetricSums,
    norms: WeightNorms,
) -> list[dict[str, Any]]:
    """Return one row per seed.

    Args:
        seeds: Training seeds, S of them.
        counts: Columns shared by all seeds.
        finished: Training episodes finished in the interval.
        diverged: [S] bool, the seeds that have diverged: their episodes of zero actions are counted only.
        sums: [S] sums of the updates' metrics.
        norms: [S] weight norms.
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
                "episodes": int(finished.episodes[i]),
                **({} if diverged[i] else _episode_means(finished, i)),
                **critic,
                **actor,
                "critic_weight_norm": float(norms.critic[i]),
                "actor_weight_norm": float(norms.actor[i]),
            }
        )
    return rows


def _episode_means(finished: FinishedEpisodes, seed_index: int) -> dict[str, float]:
    if not (episodes := int(finished.episodes[seed_index])):
        return {}
    means = {"episode_return": float(finished.returns[seed_index] / episodes)}
    if finished.solved is not None:
        means["episode_success"] = float(finished.solved[seed_index] / episodes)
    return means


def _means(sums: CriticMetrics | ActorMetrics, count: int) -> dict[str, float]:
    if not count:
        return {}
    return {name: float(value) / count for name, value in sums._asdict().items()}


def evaluation_rows(
    task: Task, seeds: Sequence[int], counts: dict[str, Any], result: EvaluationResult
) -> list[dict[str, Any]]:
    """Return one row per seed and episode.

    Args:
        task: Evaluation task.
        seeds: Training seeds, S of them.
        counts: Columns shared by all rows.
        result: Outcome of the episodes, [S, E].
    """
    scores = result.scores(task)
    rows = []
    for s, seed in enumerate(seeds):
        for e in range(result.returns.shape[1]):
            row = {
                "task": task.name,
                "seed": seed,
                "episode": e,
                **counts,
                "return": float(result.returns[s, e]),
                "length_env_steps": int(result.lengths[s, e]),
                "score": float(scores[s, e]),
            }
            if result.success_any is not None and not np.isnan(result.returns[s, e]):  # NaN: the seed has diverged
                assert result.success_last is not None
                assert result.first_success is not None
                row["success_any"] = bool(result.success_any[s, e])
                row["success_last"] = bool(result.success_last[s, e])
                row["first_success_env_step"] = int(result.first_success[s, e]) or None
            rows.append(row)
    return rows
