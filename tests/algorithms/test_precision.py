"""Matrix precision: bf16 rounds factors in hidden layers of updates only; requested precision on a GPU."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import surefoot
from surefoot.algorithms import Algorithm, Learner
from surefoot.benchmark.train_step import inner_jaxprs
from surefoot.diagnostics import act_and_value, critic_curvature, diagnose_actor, diagnose_critic
from surefoot.machine import Precision
from surefoot.types import Batch
from tests.algorithms.support import DISCOUNT, SPEC, fixed_batch, fresh_state, tiny

ALGORITHM = tiny(surefoot.crossq_wn())
BATCH = Batch(*(leaf.astype(jnp.float32) for leaf in fixed_batch(size=64)))


def learner(precision: Precision) -> Learner:
    return Learner(ALGORITHM, SPEC, DISCOUNT, precision)


def update_program(precision: Precision, algorithm: Algorithm = ALGORITHM) -> Any:
    own = Learner(algorithm, SPEC, DISCOUNT, precision)
    return jax.make_jaxpr(own.update)(fresh_state(algorithm), BATCH, jax.random.key(0), jnp.bool_(True))


def products(jaxpr: Any) -> Iterator[tuple[set[np.dtype], set[int]]]:
    """Yield the dtypes of every product's factors, and its contracted and free sizes, without seed axes."""
    for equation in jaxpr.eqns:
        if equation.primitive.name == "dot_general":
            shapes = [variable.aval.shape[-2:] for variable in (*equation.invars, *equation.outvars)]
            yield {variable.aval.dtype for variable in equation.invars}, {size for shape in shapes for size in shape}
        branches = equation.params.get("branches", ())
        for inside in (*inner_jaxprs(equation.params), *(branch.jaxpr for branch in branches)):
            yield from products(inside)


def test_float32_program_has_no_bfloat16() -> None:
    assert "bf16" not in str(update_program("float32"))


def test_bf16_rounds_hidden_layers_but_not_heads() -> None:
    found = list(products(update_program("bf16").jaxpr))
    head_sizes = {1, SPEC.action_size}
    heads = [types for types, sizes in found if sizes & head_sizes]
    hidden = [types for types, sizes in found if not sizes & head_sizes]
    # Two layers: the critics' pass forward, back and to the weights (not to the inputs), the target's; the policy's for
    # the next actions; its own update, which goes back through the critics to their inputs.
    assert len(hidden) >= 14
    assert all(types == {jnp.dtype("bfloat16")} for types in hidden)
    assert heads
    assert all(types == {jnp.dtype("float32")} for types in heads)


def test_layers_with_raw_inputs_are_in_float32() -> None:
    """A rounded observation far from zero loses what distinguishes it from others."""
    inputs = {SPEC.observation_size, SPEC.observation_size + SPEC.action_size}
    heads = {1, SPEC.action_size}
    found = list(products(update_program("bf16", tiny(surefoot.sac())).jaxpr))
    raw = [types for types, sizes in found if sizes & inputs]
    hidden = [types for types, sizes in found if not sizes & (inputs | heads)]
    assert len(raw) >= 6
    assert all(types == {jnp.dtype("float32")} for types in raw)
    assert len(hidden) >= 6
    assert all(types == {jnp.dtype("bfloat16")} for types in hidden)


def test_acting_is_in_float32() -> None:
    program = jax.make_jaxpr(learner("bf16").act_deterministic)(fresh_state(ALGORITHM), BATCH.observation)
    assert "bf16" not in str(program)


def test_bf16_loss_is_close_to_float32_and_state_stays_float32() -> None:
    inputs = (fresh_state(ALGORITHM), BATCH, jax.random.key(0), jnp.bool_(True))
    losses, dtypes = {}, {leaf.dtype for leaf in jax.tree.leaves(inputs[0].critic)}
    for precision in ("float32", "bf16"):
        own = learner(precision)
        # The compiler drops everything else.
        losses[precision] = float(jax.jit(lambda *given, own=own: own.update(*given)[1].critic_loss)(*inputs))
        after, _, _ = jax.eval_shape(own.update, *inputs)
        assert {leaf.dtype for leaf in jax.tree.leaves(after.critic)} == dtypes
    assert losses["bf16"] != losses["float32"]
    np.testing.assert_allclose(losses["bf16"], losses["float32"], rtol=0.02)


def precisions(jaxpr: Any) -> Iterator[Any]:
    """Yield the precision requested by every product."""
    for equation in jaxpr.eqns:
        if equation.primitive.name == "dot_general":
            yield equation.params["precision"]
        branches = equation.params.get("branches", ())
        for inside in (*inner_jaxprs(equation.params), *(branch.jaxpr for branch in branches)):
            yield from precisions(inside)


def test_gpu_products_request_their_precision(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a GPU, a product without a requested precision is rounded to TF32."""
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    state, key = fresh_state(ALGORITHM), jax.random.key(0)
    own = learner("tf32")
    programs = {
        "float32": update_program("float32"),
        "acting": jax.make_jaxpr(own.act_deterministic)(state, BATCH.observation),
        "exploring": jax.make_jaxpr(own.act)(state, BATCH.observation[0], key),
        "critic": jax.make_jaxpr(functools.partial(diagnose_critic, own))(state, BATCH, key),
        "actor": jax.make_jaxpr(functools.partial(diagnose_actor, own))(state, BATCH, key),
        "Q bias": jax.make_jaxpr(functools.partial(act_and_value, own))(state, BATCH.observation, key),
        "curvature": jax.make_jaxpr(functools.partial(critic_curvature, own))(state, BATCH, key),
    }
    exact = (jax.lax.Precision.HIGHEST, jax.lax.Precision.HIGHEST)
    for name, program in programs.items():
        assert set(precisions(program.jaxpr)) == {exact}, name
    rounded = (jax.lax.Precision.HIGH, jax.lax.Precision.HIGH)
    assert set(precisions(update_program("tf32").jaxpr)) == {rounded}
    # The products of XQC's categorical loss, and those of SAC's raw inputs.
    for algorithm in (tiny(surefoot.xqc()), tiny(surefoot.sac())):
        assert set(precisions(update_program("tf32", algorithm).jaxpr)) == {exact, rounded}
