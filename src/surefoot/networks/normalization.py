"""Normalisations as parts of a network, and the one that Flax does not have."""

from __future__ import annotations

import math
from dataclasses import dataclass

import jax
import jax.numpy as jnp
from flax import linen as nn

from surefoot.errors import UserError
from surefoot.networks.validation import check_epsilon, check_types


def _check_momentum_and_epsilon(part: BatchNorm | BatchRenorm) -> None:
    if not 0.0 <= part.momentum < 1.0:
        raise UserError(f"{type(part).__name__} momentum must be in [0, 1), got {part.momentum}")
    check_epsilon(part)


@dataclass(frozen=True)
class BatchNorm:
    """Batch normalisation of the input and around every hidden activation.

    Attributes:
        momentum: running = momentum * running + (1 - momentum) * batch, with the biased variance (Flax's convention,
            the opposite of PyTorch's).
        epsilon: added to the variance; between 1e-30 and 1e30, as in a policy file.
    """

    momentum: float = 0.99
    epsilon: float = 1e-3

    def __post_init__(self) -> None:
        """Refuse values that normalise nothing."""
        check_types(self)
        _check_momentum_and_epsilon(self)


@dataclass(frozen=True)
class BatchRenorm:
    """Batch renormalisation (Ioffe, arXiv 1702.03275): batch statistics, pulled towards the running ones.

    It normalises as ``BatchNorm`` does for its first ``warmup_updates`` passes; afterwards by the running statistics
    as long as the batch's own are within the bounds.

    Attributes:
        momentum: of the running statistics, as in ``BatchNorm``.
        epsilon: added to the variance; between 1e-30 and 1e30, as in a policy file.
        max_scale: bound on the ratio of the batch's standard deviation to the running one, and of its inverse.
        max_shift: bound on the difference of the means, in running standard deviations.
        warmup_updates: training passes of plain batch normalisation.
    """

    momentum: float = 0.99
    epsilon: float = 1e-3
    max_scale: float = 3.0
    max_shift: float = 5.0
    warmup_updates: int = 100_000

    def __post_init__(self) -> None:
        """Refuse bounds that cannot be kept."""
        check_types(self)
        _check_momentum_and_epsilon(self)
        if not 1.0 <= self.max_scale < math.inf:
            raise UserError(f"BatchRenorm max_scale must be a finite number of at least 1, got {self.max_scale}")
        if not 0.0 <= self.max_shift < math.inf:
            raise UserError(f"BatchRenorm max_shift must be a finite number of at least 0, got {self.max_shift}")
        if self.warmup_updates < 0:
            raise UserError(f"BatchRenorm warmup_updates must be at least 0, got {self.warmup_updates}")


@dataclass(frozen=True)
class LayerNorm:
    """Layer normalisation (Ba et al., arXiv 1607.06450): each sample by its own mean and biased variance.

    Attributes:
        epsilon: added to the variance; between 1e-30 and 1e30, as in a policy file.
    """

    epsilon: float = 1e-6

    def __post_init__(self) -> None:
        """Refuse a value that divides by zero."""
        check_types(self)
        check_epsilon(self)


type Norm = BatchNorm | BatchRenorm | LayerNorm


def uses_batch_statistics(norm: Norm | None) -> bool:
    """Return whether a training pass of one sample depends on the others in its batch."""
    return isinstance(norm, BatchNorm | BatchRenorm)


def norm_module(norm: Norm, name: str, train: bool) -> nn.Module:
    """Return the Flax module; ``train`` normalises with the batch's statistics and updates the running ones."""
    match norm:
        case BatchNorm():
            return nn.BatchNorm(not train, momentum=norm.momentum, epsilon=norm.epsilon, name=name)
        case BatchRenorm():
            return BatchRenormalization(norm, train, name=name)
        case LayerNorm():
            return nn.LayerNorm(epsilon=norm.epsilon, name=name)


class BatchRenormalization(nn.Module):
    """[B, F] -> [B, F] as ``BatchRenorm`` says; its running statistics carry Flax's names for them."""

    config: BatchRenorm
    train: bool

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Normalise, scale and shift."""
        config, features = self.config, x.shape[-1]
        running_mean = self.variable("batch_stats", "mean", jnp.zeros, (features,), x.dtype)
        running_var = self.variable("batch_stats", "var", jnp.ones, (features,), x.dtype)
        passes = self.variable("batch_stats", "passes", jnp.zeros, (), jnp.int32)
        scale = self.param("scale", nn.initializers.ones, (features,), x.dtype)
        bias = self.param("bias", nn.initializers.zeros, (features,), x.dtype)
        running_std = jnp.sqrt(running_var.value + config.epsilon)
        if not self.train:
            return (x - running_mean.value[None]) / running_std[None] * scale[None] + bias[None]
        mean = jnp.mean(x, axis=0)
        var = jnp.mean(jnp.square(x - mean[None]), axis=0)
        std = jnp.sqrt(var + config.epsilon)
        warm = passes.value >= config.warmup_updates
        r = jnp.clip(std / running_std, 1.0 / config.max_scale, config.max_scale)
        d = jnp.clip((mean - running_mean.value) / running_std, -config.max_shift, config.max_shift)
        r, d = jax.lax.stop_gradient((jnp.where(warm, r, 1.0), jnp.where(warm, d, 0.0)))
        if not self.is_initializing():
            kept = config.momentum
            running_mean.value = kept * running_mean.value + (1.0 - kept) * mean
            running_var.value = kept * running_var.value + (1.0 - kept) * var
            passes.value = passes.value + 1
        return ((x - mean[None]) / std[None] * r[None] + d[None]) * scale[None] + bias[None]
