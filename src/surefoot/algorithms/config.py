"""Algorithms as frozen, validated compositions of parts.

The defaults are plain soft actor-critic; a preset lists only what differs, with its source. ``None`` means that a part
is absent, and an absent part costs nothing.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Literal, Self, Unpack

from surefoot.algorithms.critic_losses import CriticLoss, SquaredError
from surefoot.algorithms.parts import (
    AdamW,
    BoundedReturnScaling,
    FullUnitNorm,
    HeldNoise,
    L2Penalty,
    ObservationNorm,
    OptimisticActor,
    PolyakTarget,
    ResetAt,
    ResetEvery,
    ReturnScaling,
    Temperature,
    UnitNorm,
)
from surefoot.algorithms.policies import Policy, TanhGaussian
from surefoot.algorithms.reductions import Min, RandomSubsetMin, Reduction
from surefoot.errors import UserError
from surefoot.misplaced import FIELDS, explanation
from surefoot.networks import MLP, BatchRenorm, TorsoConfig, norm_layers, unnormalized_layer
from surefoot.networks.layers import Normalize, flat
from surefoot.networks.validation import check_types

if TYPE_CHECKING:
    from surefoot.typed_settings import AlgorithmFields

_MAX_UTD = 10_000


@dataclass(frozen=True)
class Algorithm:
    """An off-policy actor-critic algorithm, as a composition.

    Attributes:
        name: Name for records; it changes nothing.
        actor: Torso of the policy network.
        critic: Torso of each critic.
        num_critics: C, the size of the critic ensemble.
        policy: Distribution of actions given the actor's outputs.
        target: Target critic, or None to bootstrap from the critic itself.
        target_reduction: Reduction of the C critics in the Bellman target.
        policy_reduction: Reduction of the C critics in the policy's loss.
        critic_pass: "joint" passes (s, a) and (s', a') through the critic as one batch, with common batch statistics;
            "separate" passes them one after the other.
        actor_pass: "joint" passes s and s' through the actor as one batch, with common batch statistics, in the
            policy's own update, whose loss takes s alone; "separate" passes s.
        critic_loss: Meaning of the critics' outputs and their loss.
        weight_constraint: UnitNorm, FullUnitNorm, L2Penalty or None.
        resets: Times at which networks, optimisers and temperature are reinitialised; None for never.
        optimism: Second policy for exploration, or None.
        held_noise: Exploration noise that is kept over several decisions; None draws it at every decision.
        observation_norm: Normalisation of observations by running statistics, or None.
        reward_scaling: Scaling of sampled rewards by a running statistic, or None.
        critic_optimizer: Optimiser of all critics.
        actor_optimizer: Optimiser of the policy.
        temperature: Entropy temperature and target entropy; None for a policy without entropy, and only then.
        update_order: Whether an update changes critic or policy first. The target critic follows the critic, the
            temperature the policy. Of every ``policy_delay`` updates, the policy moves in the last where the critic is
            first, and in the first where the actor is.
        actor_statistics: Updates that change the running statistics of a batch-normalised actor: those of the policy,
            or all, with one forward pass of the actor where ``policy_delay`` skips the policy.
        utd: Gradient updates per agent step after the warm-up (update-to-data ratio), a whole number or a fraction
            such as ``"1/2"``. With N environments per seed a vector step has utd times N updates, which must be a whole
            number, or one update every k vector steps.
        policy_delay: Critic updates per update of actor and temperature.
        batch_size: B, transitions per gradient update.
        warmup_transitions: Agent steps of uniform random actions before the first update.
        discount: gamma per agent step; None uses the task's.
        action_repeat: Environment steps per agent step; None uses the task's.
    """

    name: str = "custom"
    actor: TorsoConfig = MLP((256, 256))
    critic: TorsoConfig = MLP((256, 256))
    num_critics: int = 2
    policy: Policy = TanhGaussian()
    target: PolyakTarget | None = PolyakTarget()
    target_reduction: Reduction = Min()
    policy_reduction: Reduction = Min()
    critic_pass: Literal["joint", "separate"] = "separate"
    critic_loss: CriticLoss = SquaredError()
    actor_pass: Literal["joint", "separate"] = "separate"
    weight_constraint: UnitNorm | FullUnitNorm | L2Penalty | None = None
    resets: ResetEvery | ResetAt | None = None
    optimism: OptimisticActor | None = None
    held_noise: HeldNoise | None = None
    observation_norm: ObservationNorm | None = None
    reward_scaling: ReturnScaling | BoundedReturnScaling | None = None
    critic_optimizer: AdamW = AdamW()
    actor_optimizer: AdamW = AdamW()
    temperature: Temperature | None = Temperature()
    update_order: Literal["critic-first", "actor-first"] = "critic-first"
    actor_statistics: Literal["policy-updates", "all-updates"] = "policy-updates"
    utd: int | Fraction = 1
    policy_delay: int = 1
    batch_size: int = 256
    warmup_transitions: int = 5_000
    discount: float | None = None
    action_repeat: int | None = None

    def __post_init__(self) -> None:
        """Validate the fields and their combination."""
        check_types(self)
        for name in ("num_critics", "policy_delay", "batch_size", "warmup_transitions"):
            if (value := getattr(self, name)) < 1:
                raise UserError(f"{name} must be an integer of at least 1, got {value}")
        if not 0 < self.utd <= _MAX_UTD:
            raise UserError(f"utd must be more than 0 and at most {_MAX_UTD:,}, got {self.utd}")
        if self.discount is not None and not 0.0 <= self.discount <= 1.0:
            raise UserError(f"discount must be in [0, 1], got {self.discount}")
        if self.action_repeat is not None and self.action_repeat < 1:
            raise UserError(f"action_repeat must be at least 1, got {self.action_repeat}")
        self._check_normalization()
        self._check_ensemble()
        self._check_policy()

    def _check_normalization(self) -> None:
        if self.actor_statistics == "all-updates" and not self.actor.uses_batch_statistics:
            raise UserError(
                "actor_statistics 'all-updates' needs a batch-normalised actor: without batch statistics it has no "
                "effect"
            )
        for network, joint, torso in (
            ("critic", self.critic_pass == "joint", self.critic),
            ("actor", self.actor_pass == "joint", self.actor),
        ):
            if joint and not torso.uses_batch_statistics:
                raise UserError(
                    f"{network}_pass 'joint' needs a batch-normalised {network}: without batch statistics it has no "
                    "effect"
                )
            if isinstance(self.weight_constraint, FullUnitNorm) and not norm_layers(torso.layers()):
                raise UserError(
                    f"weight_constraint FullUnitNorm needs normalisations, but the {network} has none: without their "
                    "scales the projection fixes the scale of the network's outputs"
                )
        if isinstance(self.weight_constraint, UnitNorm):
            for network, torso in (("actor", self.actor), ("critic", self.critic)):
                if (layer := unnormalized_layer(torso.layers())) is not None:
                    raise UserError(
                        f"weight_constraint UnitNorm needs normalisation after every hidden layer, but {layer!r} of "
                        f"the {network} has none: the projection would change the function, not only the scale of its "
                        "weights"
                    )

        if self.target is not None and any(
            isinstance(layer, Normalize) and isinstance(layer.norm, BatchRenorm) for layer in flat(self.critic.layers())
        ):
            raise UserError(
                f"target {type(self.target).__name__} needs a critic without BatchRenorm, which uses running "
                "statistics in training, and a target critic has none of its own: use BatchNorm, or target None"
            )

    def _check_ensemble(self) -> None:
        if self.target_reduction.needs_scalars and self.critic_loss.num_outputs > 1:
            raise UserError(
                f"target_reduction {type(self.target_reduction).__name__} needs scalar critics, but critic_loss "
                f"{type(self.critic_loss).__name__} is distributional: use Mean, LowestMean or First"
            )
        for name in ("target_reduction", "policy_reduction"):
            reduction = getattr(self, name)
            if isinstance(reduction, RandomSubsetMin) and reduction.size > self.num_critics:
                raise UserError(f"{name} draws {reduction.size} critics, but num_critics is {self.num_critics}")
        if self.optimism is not None and self.num_critics < 2:
            raise UserError("optimism uses the critics' disagreement: num_critics must be at least 2, got 1")

    def _check_policy(self) -> None:
        if self.policy.has_entropy == (self.temperature is None):
            kind = type(self.policy).__name__
            wrong = (
                "needs a temperature, got None" if self.policy.has_entropy else "has no temperature: it must be None"
            )
            raise UserError(f"policy {kind} {wrong}")
        if self.optimism is not None and not isinstance(self.policy, TanhGaussian):
            raise UserError("optimism shifts a Gaussian policy's mean: policy must be TanhGaussian")
        if self.held_noise is not None and (self.optimism is not None or not isinstance(self.policy, TanhGaussian)):
            raise UserError("held_noise holds a Gaussian policy's noise: policy must be TanhGaussian, optimism None")

    def replace(self, **changes: Unpack[AlgorithmFields]) -> Self:
        """Return a copy with some fields replaced; an unknown field is a UserError."""
        given: dict[str, Any] = {**changes}
        for name, value in given.items():
            if name not in FIELDS:
                raise UserError(f"an algorithm has no field {name!r}{explanation('replace', name, value, FIELDS)}")
        return dataclasses.replace(self, **given)
