"""Policies: actions from the actor's outputs, for exploration, for the Bellman target and for the policy's loss.

A stochastic policy samples all three alike. A deterministic one adds noise to explore and, clipped, to the actions of
the Bellman target (TD3, arXiv 1802.09477).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from surefoot.algorithms.parts import check_finite
from surefoot.algorithms.policy_distribution import sample_with_log_prob
from surefoot.networks import Actor, DeterministicActor, LayerPath, LogStdRange, TorsoConfig
from surefoot.networks.validation import check_types

type Drawn = tuple[jax.Array, jax.Array]
"""Actions [..., A] in [-1, 1] and their log-probabilities [...]."""


@dataclass(frozen=True)
class TanhGaussian:
    """SAC's policy: a tanh-squashed Gaussian with learned mean and log standard deviation.

    Attributes:
        log_std: Bounds of the log standard deviation.
    """

    log_std: LogStdRange = LogStdRange()

    def __post_init__(self) -> None:
        """Validate the type of the range."""
        check_types(self)

    @property
    def has_entropy(self) -> bool:
        """Whether the actions have a density, and the algorithm a temperature."""
        return True

    @property
    def heads(self) -> tuple[LayerPath, ...]:
        """Paths of the layers after the torso."""
        return (("mean",), ("log_std",))

    def module(self, torso: TorsoConfig, action_size: int) -> nn.Module:
        """Return the network."""
        return Actor(torso, self.log_std, action_size)

    def mean(self, outputs: Any) -> jax.Array:
        """Return the deterministic action [..., A]."""
        return jnp.tanh(outputs[0])

    def explore(self, outputs: Any, key: jax.Array) -> jax.Array:
        """Draw exploring actions [..., A]."""
        return sample_with_log_prob(outputs[0], outputs[1], key)[0]

    def explore_with(self, outputs: Any, noise: jax.Array) -> jax.Array:
        """Return exploring actions [..., A] for standard normal noise [..., A]."""
        return jnp.tanh(outputs[0] + jnp.exp(outputs[1]) * noise)

    def next_action(self, outputs: Any, key: jax.Array) -> Drawn:
        """Draw the next actions of the Bellman target."""
        return sample_with_log_prob(outputs[0], outputs[1], key)

    def policy_action(self, outputs: Any, key: jax.Array) -> Drawn:
        """Draw the reparametrised actions of the policy's loss."""
        return sample_with_log_prob(outputs[0], outputs[1], key)


@dataclass(frozen=True)
class DeterministicPolicy:
    """TD3's policy: tanh of a learned mean, with noise for exploration and target smoothing.

    Attributes:
        exploration_noise: Standard deviation of the exploration noise, in units of the scaled action.
        target_noise: Standard deviation of the noise on the next actions of the Bellman target.
        target_noise_bound: Bound that the target noise is clipped to.
    """

    exploration_noise: float = 0.1
    target_noise: float = 0.2
    target_noise_bound: float = 0.5

    def __post_init__(self) -> None:
        """Validate the noise."""
        check_types(self)
        for name in ("exploration_noise", "target_noise", "target_noise_bound"):
            check_finite(f"DeterministicPolicy {name}", getattr(self, name), at_least=0.0)

    @property
    def has_entropy(self) -> bool:
        """Whether the actions have a density, and the algorithm a temperature."""
        return False

    @property
    def heads(self) -> tuple[LayerPath, ...]:
        """Paths of the layers after the torso."""
        return (("mean",),)

    def module(self, torso: TorsoConfig, action_size: int) -> nn.Module:
        """Return the network."""
        return DeterministicActor(torso, action_size)

    def mean(self, outputs: Any) -> jax.Array:
        """Return the deterministic action [..., A]."""
        return jnp.tanh(outputs)

    def explore(self, outputs: Any, key: jax.Array) -> jax.Array:
        """Return exploring actions [..., A]: the mean with noise."""
        noise = self.exploration_noise * jax.random.normal(key, outputs.shape, outputs.dtype)
        return jnp.clip(jnp.tanh(outputs) + noise, -1.0, 1.0)

    def next_action(self, outputs: Any, key: jax.Array) -> Drawn:
        """Return the next actions of the Bellman target, with clipped noise, and zeros in place of a density."""
        noise = self.target_noise * jax.random.normal(key, outputs.shape, outputs.dtype)
        noise = jnp.clip(noise, -self.target_noise_bound, self.target_noise_bound)
        return jnp.clip(jnp.tanh(outputs) + noise, -1.0, 1.0), jnp.zeros(outputs.shape[:-1], outputs.dtype)

    def policy_action(self, outputs: Any, key: jax.Array) -> Drawn:
        """Return the actions of the policy's loss, and zeros in place of a density."""
        return jnp.tanh(outputs), jnp.zeros(outputs.shape[:-1], outputs.dtype)


type Policy = TanhGaussian | DeterministicPolicy
