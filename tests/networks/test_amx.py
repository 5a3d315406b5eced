"""Products of bfloat16 pieces: as accurate as float32's, and refused where the machine lacks what they take."""

from __future__ import annotations

import functools
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import surefoot
from surefoot.algorithms import Learner
from surefoot.cli.main import main
from surefoot.errors import UserError
from surefoot.networks import amx
from surefoot.networks.amx import library
from surefoot.networks.matmul import Precision, dot_general, matmul_precision
from surefoot.types import Batch, EnvSpec

on_amx = pytest.mark.skipif(not library._has_amx(), reason="this CPU has no AMX")
LAST = (((1,), (0,)), ((), ()))


def normal(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def error(found: jax.Array, exact: np.ndarray) -> float:
    assert found.dtype == jnp.float32
    return float(np.sqrt(np.square(np.asarray(found, np.float64) - exact).mean()))


@on_amx
@pytest.mark.parametrize(("over_left", "over_right"), [(1, 0), (1, 1), (0, 0), (0, 1)])
@pytest.mark.parametrize("sizes", [(512, 512, 512), (33, 31, 17), (1, 1, 1), (300, 100, 261), (16, 65, 700)])
def test_products_are_as_accurate_as_float32s(sizes: tuple[int, int, int], over_left: int, over_right: int) -> None:
    rows, terms, columns = sizes
    # Numbers of many magnitudes, as gradients are.
    left = normal(rows, terms) * np.exp(3 * normal(rows, terms, seed=1))
    right = normal(terms, columns, seed=2)
    exact = left.astype(np.float64) @ right.astype(np.float64)
    stored = left if over_left == 1 else np.ascontiguousarray(left.T)
    other = right if over_right == 0 else np.ascontiguousarray(right.T)
    found = jax.jit(functools.partial(amx.product, over_left=over_left, over_right=over_right))(stored, other)
    assert found.shape == exact.shape
    ours, floats = error(found, exact), error(jnp.matmul(left, right), exact)
    size = float(np.sqrt(np.square(exact).mean()))
    # Of one term, float32's own product can be exact to half a digit.
    assert ours <= 1.1 * floats + 2.0**-24 * size
    assert error(jnp.matmul(left.astype(jnp.bfloat16), right, preferred_element_type=jnp.float32), exact) > 20 * ours


@on_amx
def test_what_is_mapped_over_is_multiplied_in_one_call() -> None:
    """Seeds and critics: some factors differ along both, some along one; more matrices than are packed together."""
    left, right = normal(5, 40, 70), normal(3, 70, 50, seed=1)
    both = normal(5, 3, 70, 50, seed=2)
    product = functools.partial(amx.product, over_left=1, over_right=0)
    each = jax.vmap(jax.vmap(product, in_axes=(None, 0)), in_axes=(0, None))
    exact = np.einsum("sij,cjk->scik", left.astype(np.float64), right.astype(np.float64))
    np.testing.assert_allclose(each(left, right), exact, rtol=1e-5, atol=1e-4)
    program = jax.make_jaxpr(each)(left, right)
    assert [equation.primitive.name for equation in program.jaxpr.eqns].count("ffi_call") == 1
    own = jax.vmap(jax.vmap(product, in_axes=(None, 0)))(left, both)
    np.testing.assert_allclose(own, np.einsum("sij,scjk->scik", left, both), rtol=1e-5, atol=1e-4)


@on_amx
def test_what_is_not_a_number_stays_in_its_matrix() -> None:
    """A seed that diverges leaves the others' bits alone."""
    left, right = normal(4, 64, 64), normal(4, 64, 64, seed=1)
    product = jax.jit(jax.vmap(functools.partial(amx.product, over_left=1, over_right=0)))
    before = np.asarray(product(left, right))
    left[1, 3, 5] = np.nan
    left[2, 3, 5] = np.inf
    after = np.asarray(product(left, right))
    np.testing.assert_array_equal(before[[0, 3]], after[[0, 3]])
    assert not np.isfinite(after[[1, 2], 3]).any()
    np.testing.assert_array_equal(before[1, 4:], after[1, 4:])


@on_amx
def test_every_call_gives_the_same_bits() -> None:
    """Whatever thread takes which part of it."""
    left, right = normal(512, 512), normal(512, 512, seed=1)
    product = jax.jit(functools.partial(amx.product, over_left=1, over_right=0))
    first = np.asarray(product(left, right))
    for _ in range(20):
        np.testing.assert_array_equal(product(left, right), first)


@on_amx
def test_a_layers_gradients_are_float32s() -> None:
    x, kernel, gradient = normal(512, 512), normal(512, 512, seed=1), normal(512, 512, seed=2)

    @matmul_precision("bf16x6")
    def layer(x: jax.Array, kernel: jax.Array) -> jax.Array:
        return dot_general(x, kernel, LAST)

    found, pull = jax.vjp(layer, jnp.asarray(x), jnp.asarray(kernel))
    of_x, of_kernel = pull(jnp.asarray(gradient))
    wide = [array.astype(np.float64) for array in (x, kernel, gradient)]
    for own, exact in ((found, wide[0] @ wide[1]), (of_x, wide[2] @ wide[1].T), (of_kernel, wide[0].T @ wide[2])):
        assert 0.0 < error(own, exact) < 1e-6 * np.sqrt(np.square(exact).mean())
    program = str(jax.make_jaxpr(jax.grad(lambda x, k: layer(x, k).sum(), argnums=(0, 1)))(x, kernel))
    assert program.count("ffi_call") == 3
    assert "dot_general" not in program


def test_small_products_are_left_in_float32() -> None:
    with matmul_precision("bf16x6"):
        program = str(jax.make_jaxpr(lambda x, k: dot_general(x, k, LAST))(normal(256, 23), normal(23, 512)))
    assert "dot_general" in program
    assert "ffi_call" not in program


@on_amx
def test_an_update_is_float32s_but_for_rounding() -> None:
    spec = EnvSpec(17, 6)
    sizes = ((17,), (6,), (), (17,), ())
    batch = Batch(*(jnp.asarray(normal(256, *size, seed=i)) for i, size in enumerate(sizes)))
    batch = batch._replace(terminated=jnp.zeros(256))
    state = Learner(surefoot.crossq_wn(), spec, 0.99).init(jax.random.key(0))
    after = {}
    precisions: tuple[Precision, ...] = ("float32", "bf16x6", "bf16")
    for precision in precisions:
        update = jax.jit(Learner(surefoot.crossq_wn(), spec, 0.99, precision).update)
        after[precision], *losses = update(state, batch, jax.random.key(1), jnp.bool_(True))
        after[precision] = (after[precision].critic.batch_stats, losses)
    leaves = {
        precision: np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(after[precision])]) for precision in after
    }
    scale = np.maximum(np.abs(leaves["float32"]), 1e-3)
    apart = {precision: float((np.abs(leaves[precision] - leaves["float32"]) / scale).max()) for precision in leaves}
    assert 0.0 < apart["bf16x6"] < 1e-4
    assert apart["bf16"] > 10 * apart["bf16x6"]


# ---- What it takes


@pytest.fixture
def amx_here(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A CPU that says it has AMX, and an empty folder for what is compiled."""
    monkeypatch.setattr(library, "_cpu_features", lambda: library._FEATURES)
    monkeypatch.setenv("SUREFOOT_COMPILE_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("CXX", raising=False)
    return tmp_path


@pytest.fixture(autouse=True)
def loaded_anew() -> None:
    library.load.cache_clear()


def refusal() -> str:
    with pytest.raises(UserError) as raised:
        amx.load()
    return str(raised.value)


def test_a_cpu_without_amx_is_refused_in_one_line(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(library, "_cpu_features", lambda: {"avx512f"})
    out = tmp_path / "run"
    assert main(["train", "probe-constant", "--precision", "bf16x6", "--out", str(out)]) == 2
    said = capsys.readouterr().err
    assert "precision bf16x6 needs a CPU with AMX" in said
    assert "choose float32 or bf16" in said
    assert said.count("\n") == 1
    assert not out.exists()


def test_a_missing_compiler_is_named(amx_here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "/nowhere/g++")
    assert "there is no '/nowhere/g++': install g++, or name one in CXX" in refusal()


def test_a_compiler_that_fails_is_quoted(amx_here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    compiler = amx_here / "old-g++"
    compiler.write_text(
        "#!/bin/sh\necho 'In file included' >&2\necho \"error: bad value 'sapphirerapids'\" >&2\nexit 1\n"
    )
    compiler.chmod(0o755)
    monkeypatch.setenv("CXX", str(compiler))
    assert refusal().endswith("old-g++: error: bad value 'sapphirerapids'")
    assert not list((amx_here / "cache" / "compiled").iterdir()), "half a library was left behind"


@on_amx
def test_the_library_is_kept_and_made_again_where_it_is_broken(amx_here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = amx_here / "cache" / "compiled"
    library._library("some.so")
    assert [path.name for path in folder.iterdir()] == ["some.so"]
    broken = folder / "other.so"
    broken.write_bytes(b"half of a library")
    monkeypatch.setenv("CXX", "/nowhere/g++")
    library._library("some.so")  # Without a compiler, now.
    with pytest.raises(UserError, match="/nowhere/g"):
        library._library("other.so")
    monkeypatch.delenv("CXX")
    library._library("other.so")
    assert broken.stat().st_size > 10_000


@on_amx
def test_nothing_is_kept_where_nothing_is_to_be(amx_here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUREFOOT_COMPILE_CACHE", "off")
    assert library._library("some.so").surefoot_allow_tiles()
    assert not (amx_here / "cache").exists()


def test_linux_may_not_allow_it(amx_here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Library:
        def surefoot_allow_tiles(self) -> int:
            return 0

    monkeypatch.setattr(library, "_library", lambda name: Library())
    assert "which this CPU has and Linux does not allow" in refusal()
