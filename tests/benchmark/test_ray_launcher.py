"""Grids on a Ray cluster of several nodes on this machine."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO, cast

import pytest

from surefoot.benchmark.folder import GridFolder
from surefoot.benchmark.ray_output import RayOutput
from surefoot.benchmark.status import GridReader
from surefoot.cli.main import main
from surefoot.errors import UserError
from surefoot.streams import ProtectedStreams, show, third_party_prints_to
from tests.benchmark.support import rows_without_clock, write_grid

ENVIRONMENT = {**os.environ, "MUJOCO_GL": "disabled"}
NODE = {"num_cpus": 1, "object_store_memory": 80_000_000, "memory": 3_000_000_000}


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Return a cluster whose head runs no cells."""
    import ray
    from ray.cluster_utils import Cluster

    monkeypatch.setenv("RAY_worker_niceness", "0")
    monkeypatch.setenv("RAY_health_check_period_ms", "500")
    head = {**NODE, "num_cpus": 0, "include_dashboard": False}
    running = Cluster(initialize_head=True, head_node_args=head, shutdown_at_exit=False)
    yield running
    ray.shutdown()
    running.shutdown()


def bench(*arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "surefoot", "bench", *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=ENVIRONMENT)


def finish(process: subprocess.Popen[str]) -> str:
    printed, _ = process.communicate(timeout=500)
    assert process.returncode == 0, printed
    return printed


def running_cells(out: Path) -> list[str]:
    if not (out / "bench.json").exists():
        return []
    cells = GridReader(GridFolder.open(out)).read()
    return [
        cell.name for cell in cells if cell.run is not None and cell.state == "running" and cell.run.env_steps > 200
    ]


def test_messages_of_ray_go_to_a_log_without_colours(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = RayOutput()
    with ProtectedStreams() as protected:
        protected.separate()
        with third_party_prints_to(cast(TextIO, output)):
            print("\x1b[33m(raylet)\x1b[0m before the first job")
            output.open(tmp_path / "ray.log")
            output.open(tmp_path / "other.log")
            print("a worker died")
            show("ours")
        print("other code")
    output.close()
    assert (tmp_path / "ray.log").read_text() == "(raylet) before the first job\na worker died\n"
    assert capsys.readouterr() == ("ours\n", "other code\n")


def test_messages_of_ray_are_dropped_where_no_log_can_be_written(tmp_path: Path) -> None:
    output = RayOutput()
    output.open(tmp_path / "missing" / "ray.log")
    output.write("text")


@pytest.mark.slow
def test_cells_of_lost_node_resume_to_results_of_local_cells(cluster: Any, tmp_path: Path) -> None:
    """Two nodes run a cell each; one is killed with all its processes, and a new one joins."""
    nodes = [cluster.add_node(**NODE) for _ in range(2)]
    cluster.wait_for_nodes()
    grid = write_grid(tmp_path / "g.toml", env_steps=3_000)
    out = tmp_path / "ray"
    process = bench(str(grid), "--launcher", "ray", "--address", cluster.address, "--out", str(out), "--retries", "0")
    deadline = time.monotonic() + 300
    while len(running_cells(out)) < 2:
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < deadline
        time.sleep(0.1)
    cluster.remove_node(nodes[0], allow_graceful=False)
    cluster.add_node(**NODE)
    printed = finish(process)
    assert "a Ray cluster of 3 nodes, 2 cores" in printed
    assert printed.count("lost      ") == 1
    assert re.search(r"lost      .* \((its Ray worker died|its node was lost), see logs/ray.log\)\n", printed)
    assert not re.search(r"raylet|\x1b", printed)  # messages of Ray
    assert "\x1b" not in (out / "logs" / "ray.log").read_text()
    assert printed.count("resumes   ") == 1
    assert "2 finished, 0 failed, 0 left" in printed
    local = tmp_path / "local"
    finish(bench(str(grid), "--out", str(local)))
    for cell in GridFolder.open(local).cells:
        for name in ("evaluations.csv", "training.csv"):
            assert rows_without_clock(out / "cells" / cell.name, name) == rows_without_clock(
                local / "cells" / cell.name, name
            )
    assert not (out / "stop-requested").exists()


@pytest.mark.slow
def test_stopped_cluster_leaves_checkpoints(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The cell stops with a checkpoint instead of being killed with the cluster."""
    out = tmp_path / "out"
    grid = write_grid(tmp_path / "g.toml", env_steps=300_000, replay_capacity=600)
    monkeypatch.setitem(ENVIRONMENT, "RAY_ADDRESS", "127.0.0.1:1")  # another cluster, which must not be joined
    process = bench(str(grid), "--launcher", "ray", "--out", str(out), "--max-parallel", "1")
    deadline = time.monotonic() + 300
    while not running_cells(out):
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < deadline
        time.sleep(0.1)
    process.send_signal(signal.SIGTERM)
    printed, _ = process.communicate(timeout=200)
    assert process.returncode == 130, printed
    assert "continue with the same command" in printed
    first, second = GridReader(GridFolder.open(out)).read()
    assert (first.state, second.state) == ("stopped", "waiting")
    assert "error" not in printed.lower()


@pytest.mark.slow
@pytest.mark.parametrize("address", ["127.0.0.1:1", "missing", "127.0.0.1:99999"])
def test_address_without_cluster_is_rejected(address: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    grid = write_grid(tmp_path / "g.toml")
    start = time.monotonic()
    assert main(["bench", str(grid), "--launcher", "ray", "--address", address, "--out", str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err
    assert f"no Ray cluster answers at '{address}'" in error
    assert error.count("\n") == 1
    assert not (tmp_path / "out").exists()
    assert time.monotonic() - start < 60


def test_address_of_another_server_is_rejected(capfd: pytest.CaptureFixture[str]) -> None:
    from surefoot.benchmark.ray_launcher import RayLauncher

    with socket.create_server(("127.0.0.1", 0)) as server:
        host, port = server.getsockname()
        address = f"{host}:{port}"
        greeter = threading.Thread(target=lambda: server.accept()[0].sendall(b"SSH-2.0-OpenSSH_9.6"))
        greeter.start()
        with pytest.raises(UserError, match=f"no Ray cluster answers at '{address}' .something else listens there"):
            RayLauncher(address, None)
        greeter.join()
    assert capfd.readouterr() == ("", "")


def test_max_parallel_is_validated() -> None:
    from surefoot.benchmark.ray_launcher import RayLauncher

    with pytest.raises(UserError, match="max_parallel must be at least 1, got 0"):
        RayLauncher(None, 0)
