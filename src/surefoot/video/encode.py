"""Frames to a file: H.264 in an .mp4, or a .gif, by the ffmpeg program that imageio-ffmpeg brings."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

import numpy as np

from surefoot.errors import MissingDependency, RunFailure, UserError
from surefoot.output import check_output, output_errors
from surefoot.runs.atomic import TEMPORARY, sync_folder

MOST_FPS = {".mp4": 50.0, ".gif": 25.0}
"""The formats by their suffix, and the frames per second a video has at most where none are asked for. Viewers show a
GIF's frames for multiples of 10 ms, and distrust short ones."""

# Players and browsers show nothing but yuv420p; faststart lets them begin before the whole file is there.
_ENCODERS = {
    ".mp4": ("-c:v", "libx264", "-crf", "20", "-pix_fmt", "yuv420p", "-movflags", "+faststart", "-f", "mp4"),
    # A palette for every frame: one for all would need all frames in memory.
    ".gif": ("-vf", "split[a][b];[a]palettegen=stats_mode=single[p];[b][p]paletteuse=new=1:dither=none", "-f", "gif"),
}


def find_encoder() -> str:
    """Return the path of the ffmpeg program.

    Raises:
        MissingDependency: imageio-ffmpeg or Pillow is not installed.
        UserError: the program is missing all the same.
    """
    try:
        import imageio_ffmpeg  # type: ignore[import-untyped]
        import PIL  # noqa: F401  (it writes the captions)
    except ModuleNotFoundError as error:
        if error.name in ("imageio_ffmpeg", "PIL"):
            package = {"imageio_ffmpeg": "imageio-ffmpeg", "PIL": "pillow"}[error.name]
            raise MissingDependency(package, "video", "Recording a video") from error
        raise
    try:
        program = str(imageio_ffmpeg.get_ffmpeg_exe())  # what IMAGEIO_FFMPEG_EXE says, unseen
        if shutil.which(program) is None:
            raise RuntimeError(f"{program} is no program")
    except RuntimeError as error:
        raise UserError(
            f"recording needs the program ffmpeg ({' '.join(str(error).split())}): install it, or set "
            "IMAGEIO_FFMPEG_EXE to its path"
        ) from error
    return program


def check_out(out: Path, run: Path) -> None:
    """Refuse a file that cannot be written, before the work that would be lost.

    Raises:
        UserError: the suffix is not a known format, or the place cannot be written to or is the run's own.
    """
    if out.suffix.lower() not in MOST_FPS:
        raise UserError(f"cannot record to {str(out)!r}: expected a name that ends in {' or '.join(MOST_FPS)}")
    check_output(out, run)


@contextlib.contextmanager
def open_video(out: Path, fps: float, width: int, height: int) -> Iterator[Callable[[np.ndarray], object]]:
    """Yield a function that appends a frame [height, width, 3] uint8; the file is there when the block ends well.

    Until then the video is made beside it, and what was at `out` stays. Other endings leave nothing behind.

    Args:
        out: where, a name that `check_out` accepts.
        fps: frames per second.
        width: pixels, even.
        height: pixels, even.

    Raises:
        UserError: the file cannot be written there.
        RunFailure: the disk refused, or the encoder failed.
    """
    beside = out.absolute().with_name(TEMPORARY + out.name)  # absolute: ffmpeg takes "a:b" for a protocol
    # fmt: off
    command = [
        find_encoder(), "-y", "-v", "error",
        "-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{width}x{height}", "-r", f"{fps:.6f}", "-i", "-",
        *_ENCODERS[out.suffix.lower()], os.fspath(beside),
    ]
    # fmt: on
    with output_errors(out):
        beside.unlink(missing_ok=True)  # it may be a link, through which ffmpeg would write
        beside.touch(exist_ok=False)
    try:
        with tempfile.TemporaryFile() as complaints:
            encoder = _Encoder(command, out, complaints)
            try:
                yield encoder.write
                encoder.finish()
            finally:
                encoder.stop()
        with output_errors(out):
            os.replace(beside, out)
            sync_folder(beside.parent)
    finally:
        beside.unlink(missing_ok=True)


class _Encoder:
    """The ffmpeg program at work."""

    def __init__(self, command: list[str], out: Path, complaints: IO[bytes]) -> None:
        self._out, self._complaints = out, complaints
        # A session of its own: an interrupt from the keyboard is ours to act on.
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stderr=complaints, start_new_session=True)
        assert self._process.stdin is not None
        self._stdin = self._process.stdin

    def write(self, frame: np.ndarray) -> None:
        """Append a frame [H, W, 3] uint8."""
        try:
            self._stdin.write(frame.tobytes())
        except BrokenPipeError as error:
            raise self._failure() from error

    def finish(self) -> None:
        """Wait until the file is complete."""
        try:
            self._stdin.close()
        except BrokenPipeError as error:
            raise self._failure() from error
        if self._process.wait():
            raise self._failure()

    def stop(self) -> None:
        """End the program if it still works."""
        self._process.kill()
        self._process.wait()
        with contextlib.suppress(BrokenPipeError):
            self._stdin.close()

    def _failure(self) -> RunFailure:
        """Say why it gave up: its last words, or else its exit code."""
        code = self._process.wait()
        self._complaints.seek(0)
        lines = self._complaints.read().decode(errors="replace").strip().splitlines()
        return RunFailure(f"cannot write {self._out}: ffmpeg says: {lines[-1] if lines else code}")
