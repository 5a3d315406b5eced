"""A few mutations of every kind of input; ``make storm`` runs thousands."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.storm.mutations import parse_arguments, run


@pytest.mark.slow
def test_mutated_inputs_are_valid_or_rejected_in_one_line(tmp_path: Path) -> None:
    summary = run(parse_arguments(["--count", "300", "--log", str(tmp_path / "log.json")]))
    assert summary.failures == []
    assert summary.cases == 300
    assert summary.accepted.total() > 0
    assert summary.rejected.total() > 0
