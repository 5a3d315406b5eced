"""What this machine is, asked without being able to crash: versions, devices, libraries, memory."""

from __future__ import annotations

import ctypes
import platform
import shutil
import subprocess
from importlib import metadata
from pathlib import Path

_PACKAGES = (
    "surefoot",
    "jax",
    "jaxlib",
    "flax",
    "optax",
    "numpy",
    "gymnasium",
    "mujoco",
    "dm-control",
    "myosuite",
)
_GL_LIBRARIES = {"egl": ("libEGL.so.1",), "osmesa": ("libOSMesa.so.8", "libOSMesa.so.6", "libOSMesa.so")}


def versions() -> dict[str, str | None]:
    """The version of Python and of each package that decides results; None for one that is not installed."""
    found: dict[str, str | None] = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            found[package] = None
    return found


def jax_devices() -> tuple[str | None, tuple[str, ...], str | None]:
    """Start JAX: its default backend, its devices' names, and None; or (None, (), why it did not start)."""
    try:
        import jax

        devices = jax.devices()
    except (ImportError, RuntimeError) as error:
        return None, (), " ".join(str(error).split())
    return devices[0].platform, tuple(f"{device.device_kind} ({device})" for device in devices), None


def nvidia_gpus() -> tuple[str, ...]:
    """NVIDIA GPUs by name, from the driver's own tool or, where that is missing, from what the driver leaves behind."""
    if tool := shutil.which("nvidia-smi"):
        try:
            answer = subprocess.run(
                [tool, "--query-gpu=name", "--format=csv,noheader"], capture_output=True, text=True, timeout=20
            )
        except (OSError, subprocess.TimeoutExpired):
            answer = None
        if answer is not None and answer.returncode == 0 and answer.stdout.strip():
            return tuple(line.strip() for line in answer.stdout.splitlines() if line.strip())
    cards = sorted(Path("/proc/driver/nvidia/gpus").glob("*/information"))
    if cards:
        return tuple(_model(card) for card in cards)
    return ("an NVIDIA GPU",) if Path("/dev/nvidia0").exists() else ()


def _model(card: Path) -> str:
    """The model in one of the driver's information files."""
    try:
        lines = card.read_text().splitlines()
    except OSError:
        lines = []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("Model:")]
    return models[0] if models else "an NVIDIA GPU"


def gl_backends() -> dict[str, bool]:
    """Which of MuJoCo's off-screen rendering backends have their library here. Training needs none of them."""
    return {name: any(map(_loads, libraries)) for name, libraries in _GL_LIBRARIES.items()}


def _loads(library: str) -> bool:
    try:
        ctypes.CDLL(library)
    except OSError:
        return False
    return True


def memory() -> tuple[int | None, int | None]:
    """Main memory in bytes: (total, free for a new process); None where the system does not tell."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return None, None
    entries = dict(line.split(":", 1) for line in lines if ":" in line)
    total, free = (
        int(entries[name].split()[0]) * 1024 if name in entries else None for name in ("MemTotal", "MemAvailable")
    )
    return total, free


def disk_free() -> int:
    """Bytes free in the current folder's file system."""
    return shutil.disk_usage(".").free
