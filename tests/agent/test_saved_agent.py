"""A saved agent goes on bit for bit, appears whole or not at all, and is checked before it is believed."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

import surefoot
from surefoot.agent import files
from surefoot.runs import checkpoints
from surefoot.training.checkpointing.arrays import tree_to_arrays
from tests.agent.support import DICT, Robot, agent


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("agent") / "arm"
    made = agent()
    Robot().drive(made, 26)
    made.save(path)
    return path


@pytest.mark.parametrize("steps", [0, 10, 26, 100])
def test_loaded_agent_goes_on_bit_for_bit(steps: int, tmp_path: Path) -> None:
    """Before anything, in the warm-up, in the middle of an episode, after the ring of 64 has wrapped."""
    made = agent()
    robots = [Robot(seed=9), Robot(seed=9)]
    robots[0].drive(made, steps)
    made.save(tmp_path / "arm")
    loaded = surefoot.Agent.load(tmp_path / "arm")
    robots[1].drive(agent(), steps, update=False)  # brings the second robot to where the first one is
    assert (loaded.agent_steps, loaded.grad_steps) == (made.agent_steps, made.grad_steps)
    assert (loaded.observation_space, loaded.action_space) == (made.observation_space, made.action_space)
    assert loaded.algorithm == made.algorithm
    robots[1].obs = robots[0].obs
    for robot, one in zip(robots, (made, loaded), strict=True):
        robot.drive(one, 24)
    first, second = (tree_to_arrays(one._core._state) for one in (made, loaded))
    for name, array in first.items():
        np.testing.assert_array_equal(array, second[name], err_msg=name)


def test_dict_spaces_survive(tmp_path: Path) -> None:
    made = agent(observation_space=DICT, task="my-arm", discount=0.5)
    made.save(tmp_path / "arm")
    loaded = surefoot.Agent.load(tmp_path / "arm")
    assert loaded.observation_space == DICT
    assert list(loaded.observation_space.spaces) == ["pose", "arm"]  # type: ignore[attr-defined]
    assert (loaded._core.setting.discount, loaded.policy().task) == (0.5, "my-arm")


def test_folder_is_a_policy_too(saved: Path) -> None:
    loaded = surefoot.Agent.load(saved)
    np.testing.assert_array_equal(surefoot.load_policy(saved)(np.ones(3)), loaded.policy()(np.ones(3)))


def test_saving_again_replaces_and_leaves_nothing_behind(saved: Path, tmp_path: Path) -> None:
    path = tmp_path / "arm"
    shutil.copytree(saved, path)
    made = surefoot.Agent.load(path)
    made.update(2)
    made.save(path)
    assert surefoot.Agent.load(path).grad_steps == made.grad_steps
    assert [entry.name for entry in tmp_path.iterdir()] == ["arm"]
    assert len(list(path.rglob("segment_*"))) == 1


def test_save_that_fails_leaves_the_old_one(saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
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


def test_other_peoples_folders_are_left_alone(saved: Path, tmp_path: Path) -> None:
    made = surefoot.Agent.load(saved)
    (tmp_path / "file").write_text("mine")
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "notes.txt").write_text("mine")
    (tmp_path / "alike" / "policy").mkdir(parents=True)
    for name, said in (
        ("file", "is a file"),
        ("notes", r"holds other files \(notes.txt\)"),
        ("alike", "no saved agent"),
    ):
        with pytest.raises(surefoot.UserError, match=said):
            made.save(tmp_path / name)
    assert (tmp_path / "notes" / "notes.txt").read_text() == "mine"


@pytest.mark.parametrize("name", ["learner.npz", "replay_counters.npz", "loop.npz", "spaces.npz", "manifest.json"])
def test_flipped_bit_is_found(name: str, saved: Path, tmp_path: Path) -> None:
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
    ("changes", "said"),
    [
        ({"seed": "0"}, "seed must be a whole number, got '0'"),
        ({"algorithm": {"part": "Evil"}}, "unknown part 'Evil'"),
        ({"replay_capacity": 2**40}, "replay_capacity must be between 1 and"),
        ({"replay_capacity": 22}, "does not fit together: ValueError.*in 22 places"),
        ({"replay_capacity": 8}, "replay_capacity must be more than the warm-up"),
        ({"observation_keys": ["a", "b", "c"]}, "spaces do not fit"),
        ({"discount": "high"}, "discount must be a number"),
    ],
)
def test_wrong_content_under_right_checksums_is_one_line(changes: dict, said: str, saved: Path, tmp_path: Path) -> None:
    path = tmp_path / "arm"
    shutil.copytree(saved, path)
    (manifest,) = path.rglob("manifest.json")
    content = json.loads(manifest.read_text())
    content["meta"] |= changes
    del content["sha256"]
    manifest.write_text(json.dumps({**content, "sha256": checkpoints._checksum(content)}))
    with pytest.raises(surefoot.UserError, match=said) as failure:
        surefoot.Agent.load(path)
    assert "\n" not in str(failure.value)


def test_no_agent_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for name, said in (("gone", "does not exist"), ("file", "is a file"), ("", "holds no agent")):
        with pytest.raises(surefoot.UserError, match=f"{said}; expected a folder written by Agent.save"):
            surefoot.Agent.load(tmp_path / name)


def test_format_needs_no_pickle(saved: Path) -> None:
    assert {file.suffix for file in saved.rglob("*") if file.is_file()} == {".json", ".npz"}
    assert "pickle" not in Path(files.__file__).read_text()
