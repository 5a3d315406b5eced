"""Compiled programs kept between runs, so that a second run begins to learn within seconds."""

from __future__ import annotations

import hashlib
import os
import platform
from pathlib import Path

import jax
from jax.experimental.compilation_cache import compilation_cache

from surefoot.machine import usable_cores

VARIABLE = "SUREFOOT_COMPILE_CACHE"
"""Names the folder; "off" keeps nothing."""

_LEAST_SECONDS = 0.2
"""What compiles faster is compiled again."""


def use_compile_cache() -> None:
    """Let JAX keep what this process compiles, unless the user has set up JAX's own cache or switched this off.

    Programs for a CPU use what that CPU has, and are split for the cores that the process may use: other machines that
    see the same home folder, and processes on fewer cores, must not meet them. So each kind has a folder of its own.
    """
    chosen = os.environ.get(VARIABLE, "")
    if chosen.lower() == "off" or jax.config.jax_compilation_cache_dir is not None:
        return
    try:
        base = Path(chosen).expanduser() if chosen else _user_cache() / "surefoot"
        folder = base / "compiled" / _machine()
        folder.mkdir(parents=True, exist_ok=True)
    except (OSError, RuntimeError):
        return  # No home, or one that cannot be written to: nothing is kept, and nothing else is lost.
    if not os.access(folder, os.W_OK | os.X_OK):
        return
    jax.config.update("jax_compilation_cache_dir", str(folder))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", _LEAST_SECONDS)
    compilation_cache.reset_cache()  # What was compiled before in this process has settled that there is none.


def _user_cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")


def _machine() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    described = [line for line in lines if line.startswith(("flags", "Features", "model name"))][:2]
    parts = [jax.__version__, platform.machine(), platform.processor(), str(usable_cores()), *described]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]
