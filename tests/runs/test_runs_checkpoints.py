"""Checkpoints: verification, retention, and safety against full disks and kills."""

import errno
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import textwrap
import time

import numpy as np
import pytest

from surefoot.errors import RunFailure, UserError
from surefoot.runs import CsvLog, RunDirectory, checkpoints

ROOTS = ("checkpoints", "replay")


@pytest.fixture
def run(tmp_path):
    return RunDirectory.create(tmp_path / "run", {"task": "t"})


def save(run, step, segments=1):
    """Write one more segment, and a checkpoint that refers to the last `segments` of them."""
    run.checkpoints.write_segment(10 * (step - 1), 10 * step, {"reward": np.full(10, step, np.float32)})
    needed = [f"segment_{10 * (s - 1):012d}_{10 * s:012d}.npz" for s in range(max(1, step - segments + 1), step + 1)]
    arrays = {"learner": {"w": np.full((2, 3), step, np.float32)}, "loop": {"key": np.array([step], np.uint32)}}
    return run.checkpoints.save(1000 * step, arrays, {"offset": step, "nested": {"a": [1.5, None]}}, needed)


def names(run):
    return sorted(entry.name for root in ROOTS for entry in (run.path / root).iterdir())


def reopened(run):
    return RunDirectory.open(run.path)


def test_checkpoint_round_trip(run):
    save(run, 1)
    folder = save(run, 2, segments=2)
    assert folder.name == "env_steps_000000002000"
    checkpoint = reopened(run).checkpoints.load()
    assert checkpoint.env_steps == 2000
    assert checkpoint.meta == {"offset": 2, "nested": {"a": [1.5, None]}}
    assert checkpoint.skipped == []
    np.testing.assert_array_equal(checkpoint.arrays["learner"]["w"], np.full((2, 3), 2, np.float32))
    assert checkpoint.arrays["loop"]["key"].dtype == np.uint32
    rewards = [run.checkpoints.read_segment(segment)["reward"][0] for segment in checkpoint.segments]
    assert rewards == [1, 2]


def test_segments_keep_their_order(run):
    later, earlier = (
        run.checkpoints.write_segment(5, 9, {"x": np.ones(4)}),
        run.checkpoints.write_segment(0, 5, {"x": np.ones(5)}),
    )
    run.checkpoints.save(1, {}, {}, [later, earlier])
    assert [path.name for path in reopened(run).checkpoints.load().segments] == [later, earlier]


def test_meta_with_integer_keys_and_tuples_verifies(run):
    run.checkpoints.save(1, {}, {"by_seed": {10: (1, 2), 9: "é"}, "nan": float("nan")}, [])
    checkpoint = reopened(run).checkpoints.load()
    assert checkpoint.meta["by_seed"] == {"10": [1, 2], "9": "é"}


def test_last_two_checkpoints_and_their_segments_are_kept(run):
    for step in range(1, 6):
        save(run, step, segments=2)
    assert names(run) == [
        "env_steps_000000004000",
        "env_steps_000000005000",
        "segment_000000000020_000000000030.npz",
        "segment_000000000030_000000000040.npz",
        "segment_000000000040_000000000050.npz",
    ]


def test_saving_a_step_again_replaces_it(run):
    save(run, 1)
    save(run, 2)
    run.checkpoints.save(2000, {"learner": {"w": np.zeros(1)}}, {"again": True}, [])
    assert reopened(run).checkpoints.load().meta == {"again": True}
    assert [name for name in names(run) if name.startswith("env")] == [
        "env_steps_000000001000",
        "env_steps_000000002000",
    ]


def test_equal_checkpoints_have_equal_files(tmp_path):
    first, second = (RunDirectory.create(tmp_path / name, {}) for name in "ab")
    save(first, 1)
    time.sleep(0.01)
    save(second, 1)
    for path in first.path.rglob("*"):
        if path.is_file() and path.name != ".lock":
            assert path.read_bytes() == (second.path / path.relative_to(first.path)).read_bytes()


def test_save_does_not_read_known_segments(run, monkeypatch):
    for step in (1, 2):
        save(run, step, segments=2)
    resumed = reopened(run)
    resumed.checkpoints.load()
    monkeypatch.setattr("surefoot.runs.checkpoints.digest_of", lambda path: pytest.fail(f"read {path} again"))
    save(resumed, 3, segments=3)


def test_save_hashes_unknown_segments(run):
    name = run.checkpoints.write_segment(0, 3, {"x": np.ones(3)})
    reopened(run).checkpoints.save(1, {}, {}, [name])
    assert reopened(run).checkpoints.load().segments[0].name == name


def truncate(path):
    path.write_bytes(path.read_bytes()[:-1])


def flip_a_bit(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


NEWEST = "checkpoints/env_steps_000000003000/"
VICTIMS = [f"{NEWEST}learner.npz", f"{NEWEST}manifest.json", "replay/segment_000000000020_000000000030.npz"]


@pytest.mark.parametrize("damage", [truncate, flip_a_bit, os.unlink])
@pytest.mark.parametrize("victim", VICTIMS)
def test_damaged_checkpoint_is_skipped_and_removed_by_next_save(run, victim, damage):
    for step in (1, 2, 3):
        save(run, step)
    damage(run.path / victim)
    resumed = reopened(run)
    checkpoint = resumed.checkpoints.load()
    assert checkpoint.env_steps == 2000
    (reason,) = checkpoint.skipped
    assert "env_steps_000000003000" in reason
    assert os.path.basename(victim) in reason
    assert "\n" not in reason
    resumed.checkpoints.save(2500, {"learner": {}}, {}, checkpoint.segments)
    assert [name for name in names(run) if name.startswith("env")] == [
        "env_steps_000000002000",
        "env_steps_000000002500",
    ]
    assert reopened(run).checkpoints.load().skipped == []


def test_error_lists_reason_of_every_unusable_checkpoint(run):
    with pytest.raises(UserError, match=r"no usable checkpoint in .*: it holds none"):
        run.checkpoints.load()
    save(run, 1)
    save(run, 2)
    for folder in (run.path / "checkpoints").iterdir():
        (folder / "loop.npz").unlink()
    with pytest.raises(UserError, match=r"no usable .*2000: loop\.npz is missing; env_steps_000000001000: loop\.npz"):
        run.checkpoints.load()


@pytest.mark.parametrize("number", [errno.EACCES, errno.ESTALE, errno.EMFILE])
def test_checkpoint_that_cannot_be_accessed_is_not_taken_for_a_damaged_one(run, number, monkeypatch):
    save(run, 1)
    save(run, 2)

    def refuse(path):
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patch:
        patch.setattr(checkpoints, "digest_of", refuse)
        with pytest.raises(UserError, match=rf"cannot load .*env_steps_000000002000: .*{os.strerror(number)}"):
            reopened(run).checkpoints.load()
    assert reopened(run).checkpoints.load().env_steps == 2000


@pytest.mark.parametrize("stale", ["checkpoints", "env_steps_000000002000"])
def test_checkpoints_in_a_stale_folder_are_not_missing(run, stale, monkeypatch):
    save(run, 1)
    save(run, 2)
    stat = os.stat

    def refuse(path, **options):
        if stale in str(path):
            raise OSError(errno.ESTALE, os.strerror(errno.ESTALE))
        return stat(path, **options)

    with monkeypatch.context() as patch:
        patch.setattr(os, "stat", refuse)
        assert run.checkpoints.any()
        with pytest.raises(UserError, match=os.strerror(errno.ESTALE)):
            run.checkpoints.load()


def rewrite(path, change):
    """Change a manifest and recompute its checksum, as an attacker would."""
    from surefoot.runs.checkpoints import _checksum

    content = json.loads(path.read_text())
    del content["sha256"]
    change(content)
    path.write_text(json.dumps({**content, "sha256": _checksum(content)}))


@pytest.mark.parametrize(
    "change",
    [
        lambda m: m["segments"].update({"../../secret": {"sha256": "0", "size": 1}}),
        lambda m: m["files"].update({"../learner.npz": m["files"]["learner.npz"]}),
        lambda m: m.update(env_steps=2000),
        lambda m: m.update(env_steps=[1]),
        lambda m: m.update(format=2),
        lambda m: m.update(meta=[]),
        lambda m: m.update(files=[]),
        lambda m: m.update(files={"learner.npz": {"size": 1}}),
        lambda m: m.update(segments={"segment_000000000000_000000000010.npz": 3}),
        lambda m: m.pop("meta"),
    ],
)
def test_manifest_with_valid_checksum_is_validated(run, change):
    rewrite(save(run, 1) / "manifest.json", change)
    with pytest.raises(UserError, match=r"no usable checkpoint.*manifest\.json") as caught:
        reopened(run).checkpoints.load()
    assert "\n" not in str(caught.value)


def test_mutated_checkpoint_falls_back_to_previous(run):
    save(run, 1)
    folder = save(run, 2)
    generator = random.Random(1)
    files = [folder / "manifest.json", folder / "loop.npz"]
    original = {path: path.read_bytes() for path in files}
    for case in range(200):
        path = files[case % 2]
        content = bytearray(original[path])
        content[generator.randrange(len(content))] = generator.randrange(256)
        path.write_bytes(content if case % 5 else content[: generator.randrange(len(content))])
        checkpoint = reopened(run).checkpoints.load()
        same_meaning = path.read_bytes() == original[path] or path.name == "manifest.json"
        assert checkpoint.env_steps == 1000 or same_meaning
        if checkpoint.env_steps == 2000:
            assert checkpoint.meta == {"offset": 2, "nested": {"a": [1.5, None]}}
        path.write_bytes(original[path])


def test_discard_after_removes_newer_checkpoints(run):
    for step in (1, 2):
        save(run, step)
    older = reopened(run).checkpoints.load()
    run.checkpoints.write_segment(20, 25, {"x": np.ones(5)})
    save(run, 3)
    (run.path / "checkpoints" / "env_steps_000000003000" / "loop.npz").unlink()
    resumed = reopened(run)
    checkpoint = resumed.checkpoints.load()
    assert checkpoint.env_steps == older.env_steps == 2000
    run.checkpoints.write_segment(20, 25, {"x": np.ones(5)})
    resumed.checkpoints.discard_after(checkpoint)
    assert names(run) == ["env_steps_000000002000", "segment_000000000010_000000000020.npz"]


def test_invalid_names_are_rejected(run):
    for name in ("../config.json", "segment_1_2.npz", ""):
        with pytest.raises(UserError, match="not a replay segment"):
            run.checkpoints.read_segment(name)
    with pytest.raises(ValueError, match="0 <= start < stop"):
        run.checkpoints.write_segment(5, 5, {})
    with pytest.raises(ValueError, match="lower-case"):
        run.checkpoints.save(1, {"../x": {}}, {}, [])


def tree(path):
    return {str(p.relative_to(path)): p.read_bytes() for p in path.rglob("*") if p.is_file()}


def test_full_disk_at_any_sync_leaves_usable_checkpoint(run, monkeypatch):
    save(run, 1)
    save(run, 2)
    expected = tree(run.path)
    real_fsync, outcomes = os.fsync, set()
    for fail_at in range(20):
        calls = 0

        def fsync(descriptor, fail_at=fail_at):
            nonlocal calls
            calls += 1
            if calls - 1 == fail_at:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            real_fsync(descriptor)

        trial = RunDirectory.open(shutil.copytree(run.path, run.path.parent / f"trial{fail_at}"))
        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", fsync)
            try:
                save(trial, 3)
                outcomes.add("saved")
            except RunFailure as error:
                outcomes.add(str(error).rpartition(": ")[2])
        checkpoint = reopened(trial).checkpoints.load()
        assert checkpoint.skipped == []
        left = tree(trial.path)
        assert not [name for name in left if ".tmp-" in name]
        if checkpoint.env_steps == 2000:
            assert expected.items() <= left.items()
    assert outcomes == {"saved", "No space left on device"}


def test_kernel_write_error_raises_run_failure(run):
    save(run, 1)
    code = """
        import resource, sys
        import numpy as np
        from surefoot.errors import RunFailure
        from surefoot.runs import RunDirectory
        run = RunDirectory.open(sys.argv[1])
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
        big = {"x": np.zeros(1_000_000)}
        for attempt in (lambda: run.checkpoints.write_segment(10, 20, big),
                        lambda: run.checkpoints.save(2000, {"learner": big}, {}, [])):
            try:
                attempt()
            except RunFailure as error:
                print(error)
    """
    before = tree(run.path)
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), str(run.path)], capture_output=True, text=True, timeout=60
    )
    assert done.stderr == ""
    assert [line.rpartition(": ")[2] for line in done.stdout.splitlines()] == ["File too large"] * 2
    assert tree(run.path) == before


def test_kill_during_replacement_keeps_a_checkpoint(run, monkeypatch):
    save(run, 1)
    (run.path / "checkpoints" / "env_steps_000000001000").rename(
        run.path / "checkpoints" / ".old-env_steps_000000001000"
    )
    with reopened(run).lock() as resumed:
        assert resumed.checkpoints.load().env_steps == 1000
        save(resumed, 2)
    assert reopened(run).checkpoints.load().env_steps == 2000


WRITER = """
    import sys
    import numpy as np
    from surefoot.runs import CsvLog, RunDirectory
    run = RunDirectory.open(sys.argv[1])
    lock = run.lock()
    lock.__enter__()
    checkpoint = run.checkpoints.load()
    run.checkpoints.discard_after(checkpoint)
    step, segments = checkpoint.env_steps, list(checkpoint.segments)
    log = CsvLog(run.path / "training.csv", ["env_steps", "value"])
    log.truncate(checkpoint.meta["offset"])
    print("writing", flush=True)
    while True:
        step += 1
        segments = [*segments, run.checkpoints.write_segment(step - 1, step, {"x": np.full(2000, step)})][-3:]
        log.append([{"env_steps": step, "value": step / 3}])
        arrays = {"learner": {"w": np.full(5000, step)}, "loop": {"step": np.int64(step)}}
        run.checkpoints.save(step, arrays, {"offset": log.offset()}, segments)
        if step % 3 == 0:
            run.checkpoints.save(step, arrays, {"offset": log.offset()}, segments)
"""


@pytest.mark.slow
def test_killed_writer_leaves_valid_checkpoint(run):
    log = CsvLog(run.path / "training.csv", ["env_steps", "value"])
    arrays = {"learner": {"w": np.zeros(5000)}, "loop": {"step": np.int64(0)}}
    run.checkpoints.save(0, arrays, {"offset": log.offset()}, [])
    log.close()
    command = [sys.executable, "-c", textwrap.dedent(WRITER), str(run.path)]
    generator, reached, start = random.Random(os.getpid()), [], time.monotonic()
    # On a busy machine, many writers are killed before they write.
    while (elapsed := time.monotonic() - start) < 5 or (elapsed < 60 and max(reached, default=0) < 3):
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as writer:
            assert writer.stdout.readline() == "writing\n"
            time.sleep(generator.random() * 0.3)
            writer.send_signal(signal.SIGKILL)
            _, errors = writer.communicate()
        assert writer.returncode == -signal.SIGKILL, errors
        checkpoint = reopened(run).checkpoints.load()
        assert (checkpoint.arrays["learner"]["w"] == checkpoint.env_steps).all()
        assert checkpoint.arrays["loop"]["step"] == checkpoint.env_steps
        newest = [int(run.checkpoints.read_segment(segment)["x"][0]) for segment in checkpoint.segments]
        assert newest == list(range(max(1, checkpoint.env_steps - 2), checkpoint.env_steps + 1))
        reached.append(checkpoint.env_steps)
    assert reached == sorted(reached)
    assert reached[-1] >= 3, "the writers were killed before they wrote"
