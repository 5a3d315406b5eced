"""Description of the machine."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace

import jax
import pytest

from surefoot import machine
from surefoot.errors import UserError
from surefoot.machine import fastest_precision, free_host_memory, resolve_precision, usable_cores


def test_usable_cores_follow_the_affinity_mask_where_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {4, 7})
    assert usable_cores() == 2
    monkeypatch.delattr(os, "sched_getaffinity")  # as on macOS
    monkeypatch.setattr(os, "cpu_count", lambda: 6)
    assert usable_cores() == 6


@pytest.mark.parametrize(
    ("feature", "speedups", "precision"),
    [
        ("avx512_bf16", [1.9], "bf16"),
        ("avx512_bf16", [0.6, 1.1, 1.3], "bf16"),  # a ratio that other processes disturb is measured again
        ("amx_bf16", [1.1] * 8, "float32"),
        ("avx512f", [], "float32"),
    ],
)
def test_auto_precision_on_cpu_follows_its_features_and_the_measured_speedup(
    feature: str, speedups: list[float], precision: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    fastest_precision.cache_clear()
    monkeypatch.setattr(machine, "_cpu_features", lambda: {"sse2", feature})
    measured = iter(speedups)
    monkeypatch.setattr(machine, "_bf16_speedup", lambda: next(measured))
    assert resolve_precision("auto") == precision
    assert list(measured) == []
    fastest_precision.cache_clear()


def test_cpu_features_are_read_on_linux() -> None:
    assert bool(machine._cpu_features()) == Path("/proc/cpuinfo").exists()


@pytest.mark.parametrize(("capability", "precision"), [("9.0", "tf32"), ("7.5", "float32"), ("gfx90a", "float32")])
def test_auto_precision_on_gpu_follows_its_capability(
    capability: str, precision: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    fastest_precision.cache_clear()
    monkeypatch.setattr(jax, "devices", lambda: [SimpleNamespace(platform="gpu", compute_capability=capability)])
    assert resolve_precision("auto") == precision
    fastest_precision.cache_clear()


def test_given_precision_is_kept_where_the_device_has_it() -> None:
    assert resolve_precision("float32") == "float32"
    with pytest.raises(UserError, match="tf32 needs an NVIDIA GPU"):
        resolve_precision("tf32")


def test_measured_speedup_is_finite() -> None:
    assert 0 < machine._bf16_speedup(repeats=1) < float("inf")


def test_free_host_memory_is_positive() -> None:
    assert free_host_memory() > 0
