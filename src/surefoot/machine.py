"""The machine a process runs on: cores, memory, devices, software versions and git revision."""

from __future__ import annotations

import ctypes
import functools
import math
import os
import platform
import resource
import shutil
import subprocess
import sys
import time
from importlib import metadata
from pathlib import Path
from typing import Any, Literal, get_args

from surefoot.control_groups import cpu_quota, free_memory, memory_limit
from surefoot.errors import UserError
from surefoot.processes import run_program

Precision = Literal["float32", "tf32", "bf16"]
"""Precision of the factors of matrix products in layers; products are summed in float32."""

PRECISIONS: tuple[Precision, ...] = get_args(Precision)

PrecisionChoice = Literal["auto", "float32", "tf32", "bf16"]
"""Precision as a setting; auto is the fastest one of the device."""

_BF16_INSTRUCTIONS = {"amx_bf16", "avx512_bf16"}
"""Linux's names of the processor features for products in bfloat16 that XLA uses."""

_MIN_BF16_SPEEDUP = 1.2
"""Ratio of product times below which bf16 is not used: it is 1.6 and more where the instructions serve products, and 1
or less where products are emulated."""

_TOOL_SECONDS = 20.0
"""Time limit of other programs: a driver or a network file system may not answer."""

_PACKAGES = (
    *("surefoot", "jax", "jaxlib", "flax", "optax", "numpy", "gymnasium", "mujoco", "dm-control", "myosuite"),
    *("envpool", "mujoco-mjx", "playground", "gymnax"),
)
_GL_LIBRARIES = {"egl": ("libEGL.so.1",), "osmesa": ("libOSMesa.so.8", "libOSMesa.so.6", "libOSMesa.so")}


def describe_machine() -> dict[str, Any]:
    """Return the description of this machine that config.json records. Starts JAX's backend."""
    return {
        "versions": {package: version for package, version in versions().items() if version is not None},
        "git_revision": git_revision(),
        "device": device_name(),
        "cores": usable_cores(),
        "platform": platform.platform(),
    }


def usable_cores() -> int:
    """Return the number of cores whose time this process may use: fewer than ``core_numbers`` under a CPU quota."""
    cores, quota = len(core_numbers()), cpu_quota()
    return cores if quota is None else max(1, min(cores, math.ceil(quota)))


def core_numbers() -> list[int]:
    """Return the cores this process may run on, which its control group's set limits; on macOS all of them."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def start_jax() -> None:
    """Start JAX's backend. Its threads on a CPU follow ``usable_cores``, unless NPROC is set.

    Raises:
        UserError: It does not start.
    """
    if usable_cores() < len(core_numbers()):  # a quota, which JAX itself does not consider
        os.environ.setdefault("NPROC", str(usable_cores()))
    _, _, error = jax_devices()
    if error is not None:
        raise UserError(f"JAX does not start: {error}")


def device_name() -> str:
    """Return a readable name of the default JAX device."""
    import jax

    device = jax.devices()[0]
    if device.platform == "cpu":
        return f"CPU, {usable_cores()} core{'s' if usable_cores() > 1 else ''}"
    return f"{device.device_kind} ({device.platform}:{device.id})"


def resolve_precision(precision: PrecisionChoice) -> Precision:
    """Return the precision to compute in: the fastest one for auto, otherwise the given one.

    Raises:
        UserError: The default device does not have it.
    """
    import jax

    if precision == "auto":
        return fastest_precision()
    if precision not in PRECISIONS:
        raise UserError(f"precision must be one of auto, {', '.join(PRECISIONS)}, got {precision!r}")
    if precision == "tf32" and jax.default_backend() != "gpu":
        raise UserError(
            f"precision tf32 needs an NVIDIA GPU, but the device is {device_name()}: give a new run float32 or bf16; "
            "a run that has tf32 continues on such a GPU only"
        )
    return precision


@functools.cache
def fastest_precision() -> Precision:
    """Return the fastest precision of the default device.

    On an NVIDIA GPU of compute capability 8.0 or later, tf32. On an x86 CPU under Linux, bf16 if it has instructions
    for bfloat16 and a product is 1.2 times as fast as in float32.
    """
    import jax

    device = jax.devices()[0]
    if device.platform == "gpu":
        return "tf32" if _compute_capability(device) >= 8.0 else "float32"
    if device.platform != "cpu" or not _BF16_INSTRUCTIONS & _cpu_features():
        return "float32"
    return "bf16" if _bf16_speedup() >= _MIN_BF16_SPEEDUP else "float32"


def _cpu_features(description: Path = Path("/proc/cpuinfo")) -> set[str]:
    """Return the names of an x86 processor's features; none for another processor or system."""
    try:
        lines = description.read_text().splitlines()
    except OSError:
        return set()
    return set(next((line for line in lines if line.startswith("flags")), "").split())


def _compute_capability(device: Any) -> float:
    """Return the compute capability of an NVIDIA GPU, 0 for another GPU, whose architecture has a name."""
    try:
        return float(getattr(device, "compute_capability", 0.0))
    except (TypeError, ValueError):
        return 0.0


def _bf16_speedup(pairs: int = 15, seconds: float = 2.0) -> float:
    """Return the time of a float32 product divided by that of a bfloat16 product, at a hidden layer's sizes.

    Other processes can slow down one of the two more than the other, and the precision of a run must not depend on
    that: as long as the ratio of the shortest times is low, measurements go on.

    Args:
        pairs: Pairs of products to time before the ratio counts.
        seconds: Time after which a low ratio is returned.
    """
    import jax
    import jax.numpy as jnp
    import numpy as np

    product = jax.jit(lambda a, b: jax.lax.dot(a, b, preferred_element_type=jnp.float32))
    # Made by NumPy: operations of JAX would be compiled.
    factors = {
        dtype: jax.device_put((np.ones((256, 512), dtype), np.ones((512, 512), dtype)))
        for dtype in (jnp.float32, jnp.bfloat16)
    }
    for pair in factors.values():
        product(*pair).block_until_ready()
    shortest = dict.fromkeys(factors, math.inf)
    ratio, deadline = 0.0, time.perf_counter() + seconds
    while pairs > 0 or (ratio < _MIN_BF16_SPEEDUP and time.perf_counter() < deadline):
        pairs -= 1
        for dtype, pair in factors.items():
            start = time.perf_counter()
            product(*pair).block_until_ready()
            shortest[dtype] = min(shortest[dtype], time.perf_counter() - start)
        ratio = shortest[jnp.float32] / shortest[jnp.bfloat16]
    return ratio


def jax_devices() -> tuple[str | None, tuple[str, ...], str | None]:
    """Start JAX and return its default platform, its devices' names, and None; or (None, (), the error)."""
    try:
        import jax

        devices = jax.devices()
    except (ImportError, RuntimeError, ValueError) as error:  # the last for an environment variable
        return None, (), " ".join(str(error).split())
    return devices[0].platform, tuple(f"{device.device_kind} ({device})" for device in devices), None


def nvidia_gpus() -> tuple[str, ...]:
    """Return the models of the NVIDIA GPUs, from nvidia-smi or, without it, from the driver's files."""
    if tool := shutil.which("nvidia-smi"):
        try:
            answer = run_program([tool, "--query-gpu=name", "--format=csv,noheader"], seconds=_TOOL_SECONDS)
        except (OSError, subprocess.TimeoutExpired):
            answer = None
        if answer is not None and answer.exit_code == 0 and answer.output.strip():
            lines = answer.output.decode(errors="replace").splitlines()
            return tuple(line.strip() for line in lines if line.strip())
    if cards := sorted(Path("/proc/driver/nvidia/gpus").glob("*/information")):
        return tuple(_gpu_model(card) for card in cards)
    return ("an NVIDIA GPU",) if Path("/dev/nvidia0").exists() else ()


def _gpu_model(card: Path) -> str:
    try:
        lines = card.read_text().splitlines()
    except OSError:
        lines = []
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("Model:")), "an NVIDIA GPU")


def gl_backends() -> dict[str, bool]:
    """Return which of MuJoCo's off-screen rendering backends have their library installed."""
    return {name: any(map(_loads, libraries)) for name, libraries in _GL_LIBRARIES.items()}


def _loads(library: str) -> bool:
    try:
        ctypes.CDLL(library)
    except OSError:
        return False
    return True


def free_device_memory() -> int:
    """Return the free bytes of the default JAX device."""
    import jax

    stats = jax.devices()[0].memory_stats() if jax.default_backend() != "cpu" else None
    if stats and "bytes_limit" in stats:
        return int(stats["bytes_limit"] - stats.get("bytes_in_use", 0))
    return free_host_memory()


def free_host_memory() -> int:
    """Return the bytes of main memory available to this process; ``sys.maxsize`` where the system reports none."""
    _, available = host_memory()
    return sys.maxsize if available is None else available


def host_memory() -> tuple[int | None, int | None]:
    """Return the main memory that this process may use in bytes, (total, available); None if the system reports none.

    It is limited by the machine, by control groups (containers, cluster jobs) and by ``ulimit -v``.
    """
    (total, available), (space, left) = _machine_memory(), _address_space()
    return (
        _smallest(total, memory_limit(), space),
        _smallest(available, free_memory(), left),
    )


def _smallest(*sizes: int | None) -> int | None:
    return min((size for size in sizes if size is not None), default=None)


def _address_space() -> tuple[int | None, int | None]:
    """Return the size of memory that this process may map, and what is left of it; None without a limit."""
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    if limit == resource.RLIM_INFINITY:
        return None, None
    try:
        used = int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        used = 0
    return limit, max(0, limit - used)


def _machine_memory() -> tuple[int | None, int | None]:
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        entries = dict(line.split(":", 1) for line in lines if ":" in line)
        total, available = (int(entries[name].split()[0]) * 1024 for name in ("MemTotal", "MemAvailable"))
    except (OSError, KeyError, ValueError):
        return None, None
    return total, available


def free_disk() -> int:
    """Return the free bytes of the current directory's file system."""
    return shutil.disk_usage(".").free


def versions() -> dict[str, str | None]:
    """Return the versions of Python and of the packages that decide results; None for one that is not installed."""
    found: dict[str, str | None] = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            found[package] = None
    return found


def git_revision() -> str | None:
    """Return the revision of this library's checkout, with "-dirty" after changes; None outside a checkout."""
    folder = Path(__file__).parent
    if not (folder.parents[1] / "pyproject.toml").exists():
        return None  # Installed: a repository around it would be the user's own.
    try:
        command = ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
        answer = run_program(command, folder=folder, seconds=_TOOL_SECONDS)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return answer.output.decode(errors="replace").strip() if answer.exit_code == 0 else None
