"""Compiles this folder's C++, keeps the library between runs, and tells XLA of it."""

from __future__ import annotations

import contextlib
import ctypes
import functools
import hashlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import jax
import jaxlib

from surefoot.errors import UserError
from surefoot.user_cache import cache_folder

_SOURCE = Path(__file__).with_name("products.cc")
_OPTIONS = ("-std=c++17", "-O3", "-march=sapphirerapids", "-fPIC", "-shared")
_FEATURES = {"amx_tile", "amx_bf16", "avx512f", "avx512bw", "avx512vl", "avx512_bf16"}
_NEEDED = "precision bf16x6 needs"


def _has_amx() -> bool:
    """Return whether JAX computes on a CPU with AMX's bfloat16 tiles (Intel Xeon, fourth generation or later)."""
    return jax.default_backend() == "cpu" and _cpu_features() >= _FEATURES


@functools.cache
def load() -> str:
    """Return the name by which XLA knows the product; compile it first if need be, which takes five seconds.

    Raises:
        UserError: the machine lacks what it takes; the message says what.
    """
    if not _has_amx():
        raise UserError(f"{_NEEDED} a CPU with AMX (Intel Xeon, fourth generation or later): choose float32 or bf16")
    # Programs that JAX keeps between runs must not meet another version than the one they were compiled for.
    name = f"surefoot_product_{_fingerprint()}"
    library = _library(f"{name}.so")
    if not library.surefoot_allow_tiles():
        raise UserError(f"{_NEEDED} AMX, which this CPU has and Linux does not allow: choose float32 or bf16")
    jax.ffi.register_ffi_target(name, jax.ffi.pycapsule(library.SurefootProduct), platform="cpu")
    return name


def _cpu_features() -> set[str]:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return set()
    return set(next((line for line in lines if line.startswith("flags")), "").split())


def _fingerprint() -> str:
    parts = (_SOURCE.read_text(), jaxlib.__version__, *_OPTIONS)
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


def _library(name: str) -> ctypes.CDLL:
    folder = cache_folder("compiled")
    if folder is not None and (folder / name).exists():
        with contextlib.suppress(OSError):  # Written on a machine with another C library.
            return ctypes.CDLL(str(folder / name))
    with tempfile.TemporaryDirectory(dir=folder) as temporary:
        compiled = Path(temporary) / name
        _compile(compiled)
        library = ctypes.CDLL(str(compiled))
        if folder is not None:
            compiled.replace(folder / name)  # Whole at once: other processes may be looking for it.
        return library


def _compile(library: Path) -> None:
    compiler = os.environ.get("CXX") or "c++"
    if shutil.which(compiler) is None:
        raise UserError(f"{_NEEDED} a C++ compiler, and there is no {compiler!r}: install g++, or name one in CXX")
    command = [compiler, *_OPTIONS, "-isystem", jax.ffi.include_dir(), str(_SOURCE), "-o", str(library)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        lines = done.stderr.splitlines()
        errors = [line for line in lines if "error" in line] or lines or [f"it ended with {done.returncode}"]
        raise UserError(
            f"{_NEEDED} a C++ compiler that knows AMX (g++ 11, clang 12 or later); {compiler}: {errors[0].strip()}"
        )
