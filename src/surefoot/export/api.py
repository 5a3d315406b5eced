"""Export of a run's trained policy, checked against the trained actor."""

from __future__ import annotations

import importlib.metadata
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from surefoot.errors import UserError
from surefoot.export import onnx_file
from surefoot.export.folding import folded_layers
from surefoot.export.reference import TOLERANCE, compare, make_reference
from surefoot.output import check_output, write_output
from surefoot.policy import Policy, PolicySpec, load_policy
from surefoot.policy.network import check_arrays
from surefoot.runs import RunDirectory
from surefoot.runs.arrays import read_arrays
from surefoot.runs.atomic import digest_of
from surefoot.runs.untrusted import read_small
from surefoot.spaces import EnvSpaces

METADATA_FORMAT = 1


@dataclass(frozen=True)
class Export:
    """A file written by ``export_policy``.

    Attributes:
        path: The file.
        seed: Training seed of the exported policy.
        max_difference: Largest difference from the trained actor's actions, scaled to [-1, 1].
        observations: Number of stored observations over which that is the largest.
        metadata: The metadata embedded in the file, as JSON values.
    """

    path: Path
    seed: int
    max_difference: float
    observations: int
    metadata: dict[str, Any]


def export_policy(
    path: str | os.PathLike[str], *, seed: int | None = None, out: str | os.PathLike[str] | None = None
) -> Export:
    """Write a run's deterministic policy as one ONNX model, which needs neither this library nor JAX to run.

    The model maps flat observations [B, O] float32 to flat actions [B, A] in the environment's own units and dtype:
    batch normalisation is folded into the dense layers, and tanh and the scaling to the action bounds are included.
    Task, algorithm, bounds, shapes, observation keys and versions are embedded as metadata. Before the file is written,
    the model is run and compared with the trained actor, restored from the run's last good checkpoint, on up to 1,000
    observations of the replay buffer.

    Args:
        path: Run directory.
        seed: Training seed to export; None selects the one with the best score at the last evaluation, as
            ``load_policy`` does.
        out: File to write, named ``*.onnx``; None means the run's name with that suffix, in the current folder. An
            existing file is replaced.

    Raises:
        UserError: There is no run, policy, usable checkpoint or such seed, the seed diverged, the file cannot be
            written there, or its actions differ from the trained actor's by more than 1e-5. Nothing was written.
        MissingDependency: onnx or onnxruntime is not installed.
        RunFailure: The disk is full or broken.
    """
    run = RunDirectory.open(path)
    target = Path(out) if out is not None else Path(f"{run.path.name}.onnx")
    if target.suffix != ".onnx":
        raise UserError(f"an ONNX model must be named *.onnx, got {str(target)!r}")
    check_output(target, run.path)
    onnx_file.require_packages()
    policy = load_policy(run.path, seed)
    spec, arrays = _read(run, policy)
    reference = make_reference(run, spec, spec.seeds.index(policy.seed))
    layers, actions = folded_layers(spec, arrays), spec.spaces.action
    metadata, count = _metadata(run, policy, spec), len(reference.observation)
    action = onnx_file.act(onnx_file.encode(layers, actions, metadata), reference.observation)
    difference, accepted = compare(action, reference, actions)
    if not accepted:
        raise UserError(
            f"the exported policy of seed {policy.seed} differs from the trained actor by {difference:.2g} (on actions "
            f"scaled to [-1, 1], {count:,} stored observations), expected at most {TOLERANCE:.0e}: nothing was written"
        )
    metadata["checked"] = {"observations": count, "max_difference": difference}
    write_output(target, onnx_file.encode(layers, actions, metadata))
    return Export(target, policy.seed, difference, count, metadata)


def _read(run: RunDirectory, policy: Policy) -> tuple[PolicySpec, dict[str, np.ndarray]]:
    """Return the description and the arrays, of its seed only, from which a policy was loaded."""
    try:
        spec, sha256 = PolicySpec.from_json(read_small(run.policy_path / "policy.json"))
        unchanged = digest_of(run.policy_path / "policy.npz").sha256 == sha256 and spec.env_steps == policy.env_steps
        arrays = read_arrays(run.policy_path / "policy.npz") if unchanged else {}
    except OSError:
        unchanged = False
    if not unchanged:
        raise UserError(f"the policy in {run.path} was replaced while it was being read; try again")
    check_arrays(spec, arrays)
    index = spec.seeds.index(policy.seed)
    return spec, {name: array[index] for name, array in arrays.items()}


def _metadata(run: RunDirectory, policy: Policy, spec: PolicySpec) -> dict[str, Any]:
    config = run.config
    # config.json may have been edited by hand.
    machine, resolved = (part if isinstance(part := config.get(name), dict) else {} for name in ("machine", "resolved"))
    return {
        "format": METADATA_FORMAT,
        "task": policy.task,
        "suite": config.get("suite"),
        "algorithm": policy.algorithm,
        "seed": policy.seed,
        "env_steps": policy.env_steps,
        "score": policy.score,
        "scores_of_all_seeds": dict(zip(map(str, spec.seeds), spec.scores, strict=True)),
        "observation": {
            "size": policy.observation_size,
            "dtype": "float32",
            "keys": None if policy.observation_keys is None else list(policy.observation_keys),
            "shape": _observation_shape(spec.spaces),
        },
        "action": {"size": policy.action_size, **spec.spaces.to_data()["action"]},
        "action_repeat": resolved.get("action_repeat"),
        "versions": {"surefoot": importlib.metadata.version("surefoot"), "training": machine.get("versions")},
        "git_revision": machine.get("git_revision"),
    }


def _observation_shape(spaces: EnvSpaces) -> Any:
    """Return the shape of the environment's own observation, by key for a Dict."""
    if spaces.observation_keys is None:
        return list(spaces.observation[0].shape)
    return {part.key: list(part.shape) for part in spaces.observation}
