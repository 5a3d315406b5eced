"""What one seed has learned, and what an update tells of itself."""

from __future__ import annotations

from typing import NamedTuple

import jax

from surefoot.algorithms.optimism import OptimistState
from surefoot.algorithms.statistics import Moments, ReturnMoments
from surefoot.algorithms.trained_network import NetworkState
from surefoot.types import PyTree


class LearnerState(NamedTuple):
    """All that one seed has learned. The count of updates is shared by all seeds and therefore not in here."""

    actor: NetworkState
    """The policy."""
    critic: NetworkState
    """Every leaf has a leading axis C."""
    target_critic: PyTree | None
    """Parameters of the target critic, which reads no running statistics; None where the algorithm has no target."""
    log_alpha: jax.Array | None
    """[] logarithm of the entropy temperature; None for a policy without entropy."""
    temperature_opt_state: PyTree
    """Its optimiser's; None likewise."""
    key: jax.Array
    """The seed's own random key, for exploration, replay indices and policy noise alike."""
    optimist: OptimistState | None = None
    """The second policy, where there is one."""
    observations: Moments | None = None
    """Of the observations acted on [O], where they are normalised."""
    returns: ReturnMoments | None = None
    """Of the running returns, where rewards are scaled."""


class CriticMetrics(NamedTuple):
    """Of one critic update; all []."""

    critic_loss: jax.Array
    """As minimised: summed over the critics, any penalty included."""
    q_mean: jax.Array
    """Mean over critics and batch of Q(s, a)."""
    target_mean: jax.Array
    """Mean over the batch of the regression target."""
    critic_grad_norm: jax.Array
    """L2 norm of the gradient of all critics together."""


class ActorMetrics(NamedTuple):
    """Of one update of actor and temperature; all []."""

    actor_loss: jax.Array
    """As minimised, any penalty included."""
    entropy: jax.Array
    """-mean log pi of the actor's batch, in nats; zero for a policy without entropy."""
    temperature: jax.Array
    """alpha after the update; zero for a policy without entropy."""
    actor_grad_norm: jax.Array
    """L2 norm of the policy's gradient."""
