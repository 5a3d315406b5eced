"""Command ``doctor``: report, and unused GPUs as problems."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from surefoot import machine
from surefoot.cli.doctor import problems
from surefoot.cli.main import main


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
