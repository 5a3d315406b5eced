"""Which library draws off-screen: EGL, on a GPU or in software, or OSMesa, in software alone."""

from __future__ import annotations

import functools
import importlib
import os
import subprocess
import sys
from typing import Any

from surefoot.errors import UserError, suggest

_MODULES = {"egl": "mujoco.egl", "osmesa": "mujoco.osmesa", "glfw": "mujoco.glfw"}
"""MuJoCo's contexts by the name that MUJOCO_GL knows them under."""

_TRIED = ("egl", "osmesa")
"""The ones that need no screen, the faster first."""

_NO_CHOICE = ("", "disable", "disabled", "off", "false", "0")
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


def choose_backend() -> str:
    """Return "egl", "osmesa" or "glfw": what MUJOCO_GL asks for, else the first of EGL and OSMesa that works.

    Raises:
        UserError: none works, or MUJOCO_GL names something else.
    """
    return _choose(os.environ.get("MUJOCO_GL", "").strip().lower())


@functools.cache
def _choose(asked: str) -> str:
    if asked not in _MODULES and asked not in _NO_CHOICE:
        raise UserError(f"MUJOCO_GL is {asked!r}, expected one of {', '.join(_MODULES)}{suggest(asked, _MODULES)}")
    candidates = (asked,) if asked in _MODULES else _TRIED
    reasons = []
    for name in candidates:
        if (reason := _why_not(name)) is None:
            return name
        reasons.append(f"{name}: {reason}")
    wish = f"MUJOCO_GL={asked} does" if asked in _MODULES else "EGL and OSMesa do"
    raise UserError(
        f"rendering needs a library that draws off-screen, and {wish} not work here ({'; '.join(reasons)}): "
        "apt-get install libegl1 libgl1-mesa-dri, or apt-get install libosmesa6"
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
