"""Dropout masks are those of JAX."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from surefoot.networks.dropout import MaskedDropout, bernoulli


@pytest.mark.parametrize("shape", [(), (1,), (7,), (3, 5, 129)])
@pytest.mark.parametrize("probability", [0.1, 0.99])
def test_draws_are_those_of_jax(shape: tuple[int, ...], probability: float) -> None:
    key = jax.random.fold_in(jax.random.key(3), 8)
    np.testing.assert_array_equal(
        bernoulli(key, probability, shape), jax.random.bernoulli(key, probability, shape), strict=True
    )


def test_draws_of_several_keys_are_those_of_jax() -> None:
    keys = jax.random.split(jax.random.key(1), 4)

    def draws(function: Callable[..., jax.Array]) -> np.ndarray:
        return np.asarray(jax.jit(jax.vmap(lambda key: function(key, 0.5, (6, 10))))(keys))

    np.testing.assert_array_equal(draws(bernoulli), draws(jax.random.bernoulli))


def test_own_bits_are_drawn_on_a_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise the tests above would compare JAX with itself."""
    monkeypatch.setattr(jax.random, "bernoulli", None)
    assert bernoulli(jax.random.key(0), 0.5, (3,)).shape == (3,)


@pytest.mark.parametrize(
    "key", [jax.random.key(2, impl="rbg"), jax.random.PRNGKey(2)], ids=["another generator", "raw key"]
)
def test_other_keys_are_accepted(key: jax.Array) -> None:
    np.testing.assert_array_equal(bernoulli(key, 0.5, (40,)), jax.random.bernoulli(key, 0.5, (40,)))


def test_entries_are_dropped_or_scaled_where_a_key_is_given() -> None:
    module, x = MaskedDropout(0.25), jnp.full((200,), 3.0)
    np.testing.assert_array_equal(module.apply({}, x), x)
    applied = np.asarray(module.apply({}, x, rngs={"dropout": jax.random.key(0)}))
    assert set(applied) == {0.0, np.float32(4.0)}
    assert 0.15 < np.mean(applied == 0.0) < 0.35
