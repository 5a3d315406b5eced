"""Spaces of Gymnasium environments, if they are supported."""

from __future__ import annotations

from typing import Any

import gymnasium
from gymnasium.spaces import Box

from surefoot.spaces import ActionSpec, EnvSpaces, ObservationPart, UnsupportedSpace


def describe_spaces(observation: gymnasium.Space[Any], action: gymnasium.Space[Any], task: str) -> EnvSpaces:
    """Return the description of an environment's spaces.

    Args:
        observation: A Box of any shape, or a Dict of such Boxes, which are concatenated in the Dict's order.
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


def _describe_observation(space: gymnasium.Space[Any]) -> tuple[ObservationPart, ...]:
    parts: dict[Any, gymnasium.Space[Any]] = {None: space}
    if isinstance(space, gymnasium.spaces.Dict):
        parts = dict(space.spaces)
        if None in parts:
            raise UnsupportedSpace("observation-space", "the observation key None, expected a printable text")
    described = []
    for key, part in parts.items():
        if not isinstance(part, Box) or part.dtype is None:
            under = "" if key is None else f" under '{key}'"
            raise UnsupportedSpace(
                "observation-space", f"{type(part).__name__}{under}, expected a Box or a Dict of Boxes"
            )
        described.append(ObservationPart(key, part.low.shape, part.dtype.name))
    return tuple(described)


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
