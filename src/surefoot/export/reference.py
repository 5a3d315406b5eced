"""The trained actor's actions on stored observations, for comparison with an exported policy."""

from __future__ import annotations

from dataclasses import dataclass

import jax
import numpy as np

from surefoot.algorithms import Learner, LearnerState, algorithm_from_data
from surefoot.errors import UserError
from surefoot.policy import PolicySpec
from surefoot.runs import Checkpoint, RunDirectory
from surefoot.spaces import ActionSpec, EnvSpaces
from surefoot.text import shell_path
from surefoot.training.checkpointing.arrays import arrays_to_tree
from surefoot.types import EnvSpec

# Taken from the newest replay segments: the observations of the trained policy rather than of the initial one.
_OBSERVATIONS = 1_000

TOLERANCE = 1e-5
"""Largest accepted difference, on actions scaled to [-1, 1]."""


@dataclass(frozen=True)
class Reference:
    """Actions of the trained actor.

    Attributes:
        observation: [N, O] float32.
        action: [N, A] float64 in [-1, 1].
    """

    observation: np.ndarray
    action: np.ndarray


def make_reference(run: RunDirectory, spec: PolicySpec, index: int) -> Reference:
    """Return the float64 actions of the actor at ``index`` on the seed axis, from the last good checkpoint.

    Raises:
        UserError: There is no good checkpoint, or it is of another env step than the policy.
    """
    checkpoint = run.checkpoints.load()
    if checkpoint.env_steps != spec.env_steps:
        raise UserError(
            f"the policy in {run.path} is of env step {spec.env_steps:,}, but its last good checkpoint of "
            f"{checkpoint.env_steps:,}, so it cannot be checked: `surefoot resume {shell_path(run.path)}` "
            "writes both again (if the run is still training, try again)"
        )
    try:
        learner, state = _restore_policy(run, checkpoint, spec)
        observation = _stored_observations(run, checkpoint, index)
    except (KeyError, IndexError, TypeError, ValueError) as error:
        where = f"the checkpoint at env step {checkpoint.env_steps:,} in {run.path}"
        raise UserError(f"{where} does not fit the policy: {error}") from error
    # In float64, so that only the exported model's rounding is measured; that of the actor in float32 is as large, and
    # much larger on a GPU that multiplies in TF32.
    with jax.enable_x64(True):
        own = jax.tree.map(lambda leaf: leaf[index].astype(np.float64), state)
        action = np.asarray(jax.jit(learner.act_deterministic)(own, observation.astype(np.float64)))
    return Reference(np.asarray(learner.actor.view(observation)[0]), action)


def compare(action: np.ndarray, reference: Reference, spec: ActionSpec) -> tuple[float, bool]:
    """Compare actions [N, A] in the environment's units and dtype with the reference.

    Returns:
        The largest difference on actions scaled to [-1, 1], and whether every difference is at most TOLERANCE or,
        where the environment's units are so large that their dtype cannot resolve that, one step of the dtype.
    """
    lower, upper = np.array(spec.low), np.array(spec.high)
    half_span = 0.5 * (upper - lower)
    difference = np.abs(action - (lower + half_span * (reference.action + 1.0)))
    step = np.spacing(np.maximum(np.abs(lower), np.abs(upper)).astype(spec.dtype))
    accepted = bool(np.all(difference <= np.maximum(TOLERANCE * half_span, step)))  # False for NaN
    return float(np.max(difference / half_span)), accepted


def _restore_policy(run: RunDirectory, checkpoint: Checkpoint, spec: PolicySpec) -> tuple[Learner, LearnerState]:
    """Return the learner and the part of the learners' states [S] on which the action depends."""
    algorithm = algorithm_from_data(run.config["algorithm"])
    spaces = EnvSpaces.from_data(checkpoint.meta.get("spaces"))
    sizes = EnvSpec(spaces.observation_size, spaces.action.size, actor_columns=spaces.columns(spec.spaces))
    learner = Learner(algorithm, sizes, discount=0.0)  # acting needs no discount
    keys = jax.random.split(jax.random.key(0), len(spec.seeds))
    like: LearnerState = jax.eval_shape(jax.vmap(learner.init), keys)
    like = LearnerState(
        actor=like.actor._replace(opt_state=()),
        critic=None,  # type: ignore[arg-type]
        target_critic=None,
        log_alpha=None,
        temperature_opt_state=None,
        key=None,  # type: ignore[arg-type]
        observations=like.observations,
    )
    arrays = checkpoint.arrays["learner"]
    wanted = {jax.tree_util.keystr(path) for path, _ in jax.tree_util.tree_leaves_with_path(like)}
    return learner, arrays_to_tree(like, {name: array for name, array in arrays.items() if name in wanted})


def _stored_observations(run: RunDirectory, checkpoint: Checkpoint, index: int) -> np.ndarray:
    """Return at most _OBSERVATIONS [N, O] of one seed, the current one included."""
    current = checkpoint.arrays["loop"]["observation"]
    index *= len(current) // len(checkpoint.arrays["loop"]["diverged"])  # the first environment of the seed
    found, count = [current[index][None]], 1
    for path in reversed(checkpoint.segments):
        if count >= _OBSERVATIONS:
            break
        segment = run.checkpoints.read_segment(path)
        start = int(segment["frame_count"][:index].sum())
        found.append(segment["frames"][start : start + int(segment["frame_count"][index])])
        count += len(found[-1])
    stored = np.concatenate(found)
    return stored[np.linspace(0, len(stored) - 1, min(len(stored), _OBSERVATIONS)).astype(int)]
