"""Networks of actors and critics."""

from surefoot.networks.heads import Actor, Critic, DeterministicActor, LogStdRange, ShiftActor, critic_ensemble
from surefoot.networks.layers import Layer, LayerPath, Torso, unnormalized_layer
from surefoot.networks.normalization import BatchNorm, BatchRenorm, LayerNorm
from surefoot.networks.torsos import MLP, BroNet, SimBaNet, TorsoConfig
from surefoot.networks.weight_norm import dense_norm, project, squared_norm

__all__ = [
    "MLP",
    "Actor",
    "BatchNorm",
    "BatchRenorm",
    "BroNet",
    "Critic",
    "DeterministicActor",
    "Layer",
    "LayerNorm",
    "LayerPath",
    "LogStdRange",
    "ShiftActor",
    "SimBaNet",
    "Torso",
    "TorsoConfig",
    "critic_ensemble",
    "dense_norm",
    "project",
    "squared_norm",
    "unnormalized_layer",
]
