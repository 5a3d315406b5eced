"""Sums of the updates' metrics."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp

from surefoot.algorithms import ActorMetrics, CriticMetrics


class MetricSums(NamedTuple):
    """Sums of the updates' metrics since they were last taken; they stay on the device until then."""

    critic: CriticMetrics
    actor: ActorMetrics
    critic_updates: jax.Array
    """[] int32, updates in the critic's sums."""
    actor_updates: jax.Array
    """[] int32, updates in the actor's sums."""


def zero_sums() -> MetricSums:
    """Return one seed's sums over no updates."""
    zero = jnp.zeros(())
    return MetricSums(
        CriticMetrics(*[zero] * len(CriticMetrics._fields)),
        ActorMetrics(*[zero] * len(ActorMetrics._fields)),
        jnp.int32(0),
        jnp.int32(0),
    )


def add_metrics(sums: MetricSums, critic: CriticMetrics, actor: ActorMetrics, policy_due: jax.Array) -> MetricSums:
    """Return the sums with the metrics of one more update."""
    return MetricSums(
        critic=jax.tree.map(jnp.add, sums.critic, critic),
        # The actor's metrics are NaN where it was not updated.
        actor=jax.tree.map(lambda total, value: total + jnp.where(policy_due, value, 0.0), sums.actor, actor),
        critic_updates=sums.critic_updates + 1,
        actor_updates=sums.actor_updates + policy_due.astype(jnp.int32),
    )
