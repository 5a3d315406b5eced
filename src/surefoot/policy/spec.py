"""Description of a policy, policy.json, validated field by field since it may be untrusted."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np

from surefoot.errors import UserError, suggest
from surefoot.runs.untrusted import encode_json, parse_json
from surefoot.spaces import EnvSpaces

FORMAT = 1

_MAX_LAYERS = 1000
_MAX_NESTING = 4
_MAX_LOG_STD = 50.0
_MAX_TEXT = 500
_TEXT = f"a printable text of at most {_MAX_TEXT} characters"
_OP_FIELDS = {
    "batch_norm": {"name", "epsilon"},
    "layer_norm": {"name", "epsilon"},
    "rms_norm": {"name", "epsilon"},
    "dense": {"name"},
    "relu": set(),
    "residual": {"layers"},
    "tanh_gaussian_head": {"mean", "log_std", "log_std_min", "log_std_max", "mapping"},
    "tanh_head": {"mean"},
}
_HEADS = ("tanh_gaussian_head", "tanh_head")
LOG_STD_MAPPINGS = ("clip", "tanh")


@dataclass(frozen=True)
class PolicySpec:
    """Description of a policy without its arrays.

    Attributes:
        spaces: Observations and actions of the environment.
        task: Name of the task it was trained on.
        algorithm: Name of the algorithm.
        env_steps: Simulator control steps per seed it was trained for.
        seeds: Training seeds along the arrays' leading axis S.
        scores: Score of each seed at the last evaluation, None without one.
        layers: Operations in order, the last of them a head. docs/run-directory.md lists them.
    """

    spaces: EnvSpaces
    task: str
    algorithm: str
    env_steps: int
    seeds: tuple[int, ...]
    scores: tuple[float | None, ...]
    layers: tuple[dict[str, Any], ...]

    @classmethod
    def from_mapping(cls, values: Mapping[str, Any]) -> PolicySpec:
        """Validate every field and return the description.

        Raises:
            UserError: A field is missing, unknown, or has an invalid value.
        """
        names = {field.name for field in fields(cls)}
        spaces = EnvSpaces.from_data(values.get("spaces"))
        if unknown := sorted(map(str, values.keys() - names)):
            raise UserError(f"a policy has no field {unknown[0][:80]!r}{suggest(unknown[0], names)}")
        if missing := sorted(names - values.keys()):
            raise UserError(f"a policy needs the field {missing[0]!r}")
        seeds = tuple(_items(values, "seeds", _is_seed, "non-negative integers"))
        if not seeds or len(set(seeds)) != len(seeds):
            raise UserError(f"seeds must be distinct and at least one, got {str(list(seeds))[:80]}")
        layers = tuple(_items(values, "layers", lambda layer: isinstance(layer, dict), "objects"))
        _check_ops(layers)
        return cls(
            spaces=spaces,
            task=_text(values, "task"),
            algorithm=_text(values, "algorithm"),
            env_steps=_integer(values, "env_steps", minimum=0),
            seeds=seeds,
            scores=tuple(_items(values, "scores", _is_score, "finite numbers or null", len(seeds))),
            layers=layers,
        )

    def to_json(self, sha256: str) -> bytes:
        """Return the content of policy.json, given the SHA-256 of policy.npz."""
        return encode_json({"format": FORMAT, **asdict(self), "sha256": sha256}, indent=1) + b"\n"

    @classmethod
    def from_json(cls, content: bytes) -> tuple[PolicySpec, str]:
        """Parse policy.json; return the description and the SHA-256 of policy.npz.

        Raises:
            UserError: It is not the description of a policy.
        """
        try:
            values = parse_json(content)
        except ValueError as error:
            raise UserError(str(error)) from error
        if not isinstance(values, dict) or values.pop("format", None) != FORMAT:
            raise UserError(f'expected an object with "format": {FORMAT}')
        sha256 = values.pop("sha256", None)
        if not isinstance(sha256, str):
            raise UserError("a policy needs the field 'sha256'")
        return cls.from_mapping(values), sha256


def _check_ops(layers: Sequence[dict[str, Any]]) -> None:
    """Validate operations, their fields, and that the head is the last one."""
    if not layers or layers[-1].get("op") not in _HEADS:
        raise UserError(f"the last layer must be one of {', '.join(_HEADS)}")
    _check_body(layers[:-1], nesting=0)
    head = layers[-1]
    _check_fields(head)
    if head["op"] == "tanh_head":
        return
    if head["mapping"] not in LOG_STD_MAPPINGS:
        raise UserError(
            f"log-std mapping must be one of {', '.join(LOG_STD_MAPPINGS)}, got {str(head['mapping'])[:80]!r}"
        )
    for name in ("log_std_min", "log_std_max"):
        if not _is_finite(head[name]) or abs(head[name]) > _MAX_LOG_STD:
            raise UserError(f"{name} must be between -{_MAX_LOG_STD} and {_MAX_LOG_STD}, got {str(head[name])[:80]!r}")
    if not head["log_std_min"] < head["log_std_max"]:
        raise UserError(f"log_std_min must be below log_std_max, got {head['log_std_min']} and {head['log_std_max']}")


def _check_body(layers: Sequence[Any], nesting: int) -> int:
    """Validate layers and return their number, nested ones included."""
    count = len(layers)
    _check_count(count, nesting)
    for layer in layers:
        if not isinstance(layer, dict):
            raise UserError(f"a layer must be an object, got {str(layer)[:80]!r}")
        if layer.get("op") in _HEADS:
            raise UserError(f"a {layer['op']!r} can only be the last layer")
        _check_fields(layer)
        if "epsilon" in layer and not (_is_finite(layer["epsilon"]) and 1e-30 <= layer["epsilon"] <= 1e30):
            raise UserError(f"epsilon must be between 1e-30 and 1e30, got {str(layer['epsilon'])[:80]!r}")
        if layer["op"] == "residual":
            if not isinstance(layer["layers"], list | tuple):
                raise UserError("the layers of a 'residual' must be a list")
            count += _check_body(layer["layers"], nesting + 1)
            _check_count(count, nesting)
    return count


def _check_count(count: int, nesting: int) -> None:
    if count > _MAX_LAYERS or nesting > _MAX_NESTING:
        raise UserError(f"a policy has at most {_MAX_LAYERS} layers in all, nested at most {_MAX_NESTING} deep")


def _check_fields(layer: dict[str, Any]) -> None:
    op = layer.get("op")
    if not isinstance(op, str) or op not in _OP_FIELDS:
        hint = suggest(op, _OP_FIELDS) if isinstance(op, str) else ""
        raise UserError(f"unknown layer op {str(op)[:80]!r}{hint}; expected one of {', '.join(_OP_FIELDS)}")
    if layer.keys() != _OP_FIELDS[op] | {"op"}:
        got = ", ".join(sorted(str(key)[:80] for key in layer.keys() - {"op"})) or "none"
        raise UserError(f"a {op!r} layer needs the fields {sorted(_OP_FIELDS[op])}, got {got}")
    for field in ("name", "mean", "log_std"):
        if field in layer and not _is_text(layer[field]):
            raise UserError(f"{field!r} of a {op!r} layer must be {_TEXT}, got {str(layer[field])[:80]!r}")


def _integer(values: Mapping[str, Any], name: str, minimum: int) -> int:
    value = values[name]
    if not isinstance(value, int) or isinstance(value, bool) or not minimum <= value < 2**63:
        raise UserError(f"{name} must be an integer of at least {minimum}, got {str(value)[:80]!r}")
    return value


def _text(values: Mapping[str, Any], name: str) -> str:
    value = values[name]
    if not _is_text(value):
        raise UserError(f"{name} must be {_TEXT}, got {str(value)[:80]!r}")
    return value


def _items(
    values: Mapping[str, Any], name: str, valid: Callable[[Any], bool], expected: str, length: int | None = None
) -> list[Any]:
    """Return a list field, after validating its items and, if given, its length."""
    value = values[name]
    if not isinstance(value, list | tuple) or (length is not None and len(value) != length):
        count = "a list" if length is None else f"a list of {length}"
        raise UserError(f"{name} must be {count} ({expected}), got {str(value)[:80]}")
    for item in value:
        if not valid(item):
            raise UserError(f"{name} must contain {expected}, got {str(item)[:80]!r}")
    return list(value)


def _is_text(value: Any) -> bool:
    # Control characters would reach the terminal when the text is printed.
    return isinstance(value, str) and value.isprintable() and len(value) <= _MAX_TEXT


def _is_finite(value: Any) -> bool:
    if not isinstance(value, int | float) or isinstance(value, bool):
        return False
    return abs(value) <= float(np.finfo(np.float64).max) and math.isfinite(value)


def _is_score(value: Any) -> bool:
    return value is None or _is_finite(value)


def _is_seed(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**63
