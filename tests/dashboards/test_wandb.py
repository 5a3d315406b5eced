"""W&B runs: the real package offline, a fake service online."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from surefoot.dashboards import WandB, make_dashboards
from surefoot.errors import MissingDependency, RunFailure, UserError

from .support import FakeRun, history, offline_folders, records

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def _no_user_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Remove the W&B settings and key of the user who runs the tests."""
    for name in ("API_KEY", "MODE", "PROJECT", "ENTITY", "NAME", "RUN_ID", "DIR", "FINISH_TIMEOUT"):
        monkeypatch.delenv(f"WANDB_{name}", raising=False)
    monkeypatch.setenv("WANDB_SILENT", "true")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))


# ---------------------------------------------------------------- real package, offline


def _run_id(folder: Path) -> str:
    return folder.name.split("-")[3]  # a number follows if two were started in the same second


def test_offline_folder_holds_whole_history(tmp_path: Path) -> None:
    run = FakeRun(tmp_path / "run")
    failed = WandB("dogs", mode="offline")
    run.run(failed, range(0, 201, 100), offset=0.0, kill=True)
    run.checkpoint(200)
    returns = {3: [300.0], 4: [300.0]}
    failed.on_evaluation(run.evaluate(300, returns))  # after the checkpoint, so the resumed run drops it
    failed.close()
    (first,) = offline_folders(run.path)
    assert [row["_step"] for row in history(first)] == [0, 100, 200, 300]
    # Folders as left by a killed resume.
    for killed in (f"offline-run-20260131_120000-{_run_id(first)}", f"offline-run-20260131_120000-{_run_id(first)}-1"):
        shutil.copytree(first, first.with_name(killed))
    of_another = first.with_name(f"offline-run-20260131_120000-{_run_id(first)}b")
    of_another.mkdir()

    assert run.drop_rows_since_checkpoint() == 200
    resumed = WandB("dogs", mode="offline")
    run.run(resumed, range(250, 651, 200), offset=0.5, start=200)
    of_another.rmdir()  # not removed
    (folder,) = offline_folders(run.path)
    rows = history(folder)
    assert [row["_step"] for row in rows] == [row["env_steps"] for row in rows] == [0, 100, 200, 250, 450, 650]
    assert [row["evaluation/return"] for row in rows] == [3.5, 103.5, 203.5, 254.0, 454.0, 654.0]
    assert rows[3] == {
        "_step": 250,
        "env_steps": 250,
        "agent_steps": 125,
        "grad_steps": 250,
        "wall_seconds": 125.25,
        "training/critic_loss": 254.0,
        "evaluation/return": 254.0,
        "evaluation/score": 0.254,
        "evaluation/length_env_steps": 1000,
        "seed_3/training/critic_loss": 253.5,
        "seed_3/evaluation/return": 253.5,
        "seed_3/evaluation/score": 0.2535,
        "seed_3/evaluation/length_env_steps": 1000,
        "seed_4/training/critic_loss": 254.5,
        "seed_4/evaluation/return": 254.5,
        "seed_4/evaluation/score": 0.2545,
        "seed_4/evaluation/length_env_steps": 1000,
    }

    # A sync from the files gives the same rows in the same W&B run.
    done = WandB("dogs", mode="offline").sync(run.path)
    (again,) = offline_folders(run.path)
    assert (done.points, done.written, done.viewer) == (6, 6, f"wandb sync {again}")
    assert _run_id(again) == _run_id(first)
    assert history(again) == rows


def test_wandb_run_is_described_by_run_directory(tmp_path: Path) -> None:
    run = FakeRun(tmp_path / "dog-7")
    run.run(WandB("dogs", entity="us", group="g", tags=["a", "b"], mode="offline"), range(0, 1), offset=0.0)
    (folder,) = offline_folders(run.path)
    everything = list(records(folder))
    (described,) = [record.run for record in everything if record.WhichOneof("record_type") == "run"]
    assert (described.project, described.entity, described.run_group) == ("dogs", "us", "g")
    assert (described.display_name, list(described.tags)) == ("dog-7", ["a", "b"])
    config = {item.key: json.loads(item.value_json) for item in described.config.update if item.key}
    assert config["task"] == "cheetah-run"
    assert config["seeds"] == [3, 4]
    metrics = [record.metric for record in everything if record.WhichOneof("record_type") == "metric"]
    assert [(metric.glob_name, metric.step_metric) for metric in metrics if metric.glob_name] == [("*", "env_steps")]
    (ended,) = [record.exit for record in everything if record.WhichOneof("record_type") == "exit"]
    assert ended.exit_code == 0


def test_disabled_mode_writes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_MODE", "disabled")
    run = FakeRun(tmp_path / "run")
    run.run(WandB(), range(0, 101, 100), offset=0.0)
    assert not list(tmp_path.rglob("*.wandb"))
    with pytest.raises(UserError, match="W&B is disabled, so nothing would be sent"):
        WandB().sync(run.path)


@pytest.mark.parametrize(
    ("settings", "environment", "message"),
    [
        ({"project": "a/b", "mode": "offline"}, {}, r"invalid W&B project 'a/b': .*cannot contain"),
        (
            {"mode": "ofline"},
            {},
            r"mode must be one of online, offline, disabled, got 'ofline'; did you mean 'offline'",
        ),
        ({}, {"WANDB_MODE": "on"}, r"WANDB_MODE must be one of online, offline, disabled, got 'on'"),
        ({"tags": "dog", "mode": "offline"}, {}, r"tags must be a list of texts, got the text 'dog'"),
        ({"tags": [3], "mode": "offline"}, {}, r"invalid W&B tags \[3\]: .*string"),
        ({"entity": 3, "mode": "offline"}, {}, r"invalid W&B entity 3: .*string"),
        ({"name": 3, "mode": "offline"}, {}, r"invalid W&B name 3: .*string"),
        ({"mode": "online"}, {}, r"W&B has no API key: run `wandb login`, set WANDB_API_KEY, or .*WANDB_MODE=offline"),
        ({"mode": "online"}, {"WANDB_API_KEY": "short"}, r"W&B cannot log in: .*API key"),
    ],
)
def test_invalid_settings_are_rejected_before_run(
    monkeypatch: pytest.MonkeyPatch, settings: dict[str, Any], environment: dict[str, str], message: str
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(UserError, match=message) as caught:
        WandB(**settings)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("name", "package"), [("wandb", "wandb"), ("tensorboard", "tensorboardX")])
def test_missing_package_is_reported(monkeypatch: pytest.MonkeyPatch, name: str, package: str) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(
        MissingDependency, match=rf"'{package}', which is not installed: pip install 'surefoot\[{name}\]'"
    ):
        make_dashboards([name])


# ---------------------------------------------------------------- real package, online


@pytest.mark.slow
def test_online_steps_arrive_once_despite_crash_and_outage(tmp_path: Path) -> None:
    """Steps after the checkpoint at 300 were sent before the crash; W&B keeps them."""
    command = [sys.executable, "-m", "tests.dashboards.online", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
    crashed, resumed, first_sync, synced, second_sync, synced_again = json.loads(done.stdout.splitlines()[-1])
    assert crashed == [[0, 0, 3.5], [100, 100, 103.5], [200, 200, 203.5], [300, 300, 303.5], [400, 400, 1.5]]
    # At 350, W&B had later steps. At 650 the server was down: one warning after a short wait.
    sent_before_the_outage = [[550, 550, 554.0]]
    assert resumed in (crashed, crashed + sent_before_the_outage)
    assert "Weights & Biases failed: TimeoutError" in done.stderr
    assert first_sync[0] == 7
    assert synced == synced_again == [*crashed, *sent_before_the_outage, [650, 650, 3.5]]
    assert second_sync == [7, 0]
    assert "WARNING" not in done.stderr


# ---------------------------------------------------------------- fake service


@dataclass
class Service:
    """Fake package and server: stores one run's rows; the call named ``failing`` raises."""

    failing: str = ""
    rows: dict[int, dict[str, float]] = field(default_factory=dict)
    opened: list[dict[str, Any]] = field(default_factory=list)
    exit_codes: list[int] = field(default_factory=list)
    starting_step: int = 0

    Error = type("Error", (Exception,), {})
    url = "https://wandb.ai/us/surefoot/runs/1"
    dir = "missing/files"

    def Settings(self, **settings: Any) -> dict[str, Any]:  # noqa: N802
        return settings

    def login(self, **_: Any) -> bool:
        return True

    def _fail(self, where: str) -> None:
        if where == self.failing:
            raise ConnectionError("the server\ncannot be reached")

    def init(self, **settings: Any) -> Service:
        self._fail("init")
        self.opened.append(settings)
        self.starting_step = self._next_step()
        return self

    def _next_step(self) -> int:
        return 1 + max(self.rows, default=-1)

    def define_metric(self, *_: Any, **__: Any) -> None:
        pass

    def log(self, row: dict[str, float], *, step: int, commit: bool) -> None:
        self._fail("log")
        assert step >= self._next_step(), "W&B drops such a row with a warning"
        assert commit
        self.rows[step] = row

    def finish(self, *, exit_code: int) -> None:
        self._fail("finish")
        self.exit_codes.append(exit_code)


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Service:
    service = Service()
    service.setup = lambda: SimpleNamespace(settings=SimpleNamespace(mode="online"))  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "wandb", service)  # type: ignore[arg-type]
    return service


def test_online_resume_repeats_no_step(service: Service, tmp_path: Path) -> None:
    run = FakeRun(tmp_path / "run")
    run.run(WandB(), range(0, 501, 100), offset=0.0, kill=True)
    run.drop_rows_since_checkpoint()
    run.run(WandB(), range(0, 801, 200), offset=0.5)
    assert list(service.rows) == [0, 100, 200, 300, 400, 500, 600, 800]
    assert service.rows[600]["evaluation/return"] == 604.0
    first, second = service.opened
    assert first["id"] == second["id"]
    assert (first["project"], first["name"], first["resume"]) == ("surefoot", "run", "allow")
    assert service.exit_codes == [0]


def test_online_sync_adds_missing_steps_once(service: Service, tmp_path: Path) -> None:
    run = FakeRun(tmp_path / "run")
    run.run(WandB(), range(0, 301, 100), offset=0.0)
    run.evaluate(400, {3: [1.0], 4: [2.0]})
    done = WandB().sync(run.path)
    assert (done.points, done.written, done.viewer) == (5, 1, service.url)
    assert WandB().sync(run.path).written == 0
    assert list(service.rows) == [0, 100, 200, 300, 400]


def test_environment_variables_are_defaults(service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PROJECT", "NAME", "RUN_ID", "DIR"):
        monkeypatch.setenv(f"WANDB_{name}", f"my-{name}")
    run = FakeRun(tmp_path / "run")
    run.run(WandB(name="mine"), range(0, 1), offset=0.0)
    (opened,) = service.opened
    assert [opened[name] for name in ("project", "name", "id", "dir")] == ["my-PROJECT", "mine", "my-RUN_ID", "my-DIR"]


@pytest.mark.parametrize(("where", "rows"), [("init", 0), ("log", 0), ("finish", 3)])
def test_service_failure_warns_once_and_sync_recovers(
    service: Service, tmp_path: Path, capsys: pytest.CaptureFixture[str], where: str, rows: int
) -> None:
    run = FakeRun(tmp_path / "run")
    service.failing = where
    run.run(WandB(), range(0, 201, 100), offset=0.0)
    (line,) = capsys.readouterr().err.splitlines()
    assert line == (
        "surefoot: warning: Weights & Biases failed: ConnectionError: the server cannot be reached; training "
        f"continues without it, and `surefoot sync {run.path} --to wandb` adds everything later"
    )
    assert len(service.rows) == rows
    with pytest.raises(RunFailure, match=r"Weights & Biases failed on .*: ConnectionError: the server cannot"):
        WandB().sync(run.path)
    service.failing = ""
    WandB().sync(run.path)
    assert list(service.rows) == [0, 100, 200]


def test_links_are_not_followed(service: Service, tmp_path: Path) -> None:
    run = FakeRun(tmp_path / "run")
    run.evaluate(0, {3: [1.0], 4: [2.0]})
    (run.path / "wandb").symlink_to(tmp_path)
    with pytest.raises(UserError, match="wandb is a symbolic link"):
        WandB().sync(run.path)
    assert not service.opened


def test_failed_run_is_marked_failed(service: Service, tmp_path: Path) -> None:
    run, dashboard = FakeRun(tmp_path / "run"), WandB()
    dashboard.close()  # the run may fail before it starts
    run.run(dashboard, range(0, 101, 100), offset=0.0, kill=True)
    dashboard.close()
    dashboard.close()
    assert service.exit_codes == [1]


def test_on_step_reads_only_when_due(service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1000.0]
    monkeypatch.setattr("surefoot.dashboards.base.time.monotonic", lambda: now[0])
    run, dashboard = FakeRun(tmp_path / "run"), WandB()
    dashboard.on_step(None)  # type: ignore[arg-type]  # before the start
    dashboard.on_start(run.started())
    run.log(100, {3: 1.0, 4: 2.0})
    now[0] += 9.0
    dashboard.on_step(None)  # type: ignore[arg-type]
    assert not service.rows
    now[0] += 2.0
    dashboard.on_step(None)  # type: ignore[arg-type]
    assert list(service.rows) == [100]
