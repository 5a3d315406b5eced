"""The learner and the parts that algorithms are composed of."""

from surefoot.algorithms.config import Algorithm
from surefoot.algorithms.critic_losses import CategoricalCrossEntropy, QuantileHuber, SquaredError
from surefoot.algorithms.learner import Learner
from surefoot.algorithms.learner_state import ActorMetrics, CriticMetrics, LearnerState
from surefoot.algorithms.parts import (
    AdamW,
    BoundedReturnScaling,
    CosineDecay,
    FullUnitNorm,
    HeldNoise,
    L2Penalty,
    LinearDecay,
    ObservationNorm,
    OptimisticActor,
    PolyakTarget,
    ResetAt,
    ResetEvery,
    ReturnScaling,
    Temperature,
    UnitNorm,
)
from surefoot.algorithms.policies import DeterministicPolicy, TanhGaussian
from surefoot.algorithms.reductions import First, LowestMean, Mean, Min, RandomSubsetMin
from surefoot.algorithms.resets import next_reset
from surefoot.algorithms.serialization import algorithm_from_data, from_data, to_data
from surefoot.algorithms.trained_network import NetworkState

__all__ = [
    "ActorMetrics",
    "AdamW",
    "Algorithm",
    "BoundedReturnScaling",
    "CategoricalCrossEntropy",
    "CosineDecay",
    "CriticMetrics",
    "DeterministicPolicy",
    "First",
    "FullUnitNorm",
    "HeldNoise",
    "L2Penalty",
    "Learner",
    "LearnerState",
    "LinearDecay",
    "LowestMean",
    "Mean",
    "Min",
    "NetworkState",
    "ObservationNorm",
    "OptimisticActor",
    "PolyakTarget",
    "QuantileHuber",
    "RandomSubsetMin",
    "ResetAt",
    "ResetEvery",
    "ReturnScaling",
    "SquaredError",
    "TanhGaussian",
    "Temperature",
    "UnitNorm",
    "algorithm_from_data",
    "from_data",
    "next_reset",
    "to_data",
]
