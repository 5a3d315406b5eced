"""The learner's state and the metrics of an update."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp

from surefoot.algorithms.held_noise import HeldNoiseState
from surefoot.algorithms.optimism import OptimistState
from surefoot.algorithms.statistics import Moments, ReturnMoments
from surefoot.algorithms.trained_network import NetworkState
from surefoot.types import PyTree


class LearnerState(NamedTuple):
    """Everything that one seed has learned. The update count is shared by all seeds and therefore kept elsewhere."""

    actor: NetworkState
    """Policy network."""
    critic: NetworkState
    """Critics; every leaf has a leading axis C."""
    target_critic: PyTree | None
    """Parameters of the target critic, which uses no running statistics; None without a target."""
    log_alpha: jax.Array | None
    """[] logarithm of the entropy temperature; None for a policy without entropy."""
    temperature_opt_state: PyTree
    """State of the temperature's optimiser; None for a policy without entropy."""
    key: jax.Array
    """The seed's random key, for exploration, replay indices and policy noise."""
    optimist: OptimistState | None = None
    """Optimistic second policy; None without one."""
    observations: Moments | None = None
    """Statistics of the observations acted on [O]; None where observations are not normalised."""
    returns: ReturnMoments | None = None
    """Statistics of the running returns; None where rewards are not scaled."""
    held_noise: HeldNoiseState | None = None
    """Exploration noise kept over several decisions, with a leading axis N where a seed has N > 1 environments; None
    where every decision draws its own."""

    @property
    def alpha(self) -> jax.Array | float:
        """The entropy temperature []; zero for a policy without entropy."""
        return 0.0 if self.log_alpha is None else jnp.exp(self.log_alpha)


def parameter_count(state: LearnerState) -> int:
    """Return the number of trained parameters of actor, critics and second policy, without targets and temperature.

    Args:
        state: State of one seed.
    """
    optimist = () if state.optimist is None else state.optimist.params
    return sum(leaf.size for leaf in jax.tree.leaves((state.actor.params, state.critic.params, optimist)))


class CriticMetrics(NamedTuple):
    """Metrics of one critic update; all []."""

    critic_loss: jax.Array
    """Minimised loss: summed (or averaged) over the critics, any penalty included."""
    q_mean: jax.Array
    """Mean over critics and batch of Q(s, a)."""
    target_mean: jax.Array
    """Mean over the batch of the regression target."""
    critic_grad_norm: jax.Array
    """L2 norm of the gradient of all critics together."""


class ActorMetrics(NamedTuple):
    """Metrics of one update of actor and temperature; all []."""

    actor_loss: jax.Array
    """Minimised loss, any penalty included."""
    entropy: jax.Array
    """-mean log pi of the batch's actions, in nats; zero for a policy without entropy."""
    temperature: jax.Array
    """alpha after the update; zero for a policy without entropy."""
    actor_grad_norm: jax.Array
    """L2 norm of the policy's gradient."""
