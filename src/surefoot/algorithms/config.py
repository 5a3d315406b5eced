"""An algorithm is a frozen composition of parts, validated when it is built.

Every default here is the neutral setting, which is plain soft actor-critic; a preset states only what differs, with its
source. ``None`` for a part means that it is absent, and an absent part costs nothing.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Any, Literal, Self

from surefoot.errors import UserError, suggest
from surefoot.networks import MLP, LogStdRange
from surefoot.networks.validation import check_types


def _finite(name: str, value: float, above: float | None = None, at_least: float | None = None) -> None:
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
        _finite("initial learning rate", self.initial, above=0.0)
        _finite("final learning rate", self.final, above=0.0)
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
        decay: which parameters decay: "unconstrained" leaves the hidden layers' kernels and biases out (the ones a
            weight constraint holds), "all" takes every parameter.
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
            _finite("learning_rate", self.learning_rate, above=0.0)
        _finite("weight_decay", self.weight_decay, at_least=0.0)
        for name in ("b1", "b2"):
            if not 0.0 <= getattr(self, name) < 1.0:
                raise UserError(f"{name} must be in [0, 1), got {getattr(self, name)}")


@dataclass(frozen=True)
class PolyakTarget:
    """A target critic that follows the critic: target = (1 - tau) target + tau critic, after every critic step.

    Attributes:
        tau: how far it moves, in (0, 1]; 1 copies the critic.
    """

    tau: float = 0.005

    def __post_init__(self) -> None:
        """Refuse a target that never moves or overshoots."""
        check_types(self)
        if not 0.0 < self.tau <= 1.0:
            raise UserError(f"tau must be in (0, 1], got {self.tau}")


@dataclass(frozen=True)
class UnitNorm:
    """Hidden layers are projected to unit norm at initialisation and after every gradient step."""


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
        _finite("initial temperature", self.initial, above=0.0)
        _finite("target_entropy", self.target_entropy)


@dataclass(frozen=True)
class Algorithm:
    """A soft actor-critic algorithm, as a composition.

    Attributes:
        name: the preset's name, for the records; it changes nothing.
        actor: torso of the policy network.
        critic: torso of each critic.
        num_critics: C; the bootstrap and the policy take the minimum over them.
        log_std: bounds of the policy's log standard deviation.
        target: the target critic, or None to bootstrap from the critic itself.
        critic_pass: "joint" sends (s, a) and (s', a') through the critic as one batch, so that batch statistics see
            both; "separate" sends them one after the other.
        weight_constraint: UnitNorm() or None.
        critic_optimizer: of all critics.
        actor_optimizer: of the policy.
        temperature: entropy temperature and target.
        critic_loss_scale: factor on the mean squared error, which is summed over critics. Adam divides a gradient by
            its own magnitude and nearly cancels this factor, so it scales the loss that is logged and hardly the
            training; the learning rate is the knob for that.
        utd: gradient updates per agent step once the warm-up is over.
        policy_delay: critic updates per update of actor and temperature.
        batch_size: B, transitions per gradient update.
        warmup_transitions: agent steps of uniform random actions before the first update.
        discount: gamma per agent step; None takes the task's.
        action_repeat: environment steps per agent step; None takes the task's.
    """

    name: str = "custom"
    actor: MLP = MLP((256, 256))
    critic: MLP = MLP((256, 256))
    num_critics: int = 2
    log_std: LogStdRange = LogStdRange()
    target: PolyakTarget | None = PolyakTarget()
    critic_pass: Literal["joint", "separate"] = "separate"
    weight_constraint: UnitNorm | None = None
    critic_optimizer: AdamW = AdamW()
    actor_optimizer: AdamW = AdamW()
    temperature: Temperature = Temperature()
    critic_loss_scale: float = 0.5
    utd: int = 1
    policy_delay: int = 1
    batch_size: int = 256
    warmup_transitions: int = 5_000
    discount: float | None = None
    action_repeat: int | None = None

    def __post_init__(self) -> None:
        """Refuse values and compositions that cannot work, in one line that says why."""
        check_types(self)
        for name in ("num_critics", "utd", "policy_delay", "batch_size", "warmup_transitions"):
            if (value := getattr(self, name)) < 1:
                raise UserError(f"{name} must be an integer of at least 1, got {value}")
        _finite("critic_loss_scale", self.critic_loss_scale, above=0.0)
        if self.discount is not None and not 0.0 <= self.discount <= 1.0:
            raise UserError(f"discount must be in [0, 1], got {self.discount}")
        if self.action_repeat is not None and self.action_repeat < 1:
            raise UserError(f"action_repeat must be at least 1, got {self.action_repeat}")
        if self.critic_pass == "joint" and self.critic.norm is None:
            raise UserError(
                "critic_pass 'joint' needs a batch-normalised critic: without batch statistics it only costs time"
            )
        if self.weight_constraint is not None and (self.critic.norm is None or self.actor.norm is None):
            raise UserError(
                "weight_constraint UnitNorm needs normalisation after every hidden layer of actor and critic: without "
                "it the projection changes the function, not only the scale of its weights"
            )

    def replace(self, **changes: Any) -> Self:
        """Return a copy with some parts exchanged; an unknown field is a UserError."""
        names = [f.name for f in dataclasses.fields(self)]
        for name in changes:
            if name not in names:
                raise UserError(f"an algorithm has no field {name!r}{suggest(name, names)}")
        return dataclasses.replace(self, **changes)
