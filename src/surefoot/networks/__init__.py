"""Networks of actors and critics."""

from surefoot.networks.heads import Actor, Critic, DeterministicActor, LogStdRange, ShiftActor, critic_ensemble
from surefoot.networks.layers import Layer, LayerPath, Torso, norm_layers, unnormalized_layer
from surefoot.networks.normalization import BatchNorm, BatchRenorm, LayerNorm, RMSNorm
from surefoot.networks.torsos import MLP, BroNet, FlashSACNet, SimBaNet, TorsoConfig
from surefoot.networks.weight_norm import dense_norm, project, project_norms, squared_norm

__all__ = [
    "MLP",
    "Actor",
    "BatchNorm",
    "BatchRenorm",
    "BroNet",
    "Critic",
    "DeterministicActor",
    "FlashSACNet",
    "Layer",
    "LayerNorm",
    "LayerPath",
    "LogStdRange",
    "RMSNorm",
    "ShiftActor",
    "SimBaNet",
    "Torso",
    "TorsoConfig",
    "critic_ensemble",
    "dense_norm",
    "norm_layers",
    "project",
    "project_norms",
    "squared_norm",
    "unnormalized_layer",
]
