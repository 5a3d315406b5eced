"""Command ``doctor``: report, and unused GPUs as problems."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from surefoot import machine
from surefoot.cli import doctor
from surefoot.cli.display import path_text
from surefoot.cli.doctor import problems
from surefoot.cli.main import main
from surefoot.errors import UserError
from surefoot.tasks.targets import import_target


@pytest.fixture
def no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "nvidia_gpus", lambda: ())
    monkeypatch.setattr(machine, "jax_devices", lambda: ("cpu", ("cpu (cpu:0)",), None))


def fake_smi(folder: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    tool = folder / "nvidia-smi"
    tool.write_text(f"#!/bin/sh\n{script}\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", str(folder))


@pytest.mark.usefixtures("no_gpu")
def test_machine_without_problems(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor"]) == 0
    out, err = capsys.readouterr()
    for word in ("python", "jax", "mujoco", "myosuite", "rendering", "cores", "memory", "disk", "no problems found"):
        assert word in out
    assert err == ""


def test_unused_gpu_is_a_problem_with_a_fix(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(machine, "jax_devices", lambda: ("cpu", ("cpu (cpu:0)",), None))
    fake_smi(tmp_path, monkeypatch, "echo 'NVIDIA H100 80GB HBM3'")
    assert main(["doctor", "--json"]) == 1
    out, err = capsys.readouterr()
    report = json.loads(out)
    assert report["gpus"] == ["NVIDIA H100 80GB HBM3"]
    assert report["jax_backend"] == "cpu"
    assert len(report["problems"]) == 1
    for part in ("NVIDIA H100 80GB HBM3 is present and unused", "make setup EXTRA=cuda", "'surefoot[cuda]'"):
        assert part in err


def test_problems_of_every_combination() -> None:
    assert problems("gpu", None, ("H100",)) == ()
    assert problems("cpu", None, ()) == ()
    assert "computes on the cpu" in problems("cpu", None, ("H100",))[0]
    assert "no such platform" in problems(None, "no such platform", ("H100",))[0]
    assert problems(None, "no such platform", ()) == ("JAX did not start: no such platform",)


def test_output_of_a_failed_driver_tool_is_ignored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_smi(tmp_path, monkeypatch, "echo 'NVIDIA-SMI has failed'; exit 9")
    assert not any("failed" in gpu for gpu in machine.nvidia_gpus())


@pytest.mark.usefixtures("no_gpu")
def test_json_is_complete(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["versions"]["surefoot"] == "0.1.0"
    assert report["gl"].keys() == {"egl", "osmesa"}
    assert report["cores"] >= 1
    assert 0 < report["memory_free"] <= report["memory_total"]
    assert report["disk_free"] > 0


def test_error_of_starting_jax_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    import jax

    def fail() -> list[object]:
        raise RuntimeError("Unable to initialize\nbackend 'cuda'")

    monkeypatch.setattr(jax, "devices", fail)
    assert machine.jax_devices() == (None, (), "Unable to initialize backend 'cuda'")


@pytest.mark.usefixtures("no_gpu")
def test_limits_of_a_container_are_shown(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(16)))
    for module in (machine, doctor):
        monkeypatch.setattr(module, "cpu_quota", lambda: 0.5)
        monkeypatch.setattr(module, "memory_limit", lambda: 2 << 30)
    monkeypatch.setattr(machine, "free_memory", lambda: 1 << 30)
    assert main(["doctor"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "cores         1, CPU quota 0.5" in lines
    assert "memory        1.0 GiB free of 2.0 GiB, limited by a control group (container or job)" in lines
    assert main(["doctor", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["cores"], report["cpu_quota"]) == (1, 0.5)
    assert (report["memory_total"], report["memory_free"], report["memory_limit"]) == (2 << 30, 1 << 30, 2 << 30)


def test_deleted_working_directory_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    for command in (
        ["resume", "run"],
        ["evaluate", "run"],
        ["report", "run"],
        ["bench", "status", "grid"],
        ["train", "probe-action"],
        ["train", "probe-action", "--out", "a", "--init-from", "b", "--overwrite"],
    ):
        assert main(command) == 2
        assert "the working directory no longer exists" in capsys.readouterr().err
    assert path_text(tmp_path) == str(tmp_path)
    with pytest.raises(UserError, match="no module named 'nowhere'"):
        import_target("nowhere:make")
    (tmp_path / "task.py").touch()
    with pytest.raises(UserError, match="is not a module's name"):
        import_target(f"{tmp_path / 'task.py'}:make")
