"""Which library draws off-screen: EGL, on a GPU or in software, or OSMesa, in software alone."""

from __future__ import annotations

import functools
import importlib
import os
import subprocess
import sys
from typing import Any

from surefoot.errors import UserError

_MODULES = {"egl": "mujoco.egl", "osmesa": "mujoco.osmesa"}
"""MuJoCo's contexts that need no screen, the faster first."""

_NO_WISH = ("", "disable", "disabled", "off", "false", "0", "enable", "enabled", "on", "true", "1")
"""What MUJOCO_GL may say besides: training sets "disabled" itself, so that is nobody's wish about pictures."""

_PROBE = """
import importlib, sys
import mujoco
gl = importlib.import_module(sys.argv[1]).GLContext(16, 16)
gl.make_current()
mujoco.MjrContext(mujoco.MjModel.from_xml_string("<mujoco/>"), mujoco.mjtFontScale.mjFONTSCALE_100).free()
gl.free()
"""

_PATIENCE = 60.0
"""Seconds for a probe, which takes one or two; a driver may also hang."""


def new_context(width: int, height: int) -> Any:
    """Make an off-screen OpenGL context; `make_current` and `free` are its methods.

    Args:
        width: of the largest picture, in pixels.
        height: of the largest picture, in pixels.

    Raises:
        UserError: nothing here can draw off-screen; the line says what to install.
    """
    return importlib.import_module(_MODULES[choose_backend()]).GLContext(width, height)


def draws_in_software() -> bool:
    """Say whether the current context draws on the processor, where fine pictures take seconds each."""
    from OpenGL import GL  # type: ignore[import-untyped]

    return any(name in GL.glGetString(GL.GL_RENDERER).lower() for name in (b"llvmpipe", b"softpipe", b"swrast"))


def check_wish() -> None:
    """Refuse a MUJOCO_GL that cannot be followed; nothing happens where it leaves the choice.

    Suites read it when they are imported, and complain about it in ways of their own.

    Raises:
        UserError: it names something that cannot draw here.
    """
    if _wish() is not None:
        choose_backend()


def choose_backend() -> str:
    """Return "egl" or "osmesa": what MUJOCO_GL asks for, else the first that works.

    Raises:
        UserError: none works, or MUJOCO_GL names something else.
    """
    return _first_that_works(_wish())


def _wish() -> str | None:
    wish = os.environ.get("MUJOCO_GL", "").strip().lower()
    if wish in _NO_WISH:
        return None
    if wish not in _MODULES:
        valid = " or ".join(_MODULES)
        raise UserError(f"MUJOCO_GL is {wish!r}, but videos are drawn with {valid}: set it to one of them, or unset it")
    return wish


@functools.cache
def _first_that_works(wish: str | None) -> str:
    reasons = []
    for name in (wish,) if wish else _MODULES:
        if (reason := _why_not(name)) is None:
            return name
        reasons.append(f"{name}: {reason}")
    needed = f"MUJOCO_GL={wish}, which does" if wish else "EGL or OSMesa, which do"
    raise UserError(
        f"rendering needs {needed} not work here ({'; '.join(reasons)}): apt-get install libegl1 libgl1-mesa-dri, or "
        "apt-get install libosmesa6"
    )


def _why_not(name: str) -> str | None:
    """Return why a backend does not work here, None where it does.

    It is tried in a process of its own, because a driver that fails to start may abort the process, or leave it with
    a half-made display.
    """
    command = [sys.executable, "-c", _PROBE, _MODULES[name]]
    environment = {**os.environ, "MUJOCO_GL": "disabled"}  # importing mujoco shall not load a GL library by itself
    try:
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=_PATIENCE)
    except subprocess.TimeoutExpired:
        return f"no answer within {_PATIENCE:.0f} s"
    except OSError as error:
        return f"cannot be tried: {error.strerror}"
    if done.returncode == 0:
        return None
    lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
    return lines[-1][:200] if lines else f"the driver ended the process (exit code {done.returncode})"
