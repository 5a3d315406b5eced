"""Memory of the replay buffers, estimated before they are allocated."""

from __future__ import annotations

from surefoot import replay
from surefoot.errors import UserError
from surefoot.machine import device_name, free_device_memory
from surefoot.tasks import Task
from surefoot.training.plan import Plan
from surefoot.types import EnvSpec


def check_memory(plan: Plan, task: Task, spec: EnvSpec) -> None:
    """Validate that the replay buffers fit into the device's free memory.

    Raises:
        UserError: They do not.
    """
    needed, free = replay_bytes(plan, task, spec), free_device_memory()
    if needed > free:
        raise UserError(
            f"the replay buffers need {needed / 1e9:.1f} GB ({_count(plan)} x {plan.ring_capacity:,} transitions), but "
            f"{free / 1e9:.1f} GB are free on {device_name()}: lower --replay-capacity"
            f"{' or --num-seeds' if len(plan.seeds) > 1 else ''}"
        )


def _count(plan: Plan) -> str:
    seeds = f"{len(plan.seeds)} seeds"
    return seeds if plan.num_envs == 1 else f"{seeds} x {plan.num_envs:,} environments"


def replay_bytes(plan: Plan, task: Task, spec: EnvSpec) -> int:
    """Return the bytes that the replay buffers of all seeds occupy."""
    buffers = len(plan.seeds) * plan.num_envs
    return buffers * replay.nbytes(spec, plan.ring_capacity, replay_frames(plan, task))


def replay_frames(plan: Plan, task: Task) -> int:
    """Return the number of observations that each replay buffer stores."""
    # On DM Control only the time limit ends an episode, so the number of episodes is known.
    never_terminates = task.suite == "dmc" and task.horizon is not None
    shortest = task.horizon // plan.action_repeat if never_terminates and task.horizon else None
    return replay.frame_capacity(plan.ring_capacity, shortest) + plan.warm_start.sequences
