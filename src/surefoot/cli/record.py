"""``surefoot record``: a video of a run's policies."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import tyro
from rich.console import Console

from surefoot.cli.options import CameraName, FpsFloat, HeightInt, Int, RunPath, RunTask, VideoPath, WidthInt

if TYPE_CHECKING:
    from surefoot.video import Progress, Recording


def _whole_numbers(strings: list[str]) -> tuple[int, ...]:
    try:
        return tuple(int(string) for string in strings)
    except ValueError:
        raise ValueError(f"expected whole numbers such as 0 1 2, got {' '.join(strings)!r}") from None


_SEEDS: tyro.constructors.PrimitiveConstructorSpec[tuple[int, ...] | None] = tyro.constructors.PrimitiveConstructorSpec(
    nargs="*",
    metavar="N...",
    instance_from_str=_whole_numbers,
    is_instance=lambda _: True,
    str_from_instance=lambda _: [],
)


@dataclass(frozen=True)
class Record:
    """Play a run's policies and write what happens to an .mp4 or .gif file, in real time."""

    path: RunPath
    """The run directory."""
    out: VideoPath
    """The file to write, which ends in .mp4 or .gif; one that is there is replaced."""
    episodes: Int = 1
    """Episodes, one after the other; the same ones as in evaluations."""
    seeds: Annotated[tuple[int, ...] | None, _SEEDS, tyro.conf.arg(help_behavior_hint="(default: the best one)")] = None
    """Training seeds to show side by side."""
    checkpoints: bool = False
    """Show the policies at the checkpoints that the run keeps, side by side."""
    width: WidthInt = None
    """Width of each policy's picture in pixels, an even number."""
    height: HeightInt = None
    """Height of each policy's picture in pixels, an even number."""
    fps: FpsFloat = None
    """Frames per second."""
    camera: CameraName = None
    """Name or number of one of the MuJoCo model's cameras, or "free"."""
    task: RunTask = None
    """The run's task, needed where it is a module:callable: a run directory's word is not enough to run code."""

    def run(self) -> int:
        """Record, and say what came of it; return the exit code."""
        from surefoot.video import record

        console = Console(stderr=True)
        with console.status("recording: making the environment") as status:  # nothing where stderr is no terminal

            def show(progress: Progress) -> None:
                status.update(
                    f"recording: episode {progress.episode + 1} of {progress.episodes}, step {progress.env_steps}"
                )

            options = {name: value for name, value in vars(self).items() if name not in ("path", "out")}
            recording = record(self.path, self.out, **options, on_progress=show)
        _print(recording)
        return 0


def _print(recording: Recording) -> None:
    """One line about the file, then one for each policy."""
    from surefoot.cli.display import bytes_text, path_text

    size = bytes_text(recording.path.stat().st_size)
    seconds = recording.frames / recording.fps
    print(
        f"{path_text(recording.path.absolute())}: {seconds:.1f} s, {recording.frames} frames at "
        f"{recording.fps:.4g} fps, {recording.width} x {recording.height}, {size}"
    )
    for tile in recording.tiles:
        returns = " ".join(f"{value:.1f}" for value in tile.returns)
        print(f"  seed {tile.seed}, trained for {tile.trained_env_steps:,} env steps: return {returns}")
