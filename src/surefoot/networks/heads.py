"""Networks of a torso and heads: critics, policies, and the optimistic second policy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import jax
import jax.numpy as jnp
from flax import linen as nn

from surefoot.errors import UserError
from surefoot.networks.layers import Init, Torso, dense
from surefoot.networks.matmul import head_dot_general
from surefoot.networks.torsos import TorsoConfig
from surefoot.networks.validation import check_types


class Critic(nn.Module):
    """One critic: ([B, O], [B, A]) -> [B, K], where K numbers describe the value.

    Attributes:
        config: Configuration of the torso.
        num_outputs: K.
    """

    config: TorsoConfig
    num_outputs: int

    @nn.compact
    def __call__(self, observation: jax.Array, action: jax.Array, train: bool) -> jax.Array:
        """Return the outputs for Q(observation, action)."""
        x = Torso(self.config.layers(), name="torso")(jnp.concatenate([observation, action], axis=-1), train)
        return dense(self.num_outputs, self.config.head_init, "head")(x)


def critic_ensemble(config: TorsoConfig, num_critics: int, num_outputs: int = 1) -> nn.Module:
    """Return C independent critics as one module: ([B, O], [B, A]) -> [C, B, K].

    Every parameter has a leading axis C.

    Args:
        config: Configuration of each critic's torso.
        num_critics: C.
        num_outputs: K.
    """
    ensemble = nn.vmap(
        Critic,
        variable_axes={"params": 0, "batch_stats": 0, "activations": 0},
        split_rngs={"params": True, "dropout": True},
        in_axes=(None, None, None),
        out_axes=0,
        axis_size=num_critics,
        # No additional level in the parameter tree.
        metadata_params={},
    )
    return ensemble(config, num_outputs)


@dataclass(frozen=True)
class LogStdRange:
    """Bounds of the log-standard-deviation head.

    Attributes:
        low: Smallest log standard deviation of the Gaussian before the tanh; at least -50.
        high: Largest log standard deviation; at most 50.
        mapping: "clip" clips to the bounds (CrossQ's family); "tanh" squashes into them (BRO, SR-SAC, SimBa).
    """

    low: float = -10.0
    high: float = 2.0
    mapping: Literal["clip", "tanh"] = "clip"

    def __post_init__(self) -> None:
        """Validate the range."""
        check_types(self)
        if not -50.0 <= self.low < self.high <= 50.0:
            raise UserError(f"LogStdRange needs -50 <= low < high <= 50, got low={self.low}, high={self.high}")

    def __call__(self, raw: jax.Array) -> jax.Array:
        """Map the head's raw output into the range."""
        if self.mapping == "clip":
            return jnp.clip(raw, self.low, self.high)
        return self.low + 0.5 * (self.high - self.low) * (jnp.tanh(raw) + 1.0)


class Actor(nn.Module):
    """A tanh-Gaussian policy's parameters: [B, O] -> mean [B, A], log standard deviation [B, A], before the tanh.

    Attributes:
        config: Configuration of the torso.
        log_std: Bounds of the log standard deviation.
        action_size: A.
    """

    config: TorsoConfig
    log_std: LogStdRange
    action_size: int

    @nn.compact
    def __call__(self, observation: jax.Array, train: bool) -> tuple[jax.Array, jax.Array]:
        """Return the Gaussian's mean and log standard deviation."""
        x = Torso(self.config.layers(), name="torso")(observation, train)
        mean = dense(self.action_size, self.config.head_init, "mean")(x)
        init: Init = "lecun" if self.config.head_init == "lecun" else "orthogonal-unit"
        return mean, self.log_std(dense(self.action_size, init, "log_std")(x))


class DeterministicActor(nn.Module):
    """A deterministic policy: [B, O] -> its action before the tanh, [B, A].

    Attributes:
        config: Configuration of the torso.
        action_size: A.
    """

    config: TorsoConfig
    action_size: int

    @nn.compact
    def __call__(self, observation: jax.Array, train: bool) -> jax.Array:
        """Return the action before the tanh."""
        x = Torso(self.config.layers(), name="torso")(observation, train)
        return dense(self.action_size, self.config.head_init, "mean")(x)


class ShiftActor(nn.Module):
    """BRO's second policy: ([B, O], the first policy's mean [B, A]) -> shift of that mean [B, A].

    Attributes:
        config: Configuration of the torso.
        action_size: A.
    """

    config: TorsoConfig
    action_size: int

    @nn.compact
    def __call__(self, observation: jax.Array, mean: jax.Array, train: bool) -> jax.Array:
        """Return the shift, which is initially near zero."""
        x = Torso(self.config.layers(), name="torso")(jnp.concatenate([observation, mean], axis=-1), train)
        small = nn.initializers.orthogonal(0.01)
        product = head_dot_general
        return nn.Dense(self.action_size, use_bias=False, kernel_init=small, name="shift", dot_general=product)(x)
