"""Off-screen OpenGL backends: EGL, on a GPU or in software, and OSMesa, in software."""

from __future__ import annotations

import contextlib
import functools
import importlib
import importlib.util
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

from surefoot.errors import UserError
from surefoot.machine import usable_cores
from surefoot.processes import run_program

_MODULES = {"egl": "mujoco.egl", "osmesa": "mujoco.osmesa"}
"""MuJoCo's off-screen contexts, the faster first."""

_UNSPECIFIC = ("", "disable", "disabled", "off", "false", "0", "enable", "enabled", "on", "true", "1")
"""Values of MUJOCO_GL that name no backend; training itself sets "disabled"."""

_PROBE = """
import importlib, sys
import mujoco
gl = importlib.import_module(sys.argv[1]).GLContext(16, 16)
gl.make_current()
mujoco.MjrContext(mujoco.MjModel.from_xml_string("<mujoco/>"), mujoco.mjtFontScale.mjFONTSCALE_100).free()
gl.free()
"""

_GL_FAILURE = re.compile(
    r"(?i:opengl|mujoco_gl|glfw|gladload|glcontext|\bglx\b|mesa|\bx11\b|\bdisplay\b|\begl\b)|\bGL\b|\be?gl[A-Z]"
)
"""Words of the errors of MuJoCo, GLFW, PyOpenGL, dm_control and others where there is no display or no driver."""

_PROBE_SECONDS = 60.0
"""Time limit of a probe, which takes one or two seconds; a driver may hang."""


def new_context(width: int, height: int) -> Any:
    """Make an off-screen OpenGL context; `make_current` and `free` are its methods.

    Args:
        width: Width of the largest image in pixels.
        height: Height of the largest image in pixels.

    Raises:
        UserError: No backend works; the message names the packages to install.
    """
    os.environ.setdefault("LP_NUM_THREADS", str(usable_cores()))  # of the software renderer, which ignores CPU quotas
    return importlib.import_module(_MODULES[choose_backend()]).GLContext(width, height)


def renders_in_software() -> bool:
    """Return whether the current context renders on the CPU, where detailed images take seconds each."""
    from OpenGL import GL  # type: ignore[import-untyped]

    return any(name in GL.glGetString(GL.GL_RENDERER).lower() for name in (b"llvmpipe", b"softpipe", b"swrast"))


def validate_mujoco_gl() -> None:
    """Validate the environment variable MUJOCO_GL before suites read it on import, with other error messages.

    Raises:
        UserError: It names a backend that is unknown or does not work.
    """
    if _requested() is not None:
        choose_backend()


@contextlib.contextmanager
def headless_backend() -> Iterator[None]:
    """Set MUJOCO_GL for environments that render with MuJoCo themselves, within a block.

    Their renderers fail without the variable if there is no display, and with one that disables rendering, as training
    sets it. They read it when they are imported or made.
    """
    given = os.environ.get("MUJOCO_GL")
    has_display = any(os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY"))
    needed = _requested() is None and (given is not None or not has_display)
    if needed and importlib.util.find_spec("mujoco") is not None:
        with contextlib.suppress(UserError):  # the environment may render without OpenGL
            os.environ["MUJOCO_GL"] = choose_backend()
    try:
        yield
    finally:
        if given is None:
            os.environ.pop("MUJOCO_GL", None)
        else:
            os.environ["MUJOCO_GL"] = given


def gl_hint(error: BaseException) -> str:
    """Return the end of an error message about an environment's own rendering: what to try if OpenGL failed, or ""."""
    chain: BaseException | None = error
    while chain is not None:
        if _GL_FAILURE.search(f"{type(chain).__name__}: {chain}"):
            return "; if OpenGL finds no display here, set MUJOCO_GL=egl or MUJOCO_GL=osmesa"
        chain = chain.__cause__ or chain.__context__
    return ""


def choose_backend() -> str:
    """Return "egl" or "osmesa": the one that MUJOCO_GL requests, else the first that works.

    Raises:
        UserError: None works, or MUJOCO_GL requests something else.
    """
    return _first_that_works(_requested())


def _requested() -> str | None:
    requested = os.environ.get("MUJOCO_GL", "").strip().lower()
    if requested in _UNSPECIFIC:
        return None
    if requested not in _MODULES:
        raise UserError(f"MUJOCO_GL is {requested!r}, expected {' or '.join(_MODULES)} for videos, or unset")
    return requested


@functools.cache
def _first_that_works(requested: str | None) -> str:
    reasons = []
    for name in (requested,) if requested else _MODULES:
        if (reason := _why_not(name)) is None:
            return name
        reasons.append(f"{name}: {reason}")
    needed = f"MUJOCO_GL={requested}, which does" if requested else "EGL or OSMesa, which do"
    raise UserError(
        f"rendering needs {needed} not work here ({'; '.join(reasons)}): apt-get install libegl1 libgl1-mesa-dri, or "
        "apt-get install libosmesa6"
    )


def _why_not(name: str) -> str | None:
    """Return why a backend does not work, or None if it does.

    It is tested in a separate process, since a failing driver may abort the process or corrupt its display.
    """
    command = [sys.executable, "-P", "-c", _PROBE, _MODULES[name]]
    environment = {**os.environ, "MUJOCO_GL": "disabled"}  # importing mujoco must not load a GL library
    try:
        done = run_program(command, seconds=_PROBE_SECONDS, environment=environment)
    except subprocess.TimeoutExpired:
        return f"no answer within {_PROBE_SECONDS:.0f} s"
    except OSError as error:
        return f"cannot be tested: {error.strerror}"
    if done.exit_code == 0:
        return None
    return done.last_line[:200] or f"the driver ended the process (exit code {done.exit_code})"
