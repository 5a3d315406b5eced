"""The benchmark counts what it says it counts."""

from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import pytest

import surefoot
from surefoot.algorithms import Learner
from surefoot.benchmark import seeds, speed, speed_table, updates
from surefoot.benchmark.flops import count_dot_flops
from surefoot.cli.main import main
from surefoot.types import Batch, EnvSpec
from tests.training.small import small


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


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Measurements of a moment."""
    monkeypatch.setattr(updates, "CAPACITY", 1_000)
    monkeypatch.setattr(speed_table, "measure", lambda *options: speed.measure(*options, seconds_per_part=0.05))


@pytest.fixture
def sbx(tmp_path: Path) -> Path:
    """An interpreter that says it is SBX and takes half a second for whatever it is asked."""
    fake = tmp_path / "python"
    fake.write_text(
        "#!/bin/sh\n"
        """echo '{"sbx": "9.9.9", "jax": "1.2.3", "device": "cpu", "policy_delay": 3}'\n"""
        "while read calls; do echo 0.5; done\n"
    )
    fake.chmod(0o755)
    return fake


def test_program_prints_a_table_and_writes_its_figures(
    short: None, sbx: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "speed.json"
    command = ["bench", "speed", "--utd", "1", "--rounds", "2", "--sbx", str(sbx), "--out", str(out)]
    assert main(command) == 0
    figures, printed = json.loads(out.read_text()), capsys.readouterr().out
    assert (figures["utd"], figures["rounds"], figures["task"]) == (1, 2, "cheetah-run")
    for name, value in figures.items():
        if isinstance(value, dict) and "median" in value:
            assert 0.0 < value["low"] <= value["median"] <= value["high"], name
    # As XLA counts: the products, and what else there is to an update.
    assert 1.0 < figures["compiled_gflop_per_update"] / figures["gflop_per_update"] < 1.1
    assert figures["sbx_versions"]["sbx"] == "9.9.9"
    # One call at a time takes it half a second.
    assert figures["sbx_updates_per_second"]["median"] == pytest.approx(2.0)
    assert f"{figures['updates_per_second']['median']:.1f} updates/s" in printed
    assert "SBX 9.9.9 CrossQ" in printed


def test_without_sbx_the_table_says_how_to_get_it() -> None:
    one = speed.Spread(2.0, 1.0, 3.0)
    fields = {field.name: one for field in dataclasses.fields(speed.SpeedReport) if field.type == "Spread"}
    numbers = {"utd": 1, "num_seeds": 1, "rounds": 1, "compile_seconds": 1.0, "gflop_per_update": 1.0}
    compiled = {"compiled_gflop_per_update": 1.0, "compiled_gbytes_per_update": 0.1}
    no_sbx = {"sbx_updates_per_second": None, "sbx_gain": None, "sbx_versions": None}
    report = speed.SpeedReport(device="CPU", task="dog-run", **fields, **numbers, **compiled, **no_sbx)
    assert "make bench installs it" in speed_table.table(report)
    # A GPU beside a CPU, or many agents beside one, are no comparison.
    elsewhere = dataclasses.replace(report, sbx_updates_per_second=one, sbx_versions={"sbx": "9", "device": "cpu"})
    assert "SBX 9 CrossQ" in speed_table.table(elsewhere)
    assert "over it" not in speed_table.table(elsewhere)


@pytest.mark.parametrize("path", [sys.executable, "/nowhere/python", "/bin/echo"])
def test_a_python_that_cannot_run_sbx_is_one_line(path: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "speed", "--rounds", "1", "--sbx", path]) == 2
    said = capsys.readouterr().err
    assert path in said
    assert "SBX's CrossQ" in said
    assert said.count("\n") == 1


def test_seeds_are_measured_one_number_after_the_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(seeds, "crossq_wn", lambda utd: small(surefoot.crossq_wn(utd=utd)))
    monkeypatch.setattr(seeds, "_CAPACITY", 1_000)
    out = tmp_path / "seeds.json"
    assert seeds.measure_and_print("cheetah-run", 1, [1, 2], "float32", out, seconds=0.05) == 0
    data, printed = json.loads(out.read_text()), capsys.readouterr().out
    assert [row["num_seeds"] for row in data["rows"]] == [1, 2]
    assert data["rows"][1]["replay_bytes"] == 2 * data["rows"][0]["replay_bytes"]
    best = max(row["updates_per_second"] for row in data["rows"])
    assert f"2 seeds {data['rows'][1]['updates_per_second'] / best:.0%}" in printed


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ("--num-seeds 4 0", "num_seeds must be at least 1, got 0"),
        ("--num-seeds", "num_seeds names no number"),
        ("--precision tf32", "precision tf32 needs an NVIDIA GPU"),
    ],
)
def test_what_cannot_be_measured_is_refused(options: str, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "seeds", *options.split()]) == 2
    assert said in capsys.readouterr().err


def test_program_refuses_no_rounds(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "speed", "--rounds", "0"]) == 2
    assert "rounds must be at least 1, got 0" in capsys.readouterr().err
