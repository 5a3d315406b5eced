"""Spaces of Gymnasium environments, if they are supported."""

from __future__ import annotations

from typing import Any

import gymnasium
from gymnasium.spaces import Box, Dict, Tuple

from surefoot.spaces import ActionSpec, EnvSpaces, ObservationPart, UnsupportedSpace


def describe_spaces(observation: gymnasium.Space[Any], action: gymnasium.Space[Any], task: str) -> EnvSpaces:
    """Return the description of an environment's spaces.

    Args:
        observation: A Box of any shape, or a Dict or Tuple of such Boxes, which may be nested. They are concatenated in
            the order of a Dict's keys and a Tuple's indices, from the outside in, as Gymnasium's FlattenObservation
            does.
        action: A Box of float16, float32 or float64 of any shape, with finite bounds.
        task: Name of the task, for error messages.

    Raises:
        UnsupportedSpace: A space is not supported.
    """
    spaces = {"observation": observation, "action": action}
    try:
        return EnvSpaces(_describe_observation(observation), describe_action(action))
    except UnsupportedSpace as error:
        kind = "observation" if error.code == "observation-space" else "action"
        space = " ".join(str(spaces[kind]).split())
        where = f"task '{task}' has the {kind} space {space}, which is not supported: "
        raise UnsupportedSpace(error.code, error.reason, where) from error


def _describe_observation(space: gymnasium.Space[Any], path: tuple[str | int, ...] = ()) -> tuple[ObservationPart, ...]:
    """Return the arrays of a space in the order of `gymnasium.spaces.flatten_space`."""
    match space:
        case Dict():
            members: list[tuple[Any, gymnasium.Space[Any]]] = list(space.spaces.items())
        case Tuple():
            members = list(enumerate(space.spaces))
        case Box() if space.dtype is not None:
            return (ObservationPart.at(path, space.low.shape, space.dtype.name),)
        case _:
            raise UnsupportedSpace("observation-space", _not_a_box(space, path))
    for key, _ in members:
        if isinstance(space, Dict) and not isinstance(key, str):
            raise UnsupportedSpace("observation-space", f"the observation key {key!r}, expected a printable text")
    return tuple(part for key, member in members for part in _describe_observation(member, (*path, key)))


def _not_a_box(space: gymnasium.Space[Any], path: tuple[str | int, ...]) -> str:
    under = f" under '{ObservationPart.at(path, (), '').key}'" if path else ""
    wrapper = "; gymnasium.wrappers.FlattenObservation turns the whole observation into a Box"
    return (
        f"{type(space).__name__}{under}, expected a Box, or a Dict or Tuple of Boxes"
        f"{wrapper if space.is_np_flattenable else ''}"
    )


def describe_action(space: gymnasium.Space[Any]) -> ActionSpec:
    """Return the description of an action space.

    Raises:
        UnsupportedSpace: It is not supported.
    """
    if not isinstance(space, Box) or space.dtype is None or space.dtype.kind != "f":
        what = f"{type(space).__name__} of {space.dtype}" if isinstance(space, Box) else type(space).__name__
        raise UnsupportedSpace("action-space", f"{what}, expected a Box of real numbers")
    low, high = (tuple(bound.reshape(-1).tolist()) for bound in (space.low, space.high))
    return ActionSpec(space.low.shape, space.dtype.name, low, high)
