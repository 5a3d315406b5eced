"""Creation, opening, replacement and locking of run directories."""

import errno
import json
import os
import stat
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest

from surefoot.errors import RunFailure, UserError
from surefoot.runs import EVALUATION_COLUMNS, CsvLog, RunDirectory
from surefoot.runs.layout import check_free

CONFIG = {"task": "cheetah-run", "seeds": [0, 1], "versions": {"numpy": "2"}}


def tree(path):
    """Return every file with its content, and every folder with None."""
    return {
        str(entry.relative_to(path)): entry.read_bytes() if entry.is_file() else None
        for entry in sorted(path.rglob("*"))
        if entry.name != ".lock"
    }


def run_python(code, *arguments):
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), *map(str, arguments)], capture_output=True, text=True, timeout=60
    )


def fill(run):
    """Write every kind of file of a run."""
    CsvLog(run.path / "evaluations.csv", EVALUATION_COLUMNS).close()
    CsvLog(run.path / "training.csv", ["seed"]).close()
    name = run.checkpoints.write_segment(0, 5, {"x": np.zeros(5)})
    run.checkpoints.save(10, {"learner": {"w": np.ones(2)}}, {}, [name])
    run.policy_path.mkdir()
    (run.policy_path / "policy.json").write_text("{}")


def test_config_is_plain_json_with_a_format(tmp_path):
    run = RunDirectory.create(tmp_path / "runs" / "a", CONFIG)
    assert json.loads((run.path / "config.json").read_text()) == {"format": 1, **CONFIG}
    assert RunDirectory.open(run.path).config == run.config == {"format": 1, **CONFIG}


def test_config_is_a_copy(tmp_path):
    run = RunDirectory.create(tmp_path / "a", CONFIG)
    run.config["versions"]["numpy"] = "3"
    assert run.config["versions"]["numpy"] == "2"
    run.update_config({"env_steps": 7})
    assert RunDirectory.open(tmp_path / "a").config == {"format": 1, **CONFIG, "env_steps": 7}


def test_invalid_config_writes_nothing(tmp_path):
    for bad in ({"x": float("nan")}, {"x": object()}):
        with pytest.raises((TypeError, ValueError), match="JSON"):
            RunDirectory.create(tmp_path / "a", bad)
    assert tree(tmp_path) == {}


def test_run_is_not_overwritten_by_default(tmp_path):
    run = RunDirectory.create(tmp_path / "a", CONFIG)
    fill(run)
    before = tree(tmp_path)
    with pytest.raises(UserError, match=r"already holds a run; resume it with `surefoot resume .*/a`, or pass --overw"):
        RunDirectory.create(tmp_path / "a", {"task": "other"})
    assert tree(tmp_path) == before


def test_overwrite_removes_only_own_files(tmp_path):
    fill(RunDirectory.create(tmp_path / "a", CONFIG))
    kept = ["notes.txt", "checkpoints/mine.txt", "replay/segment_mine.npz", "policy/picture.png"]
    for name in kept:
        (tmp_path / "a" / name).write_text("mine")
    (tmp_path / "a" / "MODEL_CARD.md").write_text("of the old run")
    RunDirectory.create(tmp_path / "a", {"task": "other"}, overwrite=True)
    files = {name for name, content in tree(tmp_path / "a").items() if content is not None}
    assert files == {"config.json", *kept}
    assert RunDirectory.open(tmp_path / "a").config["task"] == "other"


def test_check_free_rejects_like_create_without_writing(tmp_path, monkeypatch):
    fill(RunDirectory.create(tmp_path / "run", CONFIG))
    (tmp_path / "file").write_text("mine")
    before = tree(tmp_path)
    rejected = [("run", "already holds a run"), ("file", "is a file"), ("file/below", "is a file"), (".", "not a run")]
    for name, message in rejected:
        with pytest.raises(UserError, match=message):
            check_free(tmp_path / name)
    check_free(tmp_path / "run", overwrite=True)
    check_free(tmp_path / "new" / "deeper")
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # a test run as root may write anywhere
    with pytest.raises(UserError, match="no permission to write in"):
        check_free(tmp_path / "new")
    assert tree(tmp_path) == before


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize(
    "content",
    [
        {"thesis.tex": "years of work"},
        {"config.json": "{}", "checkpoints/model.bin": "someone else's"},
        {"config.json": "[1", "evaluations.csv": "x"},
    ],
)
def test_other_directories_are_not_touched(tmp_path, content, overwrite):
    for name, text in content.items():
        (tmp_path / "a" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "a" / name).write_text(text)
    before = tree(tmp_path)
    with pytest.raises(UserError, match="not empty and not a"):
        RunDirectory.create(tmp_path / "a", CONFIG, overwrite=overwrite)
    assert tree(tmp_path) == before
    assert not (tmp_path / "a" / ".lock").exists()


def test_empty_directory_is_accepted(tmp_path):
    assert RunDirectory.create(tmp_path, CONFIG).path == tmp_path


@pytest.mark.parametrize("name", ["file", "file/below", "file/below/deeper"])
def test_existing_file_is_named(tmp_path, name):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(UserError, match="file"):
        RunDirectory.create(tmp_path / name, CONFIG, overwrite=True)
    assert tree(tmp_path) == {"file": b"mine"}


def test_unwritable_parent_leaves_no_folders(tmp_path):
    with pytest.raises(UserError, match=r"cannot make the run directory .*too long"):
        RunDirectory.create(tmp_path / "made" / ("n" * 300), CONFIG)
    assert tree(tmp_path) == {}
    with pytest.raises(UserError, match="cannot make the run directory"):
        RunDirectory.create("/proc/surefoot-run", CONFIG)


def test_failed_config_write_leaves_no_folders(tmp_path, monkeypatch):
    def full(descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(RunFailure, match="No space left on device"):
        RunDirectory.create(tmp_path / "made" / "a", CONFIG)
    assert list(tmp_path.iterdir()) == []


def test_open_error_names_expectation(tmp_path):
    (tmp_path / "file").write_text("")
    (tmp_path / "empty").mkdir()
    for name, reason in [("absent", "is missing"), ("file", "is not a directory"), ("empty", "has no config.json")]:
        with pytest.raises(UserError, match=f"is not a run: it {reason}; expected a directory made by"):
            RunDirectory.open(tmp_path / name)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"format": 2}', b"\xff", b"[" * 100_000])
def test_damaged_config_raises_user_error(tmp_path, content):
    (tmp_path / "config.json").write_bytes(content)
    with pytest.raises(UserError, match=r"config\.json is") as caught:
        RunDirectory.open(tmp_path)
    assert "\n" not in str(caught.value)


def test_second_process_is_rejected_with_id_of_first(tmp_path):
    run = RunDirectory.create(tmp_path / "a", CONFIG)
    code = """
        import sys
        from surefoot.errors import UserError
        from surefoot.runs import RunDirectory
        try:
            if sys.argv[2] == "lock":
                with RunDirectory.open(sys.argv[1]).lock():
                    pass
            else:
                RunDirectory.create(sys.argv[1], {}, overwrite=True)
        except UserError as error:
            print(error)
        else:
            print("accepted")
    """
    with run.lock():
        before = tree(tmp_path)
        for how in ("lock", "create"):
            assert f"is in use by process {os.getpid()};" in run_python(code, run.path, how).stdout
        assert tree(tmp_path) == before
    assert run_python(code, run.path, "lock").stdout == "accepted\n"


def test_lock_of_killed_process_is_free_despite_forked_worker(tmp_path):
    RunDirectory.create(tmp_path / "a", CONFIG)
    code = """
        import os, signal, sys, time
        from surefoot.runs import RunDirectory
        run = RunDirectory.open(sys.argv[1])
        lock = run.lock()
        lock.__enter__()
        ready, started = os.pipe()
        worker = os.fork()
        if worker == 0:
            os.close(1), os.close(2)  # otherwise the test waits for the orphan's output
            os.write(started, b"x")
            time.sleep(30)
            os._exit(0)
        os.read(ready, 1)
        print(worker, flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
    """
    worker = int(run_python(code, tmp_path / "a").stdout)
    try:
        os.kill(worker, 0)  # it is alive
        with RunDirectory.open(tmp_path / "a").lock():
            pass
    finally:
        os.kill(worker, 9)


def test_locking_replaced_run_is_rejected(tmp_path):
    run = RunDirectory.create(tmp_path / "a", CONFIG)
    RunDirectory.create(tmp_path / "a", {"task": "other"}, overwrite=True)
    with pytest.raises(UserError, match="changed by another process"):
        run.lock().__enter__()
    with RunDirectory.open(tmp_path / "a").lock():
        pass


def test_locking_removes_temporary_files(tmp_path):
    run = RunDirectory.create(tmp_path / "a", CONFIG)
    fill(run)
    before = tree(tmp_path)
    (run.path / "checkpoints" / ".tmp-env_steps_000000000020").mkdir()
    (run.path / "checkpoints" / ".tmp-env_steps_000000000020" / "learner.npz").write_text("half")
    (run.path / "replay" / ".tmp-segment_000000000005_000000000009.npz").write_text("half")
    (run.path / ".tmp-config.json").write_text("half")
    (run.path / ".old-policy").mkdir()
    with run.lock():
        assert tree(tmp_path) == before


def test_runs_and_policy_need_only_numpy():
    code = """
        import sys
        before = set(sys.modules)
        import surefoot.policy, surefoot.runs
        loaded = {name.partition(".")[0] for name in set(sys.modules) - before}
        print(sorted(loaded - set(sys.stdlib_module_names)))
    """
    done = run_python(code)
    assert done.stdout == "['numpy', 'surefoot']\n", done


def test_run_on_a_file_system_that_cannot_sync_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(descriptor: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", refuse)
    for number in (errno.EINVAL, errno.ENOTSUP):
        RunDirectory.create(tmp_path / str(number), {"task": "t"})
    number = errno.EIO
    with pytest.raises(RunFailure, match="Input/output error"):
        RunDirectory.create(tmp_path / "run", {"task": "t"})
