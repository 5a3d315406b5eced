"""``surefoot doctor``: description and problems of this machine."""

from __future__ import annotations

import sys
from dataclasses import asdict, dataclass

from surefoot import machine
from surefoot.control_groups import cpu_quota, memory_limit
from surefoot.streams import emit, emit_json, show


@dataclass(frozen=True)
class Report:
    """Description and problems of this machine.

    Attributes:
        versions: Version of each package, None where it is not installed.
        jax_backend: JAX's default platform ("cpu", "gpu"), or None when JAX did not start.
        jax_devices: Names of JAX's devices.
        jax_error: Why JAX did not start, in one line; None when it did.
        gpus: Models of the NVIDIA GPUs, whether JAX uses them or not.
        gl: Whether the library of each rendering backend loads.
        cores: Processor cores this process may use.
        cpu_quota: Cores whose time its control groups may use, such as 1.5; None without a limit.
        memory_total, memory_free: Bytes of main memory it may use; None where the system does not report it.
        memory_limit: Limit of its control groups in bytes; None without one.
        disk_free: Free bytes in the current directory's file system.
        problems: One line each, with the command that fixes it.
    """

    versions: dict[str, str | None]
    jax_backend: str | None
    jax_devices: tuple[str, ...]
    jax_error: str | None
    gpus: tuple[str, ...]
    gl: dict[str, bool]
    cores: int
    cpu_quota: float | None
    memory_total: int | None
    memory_free: int | None
    memory_limit: int | None
    disk_free: int
    problems: tuple[str, ...]


@dataclass(frozen=True)
class Doctor:
    """Show versions, devices, rendering, cores, memory and disk; exit code 1 when there is a problem."""

    json: bool = False
    """Print one JSON object instead of a table."""

    imports = ("jax",)

    def run(self) -> int:
        """Print the report; return the exit code."""
        report = examine()
        if self.json:
            emit_json(asdict(report))
        else:
            _print(report)
        for problem in report.problems:
            show(f"surefoot: problem: {problem}", sys.stderr)
        return 1 if report.problems else 0


def examine() -> Report:
    """Return the report. Starts JAX's backend, which on a GPU takes some of its memory until the process ends."""
    backend, devices, error = machine.jax_devices()
    gpus = machine.nvidia_gpus()
    total, free = machine.host_memory()
    return Report(
        versions=machine.versions(),
        jax_backend=backend,
        jax_devices=devices,
        jax_error=error,
        gpus=gpus,
        gl=machine.gl_backends(),
        cores=machine.usable_cores(),
        cpu_quota=cpu_quota(),
        memory_total=total,
        memory_free=free,
        memory_limit=memory_limit(),
        disk_free=machine.free_disk(),
        problems=problems(backend, error, gpus),
    )


def problems(backend: str | None, error: str | None, gpus: tuple[str, ...]) -> tuple[str, ...]:
    """Return the problems, one line each, given the outcome of starting JAX and the GPUs present."""
    if gpus and backend != "gpu":
        why = f"JAX did not start ({error})" if error else f"JAX computes on the {backend}"
        return (
            f"{gpus[0]} is present and unused: {why}. Install JAX's GPU build: make setup EXTRA=cuda "
            "(from a checkout) or pip install 'surefoot[cuda]'; if it is installed, check JAX_PLATFORMS, "
            "CUDA_VISIBLE_DEVICES and the driver (nvidia-smi)",
        )
    return (f"JAX did not start: {error}",) if error else ()


def _print(report: Report) -> None:
    """Print one aligned line per fact."""
    from surefoot.cli.display import bytes_text

    def size(count: int | None) -> str:
        return "unknown" if count is None else bytes_text(count)

    rows = [(name, version or "not installed") for name, version in report.versions.items()]
    rows += [
        ("JAX device", ", ".join(report.jax_devices) or f"none: {report.jax_error}"),
        ("NVIDIA GPU", ", ".join(report.gpus) or "none"),
        ("rendering", ", ".join(f"{name} {'loads' if ok else 'missing'}" for name, ok in report.gl.items())),
        ("cores", f"{report.cores}{'' if report.cpu_quota is None else f', CPU quota {report.cpu_quota:.3g}'}"),
        (
            "memory",
            f"{size(report.memory_free)} free of {size(report.memory_total)}"
            + ("" if report.memory_limit is None else ", limited by a control group (container or job)"),
        ),
        ("disk", f"{size(report.disk_free)} free here"),
    ]
    for name, value in rows:
        emit(f"{name:<12}  {value}")
    if not report.problems:
        emit("no problems found")
