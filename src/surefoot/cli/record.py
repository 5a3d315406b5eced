"""``surefoot record``: video of a run's policies."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import tyro

from surefoot.cli.options import CameraName, FpsFloat, HeightInt, Int, RunPath, RunTask, VideoPath, WidthInt
from surefoot.streams import emit

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
    """Record a run's policies to an .mp4 or .gif file that plays in real time."""

    path: RunPath
    """Run directory."""
    out: VideoPath
    """File to write, ending in .mp4 or .gif; an existing one is replaced."""
    episodes: Int = 1
    """Consecutive episodes, the same as in evaluations."""
    seeds: Annotated[tuple[int, ...] | None, _SEEDS, tyro.conf.arg(help_behavior_hint="(default: the best one)")] = None
    """Training seeds to show side by side."""
    checkpoints: bool = False
    """Show the policies at the run's checkpoints side by side."""
    width: WidthInt = None
    """Width of each policy's picture in pixels, an even number."""
    height: HeightInt = None
    """Height of each policy's picture in pixels, an even number."""
    fps: FpsFloat = None
    """Frames per second."""
    camera: CameraName = None
    """Name or number of a camera of the MuJoCo model, or "free", instead of the environment's own picture."""
    task: RunTask = None
    """Task of the run, required where it is module:callable, since a run directory is not trusted to name code."""

    imports = ("rich.console", "surefoot.video")

    def run(self) -> int:
        """Record and print a summary; return the exit code."""
        from rich.console import Console

        from surefoot.video import record

        console = Console(stderr=True)
        # Invisible where stderr is no terminal.
        with console.status("recording: making the environment", spinner="line") as status:

            def show(progress: Progress) -> None:
                status.update(
                    f"recording: episode {progress.episode + 1} of {progress.episodes}, step {progress.env_steps}"
                )

            options = {name: value for name, value in vars(self).items() if name not in ("path", "out")}
            recording = record(self.path, self.out, **options, on_progress=show)
        _print(recording)
        return 0


def _print(recording: Recording) -> None:
    """Print one line about the file and one for each policy."""
    from surefoot.cli.display import bytes_text, path_text

    size = bytes_text(recording.path.stat().st_size)
    seconds = recording.frames / recording.fps
    emit(
        f"{path_text(recording.path.absolute())}: {seconds:.1f} s, {recording.frames} frames at "
        f"{recording.fps:.4g} fps, {recording.width} x {recording.height}, {size}"
    )
    for tile in recording.tiles:
        returns = " ".join(f"{value:.1f}" for value in tile.returns)
        emit(f"  seed {tile.seed}, trained for {tile.trained_env_steps:,} env steps: return {returns}")
