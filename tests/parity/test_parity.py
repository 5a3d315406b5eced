"""Every update of the authors' released code, compared with the presets array by array."""

from __future__ import annotations

import numpy as np
import pytest

from tests.parity.cases import CASES, Case, algorithm_of, fast_schedules, read
from tests.parity.replay import replay

pytestmark = pytest.mark.usefixtures("x64")

INPUTS = (
    *("data/", "noise/", "init/", "start/", "masks/", "subset", "settings", "discount", "update_policy", "seen"),
    *("act/observation", "act/noise", "explore/noise"),
)


def differences(reference: dict[str, np.ndarray], found: dict[str, np.ndarray]) -> dict[str, float]:
    """Return the largest difference of each array, relative to its largest entry at that update."""
    result = {}
    for name, expected in reference.items():
        if name.startswith(INPUTS) and not name.startswith("init/observations"):
            continue
        own = np.asarray(found[name], float)
        if name in ("after/actor_loss", "after/entropy"):  # only where the policy moves
            moves = ~np.isnan(own)
            own, expected = own[moves], expected[moves] if len(expected) == len(moves) else expected
        assert own.shape == expected.shape, name
        rows = expected.reshape(len(expected), -1) if expected.ndim and name != "init" else expected.reshape(1, -1)
        scale = np.maximum(np.abs(rows).max(axis=1), 1e-300)
        result[name] = float((np.abs(own.reshape(rows.shape) - rows).max(axis=1) / scale).max())
    return result


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.file)
def test_every_array_of_every_update_agrees(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    algorithm = fast_schedules(case, algorithm_of(case))
    found = differences(read(case.file), replay(read(case.file), algorithm, case.peculiarities, monkeypatch))
    assert {name: value for name, value in found.items() if not value < case.tolerance} == {}
