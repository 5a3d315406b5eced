"""The small parts of an algorithm: plain numbers, validated when they are built."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import Literal

from surefoot.errors import UserError
from surefoot.networks import MLP, BroNet, TorsoConfig
from surefoot.networks.validation import check_epsilon, check_types


def check_finite(name: str, value: float, above: float | None = None, at_least: float | None = None) -> None:
    """Refuse a number that is not finite or not in range.

    Raises:
        UserError: says which.
    """
    if not math.isfinite(value) or (above is not None and value <= above):
        raise UserError(f"{name} must be a finite number{'' if above is None else f' above {above:g}'}, got {value}")
    if at_least is not None and value < at_least:
        raise UserError(f"{name} must be at least {at_least:g}, got {value}")


@dataclass(frozen=True)
class LinearDecay:
    """A learning rate that falls linearly and then stays.

    Attributes:
        initial: learning rate at the first update.
        final: learning rate from ``agent_steps`` on.
        agent_steps: length of the fall, in agent steps after the warm-up. It is a number of its own and not the
            length of the run, so that a run can be extended.
    """

    initial: float
    final: float
    agent_steps: int

    def __post_init__(self) -> None:
        """Refuse a schedule that stops learning."""
        check_types(self)
        check_finite("initial learning rate", self.initial, above=0.0)
        check_finite("final learning rate", self.final, above=0.0)
        if self.agent_steps < 1:
            raise UserError(f"LinearDecay agent_steps must be at least 1, got {self.agent_steps}")


@dataclass(frozen=True)
class AdamW:
    """Adam with decoupled weight decay (plain Adam where the decay is zero).

    Attributes:
        learning_rate: step size, a constant or a LinearDecay.
        b1: decay of the gradient's running mean.
        b2: decay of the squared gradient's running mean.
        weight_decay: times the learning rate, subtracted from the decayed parameters at each step.
        decay: which parameters decay: "unconstrained" leaves out what a weight constraint holds (the hidden layers,
            and the heads' kernels where it holds those too), "all" takes every parameter.
    """

    learning_rate: float | LinearDecay = 3e-4
    b1: float = 0.9
    b2: float = 0.999
    weight_decay: float = 0.0
    decay: Literal["unconstrained", "all"] = "all"

    def __post_init__(self) -> None:
        """Refuse settings under which nothing can be learned."""
        check_types(self)
        if not isinstance(self.learning_rate, LinearDecay):
            check_finite("learning_rate", self.learning_rate, above=0.0)
        check_finite("weight_decay", self.weight_decay, at_least=0.0)
        for name in ("b1", "b2"):
            if not 0.0 <= getattr(self, name) < 1.0:
                raise UserError(f"{name} must be in [0, 1), got {getattr(self, name)}")


@dataclass(frozen=True)
class PolyakTarget:
    """A target critic that follows the critic: target = (1 - tau) target + tau critic, after every critic step.

    Attributes:
        tau: share of the way to the critic that each step goes.
    """

    tau: float = 0.005

    def __post_init__(self) -> None:
        """Refuse a target that never moves or overshoots."""
        check_types(self)
        if not 0.0 < self.tau <= 1.0:
            raise UserError(f"tau must be in (0, 1], got {self.tau}")


@dataclass(frozen=True)
class UnitNorm:
    """Layers are projected to unit norm at initialisation and after every gradient step.

    Attributes:
        layers: "hidden" projects the hidden layers of actor and critic, kernel and bias together (CrossQ + WN); "all"
            projects the kernels of their heads as well (XQC).
    """

    layers: Literal["hidden", "all"] = "hidden"

    def __post_init__(self) -> None:
        """Refuse another word."""
        check_types(self)


@dataclass(frozen=True)
class L2Penalty:
    """The losses of actor and critic gain coefficient x the squared norm of their hidden layers, biases included.

    Attributes:
        coefficient: weight of the penalty, per network.
    """

    coefficient: float = 1e-4

    def __post_init__(self) -> None:
        """Refuse a penalty that does nothing or rewards growth."""
        check_types(self)
        check_finite("L2Penalty coefficient", self.coefficient, above=0.0)


@dataclass(frozen=True)
class Temperature:
    """The entropy temperature alpha and how it is learned (Haarnoja et al., arXiv 1812.05905).

    Attributes:
        initial: alpha at the start.
        target_entropy: per action dimension, in nats; the target is this times A.
        optimizer: of log alpha. Its ``decay`` makes no difference: there are no hidden layers to leave out, so either
            choice decays log alpha.
    """

    initial: float = 1.0
    target_entropy: float = -1.0
    optimizer: AdamW = AdamW()

    def __post_init__(self) -> None:
        """Refuse a temperature whose logarithm does not exist."""
        check_types(self)
        check_finite("initial temperature", self.initial, above=0.0)
        check_finite("target_entropy", self.target_entropy)


@dataclass(frozen=True)
class ObservationNorm:
    """Observations are normalised by their running mean and variance (RSNorm, arXiv 2410.09754, section 4).

    The statistics move with every observation that is acted on, the warm-up's included, and with nothing else; replayed
    observations are normalised by those of the moment.

    Attributes:
        epsilon: added to the variance; between 1e-30 and 1e30, as in a policy file.
    """

    epsilon: float = 1e-8

    def __post_init__(self) -> None:
        """Refuse a value that divides by zero."""
        check_types(self)
        check_epsilon(self)


@dataclass(frozen=True)
class ReturnScaling:
    """Sampled rewards are divided by the running standard deviation of G = gamma (1 - done) G + r (arXiv 2509.25174).

    Attributes:
        epsilon: added to the variance.
    """

    epsilon: float = 1e-8

    def __post_init__(self) -> None:
        """Refuse a value that divides by zero."""
        check_types(self)
        check_finite("ReturnScaling epsilon", self.epsilon, above=0.0)


@dataclass(frozen=True)
class OptimisticActor:
    """BRO's second policy, which explores (arXiv 2405.16158, appendix; arXiv 2310.19527).

    It moves the first policy's mean towards higher Q and higher disagreement of the critics, with a smaller standard
    deviation, and is held near the first one by a KL divergence. Evaluations play the first policy.

    Attributes:
        torso: of the second policy, whose input is (observation, the first policy's mean).
        optimizer: of the second policy.
        std_scale: its standard deviation over the first policy's.
        initial_optimism: weight of the disagreement at the start.
        initial_kl_weight: weight of the KL divergence at the start.
        target_kl: KL divergence per action dimension at which both weights stay.
        weight_optimizer: of the two weights, each exp of a tanh-bounded logarithm.
    """

    torso: TorsoConfig = BroNet(256, 1)
    optimizer: AdamW = AdamW(weight_decay=1e-4)
    std_scale: float = 0.75
    initial_optimism: float = 1.0
    initial_kl_weight: float = 0.25
    target_kl: float = 0.05
    weight_optimizer: AdamW = AdamW(learning_rate=3e-5, b1=0.5)

    def __post_init__(self) -> None:
        """Refuse a torso that it cannot train, and values outside what the weights can take."""
        check_types(self)
        if self.torso.uses_batch_statistics or (isinstance(self.torso, MLP) and self.torso.dropout > 0.0):
            raise UserError("OptimisticActor torso can have no batch normalisation and no dropout: neither is trained")
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
    """Networks, optimisers and temperature start afresh at an interval; the replay buffer stays (arXiv 2205.07802).

    Exactly one interval is given; counts are per seed and of training, and the reset comes before the next update.

    Attributes:
        env_steps: simulator control steps between resets.
        grad_steps: gradient updates between resets.
    """

    env_steps: int | None = None
    grad_steps: int | None = None

    def __post_init__(self) -> None:
        """Refuse none or two intervals."""
        check_types(self)
        given = [value for value in (self.env_steps, self.grad_steps) if value is not None]
        if len(given) != 1 or given[0] < 1:
            raise UserError(
                "ResetEvery needs one positive interval, env_steps or grad_steps, "
                f"got env_steps={self.env_steps}, grad_steps={self.grad_steps}"
            )


@dataclass(frozen=True)
class ResetAt:
    """As ``ResetEvery``, at given agent steps: right before the updates of each of them.

    Attributes:
        agent_steps: rising, from 1.
    """

    agent_steps: tuple[int, ...]

    def __post_init__(self) -> None:
        """Refuse an empty or unordered list."""
        check_types(self)
        steps = self.agent_steps
        if not steps or steps[0] < 1 or any(later <= earlier for earlier, later in itertools.pairwise(steps)):
            raise UserError(f"ResetAt agent_steps must be rising positive integers, got {steps}")
