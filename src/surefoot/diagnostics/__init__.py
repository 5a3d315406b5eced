"""What the paper looks at beside returns: norms, effective learning rates, dead units, Q bias, curvature."""

from surefoot.diagnostics.curvature import Curvature, critic_curvature
from surefoot.diagnostics.layers import NetworkDiagnostics, diagnose_actor, diagnose_critic, parameter_count
from surefoot.diagnostics.q_bias import QBias, discounted_returns, q_bias

__all__ = [
    "Curvature",
    "NetworkDiagnostics",
    "QBias",
    "critic_curvature",
    "diagnose_actor",
    "diagnose_critic",
    "discounted_returns",
    "parameter_count",
    "q_bias",
]
