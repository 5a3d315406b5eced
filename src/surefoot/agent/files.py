"""Saved agents: a checkpoint, its replay segment and the policy, in the formats of a run directory."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from surefoot.agent.setting import AgentProgress, AgentSetting, make_setting
from surefoot.agent.spaces import Spaces
from surefoot.algorithms import algorithm_from_data, to_data
from surefoot.errors import UserError
from surefoot.networks.validation import one_line
from surefoot.policy import save_policy
from surefoot.policy.spec import PolicySpec
from surefoot.replay import ReplayState
from surefoot.runs.atomic import (
    check_length,
    current_folder,
    disk_errors,
    replaceable_folder,
    replacing_folder,
)
from surefoot.runs.checkpoints import MANIFEST, CheckpointStore
from surefoot.runs.layout import LONGEST, absolute
from surefoot.runs.untrusted import why_missing
from surefoot.training.checkpointing.arrays import arrays_to_tree, tree_to_arrays
from surefoot.training.checkpointing.replay_log import NOTHING, ReplayRings, replay_since
from surefoot.training.policy_arrays import policy_arrays
from surefoot.training.population import PopulationState
from surefoot.whole_numbers import whole_number

_FOLDERS = {"checkpoints", "replay", "policy"}
_COUNTERS = ("num_frames", "num_transitions", "oldest")


class SavedAgent:
    """A verified folder of an agent. Made by ``load_agent``."""

    def __init__(self, where: Path, store: CheckpointStore) -> None:
        self._where, self._store = where, store
        self._loaded = store.load()
        with self._invalid_content():
            meta, arrays = self._loaded.meta, self._loaded.arrays
            self.setting = make_setting(
                Spaces.from_arrays(arrays["spaces"], meta["observation_keys"], meta["task"]),
                algorithm_from_data(meta["algorithm"]),
                meta["seed"],
                meta["replay_capacity"],
                meta["discount"],
                meta["task"],
                meta.get("precision", "float32"),  # not in files of earlier revisions
            )
            grad_steps = whole_number("grad_steps", meta["grad_steps"], 0, 2**31 - 1)
            self.progress = AgentProgress(self._loaded.env_steps, grad_steps, continues=bool(meta["continues"]))
            self.newest_observation: np.ndarray = arrays["loop"]["observation"][0]

    def restore(self, shapes: PopulationState) -> PopulationState:
        """Return the state on the device, given its shapes.

        Raises:
            UserError: The arrays have other shapes.
        """
        with self._invalid_content():
            arrays = self._loaded.arrays
            rings = ReplayRings(shapes.replay)
            for segment in self._loaded.segments:
                rings.write(self._store.read_segment(segment))
            stored = rings.finish(arrays["replay_counters"], arrays["loop"]["observation"])
            for name, expected, found in zip(stored._fields, shapes.replay, stored, strict=True):
                if (found.shape, found.dtype) != (expected.shape, expected.dtype):
                    raise ValueError(f"{name} is {found.dtype}{list(found.shape)}")
            _check_replay(stored, self.progress.agent_steps)
            learner = arrays_to_tree(shapes.learner, arrays["learner"])
            return PopulationState(learner, stored, jax.tree.map(jnp.zeros_like, shapes.metrics))

    @contextlib.contextmanager
    def _invalid_content(self) -> Iterator[None]:
        """Report invalid content under valid checksums in one line."""
        try:
            yield
        except UserError as error:
            raise UserError(f"the agent in {self._where} cannot be used: {error}") from error
        except (KeyError, ValueError, TypeError, IndexError, OverflowError) as error:
            raise UserError(f"the agent in {self._where} has inconsistent files: {one_line(error)}") from error


def save_agent(
    path: str | os.PathLike[str],
    setting: AgentSetting,
    progress: AgentProgress,
    state: PopulationState,
    spec: PolicySpec,
) -> None:
    """Write an agent atomically, replacing an existing one.

    Raises:
        UserError: The path is a file or a folder with other content.
        RunFailure: The policy is not finite, or cannot be written.
    """
    where = absolute(path)
    with disk_errors("write", where):
        where = replaceable_folder(where)
        check_length(where, LONGEST)
        _check_replaceable(where)
        where.parent.mkdir(parents=True, exist_ok=True)
        with replacing_folder(where) as folder:
            # First, because it rejects a policy that is not finite.
            save_policy(folder / "policy", spec, policy_arrays(state.learner.actor, state.learner.observations))
            store = CheckpointStore(folder / "checkpoints", folder / "replay")
            segments = [store.write_segment(*_segment(state))] if progress.agent_steps else []
            store.save(progress.agent_steps, _arrays(setting, state), _meta(setting, progress), segments)


def load_agent(path: str | os.PathLike[str]) -> SavedAgent:
    """Open and verify an agent written by ``save_agent``.

    Raises:
        UserError: There is none, or it is damaged.
    """
    where = current_folder(absolute(path))
    if not os.path.isdir(where / "checkpoints"):
        found = why_missing(where)
        raise UserError(
            f"{where} {'holds no agent' if found == 'is a folder' else found}; expected a folder written by Agent.save"
        )
    return SavedAgent(where, CheckpointStore(where / "checkpoints", where / "replay"))


def _arrays(setting: AgentSetting, state: PopulationState) -> dict[str, dict[str, np.ndarray]]:
    counters = {name: np.array(getattr(state.replay, name)) for name in _COUNTERS}
    newest = (int(counters["num_frames"][0]) - 1) % state.replay.frames.shape[1]
    return {
        "learner": tree_to_arrays(state.learner),
        "replay_counters": counters,
        "loop": {"observation": np.array(state.replay.frames[:, newest], np.float32)},
        "spaces": setting.spaces.to_arrays(),
    }


def _meta(setting: AgentSetting, progress: AgentProgress) -> dict[str, Any]:
    keys = setting.spaces.described.observation_keys
    return {
        "algorithm": to_data(setting.algorithm),
        "observation_keys": None if keys is None else list(keys),
        "seed": setting.seed,
        "replay_capacity": setting.replay_capacity,
        "discount": setting.discount,
        "task": setting.task,
        "precision": setting.precision,
        "grad_steps": progress.grad_steps,
        "continues": progress.continues,
    }


def _check_replay(stored: ReplayState, agent_steps: int) -> None:
    """Validate that every transition that can be sampled is in the buffer."""
    frames, oldest, transitions = (
        int(count[0]) for count in (stored.num_frames, stored.oldest, stored.num_transitions)
    )
    capacity, ring = stored.rewards.shape[1], stored.frames.shape[1]
    if transitions != agent_steps or not 0 <= transitions - oldest <= capacity or oldest < 0:
        raise ValueError(
            f"transitions {oldest} to {transitions} after {agent_steps} agent steps with a capacity of {capacity}"
        )
    pointers = np.asarray(stored.frame_of)[0, np.arange(oldest, transitions) % capacity]
    if not ((pointers >= max(0, frames - ring)) & (pointers < frames - 1)).all():
        raise ValueError(f"a transition refers to observations outside the last {ring} of {frames}")


def _segment(state: PopulationState) -> tuple[int, int, dict[str, np.ndarray]]:
    arrays = replay_since(state.replay, NOTHING)
    return int(arrays["start"]), int(arrays["stop"]), arrays


def _check_replaceable(path: Path) -> None:
    if not os.path.lexists(path):
        return
    expected = "expected a new or empty folder, or one written by Agent.save"
    if not os.path.isdir(path):
        raise UserError(f"{path} is a file; {expected}")
    names = {entry.name for entry in path.iterdir()}
    if other := sorted(names - _FOLDERS):
        raise UserError(f"{path} holds other files ({other[0]}); {expected}")
    if names and not any(path.glob(f"checkpoints/*/{MANIFEST}")):
        raise UserError(f"{path} is not a saved agent; {expected}")
