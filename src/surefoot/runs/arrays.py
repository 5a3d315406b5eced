"""Named arrays in .npz files without pickle, readable by NumPy, whose bytes depend on the arrays only.

Reading is stricter than `numpy.load`: members must be uncompressed, hold plain numbers, and be exactly as large as
their header says, so a malicious file can neither run code nor allocate more memory than its own size.
"""

from __future__ import annotations

import hashlib
import math
import os
import re
import struct
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import IO, BinaryIO

import numpy as np

from surefoot.errors import UserError
from surefoot.runs.atomic import Digest
from surefoot.runs.untrusted import open_regular

_TIMESTAMP = (1980, 1, 1, 0, 0, 0)
"""Time of every member, so that equal arrays make equal files."""

_MAGIC = b"\x93NUMPY\x01\x00"
_HEADER = re.compile(
    rb"\{'descr': '([<>|][biuf][1248])', 'fortran_order': False, 'shape': \(((?:\d{1,18}, ?)*\d{0,18})\), ?\} *\n"
)
_NUMBER_TYPE = re.compile(r"[<>|][biuf][1248]")
_MAX_HEADER_BYTES = 4096
_MAX_NAME = 500
_CHUNK_BYTES = 1 << 20


class _DigestingStream:
    """Write-only stream that computes a digest. It cannot seek, so the zip writer never rewrites a byte."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._sha256 = hashlib.sha256()
        self._size = 0

    def write(self, data: bytes) -> int:
        self._stream.write(data)
        self._sha256.update(data)
        self._size += len(data)
        return len(data)

    def flush(self) -> None:
        self._stream.flush()

    def digest(self) -> Digest:
        return Digest(self._sha256.hexdigest(), self._size)


def write_arrays(stream: BinaryIO, arrays: Mapping[str, np.ndarray]) -> Digest:
    """Write arrays of booleans, integers or floats (any shape) as an uncompressed .npz and return its digest.

    Raises:
        TypeError: An array holds other values than plain numbers of up to 8 bytes.
        ValueError: A name is empty or not printable.
        OSError: The write failed.
    """
    members = {name: np.asarray(array, order="C") for name, array in arrays.items()}
    for name, array in members.items():
        if not name or not name.isprintable():
            raise ValueError(f"array names must be printable and not empty, got {name!r}")
        if not _NUMBER_TYPE.fullmatch(array.dtype.str):
            raise TypeError(f"array {name!r} has dtype {array.dtype}, which cannot be stored without pickle")
    target = _DigestingStream(stream)
    # zipfile only needs write and flush of a stream that cannot seek, unlike its annotations.
    with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as archive:  # type: ignore[call-overload]
        for name in sorted(members):
            info = zipfile.ZipInfo(f"{name}.npy", _TIMESTAMP)
            with archive.open(info, "w", force_zip64=True) as member:
                np.lib.format.write_array(member, members[name], version=(1, 0), allow_pickle=False)
    return target.digest()


def read_arrays(path: Path) -> dict[str, np.ndarray]:
    """Read every array of an .npz file written by `write_arrays` or by `numpy.savez`.

    Raises:
        UserError: The file is missing, damaged, or holds anything but uncompressed plain numbers in C order.
    """
    try:
        with open_regular(path) as stream, zipfile.ZipFile(stream) as archive:
            size = os.fstat(stream.fileno()).st_size
            members = archive.infolist()
            if sum(info.file_size for info in members) > size:
                raise ValueError("its members claim to be larger than the file")
            names = [_array_name(info) for info in members]
            if len(set(names)) != len(names):
                raise ValueError("it holds two arrays with the same name")
            return {name: _read_member(archive, info) for name, info in zip(names, members, strict=True)}
    except UserError:
        raise
    except (
        zipfile.BadZipFile,
        struct.error,
        OSError,
        EOFError,
        ValueError,  # includes text that is not UTF-8
        OverflowError,
        RuntimeError,  # of encrypted members; includes NotImplementedError
    ) as error:
        raise UserError(f"{path} is damaged or not a file of arrays: {error}") from error


def check_array_sizes(path: Path) -> None:
    """Validate the sizes of arrays in an .npz file, which may be compressed, before `numpy.load` allocates them.

    A compressed file can hold a thousand times its own size, and claim any size.

    Raises:
        UserError: A size is wrong, or the arrays are larger than this machine's memory.
        ValueError, OSError, RuntimeError: It is not an .npz file; raised as by `numpy.load`.
    """
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
        total, memory = (
            sum(info.file_size for info in members),
            os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        )
        if total > memory:
            raise UserError(f"{path} holds {total / 1e9:.1f} GB of arrays, but this machine has {memory / 1e9:.1f} GB")
        for info in members:
            if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                raise UserError(f"{path}: {info.filename[:80]!r} has an unsupported compression")
            with archive.open(info) as member:
                version = np.lib.format.read_magic(member)
                read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
                shape, _, dtype = read(member)
                size = member.tell() + math.prod(shape) * dtype.itemsize
                if size != info.file_size and not dtype.hasobject:  # numpy.load rejects pickled objects
                    raise UserError(
                        f"{path} is damaged: {info.filename[:80]!r} is not as large as its shape {shape} requires"
                    )


def _array_name(info: zipfile.ZipInfo) -> str:
    if len(info.filename) > _MAX_NAME:  # first, as the messages below contain it
        raise ValueError(f"a member's name has {len(info.filename)} characters, expected at most {_MAX_NAME}")
    if info.compress_type != zipfile.ZIP_STORED or info.file_size != info.compress_size:
        raise ValueError(f"member {info.filename!r} is compressed")
    if not info.filename.endswith(".npy"):
        raise ValueError(f"member {info.filename!r} is not an .npy array")
    if not info.filename.isprintable():
        raise ValueError(f"member {info.filename!r} has a name that cannot be printed")
    return info.filename.removesuffix(".npy")


def _read_member(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> np.ndarray:
    with archive.open(info) as member:
        dtype, shape, header_bytes = _read_header(member, info.filename)
        count = math.prod(shape)
        # Checked before anything is allocated.
        if header_bytes + count * dtype.itemsize != info.file_size:
            raise ValueError(f"member {info.filename!r} is not as large as its shape {shape} requires")
        flat = np.empty(count, dtype)
        target = flat.view(np.uint8)
        position = 0
        while chunk := member.read(_CHUNK_BYTES):  # zipfile verifies the checksum at the end
            target[position : position + len(chunk)] = np.frombuffer(chunk, np.uint8)
            position += len(chunk)
        if position != target.size:
            raise ValueError(f"member {info.filename!r} ends early")
        if dtype == np.bool_ and np.any(target > 1):
            raise ValueError(f"member {info.filename!r} holds booleans that are neither true nor false")
        return flat.reshape(shape)


def _read_header(member: IO[bytes], name: str) -> tuple[np.dtype, tuple[int, ...], int]:
    """Return dtype, shape and the size of the header, which is matched by a pattern and never evaluated."""
    start = member.read(len(_MAGIC) + 2)
    length = int.from_bytes(start[len(_MAGIC) :], "little")
    if start[: len(_MAGIC)] != _MAGIC or length > _MAX_HEADER_BYTES:
        raise ValueError(f"member {name!r} has no .npy header")
    match = _HEADER.fullmatch(member.read(length))
    if match is None:
        raise ValueError(f"member {name!r} is not an array of plain numbers in C order")
    try:
        dtype = np.dtype(match[1].decode())
    except TypeError as error:
        raise ValueError(f"member {name!r} has an unknown number type") from error
    shape = tuple(int(size) for size in match[2].replace(b" ", b"").split(b",") if size)
    return dtype, shape, len(start) + length
