"""What holds for every test.

The settings are environment variables, set before anything imports JAX or MuJoCo, so that the processes which tests
start obey them too, and so that tests of the light rooms do not pay for an import of JAX.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

os.environ["JAX_PLATFORMS"] = "cpu"
os.environ["JAX_NUMPY_RANK_PROMOTION"] = "raise"  # [B, 1] against [B] fails loudly
os.environ["MUJOCO_GL"] = "disabled"
# Most of a small training's time is compilation, and most tests compile the same few programs. What comes from this
# cache has the same bits as what was compiled anew.
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(Path(__file__).parents[1] / ".pytest_cache" / "jax"))
os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
os.environ["JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES"] = "-1"

import pytest


@pytest.fixture(scope="module", autouse=True)
def bounded_jax_caches() -> Iterator[None]:
    """Drop the traced and compiled programs of a module after its last test, which keeps a worker under a gigabyte."""
    yield
    if "jax" in sys.modules:
        sys.modules["jax"].clear_caches()


@pytest.fixture(scope="module")
def x64() -> Iterator[None]:
    """Double precision for a whole module: ``pytestmark = pytest.mark.usefixtures("x64")``."""
    import jax

    with jax.enable_x64(True):
        yield
