"""Floating-point operations of matrix products, counted from the traced program."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import jax
from jax.interpreters import partial_eval


def count_dot_flops(function: Callable[..., Any], *arguments: Any, branch_share: float = 1.0) -> float:
    """Return the operations (a multiplication and an addition count as two) of the matrix products that a call needs.

    Args:
        function: traced, not run.
        *arguments: what to trace it with.
        branch_share: how often the costlier branch of a ``cond`` is taken, from 0 to 1; the cheapest one otherwise.
    """
    program = jax.make_jaxpr(function)(*arguments).jaxpr
    # What nothing depends on is in the traced program, and not in the compiled one.
    program, _ = partial_eval.dce_jaxpr(program, [True] * len(program.outvars))
    return _count(program, branch_share)


def _count(jaxpr: Any, branch_share: float) -> float:
    total = 0.0
    for equation in jaxpr.eqns:
        if equation.primitive.name == "dot_general":
            total += _dot(equation)
        elif equation.primitive.name == "cond":
            branches = [_count(branch.jaxpr, branch_share) for branch in equation.params["branches"]]
            total += branch_share * max(branches) + (1.0 - branch_share) * min(branches)
        else:
            repeats = equation.params["length"] if equation.primitive.name == "scan" else 1
            total += repeats * sum(_count(inner, branch_share) for inner in _inner(equation.params))
    return total


def _inner(params: dict[str, Any]) -> Iterator[Any]:
    """The programs inside an equation: of a jit, a scan, a custom derivative."""
    for value in params.values():
        if hasattr(value, "jaxpr"):
            yield value.jaxpr
        elif hasattr(value, "eqns"):
            yield value


def _dot(equation: Any) -> float:
    left, right = (variable.aval.shape for variable in equation.invars)
    (contracted, _), (batched, _) = equation.params["dimension_numbers"]
    size = math.prod(left) / math.prod(left[axis] for axis in batched)
    kept = math.prod(right) / math.prod(left[axis] for axis in (*contracted, *batched))
    return 2.0 * math.prod(left[axis] for axis in batched) * size * kept
