"""Virtual environments with the wheel and other packages, made by uv."""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

from scripts import fetch_uv

ROOT = Path(__file__).parents[1]


_NOT_AVAILABLE = ("Failed to fetch", "error sending request", "Request failed", "was not found", "no wheels")
"""What uv prints where a package cannot be had, unlike requirements that contradict each other."""


@functools.cache
def uv() -> str:
    """Return a uv that works: the one of `make`, of PATH, or a new one. Skips the test where there is none."""
    for program in (str(ROOT / ".uv" / "bin" / "uv"), shutil.which("uv")):
        if not program or not os.access(program, os.X_OK):
            continue
        if subprocess.run([program, "--version"], capture_output=True, check=False).returncode == 0:
            return program
    program = str(Path(tempfile.mkdtemp()) / "uv")
    try:
        fetch_uv.fetch(Path(program))
    except (OSError, LookupError) as error:
        pytest.skip(f"uv cannot be downloaded here: {error}")
    return program


@functools.cache
def find_python(version: str) -> str:
    """Return a Python of a version such as "3.13". Skips the test where uv and pyenv have none."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    if found := sorted(pyenv.glob(f"{version}.*/bin/python")):
        return str(found[-1])
    done = subprocess.run([uv(), "python", "find", version], capture_output=True, text=True, timeout=60)
    if done.returncode:
        pytest.skip(f"Python {version} is not installed here")
    return done.stdout.strip()


def build_wheel(folder: Path) -> Path:
    """Build the wheel into a folder. Skips the test where its build requirements cannot be downloaded."""
    command = [uv(), "build", "--quiet", "--wheel", "--out-dir", str(folder), str(ROOT)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    if done.returncode and "fetch" in done.stderr.lower():
        pytest.skip(f"the wheel cannot be built here: {_last_line(done.stderr)}")
    assert done.returncode == 0, done.stderr[-2000:]
    (wheel,) = folder.glob("*.whl")
    return wheel


def install(folder: Path, version: str, requirements: list[str]) -> str:
    """Make a virtual environment and return its Python. Skips the test where a package cannot be had.

    Args:
        folder: The environment, which does not exist.
        version: Version of Python, such as "3.12".
        requirements: What to install, from wheels only.
    """
    subprocess.run([uv(), "venv", "--quiet", "--python", find_python(version), str(folder)], check=True, timeout=60)
    program = str(folder / "bin" / "python")
    command = [uv(), "pip", "install", "--quiet", "--only-binary", ":all:", "--python", program, *requirements]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    if done.returncode and any(reason in done.stderr for reason in _NOT_AVAILABLE):
        pytest.skip(f"{' '.join(requirements)} cannot be installed here: {_last_line(done.stderr)}")
    assert done.returncode == 0, done.stderr[-2000:]
    return program


def clean_environment() -> dict[str, str]:
    """Return the environment variables without those that add packages to an installation or are for tests alone."""
    dropped = ("PYTHONPATH", "VIRTUAL_ENV", "JAX_NUMPY_RANK_PROMOTION")
    return {name: value for name, value in os.environ.items() if name not in dropped}


def _last_line(text: str) -> str:
    return (text.strip().splitlines() or ["no message"])[-1]
