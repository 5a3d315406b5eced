"""What an exported policy is held against: the trained actor itself, on observations that the run has stored."""

from __future__ import annotations

from dataclasses import dataclass

import jax
import numpy as np

from surefoot.algorithms import Learner, LearnerState, algorithm_from_data
from surefoot.errors import UserError
from surefoot.policy import PolicySpec
from surefoot.runs import Checkpoint, RunDirectory
from surefoot.training.checkpoint import arrays_to_tree
from surefoot.types import EnvSpec

_OBSERVATIONS = 1_000
"""Spread over the newest replay segments: what the policy meets, not what it began with."""

TOLERANCE = 1e-5
"""Largest difference that is accepted, on the action scaled to [-1, 1]."""


@dataclass(frozen=True)
class Reference:
    """What the trained actor does.

    Attributes:
        observation: [N, O] float32.
        action: [N, A] float64 in [-1, 1].
    """

    observation: np.ndarray
    action: np.ndarray


@dataclass(frozen=True)
class Comparison:
    """How far an exported policy is from the trained one.

    Attributes:
        max_difference: over all actions, scaled to [-1, 1].
        accepted: whether every difference is at most TOLERANCE or, where the environment's units are so large that
            float32 cannot resolve that, one float32 step in those units.
    """

    max_difference: float
    accepted: bool


def make_reference(run: RunDirectory, spec: PolicySpec, index: int) -> Reference:
    """Act with the actor of seed number ``index`` from the last good checkpoint, in float64.

    Raises:
        UserError: there is no good checkpoint, or it is not that of the policy.
    """
    checkpoint = run.load_checkpoint()
    if checkpoint.env_steps != spec.env_steps:
        raise UserError(
            f"the policy in {run.path} is of env step {spec.env_steps:,}, but its last good checkpoint of "
            f"{checkpoint.env_steps:,}, so it cannot be checked: `surefoot resume {run.path}` makes both anew "
            "(or try again, where it still trains)"
        )
    try:
        learner, state = _restore_policy(run, checkpoint, spec)
        observation = _stored_observations(run, checkpoint, index)
    except (KeyError, IndexError, TypeError, ValueError) as error:
        where = f"the checkpoint at env step {checkpoint.env_steps:,} in {run.path}"
        raise UserError(f"{where} does not fit the policy: {error}") from error
    # In float64, so that what is measured is the file's own rounding; the actor's in float32 is as large, and on a GPU
    # that rounds the factors of a product much larger.
    with jax.enable_x64(True):
        own = jax.tree.map(lambda leaf: leaf[index].astype(np.float64), state)
        action = np.asarray(jax.jit(learner.act_deterministic)(own, observation.astype(np.float64)))
    return Reference(observation, action)


def compare(action: np.ndarray, reference: Reference, low: np.ndarray, high: np.ndarray) -> Comparison:
    """Compare actions [N, A] in the environment's units, whose bounds are [A], with the reference's."""
    lower, upper = low.astype(np.float64), high.astype(np.float64)
    half_span = 0.5 * (upper - lower)
    difference = np.abs(action - (lower + half_span * (reference.action + 1.0)))
    step = np.spacing(np.maximum(np.abs(low), np.abs(high)))
    # What is not a number compares as false, and is thereby refused.
    accepted = bool(np.all(difference <= np.maximum(TOLERANCE * half_span, step)))
    return Comparison(float(np.max(difference / half_span)), accepted)


def _restore_policy(run: RunDirectory, checkpoint: Checkpoint, spec: PolicySpec) -> tuple[Learner, LearnerState]:
    """Return the learner, and of the learners' states [S] what decides the policy's action."""
    algorithm = algorithm_from_data(run.config["algorithm"])
    learner = Learner(algorithm, EnvSpec(spec.observation_size, spec.action_size), discount=0.0)  # acting needs none
    keys = jax.random.split(jax.random.key(0), len(spec.seeds))
    like: LearnerState = jax.eval_shape(jax.vmap(learner.init), keys)
    # Nothing matters any more but the actor and what its input is normalised by.
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
    """Return at most _OBSERVATIONS [N, O] of one seed; the one to act on next is always there."""
    found, count = [checkpoint.arrays["loop"]["observation"][index][None]], 1
    for path in reversed(checkpoint.segments):
        if count >= _OBSERVATIONS:
            break
        segment = run.read_segment(path)
        begin = int(segment["frame_count"][:index].sum())
        found.append(segment["frames"][begin : begin + int(segment["frame_count"][index])])
        count += len(found[-1])
    everything = np.concatenate(found)
    return everything[np.linspace(0, len(everything) - 1, min(len(everything), _OBSERVATIONS)).astype(int)]
