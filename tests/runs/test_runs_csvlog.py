"""CSV logs: writing, truncation and reading while they grow."""

import csv
import errno
import os

import numpy as np
import pytest

from surefoot.errors import RunFailure, UserError
from surefoot.runs import EVALUATION_COLUMNS, CsvLog, read_evaluations, read_training
from surefoot.runs.csvread import LogTail

ROW = {
    "task": "cheetah-run",
    "algorithm": "crossq-wn",
    "utd": 2,
    "seed": np.int64(3),
    "env_steps": 25_000,
    "agent_steps": 12_500,
    "grad_steps": 15_000,
    "episode": 0,
    "return": np.float32(0.1),
    "length_env_steps": 1000,
    "success_any": np.bool_(True),
    "success_last": None,
    "score": 1 / 3,
    "wall_seconds": 1e-17,
}


@pytest.fixture
def log(tmp_path):
    log = CsvLog(tmp_path / "evaluations.csv", EVALUATION_COLUMNS)
    yield log
    log.close()


def test_rows_round_trip_exactly(log):
    log.append([ROW, {**ROW, "task": 'a "quoted", name', "return": float("-inf"), "seed": 4}])
    columns = read_evaluations(log.path)
    assert list(columns) == list(EVALUATION_COLUMNS)
    assert columns["task"].tolist() == ["cheetah-run", 'a "quoted", name']
    assert columns["seed"].dtype == np.int64
    assert columns["seed"].tolist() == [3, 4]
    assert columns["return"].tolist() == [float(np.float32(0.1)), float("-inf")]
    assert columns["score"][0] == 1 / 3
    assert columns["wall_seconds"][0] == 1e-17
    assert columns["success_any"][0] == 1.0
    assert np.isnan(columns["success_last"]).all()
    assert np.isnan(columns["first_success_env_step"]).all()


def test_run_directory_is_accepted_as_path(log, tmp_path):
    log.append([ROW])
    assert read_evaluations(tmp_path)["seed"].tolist() == [3]


def test_standard_csv_reader_agrees(log):
    log.append([ROW])
    with log.path.open(newline="") as file:
        (row,) = csv.DictReader(file)
    assert float(row["return"]) == float(np.float32(0.1))
    assert row["success_any"] == "1"
    assert row["success_last"] == "NaN"  # in the first row


def test_invalid_rows_are_rejected_before_writing(log):
    before = log.path.read_bytes()
    for bad in ({"retrun": 1.0}, {"task": "a\nb"}):
        with pytest.raises(ValueError, match=r"retrun|line breaks"):
            log.append([ROW, bad])
    assert log.path.read_bytes() == before


def test_truncate_drops_later_rows(log):
    log.append([ROW])
    offset = log.offset()
    content = log.path.read_bytes()
    assert offset == len(content)
    log.append([ROW, ROW])
    log.truncate(offset)
    assert log.path.read_bytes() == content
    log.append([{**ROW, "seed": 9}])
    assert read_evaluations(log.path)["seed"].tolist() == [3, 9]


@pytest.mark.parametrize("shift", [-1, 1])
def test_truncate_rejects_offset_inside_row(log, shift):
    log.append([ROW])
    content = log.path.read_bytes()
    with pytest.raises(UserError, match="changed since its checkpoint"):
        log.truncate(log.offset() + shift)
    assert log.path.read_bytes() == content


def test_incomplete_row_is_ignored_and_dropped_on_reopening(log):
    log.append([ROW, ROW])
    log.close()
    whole = log.path.read_bytes()
    for cut in range(1, len(whole) - whole.rfind(b"\n", 0, -1)):
        log.path.write_bytes(whole[:-cut])
        assert len(read_evaluations(log.path)["seed"]) == 1
    reopened = CsvLog(log.path, EVALUATION_COLUMNS)
    reopened.append([{**ROW, "seed": 5}])
    reopened.close()
    assert read_evaluations(log.path)["seed"].tolist() == [3, 5]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "no header"),
        (b"task,algor", "no header"),
        (b"a,b\n1,2\n", "has columns a, b"),
        (b"\xff\xfe\n", "not a CSV"),
        (",".join(EVALUATION_COLUMNS).encode() + b"\n1,2\n", "line 2 has 2 cells, expected 15"),
        (",".join(EVALUATION_COLUMNS).encode() + b"\nt,a,2,0,x" + b"," * 10 + b"\n", "env_steps is 'x'"),
        (",".join(EVALUATION_COLUMNS).encode() + b"\nt,a,2,0," + b"9" * 30 + b"," * 10 + b"\n", "env_steps is '9"),
    ],
)
def test_invalid_files_raise_user_error(tmp_path, content, message):
    path = tmp_path / "evaluations.csv"
    path.write_bytes(content)
    with pytest.raises(UserError, match=message) as caught:
        read_evaluations(path)
    assert "\n" not in str(caught.value)


def test_missing_file_is_named(tmp_path):
    with pytest.raises(UserError, match=r"evaluations\.csv does not exist"):
        read_evaluations(tmp_path)


def test_reopening_with_other_columns_is_rejected(tmp_path):
    CsvLog(tmp_path / "training.csv", ["seed", "loss"]).close()
    with pytest.raises(UserError, match="has columns seed,loss, expected seed,entropy"):
        CsvLog(tmp_path / "training.csv", ["seed", "entropy"])


def test_types_of_columns_are_in_the_first_row(tmp_path):
    path = tmp_path / "training.csv"
    log = CsvLog(path, ["seed", "loss", "entropy"])
    empty, full = {"seed": 0}, {"seed": 0, "loss": 0.5, "entropy": float("nan")}
    log.append([empty, empty])
    offset = log.offset()
    log.append([full])
    log.truncate(offset)
    log.append([empty])
    assert path.read_text() == "seed,loss,entropy\n0,NaN,NaN\n0,,\n0,,\n"
    log.clear()
    log.append([full])
    log.append([empty])
    assert path.read_text() == "seed,loss,entropy\n0,0.5,NaN\n0,,\n"
    log.close()


def test_training_columns_are_numbers(tmp_path):
    log = CsvLog(tmp_path / "training.csv", ["seed", "env_steps", "critic_loss"])
    log.append([{"seed": 0, "env_steps": 1000, "critic_loss": float("nan")}, {"seed": 1, "env_steps": 1000}])
    log.close()
    columns = read_training(tmp_path)
    assert columns["env_steps"].tolist() == [1000, 1000]
    assert np.isnan(columns["critic_loss"]).all()
    (tmp_path / "training.csv").write_text("seed,critic_loss\n0,big\n")
    with pytest.raises(UserError, match="line 2: critic_loss is 'big', expected a number"):
        read_training(tmp_path)


def test_tail_reports_the_same_line_of_a_damaged_row_on_every_read(tmp_path):
    path = tmp_path / "training.csv"
    path.write_text("seed,loss\n0,1\n")
    tail = LogTail(path, ("loss",))
    assert tail.read().rows == [{"loss": 1.0}]
    for added in ("0,2\n0,x\n", "0,3\n"):
        with path.open("a") as file:
            file.write(added)
        with pytest.raises(UserError, match="line 4: loss is 'x', expected a number"):
            tail.read()


def test_tail_that_skipped_rows_continues_with_the_next(tmp_path):
    path = tmp_path / "training.csv"
    path.write_text("seed,loss\n" + "".join(f"0,{number}\n" for number in range(100, 200)))
    tail = LogTail(path, ("loss",))
    assert [row["loss"] for row in tail.read(last_bytes=18).rows] == [198.0, 199.0]
    with path.open("a") as file:
        file.write("0,200\n")
    new = tail.read(last_bytes=18)
    assert (new.restarted, new.rows) == (False, [{"loss": 200.0}])


@pytest.mark.parametrize("value", ["inf", "nan", ""])
def test_counters_must_be_finite(log, value):
    log.append([ROW])
    log.path.write_text(log.path.read_text().replace(",1e-17", f",{value}"))
    with pytest.raises(UserError, match=r"line 2: wall_seconds is (inf|nan), expected a finite number"):
        read_evaluations(log.path)


def test_full_disk_leaves_no_partial_row(log, monkeypatch):
    log.append([ROW])
    before = log.path.read_bytes()

    class NearlyFull:
        """Writes half of the first data, then fails."""

        def __init__(self, stream):
            self.stream, self.full = stream, False

        def write(self, data):
            if self.full:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            self.full = True
            return self.stream.write(data[: len(data) // 2])

        def __getattr__(self, name):
            return getattr(self.stream, name)

    stream = log._stream
    monkeypatch.setattr(log, "_stream", NearlyFull(stream))
    with pytest.raises(RunFailure, match="No space left"):
        log.append([ROW])
    assert log.path.read_bytes() == before
    monkeypatch.setattr(log, "_stream", stream)
    log.append([{**ROW, "seed": 7}])
    assert read_evaluations(log.path)["seed"].tolist() == [3, 7]
