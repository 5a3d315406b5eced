"""Arrays in .npz files: reproducible bytes, NumPy compatibility, rejection of malicious files."""

import io
import random
import tracemalloc
import zipfile

import numpy as np
import pytest

from surefoot.errors import UserError
from surefoot.runs.arrays import read_arrays, write_arrays
from surefoot.runs.atomic import digest_of

ARRAYS = {
    "params['Dense_0']/kernel": np.arange(12, dtype=np.float32).reshape(3, 4) / 7,
    "scalar": np.float64(0.1),
    "key": np.array([1, 2**32 - 1], dtype=np.uint32),
    "done": np.array([True, False]),
    "empty": np.zeros((0, 5), dtype=np.int64),
    "half": np.array([1.5, np.nan], dtype=np.float16),
    "big_endian": np.array([1, 2], dtype=">i4"),
    "transposed": np.arange(6.0).reshape(2, 3).T,
}


def write(path, arrays):
    with path.open("wb") as stream:
        return write_arrays(stream, arrays)


def assert_same(got, expected):
    assert got.keys() == expected.keys()
    for name, array in expected.items():
        assert got[name].dtype == np.asarray(array).dtype
        assert got[name].shape == np.shape(array)
        assert got[name].tobytes() == np.asarray(array, order="C").tobytes()


def test_arrays_round_trip_and_are_readable_by_numpy(tmp_path):
    digest = write(tmp_path / "a.npz", ARRAYS)
    assert digest == digest_of(tmp_path / "a.npz")
    assert_same(read_arrays(tmp_path / "a.npz"), ARRAYS)
    with np.load(tmp_path / "a.npz", allow_pickle=False) as archive:
        assert_same(dict(archive), ARRAYS)


def test_numpy_files_are_readable(tmp_path):
    np.savez(tmp_path / "a.npz", weights=np.arange(3.0), count=np.int32(4))
    assert_same(read_arrays(tmp_path / "a.npz"), {"weights": np.arange(3.0), "count": np.int32(4)})


def test_bytes_do_not_depend_on_order(tmp_path):
    first = write(tmp_path / "a.npz", ARRAYS)
    assert write(tmp_path / "b.npz", dict(reversed(ARRAYS.items()))) == first
    assert write(tmp_path / "c.npz", {**ARRAYS, "scalar": np.float64(0.2)}) != first


def test_read_arrays_are_writable_and_own_their_memory(tmp_path):
    write(tmp_path / "a.npz", {"x": np.zeros(3)})
    read_arrays(tmp_path / "a.npz")["x"][0] = 1


@pytest.mark.parametrize("array", [np.array([{}], dtype=object), np.array(["text"]), np.zeros(2, np.complex128)])
def test_other_dtypes_are_rejected(tmp_path, array):
    with pytest.raises(TypeError, match="'x'"):
        write(tmp_path / "a.npz", {"x": array})


def npy(header: str, data: bytes) -> bytes:
    encoded = header.encode() + b"\n"
    return b"\x93NUMPY\x01\x00" + len(encoded).to_bytes(2, "little") + encoded + data


def archive_of(*members: tuple[str, bytes], compression: int = zipfile.ZIP_STORED) -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", compression) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return target.getvalue()


def header(descr: str = "'<f4'", order: str = "False", shape: str = "(2,)") -> str:
    return f"{{'descr': {descr}, 'fortran_order': {order}, 'shape': {shape}, }}"


EIGHT = b"\x00" * 8
MALFORMED = {
    "a declared size of a terabyte": archive_of(("x.npy", npy(header(shape="(1000000000000,)"), EIGHT))),
    "a declared size beyond int64": archive_of(("x.npy", npy(header(shape=f"({'9' * 17}, {'9' * 17})"), EIGHT))),
    "negative size": archive_of(("x.npy", npy(header(shape="(-2,)"), EIGHT))),
    "pickled objects": archive_of(("x.npy", npy(header(descr="'|O'", shape="(1,)"), EIGHT))),
    "records": archive_of(("x.npy", npy(header(descr="[('a', '<f4')]"), EIGHT))),
    "an expression": archive_of(("x.npy", npy(header(shape="(1+1,)"), EIGHT))),
    "no such type": archive_of(("x.npy", npy(header(descr="'<f1'"), EIGHT))),
    "Fortran order": archive_of(("x.npy", npy(header(order="True"), EIGHT))),
    "more data than shape": archive_of(("x.npy", npy(header(), EIGHT + b"!"))),
    "less data than shape": archive_of(("x.npy", npy(header(), EIGHT[:7]))),
    "no header": archive_of(("x.npy", b"hello")),
    "a long header": archive_of(("x.npy", npy(header() + " " * 60_000, EIGHT))),
    "not an array": archive_of(("x.txt", b"hello")),
    "a compressed bomb": archive_of(("x.npy", b"\0" * 10**6), compression=zipfile.ZIP_DEFLATED),
    "bare pickle": b"\x80\x04\x95\x05\x00\x00\x00",
    "empty": b"",
}


@pytest.mark.parametrize("name", MALFORMED)
def test_malicious_files_are_rejected_cheaply(tmp_path, name):
    (tmp_path / "a.npz").write_bytes(MALFORMED[name])
    tracemalloc.start()
    with pytest.raises(UserError, match=r"a\.npz") as caught:
        read_arrays(tmp_path / "a.npz")
    assert tracemalloc.get_traced_memory()[1] < 4_000_000
    tracemalloc.stop()
    assert "\n" not in str(caught.value)


def test_repeated_names_are_rejected(tmp_path):
    with pytest.warns(UserWarning, match="Duplicate"):
        content = archive_of(("x.npy", npy(header(), EIGHT)), ("x.npy", npy(header(), EIGHT)))
    (tmp_path / "a.npz").write_bytes(content)
    with pytest.raises(UserError, match="two arrays"):
        read_arrays(tmp_path / "a.npz")


def test_missing_file_and_folder_are_rejected(tmp_path):
    with pytest.raises(UserError, match=r"cannot read .*absent\.npz: No such file"):
        read_arrays(tmp_path / "absent.npz")
    with pytest.raises(UserError, match="it is not a regular file"):
        read_arrays(tmp_path)


def test_mutated_files_give_arrays_or_user_error(tmp_path):
    write(tmp_path / "a.npz", ARRAYS)
    original = (tmp_path / "a.npz").read_bytes()
    generator, rejected = random.Random(0), 0
    for case in range(400):
        content = bytearray(original)
        for _ in range(generator.randint(1, 4)):
            content[generator.randrange(len(content))] = generator.randrange(256)
        if case % 4 == 0:
            content = content[: generator.randrange(len(content))]
        (tmp_path / "b.npz").write_bytes(content)
        try:
            read_arrays(tmp_path / "b.npz")
        except UserError:
            rejected += 1
    assert rejected > 200
