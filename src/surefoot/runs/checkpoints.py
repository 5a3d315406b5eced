"""Checkpoints and replay segments of a run, verified by checksums.

A checkpoint is a folder with a manifest and arrays. The content of the replay buffer is not copied into it: it is
stored in segments, an append-only log, each of which is written once and referred to by checkpoints.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import stat
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from surefoot.errors import UserError
from surefoot.runs.arrays import read_arrays, write_arrays
from surefoot.runs.atomic import (
    REPLACED,
    Digest,
    current_folder,
    digest_of,
    disk_errors,
    remove_folder,
    replacing_file,
    replacing_folder,
    sync_file,
    sync_folder,
    write_file,
)
from surefoot.runs.untrusted import encode_json, read_errors, read_json, why_missing

CHECKPOINT_NAME = re.compile(r"env_steps_(\d{12})")
SEGMENT_NAME = re.compile(r"segment_(\d{12})_(\d{12})\.npz")
MANIFEST = "manifest.json"

_FORMAT = 1
_INACCESSIBLE = (errno.EACCES, errno.EPERM, errno.ESTALE, errno.ENOTCONN, errno.ETIMEDOUT, errno.EMFILE, errno.ENFILE)
"""Errors that do not mean damage: training on from an older checkpoint would remove an intact one."""
_ABSENT = ("is missing", "is a file")
_FILE_STEM = re.compile(r"[a-z][a-z0-9_]*")
_ARRAYS_FILE = re.compile(r"[a-z][a-z0-9_]*\.npz")


@dataclass(frozen=True)
class Checkpoint:
    """A verified checkpoint.

    Attributes:
        env_steps: Simulator control steps per seed.
        arrays: File stem -> array name -> array.
        meta: JSON values stored with the arrays.
        segments: Paths of its replay segments, in order.
        skipped: One line per newer checkpoint that could not be used, with the reason.
    """

    env_steps: int
    arrays: dict[str, dict[str, np.ndarray]]
    meta: dict[str, Any]
    segments: tuple[Path, ...]
    skipped: list[str]


@dataclass(frozen=True)
class _Manifest:
    """Verified content of a manifest."""

    env_steps: int
    files: dict[str, Digest]
    segments: dict[str, Digest]
    meta: dict[str, Any]


class CheckpointStore:
    """Checkpoints and replay segments of one run; see ``RunDirectory.checkpoints``.

    Args:
        checkpoints: Folder of the checkpoints.
        replay: Folder of the replay segments.
    """

    def __init__(self, checkpoints: Path, replay: Path) -> None:
        self._checkpoints = checkpoints
        self._replay = replay
        # Segments that this process wrote or verified are not read again.
        self._segment_digests: dict[str, Digest] = {}
        self._unusable: set[int] = set()

    def write_segment(self, start: int, stop: int, arrays: Mapping[str, np.ndarray]) -> str:
        """Write what entered the replay buffers between two counts; return the segment's file name.

        Write a segment right before the first checkpoint that refers to it: saving removes unreferenced ones.

        Args:
            start: Count before the first entry, such as agent steps.
            stop: Count after the last entry.
            arrays: Array name -> array of plain numbers.

        Raises:
            RunFailure: The write failed.
        """
        if not 0 <= start < stop < 10**12:
            raise ValueError(f"a segment needs 0 <= start < stop, got {start} and {stop}")
        path = self._replay / f"segment_{start:012d}_{stop:012d}.npz"
        with disk_errors("write", path):
            self._replay.mkdir(exist_ok=True)
            with replacing_file(path) as stream:
                digest = write_arrays(stream, arrays)
        self._segment_digests[path.name] = digest
        return path.name

    def read_segment(self, name: str | Path) -> dict[str, np.ndarray]:
        """Read a replay segment by file name or path.

        Raises:
            UserError: It is missing or damaged.
        """
        return read_arrays(self._replay / _segment_name(name))

    def save(
        self,
        env_steps: int,
        arrays: Mapping[str, Mapping[str, np.ndarray]],
        meta: Mapping[str, Any],
        segments: Sequence[str | Path],
    ) -> Path:
        """Write a checkpoint durably, then remove all but it and the previous one, and the segments neither needs.

        Its cost is that of the given arrays: segments that this process wrote or loaded are not read again.

        Args:
            env_steps: Simulator control steps per seed so far.
            arrays: File stem -> array name -> array of plain numbers.
            meta: JSON values to store with them, such as counters and log offsets.
            segments: Names or paths of the replay segments that a resumed run needs, in order.

        Returns:
            The checkpoint's folder.

        Raises:
            RunFailure: A write failed; earlier checkpoints are unchanged.
        """
        if not 0 <= env_steps < 10**12:
            raise ValueError(f"env_steps must be between 0 and 10**12 - 1, got {env_steps}")
        if bad := [stem for stem in arrays if not _FILE_STEM.fullmatch(stem)]:
            raise ValueError(f"file stems are lower-case identifiers, got {bad[0]!r}")
        path = self._checkpoints / f"env_steps_{env_steps:012d}"
        with disk_errors("write", path):
            digests = {name: self._segment_digest(name) for name in map(_segment_name, segments)}
            self._checkpoints.mkdir(exist_ok=True)
            with replacing_folder(path) as folder:
                files = {f"{stem}.npz": _write_synced(folder / f"{stem}.npz", arrays[stem]) for stem in arrays}
                manifest = _Manifest(env_steps, files, digests, dict(meta))
                write_file(folder / MANIFEST, _encode_manifest(manifest))
            self._unusable.discard(env_steps)
            self._prune(env_steps)
        return path

    def any(self) -> bool:
        """Return whether there is a checkpoint, usable or not."""
        return bool(self._newest_first())

    def load(self) -> Checkpoint:
        """Load the newest checkpoint whose checksums are right, those of its replay segments included.

        Raises:
            UserError: There is none (the message has the reasons), or a newer one cannot be accessed.
        """
        skipped: list[str] = []
        for folder in self._newest_first():
            try:
                manifest = self._verify(folder)
                arrays = {name.removesuffix(".npz"): read_arrays(folder / name) for name in manifest.files}
            except UserError as error:
                if getattr(error.__cause__, "errno", None) in _INACCESSIBLE:
                    raise UserError(f"cannot load a checkpoint in {self._checkpoints}: {error}") from error
                skipped.append(str(error))
                self._unusable.add(_env_steps_of(folder))
                continue
            self._unusable.discard(manifest.env_steps)  # it may have been repaired
            self._segment_digests.update(manifest.segments)
            segments = tuple(self._replay / name for name in manifest.segments)
            return Checkpoint(manifest.env_steps, arrays, manifest.meta, segments, skipped)
        reasons = "; ".join(skipped) or "it holds none"
        raise UserError(f"no usable checkpoint in {self._checkpoints}: {reasons}")

    def discard_after(self, checkpoint: Checkpoint) -> None:
        """Remove newer checkpoints than this one, and segments that are no longer needed.

        Args:
            checkpoint: Checkpoint that a resumed run continues from.

        Raises:
            RunFailure: The removal failed.
        """
        with disk_errors("remove checkpoints after", self._checkpoints / f"env_steps_{checkpoint.env_steps:012d}"):
            self._prune(checkpoint.env_steps)

    def _prune(self, env_steps: int) -> None:
        """Keep the checkpoint at `env_steps`, one usable before it, and the segments of both."""
        kept: list[_Manifest] = []
        for folder in self._newest_first():
            steps = _env_steps_of(folder)
            if steps <= env_steps and steps not in self._unusable and len(kept) < 2:
                try:
                    kept.append(_read_manifest(folder))
                    continue
                except UserError:
                    pass  # unusable, and there is a newer one
            remove_folder(folder)
            self._unusable.discard(steps)
        needed = {name for manifest in kept for name in manifest.segments}
        if not os.path.isdir(self._replay):
            return
        for segment in self._replay.iterdir():
            if SEGMENT_NAME.fullmatch(segment.name) and segment.name not in needed:
                segment.unlink()
                self._segment_digests.pop(segment.name, None)
        sync_folder(self._checkpoints)
        sync_folder(self._replay)

    def _newest_first(self) -> list[Path]:
        if why_missing(self._checkpoints) in _ABSENT:
            return []
        with read_errors(self._checkpoints):
            names = {name.removeprefix(REPLACED) for name in os.listdir(self._checkpoints)}
        found = sorted((name for name in names if CHECKPOINT_NAME.fullmatch(name)), reverse=True)
        folders = (current_folder(self._checkpoints / name) for name in found)
        return [folder for folder in folders if why_missing(folder) not in _ABSENT]

    def _verify(self, folder: Path) -> _Manifest:
        """Return the manifest of a checkpoint after verifying its files and segments."""
        manifest = _read_manifest(folder)
        for name, digest in manifest.files.items():
            _verify_file(folder, folder / name, digest)
        for name, digest in manifest.segments.items():
            _verify_file(folder, self._replay / name, digest)
        return manifest

    def _segment_digest(self, name: str) -> Digest:
        if name not in self._segment_digests:
            self._segment_digests[name] = digest_of(self._replay / name)
        return self._segment_digests[name]


def _write_synced(path: Path, arrays: Mapping[str, np.ndarray]) -> Digest:
    with path.open("wb") as stream:
        digest = write_arrays(stream, arrays)
        sync_file(stream)
    return digest


def _segment_name(segment: str | Path) -> str:
    name = Path(segment).name
    if not SEGMENT_NAME.fullmatch(name):
        raise UserError(f"{name!r} is not a replay segment; expected segment_<start>_<stop>.npz")
    return name


def _env_steps_of(folder: Path) -> int:
    return int(folder.name[-12:])


def _verify_file(checkpoint: Path, path: Path, expected: Digest) -> None:
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise UserError(f"{checkpoint.name}: {path.name} is not a regular file")
        # The size first: it is cheap, and detects every truncated file.
        if status.st_size != expected.size or digest_of(path) != expected:
            raise UserError(f"{checkpoint.name}: {path.name} is damaged (wrong size or checksum)")
    except FileNotFoundError as error:
        raise UserError(f"{checkpoint.name}: {path.name} is missing") from error
    except OSError as error:
        raise UserError(f"{checkpoint.name}: {path.name} cannot be read: {error.strerror}") from error


def _encode_manifest(manifest: _Manifest) -> bytes:
    # Through JSON and back, so that the checksum is that of the values a reader gets (text keys, lists).
    content = json.loads(encode_json({"format": _FORMAT, **asdict(manifest)}))
    return encode_json({**content, "sha256": _checksum(content)}, indent=1)


def _checksum(content: dict[str, Any]) -> str:
    """Return the checksum of a manifest without its own entry; it also covers meta."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _read_manifest(folder: Path) -> _Manifest:
    """Read and validate a manifest."""
    content = read_json(folder / MANIFEST)
    try:
        if content.pop("sha256") != _checksum(content) or content["format"] != _FORMAT:
            raise UserError(f"{folder.name}: {MANIFEST} is damaged (wrong checksum)")
        manifest = _Manifest(
            env_steps=content["env_steps"],
            files={name: Digest(**digest) for name, digest in content["files"].items()},
            segments={name: Digest(**digest) for name, digest in content["segments"].items()},
            meta=content["meta"],
        )
        right_names = all(map(_ARRAYS_FILE.fullmatch, manifest.files)) and all(
            map(SEGMENT_NAME.fullmatch, manifest.segments)
        )
    except UserError:
        raise
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{folder.name}: {MANIFEST} is damaged") from error
    if not right_names or manifest.env_steps != _env_steps_of(folder) or not isinstance(manifest.meta, dict):
        raise UserError(f"{folder.name}: {MANIFEST} belongs to another checkpoint")
    return manifest
