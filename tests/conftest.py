"""What holds for every test.

The settings are environment variables, set before anything imports JAX or MuJoCo, so that the processes which tests
start obey them too, and so that tests of the light rooms do not pay for an import of JAX.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

os.environ["JAX_PLATFORMS"] = "cpu"
os.environ["JAX_NUMPY_RANK_PROMOTION"] = "raise"  # [B, 1] against [B] fails loudly
os.environ["MUJOCO_GL"] = "disabled"

import pytest


@pytest.fixture(scope="module")
def x64() -> Iterator[None]:
    """Double precision for a whole module: ``pytestmark = pytest.mark.usefixtures("x64")``."""
    import jax

    with jax.enable_x64(True):
        yield
