"""Algorithms as JSON data and back, so that a run directory records in full what was trained."""

from __future__ import annotations

import dataclasses
from fractions import Fraction
from typing import Any

from flax import linen as nn

from surefoot.algorithms import critic_losses, parts, policies, reductions
from surefoot.algorithms.config import Algorithm
from surefoot.errors import UserError
from surefoot.networks import heads, normalization, torsos
from surefoot.networks.validation import one_line

PARTS: dict[str, type] = {
    name: value
    for module in (critic_losses, parts, policies, reductions, heads, normalization, torsos)
    for name, value in vars(module).items()
    if isinstance(value, type) and dataclasses.is_dataclass(value) and value.__module__ == module.__name__
    if not issubclass(value, nn.Module)  # Flax modules are dataclasses as well
} | {"Algorithm": Algorithm}
"""Every part by its name in a configuration."""


def to_data(part: Any) -> Any:
    """Return a part as nested dictionaries of JSON values; each names its type under ``"part"``.

    Args:
        part: An ``Algorithm``, one of its parts, or a field value.
    """
    if dataclasses.is_dataclass(part):
        fields = {field.name: to_data(getattr(part, field.name)) for field in dataclasses.fields(part)}
        return {"part": type(part).__name__, **fields}
    if isinstance(part, tuple):
        return [to_data(entry) for entry in part]
    return str(part) if isinstance(part, Fraction) else part


def from_data(data: Any) -> Any:
    """Return the part of a description from ``to_data``.

    Args:
        data: JSON values as returned by ``to_data``.

    Raises:
        UserError: An unknown part or field, or an invalid value.
    """
    if isinstance(data, list):
        return tuple(from_data(entry) for entry in data)
    if not isinstance(data, dict):
        return data
    fields = {name: from_data(value) for name, value in data.items() if name != "part"}
    if (part := PARTS.get(str(data.get("part")))) is None:
        raise UserError(
            f"unknown part {data.get('part')!r} in an algorithm's description, expected one of {sorted(PARTS)}"
        )
    try:
        return part(**fields)
    except (TypeError, UserError) as error:  # TypeError: a field that is unknown or missing
        raise UserError(f"the description of {part.__name__} does not fit: {error}") from error


def algorithm_from_data(data: Any) -> Algorithm:
    """Return the algorithm of a description from ``to_data``.

    Args:
        data: JSON values as returned by ``to_data``.

    Raises:
        UserError: The description is of another part, or invalid.
    """
    algorithm = from_data(data)
    if not isinstance(algorithm, Algorithm):
        raise UserError(
            f"an algorithm's description must be an object whose 'part' is 'Algorithm', got {one_line(data)}"
        )
    return algorithm
