"""The benchmark counts what it says it counts."""

from __future__ import annotations

import json
from pathlib import Path

import jax
import jax.numpy as jnp
import pytest

import surefoot
from surefoot.algorithms import Learner
from surefoot.benchmark import speed, speed_table
from surefoot.benchmark.flops import count_dot_flops
from surefoot.cli.main import main
from surefoot.types import Batch, EnvSpec


def test_products_are_counted_through_batches_scans_and_branches() -> None:
    left, right = jnp.zeros((3, 4, 5)), jnp.zeros((3, 5, 6))
    one = 2 * 3 * 4 * 5 * 6

    def looped(left: jax.Array, right: jax.Array) -> jax.Array:
        return jax.lax.scan(lambda total, _: (total + jax.jit(jnp.matmul)(left, right).sum(), None), 0.0, None, 7)[0]

    def branched(left: jax.Array, right: jax.Array) -> jax.Array:
        return jax.lax.cond(left.sum() > 0, lambda: (left @ right).sum(), lambda: 0.0)

    assert count_dot_flops(jnp.matmul, left, right) == one
    assert count_dot_flops(looped, left, right) == 7 * one
    assert count_dot_flops(branched, left, right) == one
    assert count_dot_flops(branched, left, right, branch_share=0.25) == 0.25 * one


def test_update_of_the_papers_networks_needs_two_and_a_half_gflop() -> None:
    algorithm = surefoot.crossq_wn()
    learner = Learner(algorithm, EnvSpec(17, 6), 0.99)
    state = jax.eval_shape(learner.init, jax.random.key(0))
    batch = Batch(*(jnp.zeros((256, *size)) for size in ((17,), (6,), (), (17,), ())))
    counted = {
        share: count_dot_flops(learner.update, state, batch, jax.random.key(0), jnp.bool_(True), branch_share=share)
        for share in (0.0, 1 / 3, 1.0)
    }
    assert counted[1 / 3] == pytest.approx(2.5e9, rel=0.01)
    # The policy's update is absent from two of three updates.
    assert counted[1.0] - counted[0.0] == pytest.approx(0.68e9, rel=0.05)


def test_program_prints_a_table_and_writes_its_figures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(speed, "_CAPACITY", 1_000)
    monkeypatch.setattr(speed_table, "measure", lambda *options: speed.measure(*options, seconds_per_part=0.05))
    out = tmp_path / "speed.json"
    assert main(["bench", "speed", "--utd", "1", "--rounds", "2", "--out", str(out)]) == 0
    figures = json.loads(out.read_text())
    assert figures["utd"] == 1
    assert 0.0 < figures["share_of_limit"]["low"] <= figures["share_of_limit"]["high"]
    assert f"{figures['updates_per_second']['median']:.1f} updates/s" in capsys.readouterr().out


def test_program_refuses_no_rounds(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "speed", "--rounds", "0"]) == 2
    assert "rounds must be at least 1, got 0" in capsys.readouterr().err
