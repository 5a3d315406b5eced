"""Diagnostics of networks: norms, effective learning rates, dead units, Q bias, curvature."""

from surefoot.algorithms.learner_state import parameter_count
from surefoot.diagnostics.curvature import Curvature, critic_curvature
from surefoot.diagnostics.layers import NetworkDiagnostics, diagnose_actor, diagnose_critic
from surefoot.diagnostics.q_bias import PAIRS, QBias, ValuedActions, act_and_value, discounted_returns, q_bias

__all__ = [
    "PAIRS",
    "Curvature",
    "NetworkDiagnostics",
    "QBias",
    "ValuedActions",
    "act_and_value",
    "critic_curvature",
    "diagnose_actor",
    "diagnose_critic",
    "discounted_returns",
    "parameter_count",
    "q_bias",
]
