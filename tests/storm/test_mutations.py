"""A few mutations of every kind of input; ``make storm`` runs thousands."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.storm.mutations import parse_arguments, run


@pytest.mark.parametrize(
    ("count", "trained"), [(60, False), pytest.param(600, True, marks=pytest.mark.slow)], ids=["few", "more"]
)
def test_mutated_inputs_are_valid_or_rejected_in_one_line(tmp_path: Path, count: int, trained: bool) -> None:
    summary = run(parse_arguments(["--count", str(count), "--log", str(tmp_path / "log.json")]), trained=trained)
    assert summary.failures == []
    assert summary.cases == count
    assert summary.accepted.total() > 0
    assert summary.rejected.total() > 0
