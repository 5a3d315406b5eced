"""Networks and replay buffer of another run."""

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
from surefoot.spaces import EnvSpaces, require_same
from surefoot.training.warm_start.transitions import Experience, newest

_KEYS = ("actor_keys", "critic_keys")
_NETWORKS = (".actor.params", ".actor.batch_stats", ".critic.params", ".critic.batch_stats")


@dataclass(frozen=True)
class SourceRun:
    """Last good checkpoint of another run.

    Attributes:
        path: Run directory, absolute.
        task: Name of its task.
        algorithm: Algorithm it trained.
        seeds: Training seeds.
        action_repeat: Env steps per agent step.
        spaces: Observations and actions of its environment.
        env_steps: Env steps of the checkpoint.
        keys: Keys of the observation that actor and critics receive; None for all.
        held: Number of transitions that every environment's replay buffer still holds.
        skipped: One line for each newer checkpoint that could not be used.
    """

    path: Path
    task: str
    algorithm: Algorithm
    seeds: tuple[int, ...]
    action_repeat: int
    spaces: EnvSpaces
    env_steps: int
    keys: tuple[Any, Any]
    held: int
    skipped: tuple[str, ...]
    _arrays: Mapping[str, np.ndarray]
    _oldest: np.ndarray
    _segments: tuple[Path, ...]

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> SourceRun:
        """Read a run's last good checkpoint.

        Raises:
            UserError: There is no run, or no good checkpoint.
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
                spaces=EnvSpaces.from_data(loaded.meta.get("spaces")),
                env_steps=loaded.env_steps,
                keys=(identity.get(_KEYS[0]), identity.get(_KEYS[1])),
                held=int(counters["num_transitions"].min() - counters["oldest"].max()),
                skipped=tuple(loaded.skipped),
                _arrays=loaded.arrays["learner"],
                _oldest=counters["oldest"],
                _segments=loaded.segments,
            )
        except UserError as error:
            raise UserError(f"the checkpoint of {directory.path}: {error}") from error
        except (KeyError, TypeError, ValueError) as error:
            raise UserError(f"the checkpoint of {directory.path} does not fit: {error!r}") from error
        if any(array.shape[:1] != (len(source.seeds),) for array in source._arrays.values()):
            raise UserError(f"the checkpoint of {directory.path} does not hold arrays of {len(source.seeds)} seeds")
        return source

    def check(self, algorithm: Algorithm, num_seeds: int, keys: tuple[Any, Any] = (None, None)) -> None:
        """Validate that the networks compute the same functions under an algorithm, and that they are finite.

        Args:
            algorithm: Algorithm of this run.
            num_seeds: Its number of seeds.
            keys: Keys of the observation that its actor and critics receive; None for all.

        Raises:
            UserError: The number of seeds, a part of the algorithm or the keys differ, or a seed diverged.
        """
        if len(self.seeds) not in (1, num_seeds):
            raise UserError(
                f"{self.path} has {len(self.seeds)} seeds and this run {num_seeds}: expected num_seeds "
                f"{len(self.seeds)}, or a run of one seed, which all seeds would start from"
            )
        there, here = _semantics(self.algorithm, self.keys), _semantics(algorithm, keys)
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
        """Return the transferred state [S, ...] on the device; see ``transferred``.

        A target critic that the source lacks is its critic, as in a fresh learner.

        Args:
            like: Learner of this run.
            num_seeds: S.

        Raises:
            UserError: An array is missing or has another size.
        """
        wanted = transferred(jax.eval_shape(like.init, jax.random.key(0)))
        leaves, _ = jax.tree_util.tree_flatten_with_path(wanted)
        names = {jax.tree_util.keystr(path): list(leaf.shape) for path, leaf in leaves}
        stored = {name: array for name, array in self._arrays.items() if name in names or name.startswith(_NETWORKS)}
        for name in (name for name in names if name.startswith(".target_critic")):
            stored.setdefault(name, stored.get(name.replace(".target_critic", ".critic.params"), np.zeros(0)))
        for name in sorted({**names, **stored}, key=_error_order):
            there, here = list(stored[name].shape[1:]) if name in stored else "missing", names.get(name, "missing")
            if there != here:
                raise UserError(
                    f"the networks of {self.path} do not fit: {_readable(name)} is {there} there, {here} here"
                )

        def take(path: Any, leaf: jax.ShapeDtypeStruct) -> jax.Array:
            array = stored[jax.tree_util.keystr(path)]
            return jnp.array(np.broadcast_to(array, (num_seeds, *leaf.shape)), leaf.dtype)

        return jax.tree_util.tree_map_with_path(take, wanted)

    def check_spaces(self, here: EnvSpaces, task: str) -> str | None:
        """Validate an environment against the one that the networks were trained in.

        Another task may differ in shapes, keys and bounds: a policy acts in [-1, 1].

        Args:
            here: Spaces of the environment of this run.
            task: Name of its task.

        Returns:
            One line with the first difference from the environment of another task; None if there is none.

        Raises:
            UserError: Sizes differ, or anything else on the same task.
        """
        if self.task == task:
            require_same(self.spaces, here, str(self.path), task)
        for what, mine, theirs in (
            ("observations", self.spaces.observation_size, here.observation_size),
            ("actions", self.spaces.action.size, here.action.size),
        ):
            if mine != theirs:
                raise UserError(
                    f"{self.path} was trained on {self.task}, whose {what} have {mine} entries; here they have {theirs}"
                )
        if (different := self.spaces.difference(here)) is None:
            return None
        what, mine_text, theirs_text = different
        return f"{self.path} was trained on {self.task} with {what} {mine_text}; {task} has {theirs_text}"

    def experience(self, most: int) -> Experience:
        """Return the newest transitions that every environment's replay buffer still holds, at most ``most`` per seed.

        Raises:
            UserError: The replay log is damaged.
        """
        directory = RunDirectory.open(self.path)
        most = max(1, most * len(self.seeds) // max(1, len(self._oldest)))
        try:
            return newest([directory.checkpoints.read_segment(path) for path in self._segments], self._oldest, most)
        except (KeyError, IndexError, ValueError) as error:
            raise UserError(f"the replay log of {self.path} does not fit: {error!r}") from error


def transferred(learner: LearnerState) -> LearnerState:
    """Return the part of a learner's state that a warm start transfers; the rest is None.

    Transferred are the networks with their batch statistics, the target critic, the running statistics of observations
    and rewards, and the temperature, since the critic's values contain the entropy bonus at that temperature. The
    optimisers, whose moments and step counts belong to another run's gradients and schedule, the random key, the held
    exploration noise and the returns of unfinished episodes are fresh.
    """
    return learner._replace(
        actor=learner.actor._replace(opt_state=None),
        critic=learner.critic._replace(opt_state=None),
        temperature_opt_state=None,
        key=None,  # type: ignore[arg-type]
        optimist=_with_optimizers(learner.optimist, None, None),
        held_noise=None,
        returns=learner.returns and learner.returns._replace(running_return=None),  # type: ignore[arg-type]
    )


def with_transferred(learner: LearnerState, source: LearnerState) -> LearnerState:
    """Return a fresh learner's state with the part that ``transferred`` returned of another."""
    return learner._replace(
        actor=source.actor._replace(opt_state=learner.actor.opt_state),
        critic=source.critic._replace(opt_state=learner.critic.opt_state),
        target_critic=source.target_critic,
        log_alpha=source.log_alpha,
        optimist=learner.optimist
        and _with_optimizers(source.optimist, learner.optimist.opt_state, learner.optimist.weights_opt_state),
        observations=source.observations,
        returns=source.returns
        and learner.returns
        and source.returns._replace(running_return=learner.returns.running_return),
    )


def _with_optimizers(optimist: OptimistState | None, opt_state: Any, weights_opt_state: Any) -> OptimistState | None:
    """Return the state of the exploration policy, where there is one, with other optimizers."""
    return optimist and optimist._replace(opt_state=opt_state, weights_opt_state=weights_opt_state)


def _semantics(algorithm: Algorithm, keys: tuple[Any, Any]) -> dict[str, Any]:
    """Return the parts that determine, together with the layer sizes, what a network computes."""
    return {
        "actor": _shape(algorithm.actor),
        "critic": _shape(algorithm.critic),
        "policy": algorithm.policy,
        "critic_loss": algorithm.critic_loss,
        "observation_norm": algorithm.observation_norm,
        "reward_scaling": algorithm.reward_scaling,
        "optimism": None if algorithm.optimism is None else algorithm.optimism.std_scale,
        "weight_constraint": algorithm.weight_constraint,
        **{name: "all" if own is None else ", ".join(sorted(own)) for name, own in zip(_KEYS, keys, strict=True)},
    }


def _shape(torso: TorsoConfig) -> Any:
    """Return a torso without its sizes, which are checked by array, and without its initialisation."""
    if isinstance(torso, MLP):
        return dataclasses.replace(torso, widths=(1,), init="orthogonal")
    norm = getattr(torso, "norm", None)
    return type(torso).__name__ if norm is None else f"{type(torso).__name__} with {norm}"


def _error_order(name: str) -> tuple[bool, bool, bool, str]:
    """Sort key of array paths, most informative first: actor, kernels, hidden layers."""
    return "critic" in name, "kernel" not in name, "torso" not in name, name


def _readable(name: str) -> str:
    """Return a JAX path in the form "actor params torso/dense_0/kernel"."""
    first, *keys = name.replace("]", "").replace("'", "").split("[")
    return f"{first.strip('.').replace('.', ' ')} {'/'.join(keys)}".strip()
