"""What the paper looks at beside returns: norms, effective learning rates, dead units, Q bias, curvature."""

from surefoot.diagnostics.curvature import Curvature, critic_curvature
from surefoot.diagnostics.layers import NetworkDiagnostics, diagnose_actor, diagnose_critic, parameter_count
from surefoot.diagnostics.q_bias import PAIRS, Judged, QBias, discounted_returns, judge, q_bias

__all__ = [
    "PAIRS",
    "Curvature",
    "Judged",
    "NetworkDiagnostics",
    "QBias",
    "critic_curvature",
    "diagnose_actor",
    "diagnose_critic",
    "discounted_returns",
    "judge",
    "parameter_count",
    "q_bias",
]
