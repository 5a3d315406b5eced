"""``surefoot record``: decoded frames, returns, and no leftovers after failures."""

from __future__ import annotations

import functools
import os
from pathlib import Path

import gymnasium
import imageio.v3 as iio
import numpy as np
import pytest

import surefoot
import surefoot.video
from surefoot.cli.main import main
from surefoot.policy import load_policy
from surefoot.tasks import episode_seed, get_task

from .conftest import MakeRun
from .drawn import STEPS

# imageio forks its decoder; JAX warns about that if another test has imported it.
pytestmark = pytest.mark.filterwarnings("ignore:os.fork:RuntimeWarning")

SIZE = {"width": 96, "height": 64}


def decode(path: Path) -> np.ndarray:
    """Return every frame [N, H, W, 3], as floats."""
    # Some frames of a GIF may have an alpha channel and others none.
    return np.stack([frame[..., :3] for frame in iio.imiter(path)]).astype(np.float32)


def leftovers(folder: Path) -> list[str]:
    return sorted(set(os.listdir(folder)) - {"run"})


def episode_return(run: Path, seed: int, episode: int) -> float:
    """Return the return of an evaluation episode without rendering."""
    policy, env = load_policy(run, seed), get_task("cartpole-swingup").make()
    observation, _ = env.reset(seed=episode_seed("cartpole-swingup", seed, "evaluate", episode))
    total, ended = 0.0, False
    while not ended:
        observation, reward, terminated, truncated, _ = env.step(policy(observation))
        total, ended = total + reward, terminated or truncated
    return total


@pytest.mark.slow
def test_grid_of_seeds_shows_evaluation_episodes(cartpole: Path, tmp_path: Path) -> None:
    out, updates = tmp_path / "cartpole.mp4", []
    recording = surefoot.record(cartpole, out, episodes=2, seeds=[3, 4], fps=2.5, on_progress=updates.append, **SIZE)
    # 1000 control steps of 10 ms are 10 s: 25 frames and the initial state, in each of the episodes.
    assert recording.frames == len(updates) == 52
    assert (recording.width, recording.height, recording.fps) == (192, 64, 2.5)
    assert updates[-1] == (1, 2, 1000)
    about = iio.immeta(out)
    assert (about["codec"], about["fps"], about["size"]) == ("h264", 2.5, (192, 64))
    assert about["pix_fmt"].startswith("yuv420p")
    frames = decode(out)
    assert frames.shape == (52, 64, 192, 3)
    below_the_captions = frames[:, 16:]
    left, right = below_the_captions[:, :, :96], below_the_captions[:, :, 96:]
    moved = np.abs(np.diff(left[:26], axis=0)).max(axis=(1, 2, 3)) > 20
    assert moved.mean() > 0.8
    assert np.abs(left - right).max() > 50  # another policy, another state
    assert np.abs(left[0] - left[26]).max() > 20  # another episode
    assert [tile.seed for tile in recording.tiles] == [3, 4]
    for tile in recording.tiles:
        assert tile.lengths == (1000, 1000)
        expected = [episode_return(cartpole, tile.seed, episode) for episode in (0, 1)]
        np.testing.assert_allclose(tile.returns, expected, rtol=1e-3)


def test_gif_of_best_seed_in_real_time(cartpole: Path, tmp_path: Path, capsys) -> None:
    out = tmp_path / "cartpole.gif"
    out.write_bytes(b"previous")
    options = ["--episodes", "1", "--fps", "4", "--width", "96", "--height", "64", "--camera", "lookatcart"]
    assert main(["record", str(cartpole), "-o", str(out), *options]) == 0
    printed = capsys.readouterr().out
    assert "41 frames at 4 fps, 96 x 64" in printed
    assert "seed 4, trained for 1,000 env steps: return" in printed
    assert decode(out).shape == (41, 64, 96, 3)
    assert iio.immeta(out)["duration"] == 250  # ms
    assert leftovers(tmp_path) == ["cartpole.gif"]


def test_frames_have_captions(make_run: MakeRun, tmp_path: Path) -> None:
    run = make_run("tests.video.drawn:Ramp", 2, 1, repeat=1)
    recording = surefoot.record(run, tmp_path / "x.mp4", task="tests.video.drawn:Ramp", width=160, height=120)
    frames = decode(recording.path)
    assert recording.frames == len(frames) == STEPS + 1
    assert recording.fps == 10.0
    assert recording.tiles[0].returns == (float(STEPS),)
    # 51 x 33 fits 160 x 120 as 160 x 104: black above and below, the step's brightness in between.
    levels = frames[:, 70:110].mean(axis=(1, 2, 3))
    np.testing.assert_allclose(levels, 30 * np.arange(STEPS + 1), atol=6)
    assert frames[:, 114:].max() < 20
    assert frames[0, :30].max() > 200  # white letters on black


@pytest.mark.parametrize(
    "name",
    [
        "HasNullMetadata",
        "HasPhysicsStep",
        "DrawsTransparentIntegers",
        "DrawsWhenMade",
        "drawn/WhenMade-v0",
        "drawn/NullMetadata-v0",
        "DrawsMoreThanItsModel",
    ],
)
def test_environment_renders_itself(name: str, make_run: MakeRun, tmp_path: Path) -> None:
    target = f"tests.video.drawn:{name}"
    run = make_run(target, 2, 1, repeat=1)
    recording = surefoot.record(run, tmp_path / "x.mp4", task=target, width=160, height=120)
    # Its `dt` of 0.01 s is not the duration of a step. One without render_fps has one frame per step.
    assert recording.fps == (30.0 if "Null" in name else 10.0)
    levels = decode(recording.path)[:, 70:110].mean(axis=(1, 2, 3))
    np.testing.assert_allclose(levels, 30 * np.arange(STEPS + 1), atol=6)


def test_factory_that_passes_keywords_on_makes_a_rendered_environment(make_run: MakeRun, tmp_path: Path) -> None:
    factory = functools.partial(gymnasium.make, "tests.video.drawn:drawn/WhenMade-v0")
    run = make_run(get_task(factory).name, 2, 1, repeat=1)
    recording = surefoot.record(run, tmp_path / "x.mp4", task=factory, width=160, height=120)
    assert decode(recording.path)[-1, 70:110].mean() > 180


def test_action_repeat_keeps_all_frames(make_run: MakeRun, tmp_path: Path) -> None:
    run = make_run("tests.video.drawn:Ramp", 2, 1, repeat=3)
    recording = surefoot.record(run, tmp_path / "x.gif", task="tests.video.drawn:Ramp", **SIZE)
    assert recording.frames == STEPS + 1


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["-o", "x.avi"], "'x.avi': expected a name ending in .mp4 or .gif"),
        (["-o", "missing/x.mp4"], "missing is missing"),
        (["-o", f"{'x' * 300}.mp4", "--fps", "1"], "name too long"),
        (["-o", "x.mp4", "--seeds", "3", "7"], "no seed 7; it has 3, 4"),
        (["-o", "x.mp4", "--seeds", "3", "3"], "seed 3 is given twice"),
        (["-o", "x.mp4", "--seeds", "three"], "expected whole numbers such as 0 1 2, got 'three'"),
        (["-o", "x.mp4", "--seeds"], "expected at least one training seed"),
        (["-o", "x.mp4", "--checkpoints"], "has no checkpoint"),
        (["-o", "x.mp4", "--width", "65"], "width is 65, expected an even number of pixels from 64 to 4096"),
        (["-o", "x.mp4", "--seeds", "3", "4", "--width", "4096", "--height", "2"], "height is 2"),
        (["-o", "x.mp4", "--episodes", "0"], "episodes is 0, expected 1 to 1000"),
        (["-o", "x.mp4", "--fps", "nan"], "fps is nan, expected 1 to 120"),
        (
            ["-o", "x.mp4", "--camera", "lokatcart"],
            "'lokatcart', expected one of fixed, lookatcart, free; did you mean",
        ),
        (["-o", "x.mp4", "--task", "walker-run"], "was trained on 'cartpole-swingup', not on 'walker-run'"),
    ],
)
def test_invalid_argument_gives_one_line_and_no_file(
    arguments: list[str], expected: str, cartpole: Path, tmp_path: Path, monkeypatch, capsys
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["record", "run", *arguments]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert expected in err
    assert leftovers(tmp_path) == []


@pytest.mark.parametrize(
    ("name", "options", "expected"),
    [
        ("HasOtherRenderModes", {}, r"render_mode None of \['human', 'ansi'\], expected 'rgb_array'"),
        ("RendersNone", {}, r"render\(\) returned None, expected a picture \[H, W\]"),
        ("draws_when_made_of_a_class", {}, "let the callable take render_mode"),
        (
            "NeedsDisplayWhenMade",
            {},
            "cannot be made: RuntimeError: gladLoadGL error.*MUJOCO_GL=egl or MUJOCO_GL=osmesa",
        ),
        ("RendersEmptyImage", {}, r"render\(\) returned uint8 \(0, 51, 3\)"),
        ("RaisesOnRender", {}, "OSError: no display here; .* set MUJOCO_GL=egl or MUJOCO_GL=osmesa"),
        ("Ramp", {"camera": "side"}, "has its own renderer without cameras, got camera 'side'"),
    ],
)
def test_unrenderable_environment_is_a_user_error(
    name: str, options: dict, expected: str, make_run: MakeRun, tmp_path: Path
) -> None:
    target = f"tests.video.drawn:{name}"
    run = make_run(target, 2, 1)
    (tmp_path / "x.mp4").write_bytes(b"previous")
    with pytest.raises(surefoot.UserError, match=expected) as caught:
        surefoot.record(run, tmp_path / "x.mp4", task=target, **options)
    assert "\n" not in str(caught.value)
    assert (tmp_path / "x.mp4").read_bytes() == b"previous"
    assert leftovers(tmp_path) == ["x.mp4"]


def test_task_named_only_by_the_run_is_rejected(make_run: MakeRun, tmp_path: Path) -> None:
    with pytest.raises(surefoot.UserError, match="--task"):
        surefoot.record(make_run("tests.video.drawn:Ramp", 2, 1), tmp_path / "x.mp4")


def test_policy_of_other_sizes_is_rejected(make_run: MakeRun, tmp_path: Path) -> None:
    with pytest.raises(surefoot.UserError, match="the policy was trained with observation keys none"):
        surefoot.record(make_run("cartpole-swingup", 4, 1), tmp_path / "x.mp4", **SIZE)
    assert leftovers(tmp_path) == []


def test_failing_environment_leaves_no_file(make_run: MakeRun, tmp_path: Path) -> None:
    target = "tests.video.drawn:RaisesOnStep"
    with pytest.raises(surefoot.RunFailure, match=r"RaisesOnStep, seed 4: RuntimeError: the motor is hot"):
        surefoot.record(make_run(target, 2, 1), tmp_path / "x.mp4", task=target, **SIZE)
    assert leftovers(tmp_path) == []


def test_failing_progress_callback_leaves_no_file(make_run: MakeRun, tmp_path: Path) -> None:
    def watch(progress: surefoot.video.Progress) -> None:
        if progress.env_steps == 3:
            raise BrokenPipeError("mine")

    target = "tests.video.drawn:Ramp"
    with pytest.raises(BrokenPipeError, match="mine"):
        surefoot.record(make_run(target, 2, 1), tmp_path / "x.mp4", task=target, on_progress=watch, **SIZE)
    assert leftovers(tmp_path) == []


def test_temporary_link_is_not_followed(make_run: MakeRun, tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("precious")
    (tmp_path / ".tmp-x.gif").symlink_to(tmp_path / "precious")
    target = "tests.video.drawn:Ramp"
    surefoot.record(make_run(target, 2, 1), tmp_path / "x.gif", task=target, **SIZE)
    assert (tmp_path / "precious").read_text() == "precious"
    assert leftovers(tmp_path) == ["precious", "x.gif"]


def test_missing_encoder_gives_one_line(cartpole: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("IMAGEIO_FFMPEG_EXE", str(tmp_path / "none"))
    with pytest.raises(surefoot.UserError, match=r"needs the program ffmpeg \(.*none is not a program\)"):
        surefoot.record(cartpole, tmp_path / "x.mp4")


@pytest.mark.parametrize(("exit_code", "words"), [(1, "No space left on device"), (3, "")])
def test_failing_encoder_leaves_no_file(
    exit_code: int, words: str, make_run: MakeRun, tmp_path: Path, monkeypatch
) -> None:
    program = tmp_path / "run" / "ffmpeg"
    run = make_run("tests.video.drawn:Ramp", 2, 1)
    program.write_text(
        f"#!/bin/sh\nfor last; do :; done\necho half > \"$last\"\necho '{words}' >&2\nexit {exit_code}\n"
    )
    program.chmod(0o755)
    monkeypatch.setenv("IMAGEIO_FFMPEG_EXE", str(program))
    with pytest.raises(surefoot.RunFailure, match=words or "ffmpeg failed: exit code 3"):
        surefoot.record(run, tmp_path / "x.mp4", task="tests.video.drawn:Ramp", width=640, height=480)
    assert leftovers(tmp_path) == []
