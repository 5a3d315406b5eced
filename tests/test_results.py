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


class FakeBench:
    """Process that ends with the last of the exit codes; an interrupt arrives instead of the others."""

    def __init__(self, codes: list[int]) -> None:
        self.codes, self.signals = codes, 0

    def wait(self) -> int:
        code = self.codes.pop(0)
        if self.codes:
            raise KeyboardInterrupt
        return code

    def terminate(self) -> None:
        self.signals += 1


def test_interrupt_lets_cells_write_checkpoints(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = FakeBench([0, 130])
    monkeypatch.setattr(evidence, "is_copied", lambda grid, cell: False)
    monkeypatch.setattr(subprocess, "Popen", lambda command: bench)
    assert evidence.train("xqc") == 130
    assert bench.signals == 1


def test_only_missing_cells_are_trained(monkeypatch: pytest.MonkeyPatch) -> None:
    names = [cell.name for cell in load_grid(str(evidence.grid_file("xqc"))).cells]
    trained: list[list[str]] = []

    class Bench(FakeBench):
        def __init__(self, command: list[str]) -> None:
            super().__init__([0])
            trained.append(command[command.index("--out") + 2 :])

    monkeypatch.setattr(subprocess, "Popen", Bench)
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
