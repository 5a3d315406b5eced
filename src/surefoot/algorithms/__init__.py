"""Algorithms: one learner, and the compositions that it can be."""

from surefoot.algorithms.config import AdamW, Algorithm, LinearDecay, PolyakTarget, Temperature, UnitNorm
from surefoot.algorithms.learner import ActorMetrics, CriticMetrics, Learner, LearnerState, NetworkState
from surefoot.algorithms.serialization import algorithm_from_data, from_data, to_data

__all__ = [
    "ActorMetrics",
    "AdamW",
    "Algorithm",
    "CriticMetrics",
    "Learner",
    "LearnerState",
    "LinearDecay",
    "NetworkState",
    "PolyakTarget",
    "Temperature",
    "UnitNorm",
    "algorithm_from_data",
    "from_data",
    "to_data",
]
