"""Execution of grids: finished, killed, failing and stopped."""

from __future__ import annotations

import dataclasses
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import surefoot
from surefoot import machine
from surefoot.algorithms import Algorithm
from surefoot.algorithms.presets import get_preset
from surefoot.benchmark import local_launcher, planning
from surefoot.benchmark.folder import GridFolder
from surefoot.benchmark.grid import load_grid
from surefoot.benchmark.grid_run import GridRun
from surefoot.benchmark.launchers import Job, JobEnd
from surefoot.benchmark.local_launcher import LocalLauncher, visible_gpus
from surefoot.benchmark.planning import Calibration, cell_cost
from surefoot.benchmark.status import GridReader, summary
from surefoot.cli.bench_tables import makespan, status_lines
from surefoot.cli.main import main
from surefoot.errors import RunFailure
from surefoot.runs.owner import read_owner
from surefoot.signals import StopSignal
from surefoot.types import EnvSpec
from tests.benchmark.support import rows_without_clock, write_grid
from tests.training.recording import Recording

ENVIRONMENT = {**os.environ, "MUJOCO_GL": "disabled"}


def launch(*arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "surefoot", "bench", *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=ENVIRONMENT)


def finish(*arguments: str, code: int = 0) -> str:
    process = launch(*arguments)
    printed, _ = process.communicate(timeout=400)
    assert process.returncode == code, printed
    return printed


def wait_until(happened: object, process: subprocess.Popen[str], seconds: float = 200) -> None:
    deadline = time.monotonic() + seconds
    while not happened():  # type: ignore[operator]
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < deadline
        time.sleep(0.05)


def rows(log: Path) -> int:
    return log.read_bytes().count(b"\n") if log.exists() else 0


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bench")
    out = folder / "out"
    printed = finish(str(write_grid(folder / "g.toml")), "--out", str(out))
    assert "2 finished, 0 failed, 0 left" in printed
    return out


@pytest.mark.slow
def test_cell_equals_train(finished: Path, tmp_path: Path) -> None:
    cell = GridFolder.open(finished).cells[1]
    config = cell.config(tmp_path / "run")
    settings = {key: value for key, value in vars(config).items() if key not in ("task", "algorithm")}
    run = surefoot.train(config.task, algorithm=config.algorithm, observer=Recording(), **settings)
    for name in ("evaluations.csv", "training.csv"):
        assert rows_without_clock(run.path, name) == rows_without_clock(finished / "cells" / cell.name, name)


@pytest.mark.slow
def test_finished_grid_is_not_rerun(finished: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in (finished / "cells").rglob("*")}
    printed = finish(str(finished.parent / "g.toml"), "--out", str(finished))
    assert "2 of 2 cells are already finished" in printed
    assert "starts" not in printed
    assert {path: path.stat().st_mtime_ns for path in (finished / "cells").rglob("*")} == before


@pytest.mark.slow
def test_directory_of_another_grid_is_rejected(finished: Path, tmp_path: Path) -> None:
    other = write_grid(tmp_path / "g.toml", env_steps=900)
    before = (finished / "bench.json").read_bytes()
    assert "holds another grid" in finish(str(other), "--out", str(finished), code=2)
    assert (finished / "bench.json").read_bytes() == before
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").touch()
    message = finish(str(other), "--out", str(tmp_path / "mine"), code=2)
    assert "is not the directory of a grid" in message
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["thesis.tex"]


@pytest.mark.slow
def test_status_table_of_finished_grid(finished: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "status", str(finished)]) == 0
    table = capsys.readouterr().out.splitlines()
    assert table[0].split() == ["cell", "state", "tries", "env", "steps", "score", "updates/s", "time"]
    assert table[1].split()[:4] == ["probe-action--small-sac--u1--s0-0", "finished", "1", "600/600"]
    assert table[-1] == "2 cells: 2 finished"


@pytest.mark.slow
def test_killed_grid_resumes_to_equal_results(finished: Path, tmp_path: Path) -> None:
    """SIGKILL of the launcher also kills its cells; the same command then resumes them."""
    out = tmp_path / "out"
    grid = write_grid(tmp_path / "g.toml")
    process = launch(str(grid), "--out", str(out), "--cells", "*--s0-0")
    name = "probe-action--small-sac--u1--s0-0"
    log = out / "cells" / name / "training.csv"
    wait_until(lambda: rows(log) > 2, process)
    process.kill()
    process.communicate()
    deadline = time.monotonic() + 30.0
    while "running" in {cell.state for cell in GridReader(GridFolder.open(out)).read()}:
        assert time.monotonic() < deadline, "a cell outlived its launcher"
        time.sleep(0.1)
    printed = finish(str(grid), "--out", str(out), "--cells", "*--s0-0")
    assert f"resumes   {name}" in printed
    assert rows_without_clock(out / "cells" / name) == rows_without_clock(finished / "cells" / name)


@pytest.mark.slow
def test_killed_cell_restarts_to_equal_results(finished: Path, tmp_path: Path) -> None:
    """SIGKILL of a cell only, as by the kernel's out-of-memory killer."""
    out = tmp_path / "out"
    process = launch(str(write_grid(tmp_path / "g.toml")), "--out", str(out), "--cells", "*--s0-0")
    name = "probe-action--small-sac--u1--s0-0"
    run = out / "cells" / name
    wait_until(lambda: rows(run / "training.csv") > 2, process)
    owner = read_owner(run / ".lock").owner
    assert owner is not None
    os.kill(owner.pid, signal.SIGKILL)
    printed, _ = process.communicate(timeout=400)
    assert process.returncode == 0, printed
    assert f"failed    {name} (SIGKILL, attempt 1 of 2)" in printed
    assert f"resumes   {name}" in printed
    assert [cell.attempts for cell in GridReader(GridFolder.open(out)).read()] == [2, 0]
    for own in ("evaluations.csv", "training.csv"):
        assert rows_without_clock(run, own) == rows_without_clock(finished / "cells" / name, own)


@pytest.mark.slow
def test_failing_cell_does_not_affect_others(tmp_path: Path) -> None:
    grid, out = write_grid(tmp_path / "g.toml"), tmp_path / "out"
    broken, sound = (cell.name for cell in load_grid(str(grid)).cells)
    folder = GridFolder.create(out, load_grid(str(grid)))
    folder.run_path(broken).mkdir()
    (folder.run_path(broken) / "config.json").write_text("{}")
    printed = finish(str(grid), "--out", str(out), code=1)
    assert f"failed    {broken} (exit code 2, attempt 2 of 2): surefoot: error:" in printed
    assert "1 finished, 1 failed, 0 left" in printed
    assert f"failed: {broken}, see {folder.log_path(broken)}" in printed
    first, second = GridReader(folder).read()
    assert (first.state, first.attempts, second.state, second.name) == ("unreadable", 2, "finished", sound)
    assert "config.json" in first.problem


@pytest.mark.slow
def test_stopped_grid_leaves_checkpoints(tmp_path: Path) -> None:
    out = tmp_path / "out"
    grid = write_grid(tmp_path / "g.toml", env_steps=200_000, replay_capacity=600)
    process = launch(str(grid), "--out", str(out), "--max-parallel", "1")
    folder = out / "cells" / "probe-action--small-sac--u1--s0-0"
    wait_until(lambda: (folder / "checkpoints").exists(), process)
    process.send_signal(signal.SIGTERM)
    printed, _ = process.communicate(timeout=200)
    assert process.returncode == 130, printed
    assert "continue with the same command" in printed
    (status, _) = GridReader(GridFolder.open(out)).read()
    assert status.state == "stopped"
    assert list((folder / "checkpoints").glob("env_steps_*"))


# ---------------------------------------------------------------- without training


class Scripted:
    """Launcher whose jobs end with given exit codes, in the order of starts."""

    def __init__(self, folder: GridFolder, codes: dict[str, list[int | None]], room: int = 1) -> None:
        self.folder, self.codes, self.room = folder, codes, room
        self.started: list[str] = []
        self.running: list[str] = []

    def has_room(self, job: Job) -> bool:
        return len(self.running) < self.room

    def start(self, job: Job) -> None:
        assert "surefoot.benchmark.cell" in job.command
        job.log.write_text("line\nsurefoot: error: it broke\n")
        self.started.append(job.name)
        self.running.append(job.name)

    def wait(self, seconds: float) -> JobEnd | None:
        if not self.running:
            return None
        name = self.running.pop(0)
        code = self.codes[name].pop(0)
        return JobEnd(name, code)

    def stop(self) -> None:
        pass


@pytest.fixture
def folder(tmp_path: Path) -> GridFolder:
    return GridFolder.create(tmp_path / "out", load_grid(str(write_grid(tmp_path / "g.toml"))))


def test_failures_are_retried_and_losses_do_not_count(folder: GridFolder) -> None:
    first, second = (cell.name for cell in folder.cells)
    launcher = Scripted(folder, {first: [1, None, None, 1], second: [2, 2]})
    reported: list[str] = []
    memory = {first: 0, second: 0}
    outcome = GridRun(folder, launcher, memory, retries=1, report=reported.append).run(StopSignal())
    assert launcher.started == [first, second, first, second, first, first]
    assert sorted(outcome.failed) == sorted([first, second])
    assert outcome.exit_code == 1
    assert f"failed    {first} (exit code 1, attempt 1 of 2): line | surefoot: error: it broke" in reported
    assert reported.count(f"lost      {first}") == 2
    statuses = {cell.name: cell for cell in GridReader(folder).read()}
    assert statuses[first].state == "failed"
    assert (statuses[first].attempts, statuses[second].attempts) == (4, 2)
    assert (f"failed: {first}: exit code 1: surefoot: error: it broke", "failed") in status_lines(
        list(statuses.values())
    )
    assert summary(list(statuses.values())) == "2 cells: 2 failed"


def test_cell_of_too_many_losses_failed(folder: GridFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("surefoot.benchmark.grid_run.MAX_LOSSES", 1)
    first, second = (cell.name for cell in folder.cells)
    launcher = Scripted(folder, {first: [None] * 2, second: [2]})
    reported: list[str] = []
    GridRun(folder, launcher, {first: 0, second: 0}, retries=0, report=reported.append).run(StopSignal())
    assert f"failed    {first} (machine lost, attempt 1 of 1): line | surefoot: error: it broke" in reported


def test_unfinished_cell_with_exit_code_0_failed(folder: GridFolder) -> None:
    names = [cell.name for cell in folder.cells]
    launcher = Scripted(folder, {name: [0] for name in names}, room=2)
    outcome = GridRun(folder, launcher, dict.fromkeys(names, 0), retries=0, report=lambda line: None).run(StopSignal())
    assert outcome.failed == names


def test_only_given_cells_run(folder: GridFolder) -> None:
    first, second = (cell.name for cell in folder.cells)
    launcher = Scripted(folder, {second: [2]})
    outcome = GridRun(folder, launcher, {second: 0}, retries=0, report=lambda line: None).run(StopSignal())
    assert (outcome.failed, outcome.left) == ([second], [])
    assert [cell.state for cell in GridReader(folder).read()] == ["waiting", "failed"], first


def test_concurrent_launch_is_rejected(folder: GridFolder, capsys: pytest.CaptureFixture[str]) -> None:
    lock = folder.lock()
    lock.acquire()
    grid = folder.path.parent / "g.toml"
    assert main(["bench", str(grid), "--out", str(folder.path)]) == 2
    assert f"is in use by process {os.getpid()}" in capsys.readouterr().err
    lock.release()


def test_local_slots_follow_cores_memory_and_gpus(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(6)))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert (LocalLauncher(2, None, 10).slots, LocalLauncher(2, None, 10).cores_each) == (2, 3)
    assert (LocalLauncher(100, None, 10).slots, LocalLauncher(100, 4, 10).slots) == (6, 4)
    few = LocalLauncher(100, None, memory_bytes=25, job_bytes=10)
    assert (few.slots, few.cores_each) == (2, 3), "idle cores are assigned to the running jobs"
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,5")
    monkeypatch.setenv("JAX_PLATFORMS", "cpu")
    assert visible_gpus() == []
    monkeypatch.delenv("JAX_PLATFORMS")
    assert visible_gpus() == ["3", "5"]
    assert LocalLauncher(100, None, 10).slots == 2
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    with LocalLauncher(4, None, 100) as launcher:
        job = Job("a", ("sleep", "60"), tmp_path / "log", 60)
        assert launcher.has_room(job)
        launcher.start(job)
        assert not launcher.has_room(job), "two exceed the memory"
        assert launcher.has_room(Job("b", (), tmp_path / "log", 40))
        launcher.stop()
        end = None
        while end is None:
            end = launcher.wait(1.0)
        assert end == JobEnd("a", -signal.SIGTERM)


def test_linked_log_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "diary").write_text("mine")
    (tmp_path / "log").symlink_to(tmp_path / "diary")
    with LocalLauncher(1, None, 100) as launcher, pytest.raises(RunFailure, match=r"cannot write .*log"):
        launcher.start(Job("a", ("echo", "yours"), tmp_path / "log", 1))
    assert (tmp_path / "diary").read_text() == "mine"


def test_gpus_are_numbered_as_cuda_does(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a container with one of four GPUs its file keeps the host's number."""
    for name in ("CUDA_VISIBLE_DEVICES", "JAX_PLATFORMS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(Path, "glob", lambda folder, pattern: [folder / "nvidia3"])
    assert visible_gpus() == [], "JAX's GPU build is not installed"
    monkeypatch.setattr(local_launcher, "_has_cuda_plugin", lambda: True)
    assert visible_gpus() == ["0"]


def test_cost_includes_the_memory_of_simulators(tmp_path: Path) -> None:
    def memory(task: str, episodes: int) -> int:
        grid = write_grid(tmp_path / "g.toml", f'tasks = ["{task}"]\nnum_seeds = 1', evaluation_episodes=episodes)
        return cell_cost(load_grid(str(grid)).cells[0]).memory_bytes

    assert memory("dog-run", 5) - memory("dog-run", 1) == 4 * 75_000_000
    assert memory("myo-pose", 5) - memory("myo-pose", 1) == 4 * 165_000_000
    assert memory("cheetah-run", 5) - memory("cheetah-run", 1) == 4 * 13_000_000


def test_cell_cost(tmp_path: Path) -> None:
    (cell, _) = load_grid(str(write_grid(tmp_path / "g.toml"))).cells
    cost = cell_cost(cell)
    assert cost.grad_steps == 500
    assert cost.env_steps == 600 + 3 * 1 * 1  # three evaluations of one one-step episode
    # Two critics of 3-16-16-1 forward and backward, a target and a policy: between 5 and 50 kflop a sample.
    assert 5e3 < cost.flop / cost.grad_steps / 16 < 5e4
    slow = Calibration({"other utd1 x1": 1e6}, {"probe-action": 1e9})
    assert slow.seconds(cell, cost, cores=1) == pytest.approx(cost.flop / 1e6, rel=1e-3)
    simulated = Calibration({"other utd1 x1": 1e15}, {"probe-action": 10.0})
    many = dataclasses.replace(cell, settings={**cell.settings, "num_seeds": 4})
    on_one, on_four = (simulated.seconds(many, cost, cores) for cores in (1, 4))
    assert (on_one, on_four) == pytest.approx((60.3, 20.1)), "three workers on four cores"
    assert makespan([3.0, 1.0, 1.0, 1.0], 2) == 3.0


@pytest.mark.parametrize(
    "preset", ["crossq-wn", *(pytest.param(name, marks=pytest.mark.slow) for name in ("simba", "bro", "td3-wn"))]
)
def test_interpolated_size_equals_traced_size(preset: str) -> None:
    """Interpolation between three pairs of sizes is exact."""
    algorithm, spec = small(get_preset(preset)), EnvSpec(observation_size=67, action_size=21)
    found, expected = planning._size(algorithm, spec), planning._traced(algorithm, spec)
    np.testing.assert_allclose(found, expected, rtol=1e-9)
    assert expected.flop > 0.0


def small(algorithm: Algorithm) -> Algorithm:
    narrow = {"width": 16} if hasattr(algorithm.critic, "width") else {"widths": (16, 16)}
    torsos = {name: dataclasses.replace(getattr(algorithm, name), **narrow) for name in ("actor", "critic")}
    return algorithm.replace(batch_size=16, **torsos)


@pytest.mark.slow
def test_dry_run_plans_unfinished_cells_and_writes_nothing(
    finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    grid, out = finished.parent / "g.toml", tmp_path / "out"
    monkeypatch.setattr(os, "getloadavg", lambda: (99.0, 0.0, 0.0))
    left, done = (cell.name for cell in load_grid(str(grid)).cells)
    shutil.copytree(finished, out)
    shutil.rmtree(out / "cells" / left)
    before = sorted(out.rglob("*"))
    assert main(["bench", str(grid), "--dry-run", "--out", str(out)]) == 0
    printed = capsys.readouterr().out
    assert "1 of 2 cells are already finished" in printed
    assert "1 cell " in printed
    assert left in printed
    assert done not in printed
    assert "measured: updates of small sac utd1 x1; steps of probe-action" in printed
    assert "other programs may have run (load 99.0 on" in printed
    assert sorted(out.rglob("*")) == before
    monkeypatch.setattr(os, "getloadavg", lambda: (0.0, 0.0, 0.0))
    assert main(["bench", str(grid), "--dry-run", "--out", str(tmp_path / "new")]) == 0
    printed = capsys.readouterr().out
    assert "2 cells" in printed
    assert "other programs" not in printed
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert main(["bench", str(grid), "--dry-run", "--out", str(finished)]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "2 of 2 cells are already finished"
    assert main(["bench", str(grid), "--dry-run", "--out", str(out), "--cells", "*--s1-1"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "1 of 1 cells are already finished"


def test_dry_run_rejects_directory_of_another_grid(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    grid, other = write_grid(tmp_path / "g.toml"), write_grid(tmp_path / "other.toml", env_steps=900)
    GridFolder.create(tmp_path / "out", load_grid(str(other)))
    assert main(["bench", str(grid), "--dry-run", "--out", str(tmp_path / "out")]) == 2
    assert "holds another grid" in capsys.readouterr().err


def test_local_slots_follow_the_cpu_quota(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(16)))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    starts = set()
    for quota, slots in ((0.5, 1), (2.5, 3), (40.0, 16)):
        monkeypatch.setattr(machine, "cpu_quota", lambda quota=quota: quota)
        for _ in range(20):
            launcher = LocalLauncher(100, None, 10)
            assert (launcher.slots, launcher.cores_each) == (slots, 1)
            starts.add(launcher._cores[0][0])
    assert len(starts) > 2, "launchers in several containers take different cores"
