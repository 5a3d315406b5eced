"""What docs/deploy.md says holds for every algorithm: its NumPy lines and its table of ONNX operators."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from surefoot.algorithms.presets import list_presets
from surefoot.export import onnx_file
from surefoot.export.folding import folded_layers
from surefoot.policy import load_policy, save_policy
from tests.policy.preset_policies import OBSERVATION, preset_policy

onnx = pytest.importorskip("onnx")

PAGE = (Path(__file__).parents[2] / "docs" / "deploy.md").read_text(encoding="utf-8")
PRESETS = [preset.name for preset in list_presets()]


@pytest.mark.parametrize("preset", PRESETS)
def test_numpy_lines_equal_the_loaded_policy(preset: str, tmp_path: Path) -> None:
    folder = tmp_path / "policy"
    save_policy(folder, *preset_policy(preset, "float64" if preset == "sac" else "float32"))
    (lines,) = re.findall(r"```python\n(import json\n.*?)```", PAGE, re.DOTALL)
    assert 'Path("runs/dog/policy"), 0' in lines
    names: dict[str, Any] = {}
    exec(lines.replace('Path("runs/dog/policy"), 0', f"Path({str(folder)!r}), 1"), names)
    policy = load_policy(folder, seed=2)
    actions = []
    for observation in np.random.default_rng(0).normal(size=(20, OBSERVATION)):
        action, expected = names["act"](observation), policy(observation)
        assert (action.shape, action.dtype) == (expected.shape, expected.dtype)
        np.testing.assert_allclose(action, expected, atol=1e-5)
        actions.append(expected)
    assert np.std(actions) > 0.01


def operators(preset: str, dtype: str) -> set[str]:
    spec, arrays = preset_policy(preset, dtype)
    own = {name: array[0] for name, array in arrays.items()}
    metadata = {
        "observation": {"size": OBSERVATION},
        "action": {"size": 2},
        "versions": {"surefoot": "0"},
        "task": "t",
        "algorithm": preset,
    }
    content = onnx_file.encode(folded_layers(spec, own), spec.spaces.action, metadata)
    return {node.op_type for node in onnx.load_from_string(content).graph.node}


def test_table_of_operators_is_complete() -> None:
    (table,) = re.findall(r"\| operators \|.*?\n\n", PAGE, re.DOTALL)
    found = {preset: operators(preset, "float32") for preset in PRESETS}
    used = {name: [preset for preset in PRESETS if name in found[preset]] for name in set().union(*found.values())}
    used["Cast"] = ["of other dtypes"]
    assert operators("sac", "float64") - operators("sac", "float32") == {"Cast"}
    documented = {}
    for row in table.strip().splitlines()[2:]:
        _, names, where, _ = row.split("|")
        presets = re.findall(r"`(.+?)`", where) or (PRESETS if "every" in where else ["of other dtypes"])
        documented.update(dict.fromkeys(re.findall(r"`(.+?)`", names), presets))
    assert documented == used
