"""Networks: what computes actions and values."""

from surefoot.networks.mlp import MLP, Actor, BatchNorm, Critic, LayerPath, LogStdRange, critic_ensemble
from surefoot.networks.weight_norm import dense_norm, project

__all__ = [
    "MLP",
    "Actor",
    "BatchNorm",
    "Critic",
    "LayerPath",
    "LogStdRange",
    "critic_ensemble",
    "dense_norm",
    "project",
]
