"""Video encoding by ffmpeg: H.264 in .mp4 files, and .gif files."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np

from surefoot.errors import MissingDependency, RunFailure, UserError
from surefoot.machine import usable_cores
from surefoot.output import check_output, output_errors
from surefoot.processes import memory_file, written
from surefoot.runs.atomic import TEMPORARY, sibling, sync_folder
from surefoot.runs.layout import absolute

MAX_FPS = {".mp4": 50.0, ".gif": 25.0}
"""Highest default frame rate by suffix. Viewers show GIF frames for multiples of 10 ms and slow down short ones."""

# Players and browsers require yuv420p; with faststart they start before the download is complete.
_ENCODERS = {
    ".mp4": ("-c:v", "libx264", "-crf", "20", "-pix_fmt", "yuv420p", "-movflags", "+faststart", "-f", "mp4"),
    # One palette per frame: a common one would need all frames in memory.
    ".gif": ("-vf", "split[a][b];[a]palettegen=stats_mode=single[p];[b][p]paletteuse=new=1:dither=none", "-f", "gif"),
}


def find_encoder() -> str:
    """Return the path of the ffmpeg program.

    Raises:
        MissingDependency: imageio-ffmpeg or Pillow is not installed.
        UserError: The program is missing.
    """
    try:
        import imageio_ffmpeg  # type: ignore[import-untyped]
        import PIL  # noqa: F401  (for the captions)
    except ModuleNotFoundError as error:
        if error.name in ("imageio_ffmpeg", "PIL"):
            package = {"imageio_ffmpeg": "imageio-ffmpeg", "PIL": "pillow"}[error.name]
            raise MissingDependency(package, "video", "Recording a video") from error
        raise
    try:
        program = str(imageio_ffmpeg.get_ffmpeg_exe())  # IMAGEIO_FFMPEG_EXE is not validated
        if shutil.which(program) is None:
            raise RuntimeError(f"{program} is not a program")
    except RuntimeError as error:
        raise UserError(
            f"recording needs the program ffmpeg ({' '.join(str(error).split())}): install it, or set "
            "IMAGEIO_FFMPEG_EXE to its path"
        ) from error
    return program


def check_out(out: Path, run: Path) -> None:
    """Validate the output path before the recording.

    Raises:
        UserError: The suffix is not a known format, or the path cannot be written or belongs to the run.
    """
    if out.suffix.lower() not in MAX_FPS:
        raise UserError(f"cannot record to {str(out)!r}: expected a name ending in {' or '.join(MAX_FPS)}")
    check_output(out, run)


@contextlib.contextmanager
def open_video(out: Path, fps: float, width: int, height: int) -> Iterator[Callable[[np.ndarray], object]]:
    """Yield a function that appends a frame [height, width, 3] uint8.

    The video is written to a temporary file in the same folder, which replaces `out` when the block succeeds and is
    deleted when it raises.

    Args:
        out: Output path, validated by `check_out`.
        fps: Frames per second.
        width: Width in pixels, even.
        height: Height in pixels, even.

    Raises:
        UserError: The file cannot be written there.
        RunFailure: Writing or encoding failed.
    """
    temporary = sibling(TEMPORARY, absolute(out))  # absolute: ffmpeg takes "a:b" for a protocol
    threads = ("-threads", str(usable_cores()))  # ffmpeg itself does not consider a CPU quota
    # fmt: off
    command = [
        find_encoder(), "-y", "-v", "error",
        *threads, "-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{width}x{height}", "-r", f"{fps:.6f}", "-i", "-",
        *_ENCODERS[out.suffix.lower()], *threads, os.fspath(temporary),
    ]
    # fmt: on
    with output_errors(out):
        temporary.unlink(missing_ok=True)  # it may be a link, through which ffmpeg would write
        temporary.touch(exist_ok=False)
    try:
        with memory_file() as stderr:
            encoder = _Encoder(command, out, stderr)
            try:
                yield encoder.write
                encoder.finish()
            finally:
                encoder.stop()
        with output_errors(out):
            os.replace(temporary, out)
            sync_folder(temporary.parent)
    finally:
        temporary.unlink(missing_ok=True)


class _Encoder:
    """Running ffmpeg process."""

    def __init__(self, command: list[str], out: Path, stderr: BinaryIO) -> None:
        self._out, self._stderr = out, stderr
        # In its own session, so that only this process handles a keyboard interrupt.
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stderr=stderr, start_new_session=True)
        assert self._process.stdin is not None
        self._stdin = self._process.stdin
        _encoders.add(self)

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
        """End the process if it is still running."""
        self._process.kill()
        self._process.wait()
        with contextlib.suppress(BrokenPipeError):
            self._stdin.close()

    def disconnect(self) -> None:
        """Redirect frames to nowhere; closing would write those in the buffer."""
        if not self._stdin.closed:
            with open(os.devnull, "wb") as nowhere:
                os.dup2(nowhere.fileno(), self._stdin.fileno(), inheritable=False)

    def _failure(self) -> RunFailure:
        """Return the failure with the last line of its output, or its exit code."""
        code = self._process.wait()
        lines = written(self._stderr).decode(errors="replace").strip().splitlines()
        return RunFailure(f"cannot write {self._out}: ffmpeg failed: {lines[-1] if lines else f'exit code {code}'}")


_encoders: weakref.WeakSet[_Encoder] = weakref.WeakSet()


def _disconnect_in_child() -> None:
    """Leave the encoders to the parent: ffmpeg would wait for a child that an environment has forked."""
    for encoder in _encoders:
        encoder.disconnect()


os.register_at_fork(after_in_child=_disconnect_in_child)
