"""The speed benchmark's table, and its comparison with SBX."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from benchmarks import speed
from benchmarks.sbx_peer import open_peer

import surefoot
from surefoot.errors import UserError
from tests.training.small import small


@pytest.mark.slow
def test_table_and_figures_are_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(speed, "get_preset", lambda name, utd: small(surefoot.sac(utd=utd)))
    sbx, out = tmp_path / "python", tmp_path / "speed.json"
    sbx.write_text(  # a fake SBX that takes half a second per request
        "#!/bin/sh\n"
        """echo '{"sbx": "9.9.9", "jax": "1.2.3", "device": "cpu", "policy_delay": 3}'\n"""
        "while read calls; do echo 0.5; done\n"
    )
    sbx.chmod(0o755)
    options = ["--num-seeds", "1", "2", "--utd", "1", "--rounds", "2", "--seconds", "0.05", "--sbx"]
    speed.main([*options, str(sbx), "--out", str(out)])
    one, two = json.loads(out.read_text())["rows"]
    assert (one["num_seeds"], two["num_seeds"], one["preset"], one["precision"]) == (1, 2, "crossq-wn", "float32")
    for value in one.values():
        if isinstance(value, dict) and "median" in value:
            assert 0.0 < value["low"] <= value["median"] <= value["high"]
    share = one["updates_per_second"]["median"] * one["gflop_per_update"] / one["product_gflops"]["median"]
    assert one["share_of_product"]["low"] * 0.5 < share < one["share_of_product"]["high"] * 2.0
    assert one["sbx_updates_per_second"]["median"] == pytest.approx(2.0)  # one call of one update in half a second
    assert "over_sbx" not in two  # SBX trains one agent
    printed = capsys.readouterr().out
    assert f"{one['updates_per_second']['median']:,.1f} (" in printed
    assert "updates/s of SBX 9.9.9 CrossQ" in printed


@pytest.mark.parametrize("path", [sys.executable, "/nowhere/python", "/bin/echo"])
def test_python_without_sbx_is_reported(path: str) -> None:
    with pytest.raises(UserError, match=f"{path}.*SBX's CrossQ"), open_peer(Path(path), 17, 6, 1):
        pass


def test_rows_that_do_not_fit_the_time_are_not_measured(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "speed.json"
    speed.main(["--minutes", "0.1", "--rounds", "5", "--sbx", "/bin/false", "--utd", "own", "--out", str(out)])
    assert "crossq-wn, 1 seeds, and all after it: not measured, 6 s left of 18" in capsys.readouterr().out
    assert not out.exists()


def test_markdown_has_a_line_per_preset_and_a_column_per_precision() -> None:
    def row(preset: str, precision: str, rate: float) -> dict[str, object]:
        shares = {"updates_per_second": {"median": rate}, "share_of_product": {"median": 0.25}}
        return {"preset": preset, "utd": "2", "num_seeds": 1, "precision": precision, "gflop_per_update": 0.5} | shares

    rows = [row("sac", "float32", 99.96), row("sac", "bf16", 1234.5), row("bro", "bf16", 20.0)]
    assert speed.markdown({"rows": rows}).splitlines() == [
        "| preset | UTD | seeds | GFLOP/update | float32 | bf16 |",
        "| --- | --- | --- | --- | --- | --- |",
        "| `sac` | 2 | 1 | 0.5 | 100.0, 25% | 1,234, 25% |",
        "| `bro` | 2 | 1 | 0.5 |  | 20.0, 25% |",
    ]
