"""Normalisations: of batches, batch renormalisation, of layers, by the root mean square."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from typing import Literal

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
        momentum: Decay rate of the running statistics, momentum * running + (1 - momentum) * batch (Flax's convention,
            the opposite of PyTorch's).
        epsilon: Constant added to the variance, between 1e-30 and 1e30.
        running_variance: Estimate of a batch's variance that enters the running one: "biased" as in Flax, "unbiased" as
            in PyTorch. The batch itself is always normalised by the biased one.
    """

    momentum: float = 0.99
    epsilon: float = 1e-3
    running_variance: Literal["biased", "unbiased"] = "biased"

    def __post_init__(self) -> None:
        """Validate momentum and epsilon."""
        check_types(self)
        _check_momentum_and_epsilon(self)


@dataclass(frozen=True)
class BatchRenorm:
    """Batch renormalisation (Ioffe, arXiv 1702.03275): batch statistics corrected towards the running ones.

    The first ``warmup_updates`` passes equal ``BatchNorm``; later ones normalise by the running statistics as long as
    the batch's statistics are within the bounds. As in CrossQ's released code, the corrections r and d are folded into
    mean and variance before epsilon is added: (x - mean + d sqrt(var) / r) / sqrt(var / r^2 + epsilon), where the paper
    has (x - mean) r / sqrt(var + epsilon) + d. They differ where the variance is not large compared with epsilon; a
    constant input is mapped to zero, not to d.

    Attributes:
        momentum: Decay rate of the running statistics, as in ``BatchNorm``.
        epsilon: Constant added to the variance, between 1e-30 and 1e30.
        max_scale: Bound on the ratio of the batch's standard deviation to the running one, and on its inverse.
        max_shift: Bound on the difference of the means, in running standard deviations.
        warmup_updates: Number of training passes with plain batch normalisation.
    """

    momentum: float = 0.99
    epsilon: float = 1e-3
    max_scale: float = 3.0
    max_shift: float = 5.0
    warmup_updates: int = 100_000

    def __post_init__(self) -> None:
        """Validate the bounds."""
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
        epsilon: Constant added to the variance, between 1e-30 and 1e30.
    """

    epsilon: float = 1e-6

    def __post_init__(self) -> None:
        """Validate epsilon."""
        check_types(self)
        check_epsilon(self)


@dataclass(frozen=True)
class RMSNorm:
    """Division of each sample by its root mean square, with a learned scale (Zhang & Sennrich, arXiv 1910.07467).

    Attributes:
        epsilon: Constant added to the mean square, between 1e-30 and 1e30.
    """

    epsilon: float = 1e-6

    def __post_init__(self) -> None:
        """Validate epsilon."""
        check_types(self)
        check_epsilon(self)


type Norm = BatchNorm | BatchRenorm | LayerNorm | RMSNorm


def uses_batch_statistics(norm: Norm | None) -> bool:
    """Return whether a training pass of one sample depends on the others in its batch."""
    return isinstance(norm, BatchNorm | BatchRenorm)


def norm_module(norm: Norm, name: str, train: bool) -> nn.Module:
    """Return the Flax module; ``train`` normalises with the batch's statistics and updates the running ones."""
    if isinstance(norm, LayerNorm):
        return nn.LayerNorm(epsilon=norm.epsilon, name=name)
    if isinstance(norm, RMSNorm):
        return nn.RMSNorm(epsilon=norm.epsilon, name=name)
    return BatchNormalization(norm, train, name=name)


class BatchNormalization(nn.Module):
    """``BatchNorm`` or ``BatchRenorm``, [B, F] -> [B, F]; parameters and statistics have Flax's names."""

    config: BatchNorm | BatchRenorm
    train: bool

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Normalise, scale and shift."""
        config, features = self.config, x.shape[-1]
        running_mean = self.variable("batch_stats", "mean", jnp.zeros, (features,), x.dtype)
        running_var = self.variable("batch_stats", "var", jnp.ones, (features,), x.dtype)
        scale = self.param("scale", nn.initializers.ones, (features,), x.dtype)
        bias = self.param("bias", nn.initializers.zeros, (features,), x.dtype)
        renorm = isinstance(config, BatchRenorm)
        passes = self.variable("batch_stats", "passes", jnp.zeros, (), jnp.int32) if renorm else None
        if not self.train:
            return _affine(x, running_mean.value, running_var.value, scale, bias, config.epsilon)
        if passes is None:
            # In one pass over x, as in Flax, but from the first sample: squares of inputs far from zero, such as raw
            # observations, would cancel. If that sample is an outlier, the relative error is at most about B epsilons.
            offsets = x - x[:1]
            offset = jnp.mean(offsets, axis=0)
            mean = x[0] + offset
            var = jnp.maximum(jnp.mean(jnp.square(offsets), axis=0) - jnp.square(offset), 0.0)
        else:
            assert isinstance(config, BatchRenorm)
            mean = jnp.mean(x, axis=0)
            var = jnp.mean(jnp.square(x - mean[None]), axis=0)
            warm = passes.value >= config.warmup_updates
            r, d = _towards_running(config, warm, mean, var, running_mean.value, running_var.value)
            scale, bias = _corrected(scale, bias, var, r, d, config.epsilon)
        if not self.is_initializing():
            kept = config.momentum
            if isinstance(config, BatchNorm) and config.running_variance == "unbiased":
                var_kept = var * (x.shape[0] / max(x.shape[0] - 1, 1))
            else:
                var_kept = var
            running_mean.value = kept * running_mean.value + (1.0 - kept) * mean
            running_var.value = kept * running_var.value + (1.0 - kept) * var_kept
            if passes is not None:
                passes.value = passes.value + 1
        return _normalize(x, mean, var, scale, bias, config.epsilon)


def _towards_running(
    config: BatchRenorm,
    warm: jax.Array,
    mean: jax.Array,
    var: jax.Array,
    running_mean: jax.Array,
    running_var: jax.Array,
) -> tuple[jax.Array, jax.Array]:
    """Return batch renormalisation's r and d, without gradient: one and zero during the warm-up."""
    std, running_std = jnp.sqrt(var + config.epsilon), jnp.sqrt(running_var + config.epsilon)
    r = jnp.clip(std / running_std, 1.0 / config.max_scale, config.max_scale)
    d = jnp.clip((mean - running_mean) / running_std, -config.max_shift, config.max_shift)
    return jax.lax.stop_gradient((jnp.where(warm, r, 1.0), jnp.where(warm, d, 0.0)))


def _corrected(
    scale: jax.Array, bias: jax.Array, var: jax.Array, r: jax.Array, d: jax.Array, epsilon: float
) -> tuple[jax.Array, jax.Array]:
    """Return scale and bias that turn batch normalisation into renormalisation; the variance's gradient passes."""
    positive = var > 0.0  # the square root has no gradient at zero
    std = jnp.where(positive, jnp.sqrt(jnp.where(positive, var, 1.0)), 0.0)
    running_std = jnp.sqrt(var / jnp.square(r) + epsilon)
    return scale * jnp.sqrt(var + epsilon) / running_std, scale * d / r * std / running_std + bias


def _affine(
    x: jax.Array, mean: jax.Array, var: jax.Array, scale: jax.Array, bias: jax.Array, epsilon: float
) -> jax.Array:
    return (x - mean[None]) * (jax.lax.rsqrt(var + epsilon) * scale)[None] + bias[None]


# The analytic derivative of batch normalisation needs half the passes over the activations of JAX's own.
@functools.partial(jax.custom_vjp, nondiff_argnums=(5,))
def _normalize(
    x: jax.Array, mean: jax.Array, var: jax.Array, scale: jax.Array, bias: jax.Array, epsilon: float
) -> jax.Array:
    """Normalise x [B, F] with its own mean and biased variance [F]; their gradient is part of that of x."""
    return _affine(x, mean, var, scale, bias, epsilon)


def _normalize_forward(
    x: jax.Array, mean: jax.Array, var: jax.Array, scale: jax.Array, bias: jax.Array, epsilon: float
) -> tuple[jax.Array, tuple[jax.Array, ...]]:
    return _affine(x, mean, var, scale, bias, epsilon), (x, mean, var, scale)


def _normalize_backward(
    epsilon: float, kept: tuple[jax.Array, ...], gradient: jax.Array
) -> tuple[jax.Array | None, ...]:
    x, mean, var, scale = kept
    inverse_std = jax.lax.rsqrt(var + epsilon)
    standard = (x - mean[None]) * inverse_std[None]
    of_bias = jnp.sum(gradient, axis=0)
    products = gradient * standard
    if jax.default_backend() == "cpu":
        # Prevents a fused sum of products, which takes 20 times as long as both operations in sequence.
        products = jax.lax.optimization_barrier(products)
    of_scale = jnp.sum(products, axis=0)
    means = (of_bias[None] + standard * of_scale[None]) / x.shape[0]
    return (inverse_std * scale)[None] * (gradient - means), None, None, of_scale, of_bias


_normalize.defvjp(_normalize_forward, _normalize_backward)
