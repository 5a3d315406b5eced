"""Validation of values and compositions: one-line errors that name them."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from surefoot.algorithms import (
    AdamW,
    Algorithm,
    BoundedReturnScaling,
    CategoricalCrossEntropy,
    CosineDecay,
    DeterministicPolicy,
    First,
    FullUnitNorm,
    HeldNoise,
    L2Penalty,
    LinearDecay,
    LowestMean,
    Mean,
    Min,
    ObservationNorm,
    OptimisticActor,
    PolyakTarget,
    QuantileHuber,
    RandomSubsetMin,
    ResetAt,
    ResetEvery,
    ReturnScaling,
    SquaredError,
    TanhGaussian,
    Temperature,
    UnitNorm,
)
from surefoot.algorithms.presets import bro, crossq_wn, flashsac, redq, sac, simba, td3_wn
from surefoot.errors import UserError
from surefoot.networks import (
    MLP,
    BatchNorm,
    BatchRenorm,
    BroNet,
    FlashSACNet,
    LayerNorm,
    LogStdRange,
    RMSNorm,
    SimBaNet,
)

BAD: list[tuple[Callable[..., Any], dict[str, Any]]] = [
    *[(Algorithm, {name: value}) for name in ("num_critics", "utd", "policy_delay", "batch_size") for value in (0, -1)],
    (Algorithm, {"warmup_transitions": 0}),
    (Algorithm, {"utd": float("nan")}),
    (Algorithm, {"utd": 20_000}),
    (Algorithm, {"utd": True}),
    (SquaredError, {"scale": 0.0}),
    (SquaredError, {"scale": math.nan}),
    (Algorithm, {"discount": -0.1}),
    (Algorithm, {"discount": 1.1}),
    (Algorithm, {"discount": math.nan}),
    (Algorithm, {"action_repeat": 0}),
    (Algorithm, {"critic_pass": "both"}),
    (AdamW, {"learning_rate": 0.0}),
    (AdamW, {"learning_rate": -1e-4}),
    (AdamW, {"learning_rate": math.inf}),
    (AdamW, {"weight_decay": -0.01}),
    (AdamW, {"weight_decay": math.nan}),
    (AdamW, {"b1": 1.0}),
    (AdamW, {"b1": -0.1}),
    (AdamW, {"b2": 1.5}),
    (AdamW, {"decay": "some"}),
    (LinearDecay, {"initial": 0.0, "final": 1e-5, "agent_steps": 10}),
    (LinearDecay, {"final": -1e-5, "initial": 1e-4, "agent_steps": 10}),
    (LinearDecay, {"agent_steps": 0, "initial": 1e-4, "final": 1e-5}),
    (CosineDecay, {"initial": 0.0, "final": 1e-5, "agent_steps": 10}),
    (CosineDecay, {"final": math.nan, "initial": 1e-4, "agent_steps": 10}),
    (CosineDecay, {"agent_steps": 0, "initial": 1e-4, "final": 1e-5}),
    (PolyakTarget, {"tau": 0.0}),
    (PolyakTarget, {"tau": 1.01}),
    (PolyakTarget, {"tau": math.nan}),
    (Temperature, {"initial": 0.0}),
    (Temperature, {"initial": math.inf}),
    (Temperature, {"target_entropy": math.nan}),
    (MLP, {"widths": ()}),
    (MLP, {"widths": (16, 0)}),
    (BatchNorm, {"momentum": 1.0}),
    (BatchNorm, {"momentum": -0.5}),
    (BatchNorm, {"epsilon": 0.0}),
    (BatchNorm, {"running_variance": "exact"}),
    (LogStdRange, {"low": 2.0, "high": 2.0}),
    (LogStdRange, {"low": math.nan}),
    (LogStdRange, {"mapping": "sigmoid"}),
    (MLP, {"dropout": 1.0, "widths": (8,)}),
    (MLP, {"dropout": -0.1, "widths": (8,)}),
    (MLP, {"norm_order": "pre", "widths": (8,)}),
    (MLP, {"norm_order": "middle", "widths": (8,)}),
    (MLP, {"init": "he", "widths": (8,)}),
    (BroNet, {"width": 0}),
    (BroNet, {"blocks": -1}),
    (SimBaNet, {"width": 0}),
    (SimBaNet, {"blocks": -2}),
    (SimBaNet, {"expansion": 0}),
    (FlashSACNet, {"width": 0}),
    (FlashSACNet, {"expansion": 0}),
    (FlashSACNet, {"norm": None}),
    (RMSNorm, {"epsilon": 0.0}),
    (BatchRenorm, {"momentum": 1.0}),
    (BatchRenorm, {"epsilon": 0.0}),
    (BatchRenorm, {"max_scale": 0.9}),
    (BatchRenorm, {"max_scale": math.inf}),
    (BatchRenorm, {"max_shift": -0.1}),
    (BatchRenorm, {"warmup_updates": -1}),
    (LayerNorm, {"epsilon": 0.0}),
    (LayerNorm, {"epsilon": math.nan}),
    (QuantileHuber, {"num_quantiles": 0}),
    (QuantileHuber, {"kappa": 0.0}),
    (CategoricalCrossEntropy, {"num_atoms": 1}),
    (CategoricalCrossEntropy, {"low": math.nan}),
    (CategoricalCrossEntropy, {"high": -5.0}),
    (CategoricalCrossEntropy, {"high": math.inf}),
    (CategoricalCrossEntropy, {"over_critics": "min"}),
    (RandomSubsetMin, {"size": 0}),
    (DeterministicPolicy, {"exploration_noise": -0.1}),
    (DeterministicPolicy, {"target_noise": math.nan}),
    (DeterministicPolicy, {"target_noise_bound": math.inf}),
    (L2Penalty, {"coefficient": 0.0}),
    (L2Penalty, {"coefficient": -1e-4}),
    (UnitNorm, {"layers": "heads"}),
    (ObservationNorm, {"epsilon": 0.0}),
    (ReturnScaling, {"epsilon": 0.0}),
    (BoundedReturnScaling, {"bound": 0.0}),
    (BoundedReturnScaling, {"epsilon": 0.0}),
    (HeldNoise, {"exponent": -1.0}),
    (HeldNoise, {"max_decisions": 1}),
    (OptimisticActor, {"std_scale": 0.0}),
    (OptimisticActor, {"target_kl": 0.0}),
    (OptimisticActor, {"initial_optimism": 0.0}),
    (OptimisticActor, {"initial_optimism": 1e4}),
    (OptimisticActor, {"initial_kl_weight": 1e-5}),
    (OptimisticActor, {"initial_kl_weight": math.nan}),
    (ResetEvery, {"env_steps": 0}),
    (ResetEvery, {"grad_steps": -1}),
    (ResetEvery, {"env_steps": 5, "grad_steps": 5}),
    (ResetAt, {"agent_steps": ()}),
    (ResetAt, {"agent_steps": (0, 3)}),
    (ResetAt, {"agent_steps": (3, 3)}),
    (ResetAt, {"agent_steps": (5, 3)}),
    (Algorithm, {"update_order": "both"}),
    (ResetEvery, {"env_steps": 2.5}),
    (ResetAt, {"agent_steps": 3}),
    (Algorithm, {"policy": LogStdRange()}),
    (Algorithm, {"critic_loss": 0.5}),
    (Algorithm, {"target_reduction": "min"}),
    (Algorithm, {"resets": 100}),
    (Algorithm, {"optimism": True}),
    # Of the wrong type.
    (Algorithm, {"name": 3}),
    (Algorithm, {"utd": "two"}),
    (Algorithm, {"utd": "1/0"}),
    (Algorithm, {"utd": None}),
    (Algorithm, {"num_critics": 2.5}),
    (Algorithm, {"action_repeat": 1.5}),
    (Algorithm, {"action_repeat": True}),
    (Algorithm, {"discount": "x"}),
    (Algorithm, {"discount": True}),
    (Algorithm, {"actor": 3}),
    (Algorithm, {"critic": None}),
    (Algorithm, {"critic_pass": ["joint"]}),
    (Algorithm, {"target": UnitNorm()}),
    (Algorithm, {"temperature": AdamW()}),
    (Algorithm, {"weight_constraint": UnitNorm}),
    (AdamW, {"learning_rate": "fast"}),
    (AdamW, {"b1": None}),
    (AdamW, {"decay": None}),
    (LinearDecay, {"agent_steps": 2.5, "initial": 1e-3, "final": 1e-4}),
    (LinearDecay, {"initial": 1e-3j, "final": 1e-4, "agent_steps": 2}),
    (PolyakTarget, {"tau": ()}),
    (Temperature, {"optimizer": 1e-3}),
    (MLP, {"widths": (16.5,)}),
    (MLP, {"widths": 16}),
    (MLP, {"widths": (True,)}),
    (MLP, {"widths": "16"}),
    (MLP, {"norm": UnitNorm(), "widths": (16,)}),
    (BatchNorm, {"epsilon": "small"}),
    (LogStdRange, {"high": None}),
]


@pytest.mark.parametrize(("part", "arguments"), BAD, ids=lambda value: str(getattr(value, "__name__", value)))
def test_invalid_values_are_named(part: Callable[..., Any], arguments: dict[str, Any]) -> None:
    with pytest.raises(UserError) as caught:
        part(**arguments)
    message = str(caught.value)
    name, value = next(iter(arguments.items()))
    assert name in message
    assert str(value) in message
    assert "\n" not in message


def test_type_errors_name_the_expected_type() -> None:
    for part, arguments, message in [
        (
            AdamW,
            {"learning_rate": "fast"},
            "AdamW learning_rate must be a number or of type LinearDecay or of type CosineDecay, got 'fast'",
        ),
        (MLP, {"widths": (16.5,)}, "MLP widths must be a list or tuple whose every entry is an integer, got (16.5,)"),
        (Algorithm, {"action_repeat": 1.5}, "Algorithm action_repeat must be an integer or None, got 1.5"),
        (Algorithm, {"critic_pass": "both"}, "Algorithm critic_pass must be 'joint' or 'separate', got 'both'"),
    ]:
        with pytest.raises(UserError) as caught:
            part(**arguments)
        assert str(caught.value) == message


@pytest.mark.parametrize("value", [np.eye(20), "fast" * 200, 10**400], ids=["array", "text", "integer"])
def test_errors_take_one_line_for_long_values(value: Any) -> None:
    with pytest.raises(UserError, match=r"^PolyakTarget tau must be a number, got \S") as caught:
        PolyakTarget(value)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 300


def test_numbers_are_converted_to_python_types() -> None:
    algorithm = Algorithm(utd=np.int64(2), action_repeat=np.uint8(3), discount=np.float32(0.5), target=PolyakTarget(1))
    assert algorithm == Algorithm(utd=2, action_repeat=3, discount=0.5, target=PolyakTarget(1.0))
    assert algorithm.target is not None
    fields = (algorithm.utd, algorithm.action_repeat, algorithm.discount, algorithm.target.tau)
    assert [type(value) for value in fields] == [int, int, float, float]


def test_widths_may_be_a_list() -> None:
    torso = MLP([16, np.int32(8)])  # type: ignore[arg-type]
    assert torso == MLP((16, 8))
    assert hash(torso) == hash(MLP((16, 8)))
    assert [type(width) for width in torso.widths] == [int, int]


@pytest.mark.parametrize("value", [0.0, 1.0, None])
def test_discount_range_is_closed(value: float | None) -> None:
    assert Algorithm(discount=value).discount == value


def test_unit_norm_needs_normalisation_in_both_networks() -> None:
    plain = MLP((8, 8))
    for network in ("actor", "critic"):
        with pytest.raises(UserError, match="weight_constraint UnitNorm needs normalisation"):
            crossq_wn().replace(critic_pass="separate", **{network: plain})
    with pytest.raises(UserError, match="weight_constraint"):
        sac().replace(weight_constraint=UnitNorm())


def test_joint_pass_needs_batch_normalisation() -> None:
    with pytest.raises(UserError, match="critic_pass 'joint' needs a batch-normalised critic"):
        sac().replace(critic_pass="joint")


COMPOSITIONS: dict[str, tuple[Callable[[], Any], str]] = {
    "unit norm without normalisation": (
        lambda: sac().replace(weight_constraint=UnitNorm()),
        "weight_constraint UnitNorm needs normalisation after every hidden layer, but 'dense_0' of the actor has none",
    ),
    "an optimistic actor with batch normalisation": (
        lambda: OptimisticActor(torso=MLP((8,), BatchNorm())),
        "OptimisticActor torso can have no batch normalisation and no dropout",
    ),
    "an optimistic actor with dropout": (
        lambda: OptimisticActor(torso=MLP((8,), dropout=0.5)),
        "OptimisticActor torso can have no batch normalisation and no dropout",
    ),
    "unit norm on SimBa's blocks": (
        lambda: simba().replace(weight_constraint=UnitNorm()),
        "but 'dense' of the actor has none",
    ),
    "unit norm, only in the critic": (
        lambda: bro().replace(critic=MLP((8,)), weight_constraint=UnitNorm()),
        "but 'dense_0' of the critic has none",
    ),
    "a joint pass with layer normalisation": (
        lambda: sac().replace(critic=MLP((8,), LayerNorm()), critic_pass="joint"),
        "critic_pass 'joint' needs a batch-normalised critic",
    ),
    "a joint pass with residual blocks": (
        lambda: bro().replace(critic_pass="joint"),
        "critic_pass 'joint' needs a batch-normalised critic",
    ),
    "quantiles with a minimum": (
        lambda: sac().replace(critic_loss=QuantileHuber()),
        "target_reduction Min needs scalar critics, but critic_loss QuantileHuber is distributional",
    ),
    "categories with a subset's minimum": (
        lambda: redq().replace(critic_loss=CategoricalCrossEntropy()),
        "target_reduction RandomSubsetMin needs scalar critics, but critic_loss CategoricalCrossEntropy",
    ),
    "a subset larger than the ensemble": (
        lambda: sac().replace(target_reduction=RandomSubsetMin(3)),
        "target_reduction draws 3 critics, but num_critics is 2",
    ),
    "a policy's subset larger than the ensemble": (
        lambda: sac().replace(policy_reduction=RandomSubsetMin(5)),
        "policy_reduction draws 5 critics, but num_critics is 2",
    ),
    "optimism of a single critic": (
        lambda: bro().replace(num_critics=1),
        "optimism uses the critics' disagreement: num_critics must be at least 2, got 1",
    ),
    "optimism of a deterministic policy": (
        lambda: td3_wn().replace(optimism=OptimisticActor()),
        "optimism shifts a Gaussian policy's mean: policy must be TanhGaussian",
    ),
    "a temperature without entropy": (
        lambda: td3_wn().replace(temperature=Temperature()),
        "policy DeterministicPolicy has no temperature: it must be None",
    ),
    "a joint pass of an actor without batch normalisation": (
        lambda: sac().replace(actor_pass="joint"),
        "actor_pass 'joint' needs a batch-normalised actor",
    ),
    "statistics of an actor without batch normalisation": (
        lambda: sac().replace(actor_statistics="all-updates"),
        "actor_statistics 'all-updates' needs a batch-normalised actor",
    ),
    "a target critic with running statistics in training": (
        lambda: crossq_wn().replace(critic=MLP((8,), BatchRenorm())),
        "target PolyakTarget needs a critic without BatchRenorm",
    ),
    "full unit norm without normalisations": (
        lambda: crossq_wn().replace(actor=MLP((8,)), weight_constraint=FullUnitNorm()),
        "weight_constraint FullUnitNorm needs normalisations, but the actor has none",
    ),
    "unit norm on FlashSAC's blocks": (
        lambda: flashsac().replace(weight_constraint=UnitNorm()),
        "but 'dense' of the actor has none",
    ),
    "categories with FlashSAC's critic and a minimum": (
        lambda: flashsac().replace(target_reduction=Min()),
        "target_reduction Min needs scalar critics",
    ),
    "held noise of a deterministic policy": (
        lambda: td3_wn().replace(held_noise=HeldNoise()),
        "held_noise holds a Gaussian policy's noise: policy must be TanhGaussian, optimism None",
    ),
    "held noise with optimism": (
        lambda: bro().replace(held_noise=HeldNoise()),
        "held_noise holds a Gaussian policy's noise: policy must be TanhGaussian, optimism None",
    ),
    "entropy without a temperature": (
        lambda: sac().replace(temperature=None),
        "policy TanhGaussian needs a temperature, got None",
    ),
}


@pytest.mark.parametrize("name", COMPOSITIONS)
def test_invalid_compositions_are_rejected_in_one_line(name: str) -> None:
    build, message = COMPOSITIONS[name]
    with pytest.raises(UserError) as caught:
        build()
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_valid_compositions_are_accepted() -> None:
    for reduction in (Mean(), LowestMean(), First()):
        assert sac().replace(critic_loss=QuantileHuber(), target_reduction=reduction).target_reduction == reduction
    assert bro().replace(weight_constraint=UnitNorm()).weight_constraint == UnitNorm()
    assert sac().replace(target_reduction=RandomSubsetMin(2)).num_critics == 2
    assert sac().replace(policy=DeterministicPolicy(), temperature=None).temperature is None
    renormalised = MLP((8,), BatchRenorm())
    assert sac().replace(critic=renormalised, critic_pass="joint", target=None).critic == renormalised
    assert sac().replace(policy=TanhGaussian(LogStdRange(mapping="tanh"))) != sac()


def test_replace_validates_fields() -> None:
    with pytest.raises(UserError, match="no field 'critics'; did you mean 'critic'"):
        sac().replace(critics=3)  # type: ignore[call-arg]
    with pytest.raises(UserError, match=r"no field 'seed', which is a setting of a run, as in .*train\(task, seed=3\)"):
        sac().replace(seed=3)  # type: ignore[call-arg]
    with pytest.raises(UserError, match="utd"):
        sac().replace(utd=0)
    assert sac().replace(utd=3) == sac(utd=3)


def test_defaults_are_soft_actor_critic() -> None:
    assert sac().replace(name="custom", warmup_transitions=5_000) == Algorithm()
