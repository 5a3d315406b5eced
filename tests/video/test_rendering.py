"""Cameras, rendering backends, video timing and layout."""

from __future__ import annotations

import os
from typing import Any

import gymnasium
import numpy as np
import pytest

from surefoot.errors import UserError
from surefoot.tasks import get_task, gl
from surefoot.tasks.pictures import Picture
from surefoot.tasks.rendering import View
from surefoot.video.rollout import real_time
from surefoot.video.tiles import Captions, grid_shape, join


@pytest.mark.slow
@pytest.mark.parametrize("name", ["walker-run", "myo-reach", "HalfCheetah-v5"])
def test_every_suite_is_rendered(name: str) -> None:
    simulation = get_task(name).simulate()
    camera = simulation.camera(View(80, 64))
    simulation.reset(1)
    first = camera.render()
    np.testing.assert_array_equal(first, camera.render())  # nothing moved
    for _ in range(15):
        simulation.advance(simulation.spaces.action.high_array)
    later = camera.render()
    camera.close()
    assert first.shape == later.shape == (64, 80, 3)
    assert first.dtype == np.uint8
    assert first.std() > 10  # not blank
    assert np.abs(first.astype(int) - later).max() > 50
    assert simulation.control_seconds() == {"walker-run": 0.025, "myo-reach": 0.02, "HalfCheetah-v5": 0.05}[name]
    simulation.close()


@pytest.mark.slow
def test_cameras_by_name_and_number() -> None:
    simulation = get_task("walker-run").simulate()
    cameras = {wanted: simulation.camera(View(64, 64, wanted)) for wanted in (None, 0, "side", "1", "back", "free")}
    simulation.reset(1)
    images = {wanted: camera.render().tobytes() for wanted, camera in cameras.items()}
    assert images[None] == images[0] == images["side"]
    assert images["1"] == images["back"]
    assert len({images["side"], images["back"], images["free"]}) == 3
    with pytest.raises(UserError, match="there is no camera 2, expected one of side, back, free"):
        simulation.camera(View(64, 64, 2))
    for camera in cameras.values():
        camera.close()
    simulation.close()


@pytest.mark.slow
def test_image_is_upright() -> None:
    simulation: Any = get_task("pendulum-swingup").simulate()
    camera = simulation.camera(View(64, 64))
    simulation.reset(0)
    height = {}
    for angle in (0.0, np.pi):  # up, down
        simulation._physics.named.data.qpos["hinge"] = angle
        simulation._physics.forward()
        image = camera.render().astype(int)
        height[angle] = np.argwhere(image[..., 0] - image[..., 2] > 60)[:, 0].mean()  # the pole in a blue room
    assert height[0.0] < 32 < height[np.pi]
    camera.close()
    simulation.close()


def test_requested_camera_shows_what_the_environment_moves_before_rendering() -> None:
    simulation = get_task("tests.video.drawn:DrawsMoreThanItsModel").simulate(rendered=True)
    simulation.reset(0)
    assert simulation.camera(View(64, 64)).render().shape == (33, 51, 3)  # its own
    camera = simulation.camera(View(64, 64, "top"))
    red, green, blue = camera.render()[32, 32].tolist()
    assert red > green + 50  # blue before
    assert blue < green + 10
    camera.close()


@pytest.mark.parametrize("name", ["HalfCheetah-v5", "Pusher-v5"])
def test_models_of_gymnasium_are_rendered_in_any_size(name: str) -> None:
    simulation = get_task(name).simulate(rendered=True)
    camera = simulation.camera(View(80, 64))
    simulation.reset(0)
    assert camera.render().shape == (64, 80, 3)
    camera.close()
    simulation.close()


def test_models_in_third_party_wrappers_are_rendered_by_these() -> None:
    class Overlay(gymnasium.Wrapper):
        def render(self) -> Any:
            return np.full((8, 8, 3), 7, np.uint8)

    simulation = get_task(lambda: Overlay(gymnasium.make("HalfCheetah-v5"))).simulate(rendered=True)
    assert simulation.camera(View(80, 64)).render().max() == 7


@pytest.mark.parametrize(
    ("picture", "expected"),
    [
        (np.full((2, 3, 3), 200, np.uint8), 200),
        (np.full((2, 3, 4), 200, np.int64), 200),
        (np.full((2, 3), 200, np.int16), 200),
        (np.full((2, 3, 1), 0.5), 128),
        (np.full((2, 3, 3), 77.0, np.float32), 77),
        (np.ones((2, 3), bool), 255),
        ([[[9, 9, 9]] * 3] * 2, 9),
        ([np.zeros((2, 3, 3), np.uint8), np.full((2, 3, 3), 5, np.uint8)], 5),
    ],
)
def test_pictures_of_any_type_become_rgb(picture: Any, expected: int) -> None:
    image = Picture()(picture)
    np.testing.assert_array_equal(image, np.full((2, 3, 3), expected, np.uint8))
    assert image.dtype == np.uint8
    assert image is not picture


def test_dark_float_pictures_keep_the_scale_of_bright_ones() -> None:
    convert = Picture()
    assert convert(np.full((2, 2), 1.0)).max() == 255
    assert convert(np.full((2, 2), 90.0)).max() == 90
    assert convert(np.full((2, 2), 1.0)).max() == 1


@pytest.mark.parametrize(
    ("picture", "message"),
    [
        (np.full((2, 2, 3), 256), "int64 .* with values from 256 to 256"),
        (np.full((2, 2, 3), -1.0), "with values from -1 to -1"),
        (np.full((2, 2, 3), np.nan), "with values from nan to nan"),
        (np.zeros((2, 2, 2), np.uint8), r"uint8 \(2, 2, 2\), expected a picture"),
        ("ansi", "^str, expected a picture"),
        ([[1], [1, 2]], "^list, expected a picture"),
    ],
)
def test_other_pictures_are_rejected(picture: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Picture()(picture)


@pytest.mark.parametrize(
    ("error", "is_gl"),
    [
        ("gladLoadGL error", True),
        ("'NoneType' object has no attribute 'eglQueryString'", True),
        ("module 'mujoco' has no attribute 'GLContext'", True),
        ("X11: The DISPLAY environment variable is missing", True),
        ("'NoneType' object has no attribute 'copy'", False),
        ("name 'global_goal' is not defined", False),
    ],
)
def test_failures_of_opengl_name_its_variable(error: str, is_gl: bool) -> None:
    assert ("MUJOCO_GL=egl" in gl.gl_hint(ValueError(error))) == is_gl


@pytest.mark.parametrize(
    ("set_to", "display", "expected"),
    [(None, "", "egl"), (None, ":0", None), ("osmesa", "", "osmesa"), ("disabled", ":0", "egl")],
)
def test_own_renderers_get_a_headless_backend_where_there_is_no_display(
    set_to: str | None, display: str, expected: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gl, "choose_backend", lambda: "egl")
    monkeypatch.setenv("DISPLAY", display)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    monkeypatch.delenv("MUJOCO_GL", raising=False)
    if set_to is not None:
        monkeypatch.setenv("MUJOCO_GL", set_to)
    with gl.headless_backend():
        assert os.environ.get("MUJOCO_GL") == expected
    assert os.environ.get("MUJOCO_GL") == set_to


@pytest.fixture
def unprobed():
    gl._first_that_works.cache_clear()
    yield
    gl._first_that_works.cache_clear()


@pytest.mark.usefixtures("unprobed")
def test_first_working_backend_is_chosen(monkeypatch) -> None:
    monkeypatch.setattr(gl, "_why_not", {"egl": "no driver", "osmesa": None}.get)
    assert gl.choose_backend() == "osmesa"


@pytest.mark.usefixtures("unprobed")
def test_missing_backends_name_packages_to_install(monkeypatch) -> None:
    monkeypatch.setitem(gl._MODULES, "egl", "mujoco.no_such_driver")
    monkeypatch.setitem(gl._MODULES, "osmesa", "mujoco.no_other_driver")
    with pytest.raises(UserError) as caught:
        gl.choose_backend()
    line = str(caught.value)
    assert "\n" not in line
    for part in ("no_such_driver", "no_other_driver", "apt-get install libegl1", "apt-get install libosmesa6"):
        assert part in line


@pytest.mark.usefixtures("unprobed")
def test_mujoco_gl_selects_the_backend_or_is_rejected(monkeypatch) -> None:
    tried = []
    monkeypatch.setenv("MUJOCO_GL", "disabled")  # as for training
    monkeypatch.setattr(gl, "_why_not", lambda name: tried.append(name) or "broken")
    gl.validate_mujoco_gl()
    assert tried == []
    monkeypatch.setenv("MUJOCO_GL", "OSMesa")
    with pytest.raises(UserError, match="MUJOCO_GL=osmesa"):
        gl.validate_mujoco_gl()
    assert tried == ["osmesa"]
    monkeypatch.setenv("MUJOCO_GL", "glx")
    with pytest.raises(UserError, match="MUJOCO_GL is 'glx'"):
        gl.validate_mujoco_gl()


def test_aborting_driver_does_not_abort_this_process(monkeypatch) -> None:
    monkeypatch.setattr(gl, "_PROBE", "import os; os.abort()")
    assert "-6" in str(gl._why_not("egl"))


@pytest.mark.parametrize(
    ("step_seconds", "fps", "max_fps", "expected_fps", "frames_of_ten_steps"),
    [
        (0.01, None, 50.0, 50.0, 6),  # every other step
        (0.025, None, 50.0, 40.0, 11),  # every step
        (0.02, None, 50.0, 50.0, 11),
        (0.015, None, 25.0, 1 / 0.045, 4),
        (0.05, None, 50.0, 20.0, 11),
        (0.01, 30.0, 50.0, 30.0, 4),  # 0.1 s are frames 0, 1, 2 and 3
        (0.1, 20, 50.0, 20.0, 21),  # every step twice
        (None, None, 50.0, 30.0, 11),
        (None, 12.0, 50.0, 12.0, 11),
    ],
)
def test_video_runs_in_real_time(
    step_seconds: float | None, fps: float | None, max_fps: float, expected_fps: float, frames_of_ten_steps: int
) -> None:
    pace = real_time(step_seconds, fps, max_fps)
    assert pace.fps == pytest.approx(expected_fps)
    assert pace.frames(10) == frames_of_ten_steps
    if step_seconds is not None:
        assert (pace.frames(10_000) - 1) / pace.fps == pytest.approx(10_000 * step_seconds, rel=1e-3)


def test_tiles_are_laid_out_by_rows() -> None:
    assert [grid_shape(1, n) for n in (1, 2, 3, 4, 5, 10)] == [(1, 1), (1, 2), (2, 2), (2, 2), (2, 3), (3, 4)]
    assert grid_shape(2, 1) == (1, 2)
    assert grid_shape(2, 3) == (2, 3)
    tiles = [np.full((2, 4, 3), level, np.uint8) for level in (10, 20, 30)]
    frame = join(tiles, (2, 2))
    assert frame.shape == (4, 8, 3)
    assert frame[::2, ::4, 0].tolist() == [[10, 20], [30, 0]]


@pytest.mark.parametrize("width", [64, 320, 1000])
def test_caption_fits_its_tile(width: int) -> None:
    lines = ["walker-run, seed 3, 1,000,000 env steps", "episode 0, step 1000, return 1000.0"]
    tile = Captions(width, 240).tile(np.zeros((240, width, 3), np.uint8), lines)
    assert tile.max() > 200
    if width > 64:  # below that the smallest readable text is cut off
        assert tile[:, -3:].max() == 0
    assert tile[80:].max() == 0
