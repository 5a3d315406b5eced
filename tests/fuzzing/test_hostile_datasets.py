"""Untrusted datasets of `--prefill`: sizes are validated, also in compressed files."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from surefoot.training.warm_start.dataset_files import read_recorded
from tests.fuzzing.hostile import HOSTILE_NPZ, damaged, hostile_entries, npy, survives

STEPS = 20
TRANSITIONS = {
    "observations": np.zeros((STEPS, 3), np.float32),
    "actions": np.zeros((STEPS, 1), np.float32),
    "rewards": np.zeros(STEPS),
    "next_observations": np.zeros((STEPS, 3), np.float32),
    "terminated": np.zeros(STEPS, bool),
    "truncated": np.arange(STEPS) % 5 == 4,
}


def compressed(observations: bytes) -> bytes:
    """Return a file of transitions, with these bytes in the place of the observations' array."""
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, array in TRANSITIONS.items():
            plain = io.BytesIO()
            np.lib.format.write_array(plain, array)
            archive.writestr(f"{name}.npy", observations if name == "observations" else plain.getvalue())
    return target.getvalue()


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_damaged_files(tmp_path: Path, save: Callable[..., None]) -> None:
    file = tmp_path / "data.npz"
    save(file, **TRANSITIONS)
    assert not survives(lambda: read_recorded(file), tmp_path)
    refused = 0
    for content in damaged(file.read_bytes(), seed=3, cases=40):
        file.write_bytes(content)
        refused += survives(lambda: read_recorded(file), tmp_path)
    assert refused > 20


@pytest.mark.parametrize("name", HOSTILE_NPZ)
def test_hostile_files(tmp_path: Path, name: str) -> None:
    (tmp_path / "data.npz").write_bytes(HOSTILE_NPZ[name])
    assert survives(lambda: read_recorded(tmp_path / "data.npz"), tmp_path)


@pytest.mark.parametrize(
    "claim",
    [
        npy(shape="(1000000000000, 3)"),
        npy(shape="(1000000000, 5)"),
        npy("'|O'", "(20, 3)"),
        npy(data=b"\x00" * 10**7),
    ],
    ids=["10 TB", "20 GB", "objects", "10 MB beside the array"],
)
def test_false_array_sizes(tmp_path: Path, claim: bytes) -> None:
    (tmp_path / "data.npz").write_bytes(compressed(claim))
    assert survives(lambda: read_recorded(tmp_path / "data.npz"), tmp_path)


def test_irregular_files(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("something\n")
    for what in hostile_entries(tmp_path / "data.npz", tmp_path / "text"):
        assert survives(lambda: read_recorded(tmp_path / "data.npz"), tmp_path), what
