"""Settings of all tests.

They are environment variables, set before JAX or MuJoCo is imported: subprocesses inherit them, and tests that do not
need JAX do not import it.
"""

from __future__ import annotations

import gc
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

os.environ["JAX_PLATFORMS"] = "cpu"
os.environ["JAX_NUMPY_RANK_PROMOTION"] = "raise"  # [B, 1] against [B] fails loudly
os.environ["MUJOCO_GL"] = "disabled"
# Compilation dominates small runs, and most tests compile the same few programs. A cached program is bit-identical.
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(Path(__file__).parents[1] / ".pytest_cache" / "jax"))
os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
os.environ["JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES"] = "-1"
# Small programs that run a few times: optimising them takes longer than running them as they are.
os.environ["XLA_FLAGS"] = (
    f"{os.environ.get('XLA_FLAGS', '')} --xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true"
)
os.environ["JAX_TRACEBACK_IN_LOCATIONS_LIMIT"] = "0"
# Set in many containers: every process that a test starts would compile its modules anew.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

import pytest

# A job in the background of a shell script starts with SIGINT ignored, which every program that a test starts inherits.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Tracing makes many short-lived objects, and the collector's default thresholds take a fifth of its time.
gc.set_threshold(100_000, 50, 100)


LONG_FILES = (
    "third_party/test_envpool.py",
    "training/test_learns.py",
    "training/test_compile_cache.py",
    "benchmark/test_evidence_gpu.py",
    "benchmark/test_gpu.py",
    "benchmark/test_many_envs.py",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Move long files with few tests to the front.

    pytest-xdist distributes files by their number of tests, and in this order where it is equal: at the end, a long one
    would leave the other workers without work.
    """
    here = Path(__file__).parent
    items.sort(
        key=lambda item: not item.path.is_relative_to(here) or item.path.relative_to(here).as_posix() not in LONG_FILES
    )


def pytest_collection_finish() -> None:
    """Exclude modules and test items from collections: they stay, and `check-env` collects twice for each task."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="module", autouse=True)
def bounded_jax_caches() -> Iterator[None]:
    """Clear JAX's caches after every module, which keeps a worker's memory bounded."""
    yield
    if "jax" in sys.modules:
        sys.modules["jax"].clear_caches()


@pytest.fixture(autouse=True)
def no_check_at_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out the check before training, whose process takes longer than most small runs.

    A module that defines a fixture of this name keeps the check.
    """
    if (api := sys.modules.get("surefoot.training.api")) is not None:
        monkeypatch.setattr(api, "check_at_start", lambda *_, **__: [])


@pytest.fixture(scope="module")
def x64() -> Iterator[None]:
    """Double precision for a module: ``pytestmark = pytest.mark.usefixtures("x64")``."""
    import jax

    with jax.enable_x64(True):
        yield
