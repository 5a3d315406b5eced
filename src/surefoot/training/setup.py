"""From a ``TrainConfig`` to the things a run is made of, and the checks that come before anything is built."""

from __future__ import annotations

import datetime
import importlib.metadata
import platform
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax

from surefoot import replay
from surefoot.algorithms import Algorithm, Learner, ResetAt, ResetEvery, next_reset, to_data
from surefoot.errors import UserError
from surefoot.networks.matmul import PRECISIONS, Precision
from surefoot.tasks import Task, VectorEnv, usable_cores
from surefoot.training.config import CADENCES, MOST_TRANSITIONS, TrainConfig
from surefoot.training.population import Population
from surefoot.training.warm_start import COLD_START, WarmStart
from surefoot.types import EnvSpec

_PACKAGES = ("surefoot", "jax", "jaxlib", "flax", "optax", "numpy", "gymnasium", "mujoco", "dm-control", "myosuite")


@dataclass(frozen=True)
class Plan:
    """A run's resolved numbers, before any environment or array exists.

    Attributes:
        action_repeat: environment steps per agent step.
        discount: per agent step.
        agent_steps: decisions per seed in the whole run.
        capacity: replay transitions per seed.
        seeds: the training seeds.
        warmup_steps: agent steps before the first update: what the transitions that the run begins with leave of the
            algorithm's warm-up.
        random_steps: agent steps with uniform random actions: the warm-up, unless a trained policy can act in it.
        warm_start: what the run begins with.
    """

    action_repeat: int
    discount: float
    agent_steps: int
    capacity: int
    seeds: tuple[int, ...]
    warmup_steps: int
    random_steps: int
    warm_start: WarmStart

    def next_reset(self, algorithm: Algorithm, after: int) -> int | None:
        """Return the first agent step after ``after`` whose updates come right after a reset, None if there is none."""
        return next_reset(
            algorithm.resets,
            after,
            utd=algorithm.utd,
            warmup=self.warmup_steps,
            action_repeat=self.action_repeat,
        )


def unreached_resets(algorithm: Algorithm, plan: Plan) -> str | None:
    """Return one line about the resets that lie beyond the run, or before its first update; None where none do."""
    match algorithm.resets:
        case ResetAt(agent_steps=steps):
            beyond = [step for step in steps if step > plan.agent_steps]
            early = [step for step in steps if step <= plan.warmup_steps + 1]
            lines = []
            if beyond:
                listed = ", ".join(f"{step:,}" for step in beyond)
                lines.append(f"resets not reached: at agent step {listed}, of {plan.agent_steps:,} in this run")
            if early:
                listed = ", ".join(f"{step:,}" for step in early)
                first_update = f"the first is at {plan.warmup_steps + 1:,}"
                lines.append(f"resets not made: at agent step {listed}, before any update: {first_update}")
            return "; ".join(lines) or None
        case ResetEvery() as resets:
            first = plan.next_reset(algorithm, 0)
            if first is None or first <= plan.agent_steps:
                return None
            unit, interval = ("env", resets.env_steps) if resets.env_steps else ("grad", resets.grad_steps)
            return (
                f"resets not reached: the first, after {interval:,} {unit} steps, comes at agent step {first:,}, of "
                f"{plan.agent_steps:,} in this run"
            )
    return None


def make_plan(config: TrainConfig, task: Task, warm_start: WarmStart = COLD_START) -> Plan:
    """Resolve what the configuration leaves to the task.

    Args:
        config: what was asked for.
        task: what to learn.
        warm_start: what the run begins with.

    Raises:
        UserError: the run would end before its warm-up does.
    """
    algorithm = config.algorithm
    repeat = task.action_repeat if algorithm.action_repeat is None else algorithm.action_repeat
    agent_steps = config.env_steps // repeat
    warmup = max(0, algorithm.warmup_transitions - warm_start.transitions)
    if agent_steps <= warmup:
        raise UserError(
            f"env_steps must be more than the warm-up of {warmup:,} transitions, which takes {warmup * repeat:,} env "
            f"steps at action repeat {repeat}; got {config.env_steps:,}"
        )
    return Plan(
        action_repeat=repeat,
        discount=task.discount if algorithm.discount is None else algorithm.discount,
        agent_steps=agent_steps,
        capacity=config.replay_capacity or min(agent_steps + warm_start.transitions, MOST_TRANSITIONS),
        seeds=tuple(range(config.seed, config.seed + config.num_seeds)),
        warmup_steps=warmup,
        # Where networks are taken over, uniform actions would throw away what they know of getting anywhere: the
        # policy itself collects what the first updates need (arXiv 2412.07762, "warm-up").
        random_steps=0 if warm_start.init_from else warmup,
        warm_start=warm_start,
    )


def make_population(config: TrainConfig, plan: Plan, task: Task, vector: VectorEnv) -> Population:
    """Return the learners of all seeds, having checked that their replay buffers fit.

    Raises:
        UserError: they do not fit into the device's free memory, or the device cannot multiply as asked.
    """
    check_precision(config.precision)
    spec = EnvSpec(vector.observation_size, vector.action_size)
    check_memory(plan, task, spec)
    return Population(
        Learner(config.algorithm, spec, plan.discount, config.precision), plan.seeds, plan.capacity, _frames(plan, task)
    )


def check_precision(precision: Precision) -> None:
    """Refuse a precision that the default device does not have.

    Raises:
        UserError: it does not.
    """
    if precision not in PRECISIONS:
        raise UserError(f"precision must be one of {', '.join(PRECISIONS)}, got {precision!r}")
    if precision == "tf32" and jax.default_backend() != "gpu":
        raise UserError(f"precision tf32 is of NVIDIA GPUs, and this is {device_name()}: choose float32 or bf16")


def replay_bytes(plan: Plan, task: Task, spec: EnvSpec) -> int:
    """Return the bytes that the replay buffers of all seeds occupy."""
    return len(plan.seeds) * replay.nbytes(spec, plan.capacity, _frames(plan, task))


def _frames(plan: Plan, task: Task) -> int:
    # On DM Control only the time limit ends an episode, so the number of episodes is known.
    never_terminates = task.suite == "dmc" and task.horizon is not None
    shortest = task.horizon // plan.action_repeat if never_terminates and task.horizon else None
    return replay.frame_capacity(plan.capacity, shortest) + plan.warm_start.stretches


def check_memory(plan: Plan, task: Task, spec: EnvSpec) -> None:
    """Refuse replay buffers that do not fit.

    Raises:
        UserError: with the estimate and what to change.
    """
    needed, free = replay_bytes(plan, task, spec), free_memory()
    if needed > free:
        raise UserError(
            f"the replay buffers need {needed / 1e9:.1f} GB ({len(plan.seeds)} seeds x {plan.capacity:,} transitions), "
            f"but {free / 1e9:.1f} GB are free on {device_name()}: lower --replay-capacity"
            f"{' or --num-seeds' if len(plan.seeds) > 1 else ''}"
        )


def free_memory() -> int:
    """Return the bytes that are free on the default device."""
    stats = jax.devices()[0].memory_stats() if jax.default_backend() != "cpu" else None
    if stats and "bytes_limit" in stats:
        return int(stats["bytes_limit"] - stats.get("bytes_in_use", 0))
    return free_host_memory()


def free_host_memory() -> int:
    """Return the bytes that are free in the machine's own memory, or in this container's share of it."""
    return min(_free_on_machine(), _free_in_container())


def _free_on_machine() -> int:
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable"))
    except (OSError, StopIteration, ValueError):
        return sys.maxsize  # Not Linux: nothing to compare with, and the allocation itself will tell.


def _free_in_container() -> int:
    """Return what the control group (of a container or a cluster's job) leaves."""
    group = Path("/sys/fs/cgroup")
    try:
        limit, taken = (int((group / f"memory.{name}").read_text()) for name in ("max", "current"))
        statistics = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
        # Files that were read lately count as taken, and are given up as soon as memory is short.
        return limit - taken + int(statistics.get("inactive_file", 0))
    except (OSError, ValueError):
        return sys.maxsize  # No group, or one without a limit ("max").


def device_name() -> str:
    """Name the default device for a person."""
    device = jax.devices()[0]
    if device.platform == "cpu":
        return f"CPU, {usable_cores()} core{'s' if usable_cores() > 1 else ''}"
    return f"{device.device_kind} ({device.platform}:{device.id})"


def describe(config: TrainConfig, plan: Plan, task: Task) -> dict[str, Any]:
    """Return the fully resolved configuration for config.json."""
    names = ("num_seeds", "seed", "env_steps", *CADENCES, "precision", "overlap", "curvature")
    return {
        "task": task.name,
        "suite": task.suite,
        "algorithm": to_data(config.algorithm),
        **{name: getattr(config, name) for name in names},
        "seeds": list(plan.seeds),
        "replay_capacity": config.replay_capacity,
        "env_workers": config.env_workers,
        "warm_start": plan.warm_start.to_data(),
        "resolved": {
            "action_repeat": plan.action_repeat,
            "discount": plan.discount,
            "agent_steps": plan.agent_steps,
            "replay_capacity": plan.capacity,
        },
        "machine": describe_machine(),
        "started": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "command": [_program(sys.argv[0]), *sys.argv[1:]],
    }


def _program(path: str) -> str:
    """Name what was run: "surefoot", however its command line was started, or a user's own script."""
    name = Path(path).name
    return "surefoot" if name == "__main__.py" else name


def describe_machine() -> dict[str, Any]:
    """Return where and with what a run is made."""
    return {
        "versions": {"python": platform.python_version(), **_versions()},
        "git_revision": _git_revision(),
        "device": device_name(),
        "cores": usable_cores(),
        "platform": platform.platform(),
    }


def _versions() -> dict[str, str]:
    found = {}
    for package in _PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def _git_revision() -> str | None:
    """Return the revision of this library's checkout, with "-dirty" where it was changed; None outside of one."""
    folder = Path(__file__).parent
    if not (folder.parents[2] / "pyproject.toml").exists():
        return None  # Installed: a repository around it would be the user's own.
    try:
        command = ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
        return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None
