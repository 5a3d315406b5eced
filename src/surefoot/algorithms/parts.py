"""Parts of an algorithm that hold plain values, validated on construction."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import Literal

from surefoot.errors import UserError
from surefoot.networks import MLP, BroNet, TorsoConfig
from surefoot.networks.validation import check_epsilon, check_types


def check_finite(name: str, value: float, above: float | None = None, at_least: float | None = None) -> None:
    """Validate that a number is finite and in range.

    Raises:
        UserError: The number is not; the message starts with ``name``.
    """
    if not math.isfinite(value) or (above is not None and value <= above):
        raise UserError(f"{name} must be a finite number{'' if above is None else f' above {above:g}'}, got {value}")
    if at_least is not None and value < at_least:
        raise UserError(f"{name} must be at least {at_least:g}, got {value}")


@dataclass(frozen=True)
class LinearDecay:
    """A learning rate that decreases linearly and then stays constant.

    Attributes:
        initial: Learning rate at the first update.
        final: Learning rate after ``agent_steps``.
        agent_steps: Length of the decay, in agent steps after the warm-up or the last reset. It does not depend on the
            length of the run, so that a run can be extended.
    """

    initial: float
    final: float
    agent_steps: int

    def __post_init__(self) -> None:
        """Validate the learning rates and the length."""
        _check_decay(self)


@dataclass(frozen=True)
class CosineDecay:
    """A learning rate that decreases along half a cosine and then stays constant.

    Attributes:
        initial: Learning rate at the first update.
        final: Learning rate after ``agent_steps``.
        agent_steps: Length of the decay, in agent steps; see ``LinearDecay``.
    """

    initial: float
    final: float
    agent_steps: int

    def __post_init__(self) -> None:
        """Validate the learning rates and the length."""
        _check_decay(self)


def _check_decay(part: LinearDecay | CosineDecay) -> None:
    check_types(part)
    check_finite("initial learning rate", part.initial, above=0.0)
    check_finite("final learning rate", part.final, above=0.0)
    if part.agent_steps < 1:
        raise UserError(f"{type(part).__name__} agent_steps must be at least 1, got {part.agent_steps}")


@dataclass(frozen=True)
class AdamW:
    """Adam with decoupled weight decay (plain Adam where the decay is zero).

    Attributes:
        learning_rate: Step size, a constant, a LinearDecay or a CosineDecay.
        b1: Decay rate of the gradient's running mean.
        b2: Decay rate of the squared gradient's running mean.
        weight_decay: Decay coefficient; each step subtracts it times the learning rate times the parameter.
        decay: Parameters that decay: "all", or "outside-hidden" for all but the hidden layers, which weight constraints
            project.
    """

    learning_rate: float | LinearDecay | CosineDecay = 3e-4
    b1: float = 0.9
    b2: float = 0.999
    weight_decay: float = 0.0
    decay: Literal["outside-hidden", "all"] = "all"

    def __post_init__(self) -> None:
        """Validate the learning rate and the coefficients."""
        check_types(self)
        if isinstance(self.learning_rate, float):
            check_finite("learning_rate", self.learning_rate, above=0.0)
        check_finite("weight_decay", self.weight_decay, at_least=0.0)
        for name in ("b1", "b2"):
            if not 0.0 <= getattr(self, name) < 1.0:
                raise UserError(f"{name} must be in [0, 1), got {getattr(self, name)}")


@dataclass(frozen=True)
class PolyakTarget:
    """A target critic that follows the critic: target = (1 - tau) target + tau critic, after every critic step.

    Attributes:
        tau: Weight of the critic in each step, in (0, 1].
    """

    tau: float = 0.005

    def __post_init__(self) -> None:
        """Validate tau."""
        check_types(self)
        if not 0.0 < self.tau <= 1.0:
            raise UserError(f"tau must be in (0, 1], got {self.tau}")


@dataclass(frozen=True)
class UnitNorm:
    """Layers are projected to unit norm at initialisation and after every gradient step.

    Attributes:
        layers: "hidden" for the hidden layers of actor and critic, kernel and bias together (CrossQ + WN); "all" for
            the kernels of their heads as well (XQC). Weight decay comes before the projection.
    """

    layers: Literal["hidden", "all"] = "hidden"

    def __post_init__(self) -> None:
        """Validate the choice of layers."""
        check_types(self)


@dataclass(frozen=True)
class FullUnitNorm:
    """All layers are projected at initialisation and after every gradient step (FlashSAC, arXiv 2604.04539).

    In dense layers and heads each unit's incoming weights have norm one; biases are free. In normalisations scale and
    bias together have norm sqrt(features). Unlike under ``UnitNorm``, a dense layer need not be followed by a
    normalisation: where none follows, the projection changes the function.
    """


@dataclass(frozen=True)
class L2Penalty:
    """A penalty on actor and critic: coefficient x the squared norm of their hidden layers, biases included.

    Attributes:
        coefficient: Weight of the penalty, per network.
    """

    coefficient: float = 1e-4

    def __post_init__(self) -> None:
        """Validate the coefficient."""
        check_types(self)
        check_finite("L2Penalty coefficient", self.coefficient, above=0.0)


@dataclass(frozen=True)
class Temperature:
    """The entropy temperature alpha and its training (Haarnoja et al., arXiv 1812.05905).

    Attributes:
        initial: Initial alpha.
        target_entropy: Target entropy per action dimension, in nats; the target is this times A.
        optimizer: Optimiser of log alpha. Its ``decay`` has no effect: both choices decay log alpha.
        loss: Factor of (H - target H) in the loss, whose variable is log alpha: "alpha" (SAC's code) or "log-alpha"
            (REDQ's and DroQ's code), with which the gradient does not shrink with alpha.
    """

    initial: float = 1.0
    target_entropy: float = -1.0
    optimizer: AdamW = AdamW()
    loss: Literal["alpha", "log-alpha"] = "alpha"

    def __post_init__(self) -> None:
        """Validate the initial value and the target."""
        check_types(self)
        check_finite("initial temperature", self.initial, above=0.0)
        check_finite("target_entropy", self.target_entropy)


@dataclass(frozen=True)
class ObservationNorm:
    """Normalisation of observations by their running mean and variance (RSNorm, arXiv 2410.09754, section 4).

    The statistics are updated with every observation that is acted on, including the warm-up; replayed observations are
    normalised by the current statistics.

    Attributes:
        epsilon: Constant added to the variance, between 1e-30 and 1e30.
    """

    epsilon: float = 1e-8

    def __post_init__(self) -> None:
        """Validate epsilon."""
        check_types(self)
        check_epsilon(self)


@dataclass(frozen=True)
class ReturnScaling:
    """Division of sampled rewards by the running standard deviation of G = gamma (1 - done) G + r (arXiv 2509.25174).

    Attributes:
        epsilon: Constant added to the standard deviation.
    """

    epsilon: float = 1e-8

    def __post_init__(self) -> None:
        """Validate epsilon."""
        check_types(self)
        check_finite("ReturnScaling epsilon", self.epsilon, above=0.0)


@dataclass(frozen=True)
class BoundedReturnScaling:
    """Division of sampled rewards by max(sqrt(var G + epsilon), max |G| / bound), with G as in ``ReturnScaling``.

    No return so far then exceeds the bound (FlashSAC, arXiv 2604.04539).

    Attributes:
        bound: Largest absolute value of a scaled return.
        epsilon: Constant added to the variance.
    """

    bound: float = 5.0
    epsilon: float = 1e-8

    def __post_init__(self) -> None:
        """Validate the bound and epsilon."""
        check_types(self)
        check_finite("BoundedReturnScaling bound", self.bound, above=0.0)
        check_finite("BoundedReturnScaling epsilon", self.epsilon, above=0.0)


@dataclass(frozen=True)
class HeldNoise:
    """Exploration noise that is kept for n decisions, with probability of n proportional to n^-exponent.

    Temporally extended exploration as in arXiv 2006.01782, where the action is kept (FlashSAC, arXiv 2604.04539).

    Attributes:
        exponent: Exponent of the zeta distribution.
        max_decisions: Largest n.
    """

    exponent: float = 2.0
    max_decisions: int = 16

    def __post_init__(self) -> None:
        """Validate the distribution."""
        check_types(self)
        check_finite("HeldNoise exponent", self.exponent, at_least=0.0)
        if self.max_decisions < 2:
            raise UserError(f"HeldNoise max_decisions must be at least 2, got {self.max_decisions}")


@dataclass(frozen=True)
class OptimisticActor:
    """BRO's optimistic exploration policy (arXiv 2405.16158, appendix; arXiv 2310.19527).

    It shifts the first policy's mean towards higher Q and higher disagreement of the critics, with a smaller standard
    deviation, under a KL penalty. Evaluations use the first policy.

    Attributes:
        torso: Torso of the second policy, whose input is (observation, the first policy's mean).
        optimizer: Optimiser of the second policy.
        std_scale: Ratio of its standard deviation to the first policy's.
        initial_optimism: Initial weight of the disagreement.
        initial_kl_weight: Initial weight of the KL divergence.
        target_kl: Target KL divergence per action dimension.
        weight_optimizer: Optimiser of the two weights, each the exponential of a tanh-bounded logarithm. ``decay`` has
            no effect.
    """

    torso: TorsoConfig = BroNet(256, 1)
    optimizer: AdamW = AdamW(weight_decay=1e-4)
    std_scale: float = 0.75
    initial_optimism: float = 1.0
    initial_kl_weight: float = 0.25
    target_kl: float = 0.05
    weight_optimizer: AdamW = AdamW(learning_rate=3e-5, b1=0.5)

    def __post_init__(self) -> None:
        """Validate the torso and the ranges of the weights."""
        check_types(self)
        if self.torso.uses_batch_statistics or (isinstance(self.torso, MLP) and self.torso.dropout > 0.0):
            raise UserError("OptimisticActor torso can have no batch normalisation and no dropout")
        check_finite("OptimisticActor std_scale", self.std_scale, above=0.0)
        check_finite("OptimisticActor target_kl", self.target_kl, above=0.0)
        low, high = (math.exp(bound) for bound in LOG_WEIGHT_BOUNDS)
        for name in ("initial_optimism", "initial_kl_weight"):
            if not low < (value := getattr(self, name)) < high:
                raise UserError(f"OptimisticActor {name} must be between {low:g} and {high:g}, got {value}")


LOG_WEIGHT_BOUNDS = (-10.0, 7.5)
"""Bounds of the logarithm of optimism and KL weight (BRO's code)."""


@dataclass(frozen=True)
class ResetEvery:
    """Periodic reinitialisation of networks, optimisers and temperature; the replay buffer stays (arXiv 2205.07802).

    Exactly one interval is given, counted per seed; the reset precedes the next update.

    Attributes:
        env_steps: Simulator control steps between resets.
        grad_steps: Gradient updates between resets.
    """

    env_steps: int | None = None
    grad_steps: int | None = None

    def __post_init__(self) -> None:
        """Validate that exactly one positive interval is given."""
        check_types(self)
        given = [value for value in (self.env_steps, self.grad_steps) if value is not None]
        if len(given) != 1 or given[0] < 1:
            raise UserError(
                "ResetEvery needs one positive interval, env_steps or grad_steps, "
                f"got env_steps={self.env_steps}, grad_steps={self.grad_steps}"
            )


@dataclass(frozen=True)
class ResetAt:
    """Reinitialisation as in ``ResetEvery``, right before the updates of given agent steps.

    Attributes:
        agent_steps: Increasing agent steps, from 1.
    """

    agent_steps: tuple[int, ...]

    def __post_init__(self) -> None:
        """Validate that the steps are positive and increasing."""
        check_types(self)
        steps = self.agent_steps
        if not steps or steps[0] < 1 or any(later <= earlier for earlier, later in itertools.pairwise(steps)):
            raise UserError(f"ResetAt agent_steps must be increasing positive integers, got {steps}")
