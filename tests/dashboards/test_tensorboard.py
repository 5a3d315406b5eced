"""TensorBoard event files as TensorBoard's own reader loads them."""

from __future__ import annotations

from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from surefoot.dashboards import TensorBoard
from surefoot.errors import UserError

from .support import STARTED_SECONDS, FakeRun, curve, points


def contents(run: FakeRun) -> dict[str, bytes]:
    """Series -> bytes of its one event file that is not empty."""
    files = [path for path in (run.path / "tensorboard").rglob("*") if path.is_file() and path.stat().st_size]
    assert len({path.parent for path in files}) == len(files)
    return {path.parent.name: path.read_bytes() for path in files}


def test_seeds_and_mean_share_charts(tmp_path: Path) -> None:
    run = FakeRun(tmp_path / "run")
    run.run(TensorBoard(), range(0, 301, 100), offset=0.5)
    folder = run.path / "tensorboard"
    assert sorted(path.name for path in folder.iterdir()) == ["mean", "seed_3", "seed_4"]
    assert curve(folder / "seed_3") == [(0, 3.5), (100, 103.5), (200, 203.5), (300, 303.5)]
    assert curve(folder / "seed_4", "training/critic_loss") == [(0, 4.5), (100, 104.5), (200, 204.5), (300, 304.5)]
    assert curve(folder / "mean") == [(0, 4.0), (100, 104.0), (200, 204.0), (300, 304.0)]
    reader = EventAccumulator(str(folder / "mean"))
    reader.Reload()
    assert reader.Tags()["scalars"] == [
        "training/critic_loss",
        "evaluation/return",
        "evaluation/score",
        "evaluation/length_env_steps",
    ]
    # Relative time in TensorBoard is training time.
    assert [event.wall_time for event in reader.Scalars("evaluation/return")] == [
        STARTED_SECONDS + seconds for seconds in (0.25, 50.25, 100.25, 150.25)
    ]


def test_points_appear_during_training(tmp_path: Path) -> None:
    run, dashboard = FakeRun(tmp_path / "run"), TensorBoard()
    dashboard.on_start(run.started())
    dashboard.on_evaluation(run.evaluate(0, {3: [1.0], 4: [2.0]}))
    reader = EventAccumulator(str(run.path / "tensorboard" / "mean"))
    assert points(reader) == [(0, 1.5)]
    dashboard.on_evaluation(run.evaluate(100, {3: [3.0], 4: [4.0]}))
    assert points(reader) == [(0, 1.5), (100, 3.5)]
    dashboard.close()


def test_resumed_run_shows_each_step_once(tmp_path: Path) -> None:
    run, killed = FakeRun(tmp_path / "run"), TensorBoard()
    run.run(killed, range(0, 301, 100), offset=0.0, kill=True)
    run.checkpoint(300)
    run.run(killed, range(400, 701, 100), offset=0.0, start=300, kill=True)
    watching = EventAccumulator(str(run.path / "tensorboard" / "seed_3"))
    assert [step for step, _ in points(watching)] == [0, 100, 200, 300, 400, 500, 600, 700]

    assert run.drop_rows_since_checkpoint() == 300
    resumed = TensorBoard()
    resumed.on_start(run.started(300))
    before = [(0, 3.0), (100, 103.0), (200, 203.0), (300, 303.0)]
    assert curve(run.path / "tensorboard" / "seed_3") == before
    assert points(watching) == before  # the reader was open during the resume
    run.run(resumed, range(350, 951, 200), offset=0.5, start=300)
    after = [*before, (350, 353.5), (550, 553.5), (750, 753.5), (950, 953.5)]
    assert curve(run.path / "tensorboard" / "seed_3") == after
    assert points(watching) == after


def test_points_logged_without_dashboard_appear_on_resume(tmp_path: Path) -> None:
    run = FakeRun(tmp_path / "run", seeds=(0,))
    run.evaluate(0, {0: [1.0]})
    run.evaluate(100, {0: [2.0]})
    run.run(TensorBoard(), range(200, 201), offset=0.0, start=100)
    assert curve(run.path / "tensorboard" / "mean") == [(0, 1.0), (100, 2.0), (200, 200.0)]


def test_sync_equals_live_dashboard(tmp_path: Path) -> None:
    run = FakeRun(tmp_path / "run")
    run.run(TensorBoard(), range(0, 301, 100), offset=0.5)
    live = contents(run)
    for path in (run.path / "tensorboard").rglob("*events*"):
        path.unlink()
    done = TensorBoard().sync(run.path)
    assert (done.points, done.written) == (4, 4)
    assert done.viewer == f"tensorboard --logdir {run.path / 'tensorboard'}"
    assert contents(run) == live
    TensorBoard().sync(run.path)
    assert contents(run) == live


def test_overwritten_run_leaves_no_old_points(tmp_path: Path) -> None:
    run = FakeRun(tmp_path / "run", seeds=(0, 1, 2))
    run.run(TensorBoard(), range(0, 301, 100), offset=0.0)
    (run.path / "tensorboard" / "seed_2" / "note.txt").write_text("mine")
    watching = EventAccumulator(str(run.path / "tensorboard" / "seed_0"))
    points(watching)
    again = FakeRun(tmp_path / "run", seeds=(0,), overwrite=True)
    dashboard = TensorBoard()
    dashboard.on_start(again.started())
    assert contents(run) == {"seed_2": b"mine"}
    dashboard.on_evaluation(again.evaluate(0, {0: [7.0]}))
    dashboard.close()
    assert points(watching) == curve(run.path / "tensorboard" / "seed_0") == [(0, 7.0)]
    TensorBoard().sync(run.path)
    assert (
        sorted(path.name for path in (run.path / "tensorboard").glob("*/*") if path.stat().st_size == 0)
        == ["events.out.tfevents.0000000002.surefoot"] * 2
    )
    assert not (run.path / "tensorboard" / "seed_1").exists()


def test_sync_rejects_invalid_runs(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is not a run"):
        TensorBoard().sync(tmp_path / "nothing")
    run = FakeRun(tmp_path / "run")
    with pytest.raises(UserError, match="nothing to show yet"):
        TensorBoard().sync(run.path)
    run.evaluate(0, {3: [1.0], 4: [2.0]})
    with run.directory.lock(), pytest.raises(UserError, match="in use by process"):
        TensorBoard().sync(run.path)
    run.directory.update_config({"started": "yesterday"})
    with pytest.raises(UserError, match=r"config\.json: started is 'yesterday', expected a time"):
        TensorBoard().sync(run.path)
    assert not (run.path / "tensorboard").exists()


@pytest.mark.parametrize("place", ["", "seed_3", "seed_3/events.out.tfevents.0000000001.surefoot"])
def test_links_are_not_followed(tmp_path: Path, capsys: pytest.CaptureFixture[str], place: str) -> None:
    run = FakeRun(tmp_path / "run")
    run.run(TensorBoard(), range(0, 1), offset=0.0)
    link, elsewhere = run.path / "tensorboard" / place, tmp_path / "elsewhere"
    link.rename(elsewhere)
    link.symlink_to(elsewhere)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    with pytest.raises(UserError, match=f"{link} is a symbolic link"):
        TensorBoard().sync(run.path)
    dashboard = TensorBoard()
    dashboard.on_start(run.started())
    dashboard.close()
    assert f"TensorBoard failed: {link} is a symbolic link" in capsys.readouterr().err
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before
