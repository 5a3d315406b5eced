"""``record``: a run's policies at work, as a video."""

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
from surefoot.policy import Policy
from surefoot.runs import RunDirectory
from surefoot.tasks import Task
from surefoot.tasks.gl import check_wish
from surefoot.tasks.rendering import View
from surefoot.tasks.run_task import get_run_task
from surefoot.video.encode import MOST_FPS, check_out, find_encoder, open_video
from surefoot.video.film import Actor, Pace, Shot, real_time
from surefoot.video.picture import Captions, grid_shape, join
from surefoot.video.policies import checkpoint_policies, final_policies, seeds_to_show

_ALONE, _IN_GRID = (640, 480), (320, 240)
"""Width and height of a tile where none are asked for."""

_SIDES = range(64, 4097, 2)
"""H.264 halves the resolution of colour, so sides are even."""

_LARGEST_SIDE = 8192


class Progress(NamedTuple):
    """How far a recording is.

    Attributes:
        episode: counted from 0.
        episodes: how many there will be.
        env_steps: control steps since this episode began.
    """

    episode: int
    episodes: int
    env_steps: int


@dataclass(frozen=True)
class Tile:
    """One policy of a video.

    Attributes:
        seed: its training seed.
        trained_env_steps: control steps it was trained for.
        returns: of each episode, the undiscounted sum of rewards.
        lengths: of each episode, in control steps.
    """

    seed: int
    trained_env_steps: int
    returns: tuple[float, ...]
    lengths: tuple[int, ...]


@dataclass(frozen=True)
class Recording:
    """A finished video.

    Attributes:
        path: the file.
        frames: how many.
        fps: frames per second.
        width: of the whole video, in pixels.
        height: of the whole video, in pixels.
        tiles: the policies it shows, row by row.
    """

    path: Path
    frames: int
    fps: float
    width: int
    height: int
    tiles: tuple[Tile, ...]


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
    """Play a run's policies, with the deterministic action, and write what happens to an .mp4 or .gif file.

    The episodes are those of evaluations: episode e of a seed begins the same way in every run and every video. Time
    is real: a second of the video is a second of the simulation. Several policies play side by side, and one that is
    done waits for the others. Frames say the seed, the episode, the control step and the return so far.

    Args:
        path: the run directory.
        out: the file to write; one that is there is replaced once the new one is complete.
        episodes: one after the other, at least 1.
        seeds: training seeds, side by side; None takes the one with the best score at the last evaluation.
        checkpoints: show the policies at the run's checkpoints (the last two are kept) beside each other instead of
            the last one: a row for each where there are several seeds.
        width: of each policy's picture in pixels, even, 64 to 4096; None takes 640, or 320 beside others.
        height: the same; None takes 480, or 240 beside others.
        fps: frames per second, up to 120; None takes a rate near 50 (25 in a .gif) at which motion is even.
        camera: name or number of one of the MuJoCo model's cameras, or "free"; None takes the suite's usual one.
        task: what the run was trained on, where that is a callable: its name "module:callable" or the callable.
        on_progress: called after every frame.

    Returns:
        What was written, with the returns of the episodes.

    Raises:
        UserError: an argument is wrong, there is no run, no policy, no such seed, camera or checkpoint, the
            environment cannot be rendered, or nothing here can draw or encode. Nothing was written.
        RunFailure: an environment, the encoder or the disk failed. Nothing was written.
    """
    where = Path(out)
    check_out(where, Path(path))
    _require("episodes", episodes, 1, 1000)
    if fps is not None:
        _require("fps", fps, 1, 120)
    check_wish()
    find_encoder()
    directory = RunDirectory.open(path)
    chosen = seeds_to_show(directory, seeds)
    policies = (checkpoint_policies if checkpoints else final_policies)(directory, chosen)
    resolved, repeat = _stored(directory, task)
    layout = grid_shape(len(policies) // len(chosen), len(chosen))
    view = _view(width, height, camera, layout)
    with contextlib.ExitStack() as stack, _naming_task(resolved):
        actors = [stack.enter_context(Actor(policy, resolved, repeat, view)) for policy in policies]
        pace = real_time(actors[0].step_seconds, fps, MOST_FPS[where.suffix.lower()])
        film = _Film(resolved, policies, actors, view, layout, pace)
        size = view.width * layout[1], view.height * layout[0]
        frames = 0
        with open_video(where, pace.fps, *size) as write:
            for episode in range(episodes):
                for frame, env_steps in film.episode(episode):
                    write(frame)
                    frames += 1
                    if on_progress is not None:
                        on_progress(Progress(episode, episodes, env_steps))
    return Recording(where, frames, pace.fps, *size, film.tiles())


class _Film:
    """Several actors' episodes, frame by frame in one picture."""

    def __init__(
        self,
        task: Task,
        policies: Sequence[Policy],
        actors: Sequence[Actor],
        view: View,
        layout: tuple[int, int],
        pace: Pace,
    ) -> None:
        self._task, self._policies, self._actors, self._layout, self._pace = task, policies, actors, layout, pace
        self._captions = Captions(view.width, view.height)
        self._tells_training = len({policy.env_steps for policy in policies}) > 1
        self._ends: list[list[Shot]] = [[] for _ in actors]

    def episode(self, number: int) -> Iterator[tuple[np.ndarray, int]]:
        """Yield frames [H, W, 3] and the control steps they show, until the longest of the episodes is over."""
        last: tuple[Shot, ...] = ()
        for shots in itertools.zip_longest(*(actor.episode(number, self._pace) for actor in self._actors)):
            last = tuple(shot or before for shot, before in itertools.zip_longest(shots, last))
            tiles = [
                self._captions.tile(shot.picture, self._lines(policy, number, shot))
                for policy, shot in zip(self._policies, last, strict=True)
            ]
            yield join(tiles, self._layout), max(shot.env_steps for shot in last)
        for ends, shot in zip(self._ends, last, strict=True):
            ends.append(shot)

    def tiles(self) -> tuple[Tile, ...]:
        """Return what the finished episodes came to."""
        return tuple(
            Tile(
                policy.seed,
                policy.env_steps,
                tuple(shot.episode_return for shot in ends),
                tuple(shot.env_steps for shot in ends),
            )
            for policy, ends in zip(self._policies, self._ends, strict=True)
        )

    def _lines(self, policy: Policy, episode: int, shot: Shot) -> list[str]:
        trained = f", {policy.env_steps:,} env steps" if self._tells_training else ""
        solved = ", solved" if shot.solved else ""
        return [
            f"{self._task.name}, seed {policy.seed}{trained}",
            f"episode {episode}, step {shot.env_steps}, return {shot.episode_return:.1f}{solved}",
        ]


def _require(name: str, value: float, low: float, high: float) -> None:
    if not (math.isfinite(value) and low <= value <= high):
        raise UserError(f"{name} is {value}, expected {low} to {high}")


def _view(width: int | None, height: int | None, camera: str | int | None, layout: tuple[int, int]) -> View:
    """Return what each policy's pictures shall be."""
    usual = _ALONE if layout == (1, 1) else _IN_GRID
    wide, high = usual[0] if width is None else width, usual[1] if height is None else height
    for name, side, tiles in (("width", wide, layout[1]), ("height", high, layout[0])):
        if side not in _SIDES:
            raise UserError(f"{name} is {side}, expected an even number of pixels from {_SIDES[0]} to {_SIDES[-1]}")
        if side * tiles > _LARGEST_SIDE:
            raise UserError(
                f"{tiles} pictures of {name} {side} make {side * tiles} pixels, expected at most {_LARGEST_SIDE}: "
                f"lower the {name} or show fewer seeds"
            )
    return View(wide, high, camera)


def _stored(directory: RunDirectory, task: str | Callable[[], Any] | None) -> tuple[Task, int]:
    """Return the task of a run and its action repeat, from a config.json that somebody may have edited."""
    config = directory.config
    name, resolved = config.get("task"), config.get("resolved")
    repeat = resolved.get("action_repeat") if isinstance(resolved, dict) else None
    where = directory.path / "config.json"
    if not isinstance(name, str):
        raise UserError(f"{where}: task is {name!r}, expected a name")
    if not isinstance(repeat, int) or isinstance(repeat, bool):
        raise UserError(f"{where}: resolved.action_repeat is {repeat!r}, expected a whole number")
    return get_run_task(name, task), repeat


@contextlib.contextmanager
def _naming_task(task: Task) -> Iterator[None]:
    """Say in a failure of an environment which task it was."""
    try:
        yield
    except EnvironmentFailure as error:
        raise RunFailure(f"{task.name}, seed {error.seed}: {error.detail}") from error
