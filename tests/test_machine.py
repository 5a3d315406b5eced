"""Description of the machine."""

from __future__ import annotations

import os

import pytest

from surefoot.machine import free_host_memory, usable_cores


def test_usable_cores_follow_the_affinity_mask_where_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {4, 7})
    assert usable_cores() == 2
    monkeypatch.delattr(os, "sched_getaffinity")  # as on macOS
    monkeypatch.setattr(os, "cpu_count", lambda: 6)
    assert usable_cores() == 6


def test_free_host_memory_is_positive() -> None:
    assert free_host_memory() > 0
