"""Untrusted datasets of `--prefill`: sizes are validated, also in compressed files."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from surefoot.training.warm_start.dataset_files import read_dataset
from tests.fuzzing.malformed import MALFORMED_NPZ, damaged, irregular_files, is_rejected, npy

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
    """Return a file of transitions with these bytes as the array of observations."""
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, array in TRANSITIONS.items():
            plain = io.BytesIO()
            np.lib.format.write_array(plain, array)
            archive.writestr(f"{name}.npy", observations if name == "observations" else plain.getvalue())
    return target.getvalue()


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_damaged_files_load_or_are_rejected(tmp_path: Path, save: Callable[..., None]) -> None:
    file = tmp_path / "data.npz"
    save(file, **TRANSITIONS)
    assert not is_rejected(lambda: read_dataset(file), tmp_path)
    rejected = 0
    for content in damaged(file.read_bytes(), seed=3, cases=40):
        file.write_bytes(content)
        rejected += is_rejected(lambda: read_dataset(file), tmp_path)
    assert rejected > 20


@pytest.mark.parametrize("name", MALFORMED_NPZ)
def test_malformed_files_are_rejected(tmp_path: Path, name: str) -> None:
    (tmp_path / "data.npz").write_bytes(MALFORMED_NPZ[name])
    assert is_rejected(lambda: read_dataset(tmp_path / "data.npz"), tmp_path)


@pytest.mark.parametrize(
    "array",
    [
        npy(shape="(1000000000000, 3)"),
        npy(shape="(1000000000, 5)"),
        npy("'|O'", "(20, 3)"),
        npy(data=b"\x00" * 10**7),
    ],
    ids=["10 TB", "20 GB", "objects", "10 MB after the array"],
)
def test_false_array_sizes_are_rejected(tmp_path: Path, array: bytes) -> None:
    (tmp_path / "data.npz").write_bytes(compressed(array))
    assert is_rejected(lambda: read_dataset(tmp_path / "data.npz"), tmp_path)


def test_irregular_files_are_rejected(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("something\n")
    for what in irregular_files(tmp_path / "data.npz", tmp_path / "text"):
        assert is_rejected(lambda: read_dataset(tmp_path / "data.npz"), tmp_path), what
