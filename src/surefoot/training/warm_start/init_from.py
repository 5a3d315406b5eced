"""The networks, and optionally the replay buffer, of another run."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from surefoot.algorithms import Algorithm, Learner, LearnerState, algorithm_from_data
from surefoot.algorithms.optimism import OptimistState
from surefoot.errors import UserError
from surefoot.networks import MLP, TorsoConfig
from surefoot.runs import RunDirectory
from surefoot.training.warm_start.transitions import Experience, newest

_NETWORKS = (".actor.params", ".actor.batch_stats", ".critic.params", ".critic.batch_stats")


@dataclass(frozen=True)
class SourceRun:
    """Another run as its last good checkpoint left it.

    Attributes:
        path: its directory, absolute.
        task: what it was trained on.
        algorithm: what it trained.
        seeds: its training seeds.
        action_repeat: env steps per agent step.
        env_steps: where the checkpoint stands.
        held: transitions that every seed still holds.
        skipped: one line for each newer checkpoint that could not be used.
    """

    path: Path
    task: str
    algorithm: Algorithm
    seeds: tuple[int, ...]
    action_repeat: int
    env_steps: int
    held: int
    skipped: tuple[str, ...]
    _arrays: Mapping[str, np.ndarray]
    _oldest: np.ndarray
    _segments: tuple[Path, ...]

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> SourceRun:
        """Read a run's last good checkpoint.

        Raises:
            UserError: there is no run, or no good checkpoint.
        """
        directory = RunDirectory.open(path)
        loaded = directory.checkpoints.load()
        try:
            identity, counters = loaded.meta["identity"], loaded.arrays["replay_counters"]
            source = cls(
                path=directory.path,
                task=str(identity["task"]),
                algorithm=algorithm_from_data(identity["algorithm"]),
                seeds=tuple(int(seed) for seed in identity["seeds"]),
                action_repeat=int(identity["action_repeat"]),
                env_steps=loaded.env_steps,
                held=int(counters["num_transitions"].min() - counters["oldest"].max()),
                skipped=tuple(loaded.skipped),
                _arrays=loaded.arrays["learner"],
                _oldest=counters["oldest"],
                _segments=loaded.segments,
            )
        except (KeyError, TypeError, ValueError) as error:
            raise UserError(f"the checkpoint of {directory.path} does not fit: {error!r}") from error
        if any(array.shape[:1] != (len(source.seeds),) for array in source._arrays.values()):
            raise UserError(f"the checkpoint of {directory.path} does not hold arrays of {len(source.seeds)} seeds")
        return source

    def check(self, algorithm: Algorithm, num_seeds: int) -> None:
        """Refuse to hand the networks to an algorithm to which they mean something else, or to other seeds.

        Raises:
            UserError: with what differs, or the seed that diverged.
        """
        if len(self.seeds) not in (1, num_seeds):
            raise UserError(
                f"{self.path} has {len(self.seeds)} seeds and this run {num_seeds}: expected num_seeds "
                f"{len(self.seeds)}, or a run of one seed, which all seeds would start from"
            )
        there, here = _meaning(self.algorithm), _meaning(algorithm)
        for name, value in there.items():
            if here[name] != value:
                raise UserError(f"{self.path} was trained with {name} {value}, and this run has {here[name]}")
        for name, array in self._arrays.items():
            finite = np.isfinite(array).reshape(len(self.seeds), -1).all(axis=1)
            if name.startswith(_NETWORKS) and not finite.all():
                raise UserError(
                    f"seed {self.seeds[int(np.argmin(finite))]} of {self.path} diverged: its {_readable(name)} is not "
                    "finite"
                )

    def learner(self, like: Learner, num_seeds: int) -> LearnerState:
        """Return what is taken over, [S, ...] on the device; see ``taken_over``.

        A source without a target critic gives its critic for one, as a fresh learner does.

        Args:
            like: this run's learner.
            num_seeds: S.

        Raises:
            UserError: naming the first array whose size differs.
        """
        self._check_sizes(like)
        wanted = taken_over(jax.eval_shape(like.init, jax.random.key(0)))
        leaves, _ = jax.tree_util.tree_flatten_with_path(wanted)
        names = {jax.tree_util.keystr(path): list(leaf.shape) for path, leaf in leaves}
        stored = {name: array for name, array in self._arrays.items() if name in names or name.startswith(_NETWORKS)}
        for name in (name for name in names if name.startswith(".target_critic")):
            stored.setdefault(name, stored.get(name.replace(".target_critic", ".critic.params"), np.zeros(0)))
        for name in sorted({**names, **stored}, key=_depth):
            there, here = list(stored[name].shape[1:]) if name in stored else "missing", names.get(name, "missing")
            if there != here:
                raise UserError(
                    f"the networks of {self.path} do not fit: {_readable(name)} is {there} there, {here} here"
                )

        def take(path: Any, leaf: jax.ShapeDtypeStruct) -> jax.Array:
            array = stored[jax.tree_util.keystr(path)]
            return jnp.array(np.broadcast_to(array, (num_seeds, *leaf.shape)), leaf.dtype)

        return jax.tree_util.tree_map_with_path(take, wanted)

    def _check_sizes(self, like: Learner) -> None:
        """Refuse an environment of other sizes, in its own terms and not in those of a layer."""
        layers = (
            ("observations", ".actor.params['torso']['dense_0']['kernel']", 1, like.spec.observation_size),
            ("actions", ".actor.params['mean']['kernel']", 2, like.spec.action_size),
        )
        for what, name, axis, here in layers:
            array = self._arrays.get(name)
            if array is not None and array.ndim == 3 and array.shape[axis] != here:
                raise UserError(
                    f"{self.path} was trained on {self.task}, whose {what} have {array.shape[axis]} entries; here they "
                    f"have {here}"
                )

    def experience(self, most: int) -> Experience:
        """Return the newest transitions that every seed still holds, at most ``most``.

        Raises:
            UserError: the replay log is damaged.
        """
        directory = RunDirectory.open(self.path)
        try:
            return newest([directory.checkpoints.read_segment(path) for path in self._segments], self._oldest, most)
        except (KeyError, IndexError, ValueError) as error:
            raise UserError(f"the replay log of {self.path} does not fit: {error!r}") from error


def taken_over(learner: LearnerState) -> LearnerState:
    """Return the part of a learner's state that a warm start takes from another run; the rest is None.

    Taken are the networks with their batch statistics, the target critic, what the networks' inputs and rewards are
    normalised by, and the temperature: the critic's values contain the entropy bonus, so they are right at that
    temperature only. Fresh are the optimisers, whose moments and step counts belong to another run's gradients and
    schedule, and the random key.
    """
    return learner._replace(
        actor=learner.actor._replace(opt_state=None),
        critic=learner.critic._replace(opt_state=None),
        temperature_opt_state=None,
        key=None,  # type: ignore[arg-type]
        optimist=_second(learner.optimist, None, None),
    )


def begin_with(learner: LearnerState, taken: LearnerState) -> LearnerState:
    """Return a fresh learner's state with what ``taken_over`` left of another's."""
    return learner._replace(
        actor=taken.actor._replace(opt_state=learner.actor.opt_state),
        critic=taken.critic._replace(opt_state=learner.critic.opt_state),
        target_critic=taken.target_critic,
        log_alpha=taken.log_alpha,
        optimist=learner.optimist
        and _second(taken.optimist, learner.optimist.opt_state, learner.optimist.weights_opt_state),
        observations=taken.observations,
        returns=taken.returns,
    )


def _second(optimist: OptimistState | None, opt_state: Any, weights_opt_state: Any) -> OptimistState | None:
    """Return a second policy, where there is one, with other optimisers."""
    return optimist and optimist._replace(opt_state=opt_state, weights_opt_state=weights_opt_state)


def _meaning(algorithm: Algorithm) -> dict[str, Any]:
    """Return what decides, beside the sizes of the layers, what a network's parameters compute."""
    return {
        "actor": _shape(algorithm.actor),
        "critic": _shape(algorithm.critic),
        "policy": algorithm.policy,
        "critic_loss": algorithm.critic_loss,
        "observation_norm": algorithm.observation_norm,
        "reward_scaling": algorithm.reward_scaling,
        "optimism": None if algorithm.optimism is None else algorithm.optimism.std_scale,
        "weight_constraint": algorithm.weight_constraint,
    }


def _shape(torso: TorsoConfig) -> Any:
    """Return a torso without its widths, which the arrays tell, and without how it started."""
    if isinstance(torso, MLP):
        return dataclasses.replace(torso, widths=(1,), init="orthogonal")
    return type(torso).__name__


def _depth(name: str) -> tuple[bool, bool, bool, str]:
    """Sort the paths of arrays by what tells most: actor before critics, kernels first, hidden layers before heads."""
    return "critic" in name, "kernel" not in name, "torso" not in name, name


def _readable(name: str) -> str:
    """Return "actor params torso/dense_0/kernel" for a path of JAX's."""
    first, *keys = name.replace("]", "").replace("'", "").split("[")
    return f"{first.strip('.').replace('.', ' ')} {'/'.join(keys)}".strip()
