"""Compilation cache between processes."""

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
from surefoot.training.runtime import compile_cache
from tests.training.small import small
compile_cache._MIN_COMPILE_SECONDS = 0.0  # otherwise the time decides about some
jax.jit(lambda x: x + 1)(1.0)  # compiled before the cache is set up
surefoot.train("probe-action", algorithm=small(surefoot.sac()), env_steps=120, precision="float32",
               evaluation_episodes=1, replay_capacity=300, out=sys.argv[1], overwrite=True)
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
    assert any("store_update_act" in name for name in found)
    return found


@pytest.mark.slow
def test_second_process_reuses_programs_with_identical_results(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    first = run(tmp_path / "run", str(cache))
    kept = programs(cache)
    # One folder per kind of machine.
    assert len({Path(name).parts[:2] for name in kept}) == 1
    second = run(tmp_path / "run", str(cache))
    assert programs(cache) == kept
    np.testing.assert_array_equal(second, first)


def test_existing_cache_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = jax.config.jax_compilation_cache_dir
    assert before is not None  # The cache of the tests.
    monkeypatch.setenv("SUREFOOT_COMPILE_CACHE", str(tmp_path / "other"))
    use_compile_cache()
    assert jax.config.jax_compilation_cache_dir == before
    assert not (tmp_path / "other").exists()


@pytest.mark.parametrize("no", ["folder", "home", "cache"])
def test_cache_is_off_without_a_writable_folder_or_where_it_is_chosen(
    no: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("SUREFOOT_COMPILE_CACHE", {"folder": str(tmp_path / "file"), "home": "", "cache": "off"}[no])
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)

    def homeless() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", homeless)
    before = jax.config.jax_compilation_cache_dir
    try:
        jax.config.update("jax_compilation_cache_dir", None)
        use_compile_cache()
        assert jax.config.jax_compilation_cache_dir is None
    finally:
        jax.config.update("jax_compilation_cache_dir", before)
