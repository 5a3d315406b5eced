"""Committed results."""

from __future__ import annotations

import itertools
import json
import subprocess
from pathlib import Path

import pytest
from results import evidence

from surefoot.algorithms import to_data
from surefoot.benchmark.grid import file_name, load_grid
from surefoot.report.runs import load_runs

RESULTS = Path(__file__).parents[1] / "results"
GRIDS = sorted((RESULTS / "grids").glob("*.toml"))


@pytest.mark.parametrize("grid", GRIDS, ids=lambda path: path.stem)
def test_results_of_a_grid_used_its_algorithms(grid: Path) -> None:
    cells = {(cell.task, cell.label, cell.algorithm().utd): cell.algorithm() for cell in load_grid(str(grid)).cells}
    for path in sorted((RESULTS / grid.stem).glob("*/config.json")):
        config = json.loads(path.read_text())
        trained = config["algorithm"]
        algorithm = cells[config["task"], trained["name"], trained["utd"]]
        assert trained == json.loads(json.dumps(to_data(algorithm))), path


@pytest.mark.parametrize("path", sorted(RESULTS.rglob("config.json")), ids=lambda path: path.parent.name)
def test_folders_of_runs_are_named_like_cells(path: Path) -> None:
    config = json.loads(path.read_text())
    seeds, algorithm = config["seeds"], config["algorithm"]
    utd = str(algorithm["utd"]).replace("/", "-over-")
    task, label, *rest = path.parent.name.split("--")
    assert path.parents[2] == RESULTS
    assert task == file_name(config["task"])
    assert label.startswith(file_name(algorithm["name"]))  # it may have a suffix
    assert rest == [f"u{utd}", f"s{seeds[0]}-{seeds[-1]}"]


def test_only_missing_cells_are_trained(monkeypatch: pytest.MonkeyPatch) -> None:
    names = [cell.name for cell in load_grid(str(evidence.grid_file("xqc"))).cells]
    trained: list[list[str]] = []

    def run(command: list[str], check: bool) -> subprocess.CompletedProcess[bytes]:
        trained.append(command[command.index("--out") + 2 :])
        return subprocess.CompletedProcess(command, 0)

    monkeypatch.setattr(subprocess, "run", run)
    copied: set[str] = set()
    monkeypatch.setattr(evidence, "is_copied", lambda grid, cell: cell in copied)
    for count, name in enumerate(names):
        assert evidence.train("xqc") == 0
        assert trained[count] == list(itertools.chain.from_iterable(("--cells", left) for left in names[count:]))
        copied.add(name)
    assert evidence.train("xqc") == 0
    assert len(trained) == len(names), "nothing is left"


def test_mistyped_options_train_nothing() -> None:
    with pytest.raises(SystemExit):
        evidence.main(["--colect"])


def test_results_load() -> None:
    runs = load_runs([RESULTS])
    assert len(runs) >= 30
    assert len(load_runs([RESULTS / "width-128"])) >= 10, "the check of a grid needs its runs"
    assert all(len(run.env_steps) > 1 for run in runs)
