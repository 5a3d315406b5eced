"""Commands evaluate, tasks and algorithms, help and version."""

from __future__ import annotations

import dataclasses
import gc
import json
import subprocess
import sys
from pathlib import Path

import pytest

from surefoot.algorithms.presets import list_presets
from surefoot.cli.main import COMMANDS, _without_collection, main
from surefoot.cli.parse import load_command
from surefoot.tasks import list_tasks

from .conftest import FakeApi


def test_evaluate_prints_a_row_per_seed(api: FakeApi, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", "runs/dog", "--episodes", "2"]) == 0
    assert api.calls == [("evaluate", Path("runs/dog"), {"episodes": 2, "task": None, "env_workers": None})]
    assert capsys.readouterr().out.splitlines() == ["seed  mean return", "3     100.0", "4     300.0", "mean  200.0"]


def test_evaluate_passes_its_options(api: FakeApi) -> None:
    assert main(["evaluate", "runs/arm", "--task", "envs:make_arm", "--env-workers", "2"]) == 0
    assert api.calls == [("evaluate", Path("runs/arm"), {"episodes": 5, "task": "envs:make_arm", "env_workers": 2})]


def test_evaluate_shows_success_where_the_task_defines_it(api: FakeApi, capsys: pytest.CaptureFixture[str]) -> None:
    api.success = True
    assert main(["evaluate", "runs/hand"]) == 0
    header, *rows = capsys.readouterr().out.splitlines()
    assert header.split("  ")[-2:] == ["solved", "solved at the end"]
    assert [row.split() for row in rows] == [
        ["3", "100.0", "50%", "0%"],
        ["4", "300.0", "100%", "0%"],
        ["mean", "200.0", "75%", "0%"],
    ]


def test_evaluate_prints_every_episode_as_json(api: FakeApi, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", "runs/dog", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    first = {"seed": 3, "returns": [50.0, 150.0], "lengths": [100, 100]}
    none = {"success_any": None, "success_last": None, "first_success": None}
    assert report["path"] == "runs/dog"
    assert report["seeds"][0] == first | none
    api.success = True
    assert main(["evaluate", "runs/dog", "--json"]) == 0
    second = json.loads(capsys.readouterr().out)["seeds"][1]
    assert (second["success_any"], second["first_success"]) == ([True, True], [20, 60])


def test_tasks_lists_every_task(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["tasks"]) == 0
    header, *lines = capsys.readouterr().out.splitlines()
    assert header.split()[0] == "task"
    assert [line.split()[0] for line in lines] == [task.name for task in list_tasks()]
    assert main(["tasks", "--json"]) == 0
    entries = {entry["name"]: entry for entry in json.loads(capsys.readouterr().out)}
    cheetah = entries["cheetah-run"]
    assert (cheetah["suite"], cheetah["action_repeat"], cheetah["discount"]) == ("dmc", 2, 0.99)
    assert (cheetah["horizon"], cheetah["score_metric"]) == (1000, "return")
    assert entries.keys() == {task.name for task in list_tasks()}


def test_algorithms_lists_every_preset(capsys: pytest.CaptureFixture[str]) -> None:
    names = [preset.name for preset in list_presets()]
    assert main(["algorithms"]) == 0
    table = capsys.readouterr().out.partition("\n\n")[0]
    assert [line.split()[0] for line in table.splitlines()[1:]] == names
    assert main(["algorithms", "--json"]) == 0
    assert [entry["name"] for entry in json.loads(capsys.readouterr().out)] == names


def test_algorithms_lists_the_parts_of_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["algorithms", "crossq-wn"]) == 0
    lines = capsys.readouterr().out.splitlines()
    values = {tuple(line.split()[:2]) for line in lines}
    assert {("weight_constraint", "UnitNorm"), ("policy_delay", "3"), ("warmup_transitions", "5,000")} <= values
    assert any(line.split()[:3] == ["discount", "the", "task's"] for line in lines)
    assert any(line.endswith("T1, section 4; bias included: code") for line in lines)
    assert main(["algorithms", "sac", "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["algorithm"]["weight_constraint"] is None
    assert {"name": "actor.widths", "value": [256, 256], "source": "T1"} in shown["values"]
    assert any(line.startswith("compared with danielpalenicek/xqc 9a6832b: ") for line in lines)
    assert shown["parity"]["comparison"]["repository"] == "ikostrikov/jaxrl"
    assert [deviation["name"] for deviation in shown["parity"]["deviations"]] == ["table-values"]


@pytest.mark.parametrize("command", COMMANDS)
def test_help_explains_every_option(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main([command, "--help"])
    assert stop.value.code == 0
    text = " ".join(capsys.readouterr().out.replace("│", " ").split())
    for field in dataclasses.fields(load_command(COMMANDS[command])):
        option = f"--{field.name.replace('_', '-')}"
        if option not in text:
            assert field.name.upper() in text
            continue
        help_text = text.rpartition(option + " ")[2]
        own_text = help_text.partition(" --")[0]
        assert "(default: " in own_text or "(required)" in own_text, f"{option} does not state its default"
    assert "None" not in text


def test_no_arguments_print_the_commands(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main([])
    assert stop.value.code == 0
    out = capsys.readouterr().out
    assert all(command in out for command in COMMANDS)


def test_version_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == "surefoot 0.1.0\n"


def test_closed_output_pipe_is_not_reported() -> None:
    script = "import sys; from surefoot.cli.main import main; sys.exit(main(['tasks']))"
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 1


def test_imports_are_left_out_of_garbage_collection() -> None:
    before = gc.get_freeze_count()
    try:
        with _without_collection():
            assert not gc.isenabled()
        assert gc.isenabled()
        assert gc.get_freeze_count() > before
    finally:
        gc.unfreeze()


def test_calls_from_a_program_leave_garbage_collection_alone() -> None:
    before = gc.get_freeze_count()
    assert main(["algorithms"]) == 0
    assert gc.get_freeze_count() == before
