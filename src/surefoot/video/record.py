"""Videos of a run's policies."""

from __future__ import annotations

import contextlib
import itertools
import math
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from surefoot.errors import EnvironmentFailure, RunFailure, UserError
from surefoot.misplaced import explains_keywords
from surefoot.policy import Policy
from surefoot.runs import RunDirectory
from surefoot.tasks import Task
from surefoot.tasks.gl import headless_backend, validate_mujoco_gl
from surefoot.tasks.rendering import View
from surefoot.tasks.run_task import get_run_task
from surefoot.video.encode import MAX_FPS, check_out, find_encoder, open_video
from surefoot.video.policies import checkpoint_policies, final_policies, seeds_to_show
from surefoot.video.rollout import Frame, Pace, Rollout, real_time
from surefoot.video.tiles import Captions, grid_shape, join
from surefoot.whole_numbers import whole_number

_SINGLE_SIZE, _GRID_SIZE = (640, 480), (320, 240)
"""Default width and height of a tile."""

_SIDES = range(64, 4097, 2)
"""H.264 halves the colour resolution, so sides are even."""

_MAX_SIDE = 8192


class Progress(NamedTuple):
    """Progress of a recording.

    Attributes:
        episode: Current episode, counted from 0.
        episodes: Total number of episodes.
        env_steps: Control steps since the start of the episode.
    """

    episode: int
    episodes: int
    env_steps: int


@dataclass(frozen=True)
class Tile:
    """One policy of a video.

    Attributes:
        seed: Training seed of the policy.
        trained_env_steps: Control steps that the policy was trained for.
        returns: Undiscounted return of each episode.
        lengths: Length of each episode in control steps.
    """

    seed: int
    trained_env_steps: int
    returns: tuple[float, ...]
    lengths: tuple[int, ...]


@dataclass(frozen=True)
class Recording:
    """A finished video.

    Attributes:
        path: Path of the file.
        frames: Number of frames.
        fps: Frames per second.
        width: Width of the whole video in pixels.
        height: Height of the whole video in pixels.
        tiles: Policies in the video, row by row.
    """

    path: Path
    frames: int
    fps: float
    width: int
    height: int
    tiles: tuple[Tile, ...]


@explains_keywords
def record(
    path: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    episodes: int = 1,
    seeds: Sequence[int] | None = None,
    checkpoints: bool = False,
    width: int | None = None,
    height: int | None = None,
    fps: float | None = None,
    camera: str | int | None = None,
    task: str | Callable[[], Any] | None = None,
    on_progress: Callable[[Progress], None] | None = None,
) -> Recording:
    """Record a run's policies with deterministic actions in an .mp4 or .gif file.

    The episodes are those of evaluations: episode e of a seed starts in the same state in every run and video. One
    second of video is one second of simulation. Several policies are shown in a grid; a finished episode keeps its
    last frame until all are finished. Captions show seed, episode, control step and return.

    Args:
        path: Run directory.
        out: Output file; an existing one is replaced once the new one is complete.
        episodes: Number of consecutive episodes, at least 1.
        seeds: Training seeds to show; None selects the one with the best score at the last evaluation.
        checkpoints: Whether to show the policies at the run's checkpoints (the last two are kept) instead of the final
            ones, in one row per checkpoint if there are several seeds.
        width: Width of each policy's image in pixels, even, 64 to 4096; None is 640, or 320 in a grid.
        height: Height likewise; None is 480, or 240 in a grid.
        fps: Frames per second, up to 120; None selects a rate near 50 (25 for a .gif) with even motion.
        camera: Name or number of one of the MuJoCo model's cameras, or "free"; None selects the suite's default, or
            the environment's own `render` for one outside the suites.
        task: Task of the run if it is a callable: its name "module:callable" or the callable.
        on_progress: Function called after every frame.

    Returns:
        Description of the video, with the returns of the episodes.

    Raises:
        UserError: An argument is invalid; there is no run, policy, seed, camera or checkpoint; the environment cannot
            be rendered; or no renderer or encoder works. No file is written.
        RunFailure: An environment, the encoder or the disk failed. No file is written.
    """
    file = Path(out)
    check_out(file, Path(path))
    episodes = whole_number("episodes", episodes)
    _require("episodes", episodes, 1, 1000)
    width, height = (
        None if side is None else whole_number(name, side) for name, side in (("width", width), ("height", height))
    )
    if fps is not None:
        _require("fps", fps, 1, 120)
    validate_mujoco_gl()
    find_encoder()
    directory = RunDirectory.open(path)
    chosen = seeds_to_show(directory, seeds)
    policies = (checkpoint_policies if checkpoints else final_policies)(directory, chosen)
    run_task, action_repeat = _task_of(directory, task)
    layout = grid_shape(len(policies) // len(chosen), len(chosen))
    view = _view(width, height, camera, layout)
    with contextlib.ExitStack() as stack, headless_backend(), _failures_of(run_task):
        rollouts = [stack.enter_context(Rollout(policy, run_task, action_repeat, view)) for policy in policies]
        pace = real_time(rollouts[0].step_seconds, fps, MAX_FPS[file.suffix.lower()])
        montage = _Montage(run_task, policies, rollouts, view, layout, pace)
        size = view.width * layout[1], view.height * layout[0]
        frames = 0
        with open_video(file, pace.fps, *size) as write:
            for episode in range(episodes):
                for frame, env_steps in montage.episode(episode):
                    write(frame)
                    frames += 1
                    if on_progress is not None:
                        on_progress(Progress(episode, episodes, env_steps))
    return Recording(file, frames, pace.fps, *size, montage.tiles())


class _Montage:
    """Concurrent episodes of several policies in one video."""

    def __init__(
        self,
        task: Task,
        policies: Sequence[Policy],
        rollouts: Sequence[Rollout],
        view: View,
        layout: tuple[int, int],
        pace: Pace,
    ) -> None:
        self._task, self._policies, self._rollouts, self._layout, self._pace = task, policies, rollouts, layout, pace
        self._captions = Captions(view.width, view.height)
        self._shows_training = len({policy.env_steps for policy in policies}) > 1
        self._last_frames: list[list[Frame]] = [[] for _ in rollouts]

    def episode(self, number: int) -> Iterator[tuple[np.ndarray, int]]:
        """Yield frames [H, W, 3] and the control steps they show, until the longest of the episodes is over."""
        last: tuple[Frame, ...] = ()
        for frames in itertools.zip_longest(*(rollout.episode(number, self._pace) for rollout in self._rollouts)):
            last = tuple(frame or before for frame, before in itertools.zip_longest(frames, last))
            tiles = [
                self._captions.tile(frame.image, self._caption(policy, number, frame))
                for policy, frame in zip(self._policies, last, strict=True)
            ]
            yield join(tiles, self._layout), max(frame.env_steps for frame in last)
        for ends, frame in zip(self._last_frames, last, strict=True):
            ends.append(frame)

    def tiles(self) -> tuple[Tile, ...]:
        """Return the results of the finished episodes."""
        return tuple(
            Tile(
                policy.seed,
                policy.env_steps,
                tuple(frame.episode_return for frame in ends),
                tuple(frame.env_steps for frame in ends),
            )
            for policy, ends in zip(self._policies, self._last_frames, strict=True)
        )

    def _caption(self, policy: Policy, episode: int, frame: Frame) -> list[str]:
        trained = f", {policy.env_steps:,} env steps" if self._shows_training else ""
        solved = ", solved" if frame.solved else ""
        return [
            f"{self._task.name}, seed {policy.seed}{trained}",
            f"episode {episode}, step {frame.env_steps}, return {frame.episode_return:.1f}{solved}",
        ]


def _require(name: str, value: float, low: float, high: float) -> None:
    if not (math.isfinite(value) and low <= value <= high):
        raise UserError(f"{name} is {value}, expected {low} to {high}")


def _view(width: int | None, height: int | None, camera: str | int | None, layout: tuple[int, int]) -> View:
    """Return the view of each tile."""
    default = _SINGLE_SIZE if layout == (1, 1) else _GRID_SIZE
    wide, high = default[0] if width is None else width, default[1] if height is None else height
    for name, side, tiles in (("width", wide, layout[1]), ("height", high, layout[0])):
        if side not in _SIDES:
            raise UserError(f"{name} is {side}, expected an even number of pixels from {_SIDES[0]} to {_SIDES[-1]}")
        if side * tiles > _MAX_SIDE:
            raise UserError(
                f"{tiles} images of {name} {side} make {side * tiles} pixels, expected at most {_MAX_SIDE}: "
                f"lower the {name} or show fewer seeds"
            )
    return View(wide, high, camera)


def _task_of(directory: RunDirectory, task: str | Callable[[], Any] | None) -> tuple[Task, int]:
    """Return the task of a run and its action repeat, validating the config.json."""
    config = directory.config
    name, resolved = config.get("task"), config.get("resolved")
    repeat = resolved.get("action_repeat") if isinstance(resolved, dict) else None
    where = directory.path / "config.json"
    if not isinstance(name, str):
        raise UserError(f"{where}: task is {name!r}, expected a name")
    if not isinstance(repeat, int) or isinstance(repeat, bool):
        raise UserError(f"{where}: resolved.action_repeat is {repeat!r}, expected a whole number")
    if config.get("engine") == "jax":
        raise UserError(f"task '{name}' is written in JAX and cannot be filmed")
    return get_run_task(name, task, config.get("env_set")), repeat


@contextlib.contextmanager
def _failures_of(task: Task) -> Iterator[None]:
    """Add the name of the task to failures of an environment."""
    try:
        yield
    except EnvironmentFailure as error:
        raise RunFailure(f"{task.name}, {error.where}: {error.detail}") from error
