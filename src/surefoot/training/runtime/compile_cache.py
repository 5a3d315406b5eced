"""Persistent cache of compiled programs."""

from __future__ import annotations

import hashlib
import os
import platform
from pathlib import Path

import jax
from jax.experimental.compilation_cache import compilation_cache

from surefoot.machine import usable_cores

VARIABLE = "SUREFOOT_COMPILE_CACHE"
"""Environment variable with the cache folder, or "off"."""


_MIN_COMPILE_SECONDS = 0.05
"""Programs that compile faster are not cached: single operations, of which a process may have many."""


def use_compile_cache() -> None:
    """Turn on JAX's persistent compilation cache, unless the user has configured it or turned it off.

    CPU programs depend on the CPU's features and on the number of usable cores, so each combination has its own
    folder: machines may share a home folder.
    """
    chosen = os.environ.get(VARIABLE, "")
    if chosen.lower() == "off" or jax.config.jax_compilation_cache_dir is not None:
        return
    try:
        base = Path(chosen).expanduser() if chosen else _user_cache() / "surefoot"
        folder = base / "compiled" / _machine()
        folder.mkdir(parents=True, exist_ok=True)
    except (OSError, RuntimeError):
        return  # Without a home folder, or one that can be written to, nothing is cached.
    if not os.access(folder, os.W_OK | os.X_OK):
        return
    jax.config.update("jax_compilation_cache_dir", str(folder))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", _MIN_COMPILE_SECONDS)
    compilation_cache.reset_cache()  # JAX decides at its first compilation whether there is a cache.


def _user_cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")


def _machine() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    described = [line for line in lines if line.startswith(("flags", "Features", "model name"))][:2]
    threads = os.environ.get("NPROC") or str(usable_cores())
    parts = [jax.__version__, platform.machine(), platform.processor(), threads, *described]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]
