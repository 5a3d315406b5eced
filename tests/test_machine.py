"""Description of the machine."""

from __future__ import annotations

import itertools
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
    ("feature", "speedup", "precision"),
    [("avx512_bf16", 1.9, "bf16"), ("amx_bf16", 1.1, "float32"), ("avx512f", None, "float32")],
)
def test_auto_precision_on_cpu_follows_its_features_and_the_measured_speedup(
    feature: str, speedup: float | None, precision: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    fastest_precision.cache_clear()
    monkeypatch.setattr(machine, "_cpu_features", lambda: {"sse2", feature})
    monkeypatch.setattr(machine, "_bf16_speedup", lambda: speedup)
    assert resolve_precision("auto") == precision
    fastest_precision.cache_clear()


def test_features_are_those_of_the_first_x86_core(tmp_path: Path) -> None:
    (tmp_path / "x86").write_text("processor\t: 0\nflags\t\t: fpu avx512_bf16\n\nflags\t\t: fpu\n")
    (tmp_path / "arm").write_text("processor\t: 0\nFeatures\t: fp asimd bf16\n")
    assert machine._cpu_features(tmp_path / "x86") >= {"fpu", "avx512_bf16"}
    assert machine._cpu_features(tmp_path / "arm") == set()
    assert machine._cpu_features(tmp_path / "missing") == set()


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


def test_low_speedup_is_measured_again_for_a_limited_time(monkeypatch: pytest.MonkeyPatch) -> None:
    # The limit, then start and end of a product in float32 and of one in bfloat16, as long at first.
    times = iter([0.0, *(0.0, 0.1), *(0.1, 0.2), 0.2, *(0.2, 0.31), *(0.31, 0.36)])
    with monkeypatch.context() as patched:
        patched.setattr(machine, "time", SimpleNamespace(perf_counter=lambda: next(times)))
        assert machine._bf16_speedup(pairs=1) == pytest.approx(2.0)
        ticks = itertools.count()  # all products take one second
        patched.setattr(machine, "time", SimpleNamespace(perf_counter=lambda: float(next(ticks))))
        assert machine._bf16_speedup(pairs=1, seconds=20.0) == 1.0
        assert 20 < next(ticks) < 30
    assert 0 < machine._bf16_speedup(pairs=1, seconds=0.0) < float("inf")


def test_free_host_memory_is_positive() -> None:
    assert free_host_memory() > 0
