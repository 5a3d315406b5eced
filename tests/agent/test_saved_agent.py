"""Saved agents: exact continuation, atomic writes, and validation."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import gymnasium
import numpy as np
import pytest

import surefoot
from surefoot.agent import files
from surefoot.runs import checkpoints
from surefoot.training.checkpointing.arrays import tree_to_arrays
from tests.agent.support import DICT, NESTED, Robot, agent


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("agent") / "arm"
    made = agent()
    Robot().drive(made, 26)
    made.save(path)
    return path


@pytest.mark.parametrize("steps", [0, 10, 26, 100])
def test_loaded_agent_continues_bit_for_bit(steps: int, tmp_path: Path) -> None:
    """At the start, in the warm-up, within an episode, and after the ring of 64 has wrapped."""
    made = agent()
    robots = [Robot(seed=9), Robot(seed=9)]
    robots[0].drive(made, steps)
    made.save(tmp_path / "arm")
    loaded = surefoot.Agent.load(tmp_path / "arm")
    robots[1].drive(agent(), steps, update=False)  # advances the second robot to the same state
    assert (loaded.agent_steps, loaded.grad_steps) == (made.agent_steps, made.grad_steps)
    assert (loaded.observation_space, loaded.action_space) == (made.observation_space, made.action_space)
    assert loaded.algorithm == made.algorithm
    robots[1].obs = robots[0].obs
    for robot, one in zip(robots, (made, loaded), strict=True):
        robot.drive(one, 24)
    first, second = (tree_to_arrays(one._core._state) for one in (made, loaded))
    for name, array in first.items():
        np.testing.assert_array_equal(array, second[name], err_msg=name)


def test_dict_spaces_are_restored(tmp_path: Path) -> None:
    made = agent(observation_space=DICT, task="my-arm", discount=0.5, precision="bf16")
    made.save(tmp_path / "arm")
    loaded = surefoot.Agent.load(tmp_path / "arm")
    assert loaded.observation_space == DICT
    assert list(loaded.observation_space.spaces) == ["pose", "arm"]  # type: ignore[attr-defined]
    assert (loaded._core.setting.discount, loaded.policy().task) == (0.5, "my-arm")
    assert loaded._core.setting.precision == "bf16"


def test_nested_spaces_are_restored(tmp_path: Path) -> None:
    made = agent(observation_space=NESTED)
    made.save(tmp_path / "arm")
    loaded = surefoot.Agent.load(tmp_path / "arm", NESTED)
    assert loaded.observation_space == NESTED
    obs = NESTED.sample()
    np.testing.assert_allclose(loaded.act(obs, True), surefoot.load_policy(tmp_path / "arm")(obs), atol=1e-5)


def test_load_policy_reads_a_saved_agent(saved: Path) -> None:
    loaded = surefoot.Agent.load(saved)
    np.testing.assert_array_equal(surefoot.load_policy(saved)(np.ones(3)), loaded.policy()(np.ones(3)))


def test_saving_again_replaces_all_files(saved: Path, tmp_path: Path) -> None:
    path = tmp_path / "arm"
    shutil.copytree(saved, path)
    made = surefoot.Agent.load(path)
    made.update(2)
    made.save(path)
    assert surefoot.Agent.load(path).grad_steps == made.grad_steps
    assert [entry.name for entry in tmp_path.iterdir()] == ["arm"]
    assert len(list(path.rglob("segment_*"))) == 1


def test_saving_to_a_link_writes_its_target(saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = surefoot.Agent.load(saved)
    (tmp_path / "disk").mkdir()
    (tmp_path / "arm").symlink_to(tmp_path / "disk" / "arm")
    for _ in range(2):
        made.save(tmp_path / "arm")
        made.save_policy(tmp_path / "arm" / "policy")
    assert surefoot.Agent.load(tmp_path / "arm").agent_steps == made.agent_steps
    assert sorted(entry.name for entry in tmp_path.rglob("*arm*")) == ["arm", "arm"]
    assert (tmp_path / "arm").is_symlink()
    (tmp_path / "disk" / "arm").rename(tmp_path / "disk" / ".old-arm")  # as after a kill
    assert surefoot.Agent.load(tmp_path / "arm").agent_steps == made.agent_steps
    for name in ("null\0byte", "\ud800"):
        with pytest.raises(surefoot.RunFailure, match="cannot write"):
            made.save(tmp_path / name)
        with pytest.raises(surefoot.RunFailure, match="cannot write"):
            made.save_policy(tmp_path / name)
    monkeypatch.setattr("os.path.ismount", lambda _: True)
    with pytest.raises(surefoot.RunFailure, match="mount point; expected a folder inside it"):
        made.save(tmp_path / "arm")


def test_policy_is_found_while_its_agent_is_replaced(saved: Path, tmp_path: Path) -> None:
    shutil.copytree(saved, tmp_path / ".old-arm")
    assert surefoot.load_policy(tmp_path / "arm").seed == surefoot.load_policy(saved).seed


def test_failed_save_keeps_the_previous_agent(saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "arm"
    shutil.copytree(saved, path)
    made = surefoot.Agent.load(path)
    made.update(2)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoints, "write_file", full)
    with pytest.raises(surefoot.RunFailure, match=r"cannot write .*No space left on device") as failure:
        made.save(path)
    assert "\n" not in str(failure.value)
    assert surefoot.Agent.load(path).grad_steps == made.grad_steps - 2
    assert [entry.name for entry in tmp_path.iterdir()] == ["arm"]


def test_folders_with_other_content_are_not_overwritten(saved: Path, tmp_path: Path) -> None:
    made = surefoot.Agent.load(saved)
    (tmp_path / "file").write_text("mine")
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "notes.txt").write_text("mine")
    (tmp_path / "alike" / "policy").mkdir(parents=True)
    for name, message in (
        ("file", "is a file"),
        ("notes", r"holds other files \(notes.txt\)"),
        ("alike", "not a saved agent"),
    ):
        with pytest.raises(surefoot.UserError, match=message):
            made.save(tmp_path / name)
    assert (tmp_path / "notes" / "notes.txt").read_text() == "mine"


@pytest.mark.parametrize("name", ["learner.npz", "replay_counters.npz", "loop.npz", "spaces.npz", "manifest.json"])
def test_flipped_bit_is_detected(name: str, saved: Path, tmp_path: Path) -> None:
    path = tmp_path / "arm"
    shutil.copytree(saved, path)
    (file,) = path.rglob(name)
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 4
    file.write_bytes(content)
    with pytest.raises(surefoot.UserError, match="no usable checkpoint") as failure:
        surefoot.Agent.load(path)
    assert "\n" not in str(failure.value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"seed": "0"}, "seed must be a whole number, got '0'"),
        ({"algorithm": {"part": "Unknown"}}, "unknown part 'Unknown'"),
        ({"replay_capacity": 2**40}, "replay_capacity must be between 1 and"),
        ({"replay_capacity": 22}, "has inconsistent files: ValueError.*with a capacity of 22"),
        ({"replay_capacity": 8}, "replay_capacity must be more than the warm-up"),
        ({"observation_keys": ["a", "b", "c"]}, "invalid spaces in the saved agent"),
        ({"observation_keys": ["a", "a.b"]}, "invalid spaces in the saved agent"),
        ({"discount": "high"}, "discount must be a number"),
    ],
)
def test_invalid_content_under_valid_checksums_is_reported(
    changes: dict, message: str, saved: Path, tmp_path: Path
) -> None:
    path = tmp_path / "arm"
    shutil.copytree(saved, path)
    (manifest,) = path.rglob("manifest.json")
    content = json.loads(manifest.read_text())
    content["meta"] |= changes
    del content["sha256"]
    manifest.write_text(json.dumps({**content, "sha256": checkpoints._checksum(content)}))
    with pytest.raises(surefoot.UserError, match=message) as failure:
        surefoot.Agent.load(path)
    assert "\n" not in str(failure.value)


def test_spaces_of_another_environment_are_reported(saved: Path) -> None:
    made = surefoot.Agent.load(saved)
    again = surefoot.Agent.load(saved, made.observation_space, made.action_space)
    assert again.action_space == made.action_space
    low, high = made.action_space.low, made.action_space.high  # type: ignore[attr-defined]
    wider = gymnasium.spaces.Box(low, high + 1, dtype=made.action_space.dtype.type)  # type: ignore[union-attr]
    with pytest.raises(surefoot.UserError, match=r"was trained with action high\[0\] .*, but .* now has") as failure:
        surefoot.Agent.load(saved, action_space=wider)
    assert "\n" not in str(failure.value)
    with pytest.raises(surefoot.UserError, match="was trained with observation"):
        surefoot.Agent.load(saved, gymnasium.spaces.Box(-1, 1, (77,)))


def test_missing_agent_is_reported(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for name, message in (("gone", "is missing"), ("file", "is a file"), ("", "holds no agent")):
        with pytest.raises(surefoot.UserError, match=f"{message}; expected a folder written by Agent.save"):
            surefoot.Agent.load(tmp_path / name)


def test_format_needs_no_pickle(saved: Path) -> None:
    assert {file.suffix for file in saved.rglob("*") if file.is_file()} == {".json", ".npz"}
    assert "pickle" not in Path(files.__file__).read_text()
