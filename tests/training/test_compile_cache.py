"""Compiled programs are kept between runs, and change nothing."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

from surefoot.training.runtime.compile_cache import use_compile_cache

_TRAIN = """
import sys, jax, surefoot
from tests.training.small import small
jax.jit(lambda x: x + 1)(1.0)  # something compiled before must not keep the cache from being used
surefoot.train("probe-action", algorithm=small(surefoot.crossq_wn(utd=2)), env_steps=120, evaluation_episodes=1,
               replay_capacity=300, out=sys.argv[1], overwrite=True)
"""


def run(out: Path, cache: str) -> np.ndarray:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("JAX_COMP", "JAX_PERSIST"))}
    subprocess.run(
        [sys.executable, "-c", _TRAIN, out],
        env={**kept, "SUREFOOT_COMPILE_CACHE": cache},
        cwd=Path(__file__).parents[2],
        check=True,
        capture_output=True,
    )
    with np.load(out / "policy" / "policy.npz") as arrays:
        return np.concatenate([arrays[name].ravel() for name in sorted(arrays.files) if arrays[name].dtype.kind == "f"])


def programs(folder: Path) -> set[str]:
    found = {str(path.relative_to(folder)) for path in folder.rglob("*-cache")}
    assert any("train_all" in name for name in found)
    return found


def test_a_second_run_compiles_nothing_and_has_the_same_bits(tmp_path: Path) -> None:
    weights = run(tmp_path / "run", "off")
    cache = tmp_path / "cache"
    first = run(tmp_path / "run", str(cache))
    kept = programs(cache)
    # One folder for this kind of machine.
    assert len({Path(name).parts[:2] for name in kept}) == 1
    second = run(tmp_path / "run", str(cache))
    # A program at the limit of what is kept may be kept now.
    assert {name for name in programs(cache) if "train_all" in name} == {name for name in kept if "train_all" in name}
    np.testing.assert_array_equal(first, weights)
    np.testing.assert_array_equal(second, weights)


def test_a_cache_that_the_user_set_up_stays_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    theirs = jax.config.jax_compilation_cache_dir
    assert theirs is not None  # These tests' own.
    monkeypatch.setenv("SUREFOOT_COMPILE_CACHE", str(tmp_path / "ours"))
    use_compile_cache()
    assert jax.config.jax_compilation_cache_dir == theirs
    assert not (tmp_path / "ours").exists()


@pytest.mark.parametrize("no", ["folder", "home"])
def test_a_folder_that_cannot_be_made_is_done_without(no: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("SUREFOOT_COMPILE_CACHE", str(tmp_path / "file") if no == "folder" else "")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)

    def homeless() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", homeless)
    theirs = jax.config.jax_compilation_cache_dir
    try:
        jax.config.update("jax_compilation_cache_dir", None)
        use_compile_cache()
        assert jax.config.jax_compilation_cache_dir is None
    finally:
        jax.config.update("jax_compilation_cache_dir", theirs)
