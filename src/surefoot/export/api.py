"""``export_policy``: a run's trained policy as one file that runs without this library."""

from __future__ import annotations

import importlib.metadata
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from surefoot.errors import UserError, suggest
from surefoot.export.program import make_program
from surefoot.export.reference import TOLERANCE, Comparison, Reference, compare, make_reference
from surefoot.output import check_output, write_output
from surefoot.policy import Policy, PolicySpec, load_policy
from surefoot.policy.network import check_arrays
from surefoot.runs import RunDirectory
from surefoot.runs.arrays import read_arrays
from surefoot.runs.atomic import digest_of

FORMATS = {"onnx": ".onnx", "numpy": ".npz", "stablehlo": ".zip"}
"""Each format and how its files' names end."""

METADATA_FORMAT = 1


@dataclass(frozen=True)
class Export:
    """A file that ``export_policy`` wrote.

    Attributes:
        path: where it is.
        format: "onnx", "numpy" or "stablehlo".
        seed: the training seed whose policy it holds.
        max_difference: largest difference from the trained actor, on actions scaled to [-1, 1].
        observations: stored observations on which that was measured.
        metadata: what is embedded in the file, as JSON values.
    """

    path: Path
    format: str
    seed: int
    max_difference: float
    observations: int
    metadata: dict[str, Any]


def export_policy(
    path: str | os.PathLike[str],
    format: str = "onnx",  # noqa: A002, the word that everybody looks for
    *,
    seed: int | None = None,
    out: str | os.PathLike[str] | None = None,
) -> Export:
    """Write a run's deterministic policy as one file that needs neither this library nor JAX to run (but see below).

    The file maps flat observations [B, O] float32 to actions [B, A] float32 in the environment's own units: batch
    normalisation is folded into the dense layers, tanh and the scaling to the action bounds are inside. What it must
    know of the run is embedded as metadata. Before it is written, its content is run and compared with the trained
    actor, restored from the run's last good checkpoint, on up to 1,000 observations from the replay buffer.

    Args:
        path: the run directory.
        format: "onnx" (needs the extra ``export``), "numpy", or "stablehlo" (for JAX and compilers of StableHLO).
        seed: which training seed; None takes the one with the best score at the last evaluation, as ``load_policy``.
        out: the file to write; None means the run's name with the format's ending, in the current folder. A file that
            is there is replaced.

    Raises:
        UserError: there is no run, policy, usable checkpoint or such seed, the seed diverged, the file cannot be
            written there, or its actions differ from the trained actor's by more than 1e-5. Nothing was written.
        MissingDependency: the format needs a package that is not installed.
        RunFailure: the disk is full or broken.
    """
    if format not in FORMATS:
        raise UserError(
            f"unknown export format {format!r}: expected one of {', '.join(FORMATS)}{suggest(format, FORMATS)}"
        )
    run = RunDirectory.open(path)
    target = Path(out) if out is not None else Path(f"{run.path.name}{FORMATS[format]}")
    if target.suffix != FORMATS[format]:
        raise UserError(f"a file of format {format!r} must be named *{FORMATS[format]}, got {str(target)!r}")
    check_output(target, run.path)
    writer: Any = importlib.import_module(f"surefoot.export.{format}_file")
    if format == "onnx":
        writer.require_packages()
    policy = load_policy(run.path, seed)
    spec, arrays = _read(run, policy)
    reference = make_reference(run, spec, spec.seeds.index(policy.seed))
    content, metadata, result = _encode(writer, spec, arrays, reference, _describe(run, policy, spec))
    write_output(target, content)
    return Export(target, format, policy.seed, result.max_difference, len(reference.observation), metadata)


def _read(run: RunDirectory, policy: Policy) -> tuple[PolicySpec, dict[str, np.ndarray]]:
    """Return what the run's policy files say of a policy that was loaded from them: the arrays of its seed alone."""
    try:
        spec, sha256 = PolicySpec.from_json((run.policy_path / "policy.json").read_bytes())
        unchanged = digest_of(run.policy_path / "policy.npz").sha256 == sha256 and spec.env_steps == policy.env_steps
        arrays = read_arrays(run.policy_path / "policy.npz") if unchanged else {}
    except OSError:
        unchanged = False
    if not unchanged:
        raise UserError(f"the policy in {run.path} was replaced while it was being read; try again")
    check_arrays(spec, arrays)
    index = spec.seeds.index(policy.seed)
    return spec, {name: array[index] for name, array in arrays.items()}


def _encode(
    writer: Any, spec: PolicySpec, arrays: dict[str, np.ndarray], reference: Reference, metadata: dict[str, Any]
) -> tuple[bytes, dict[str, Any], Comparison]:
    """Return a file's content that acts as the reference does, what is embedded in it, and how close it comes."""
    closest = np.inf
    for keep_input_mean in (False, True):
        program = make_program(spec, arrays, keep_input_mean=keep_input_mean)
        action = writer.act(writer.encode(program, metadata), reference.observation)
        result = compare(action, reference, program.low, program.high)
        if result.accepted:
            checked = {"observations": len(reference.observation), "max_difference": result.max_difference}
            metadata = {**metadata, "checked": checked}
            return writer.encode(program, metadata), metadata, result
        closest = np.fmin(closest, result.max_difference)
    raise UserError(
        f"the exported policy of seed {metadata['seed']} differs from the trained actor by {closest:.2g} (on actions "
        f"scaled to [-1, 1], {len(reference.observation):,} stored observations), expected at most {TOLERANCE:.0e}: "
        "nothing was written"
    )


def _describe(run: RunDirectory, policy: Policy, spec: PolicySpec) -> dict[str, Any]:
    """Return what a reader of the file needs to know, as JSON values."""
    config = run.config
    # Somebody may have edited it.
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
        },
        "action": {
            "size": policy.action_size,
            "dtype": "float32",
            "low": policy.action_low.tolist(),
            "high": policy.action_high.tolist(),
        },
        "action_repeat": resolved.get("action_repeat"),
        "versions": {"surefoot": importlib.metadata.version("surefoot"), "training": machine.get("versions")},
        "git_revision": machine.get("git_revision"),
    }
