"""An algorithm is a frozen composition of parts, validated when it is built.

Every default here is the neutral setting, which is plain soft actor-critic; a preset states only what differs, with its
source. ``None`` for a part means that it is absent, and an absent part costs nothing.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, Literal, Self

from surefoot.algorithms.critic_losses import CriticLoss, SquaredError
from surefoot.algorithms.parts import (
    AdamW,
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
from surefoot.errors import UserError, suggest
from surefoot.networks import MLP, TorsoConfig, unnormalized_layer
from surefoot.networks.validation import check_types


@dataclass(frozen=True)
class Algorithm:
    """An off-policy actor-critic algorithm, as a composition.

    Attributes:
        name: the preset's name, for the records; it changes nothing.
        actor: torso of the policy network.
        critic: torso of each critic.
        num_critics: C.
        policy: how the actor's outputs become actions.
        target: the target critic, or None to bootstrap from the critic itself.
        target_reduction: from C critics to the one that the target bootstraps from.
        policy_reduction: from C critics to the value that the policy climbs.
        critic_pass: "joint" sends (s, a) and (s', a') through the critic as one batch, so that batch statistics see
            both; "separate" sends them one after the other.
        critic_loss: what the critics' outputs mean and how they are trained.
        weight_constraint: UnitNorm, L2Penalty or None.
        resets: when networks, optimisers and temperature start afresh, or None for never.
        optimism: a second policy that explores, or None.
        observation_norm: normalises observations by running statistics, or None.
        reward_scaling: divides sampled rewards by a running scale, or None.
        critic_optimizer: of all critics.
        actor_optimizer: of the policy.
        temperature: entropy temperature and target; None for a policy without entropy, and only for it.
        update_order: which of critic and policy an update changes first. The target critic follows the critic, the
            temperature the policy.
        utd: gradient updates per agent step once the warm-up is over.
        policy_delay: critic updates per update of actor and temperature.
        batch_size: B, transitions per gradient update.
        warmup_transitions: agent steps of uniform random actions before the first update.
        discount: gamma per agent step; None takes the task's.
        action_repeat: environment steps per agent step; None takes the task's.
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
    weight_constraint: UnitNorm | L2Penalty | None = None
    resets: ResetEvery | ResetAt | None = None
    optimism: OptimisticActor | None = None
    observation_norm: ObservationNorm | None = None
    reward_scaling: ReturnScaling | None = None
    critic_optimizer: AdamW = AdamW()
    actor_optimizer: AdamW = AdamW()
    temperature: Temperature | None = Temperature()
    update_order: Literal["critic-first", "actor-first"] = "critic-first"
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
        if self.discount is not None and not 0.0 <= self.discount <= 1.0:
            raise UserError(f"discount must be in [0, 1], got {self.discount}")
        if self.action_repeat is not None and self.action_repeat < 1:
            raise UserError(f"action_repeat must be at least 1, got {self.action_repeat}")
        self._check_normalization()
        self._check_ensemble()
        self._check_policy()

    def _check_normalization(self) -> None:
        if self.critic_pass == "joint" and not self.critic.uses_batch_statistics:
            raise UserError(
                "critic_pass 'joint' needs a batch-normalised critic: without batch statistics it only costs time"
            )
        if isinstance(self.weight_constraint, UnitNorm):
            for network, torso in (("actor", self.actor), ("critic", self.critic)):
                if (layer := unnormalized_layer(torso.layers())) is not None:
                    raise UserError(
                        f"weight_constraint UnitNorm needs normalisation after every hidden layer, but {layer!r} of "
                        f"the {network} has none: the projection would change the function, not only the scale of its "
                        "weights"
                    )

    def _check_ensemble(self) -> None:
        if self.target_reduction.needs_scalars and self.critic_loss.num_outputs > 1:
            raise UserError(
                f"target_reduction {type(self.target_reduction).__name__} compares numbers, but critic_loss "
                f"{type(self.critic_loss).__name__} makes distributions: use Mean, LowestMean or First"
            )
        for name in ("target_reduction", "policy_reduction"):
            reduction = getattr(self, name)
            if isinstance(reduction, RandomSubsetMin) and reduction.size > self.num_critics:
                raise UserError(f"{name} draws {reduction.size} critics, but num_critics is {self.num_critics}")
        if self.optimism is not None and self.num_critics < 2:
            raise UserError("optimism follows the critics' disagreement: it needs num_critics of at least 2, got 1")

    def _check_policy(self) -> None:
        if self.policy.has_entropy == (self.temperature is None):
            kind = type(self.policy).__name__
            wrong = (
                "needs a temperature, got None" if self.policy.has_entropy else "has no temperature: it must be None"
            )
            raise UserError(f"policy {kind} {wrong}")
        if self.optimism is not None and not isinstance(self.policy, TanhGaussian):
            raise UserError("optimism moves a Gaussian policy's mean: policy must be TanhGaussian")

    def replace(self, **changes: Any) -> Self:
        """Return a copy with some parts exchanged; an unknown field is a UserError."""
        names = [f.name for f in dataclasses.fields(self)]
        for name in changes:
            if name not in names:
                raise UserError(f"an algorithm has no field {name!r}{suggest(name, names)}")
        return dataclasses.replace(self, **changes)
