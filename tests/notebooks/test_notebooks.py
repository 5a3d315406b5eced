"""The quick-start notebook: stored without outputs, and executable on a small task."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import gymnasium
import pytest

import surefoot
from surefoot.policy import Policy

NOTEBOOK = Path(__file__).parents[2] / "notebooks" / "quickstart.ipynb"

SMALL: dict[str, Any] = {
    "TASK": "Pendulum-v1",  # its actions lie in [-2, 2]
    "UTD": 1,
    "NUM_SEEDS": 2,
    "ENV_STEPS": 120,
    "EVALUATE_EVERY": 60,
}
"""Replaces the values in the cell tagged ``parameters``."""


def code_cells() -> list[tuple[set[str], str]]:
    """The tags and the source of every code cell."""
    cells = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    return [
        (set(cell["metadata"].get("tags", ())), "".join(cell["source"]))
        for cell in cells
        if cell["cell_type"] == "code"
    ]


def test_notebook_is_stored_without_outputs() -> None:
    cells = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    assert [cell["id"] for cell in cells if cell.get("outputs") or cell.get("execution_count")] == []


@pytest.mark.slow
def test_notebook_runs_top_to_bottom(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MPLBACKEND", "agg")
    preset = surefoot.crossq_wn_code

    def tiny(utd: int) -> surefoot.Algorithm:
        algorithm = preset(utd=utd)
        narrow = dataclasses.replace(algorithm.critic, widths=(16, 16))
        return algorithm.replace(actor=narrow, critic=narrow, batch_size=16, warmup_transitions=50)

    monkeypatch.setattr(surefoot, "crossq_wn_code", tiny)
    names: dict[str, Any] = {"__name__": "__main__"}
    for tags, source in code_cells():
        if "install" in tags:
            continue
        exec(compile(source, NOTEBOOK.name, "exec"), names)
        if "parameters" in tags:
            assert SMALL.keys() == {name for name in names if name.isupper()}
            names |= SMALL
    assert names["run"].completed
    assert list(names["returns"].index) == [0, 60, 120]
    assert names["returns"].shape[1] == 2
    assert names["total"] == pytest.approx(return_on_bare_environment(names["policy"]), rel=1e-4)


def return_on_bare_environment(policy: Policy) -> float:
    env = gymnasium.make("Pendulum-v1")
    observation, _ = env.reset(seed=0)
    total, ended = 0.0, False
    while not ended:
        observation, reward, terminated, truncated, _ = env.step(policy(observation))
        total, ended = total + float(reward), terminated or truncated
    return total
