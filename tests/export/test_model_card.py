"""Model cards: contents, escaping of untrusted text, and errors."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest

import surefoot
from surefoot.cli.main import main
from surefoot.errors import UserError

from .conftest import ENV_STEPS, MakeRun


def change_config(path: Path, **changes: object) -> None:
    config = json.loads((path / "config.json").read_text())
    (path / "config.json").write_text(json.dumps(config | changes))


def rows(card: str) -> dict[str, list[str]]:
    """Return the cells of every table row by its first cell."""
    cells = [re.split(r"(?<!\\)\|", line)[1:-1] for line in card.splitlines() if line.startswith("|")]
    return {row[0].strip(): [cell.strip() for cell in row[1:]] for row in cells}


def test_card_contents_match_the_run(make_run: MakeRun) -> None:
    path = make_run()
    assert surefoot.write_model_card(path) == path / "MODEL_CARD.md"
    card = (path / "MODEL_CARD.md").read_text()
    assert card.startswith("# cheetah-run, crossq-wn\n")
    table = rows(card)
    # Episodes of 100 and 110, 300 and 310; with two seeds the bootstrap's interval is the two of them.
    assert table["return"] == ["205", "105 to 305", "2", "2"]
    assert table["score"] == ["0.205", "0.105 to 0.305", "2", "2"]
    assert table["3"] == ["0.105", "105"]
    assert "percentile bootstrap over seeds" in card
    assert "over 2 seeds" in card
    assert "selects seed 4" in card
    assert table["batch_size"] == ["16"]
    assert table["actor.widths"] == ["16, 16"]
    assert table["actor.norm.epsilon"] == ["0.001"]
    assert table["weight_constraint"] == ["UnitNorm"]
    assert table["discount"] == ["the task's"]  # the later of two rows: the algorithm's own
    assert table["env steps per seed"] == ["2,000"]
    assert table["wall-clock"] == ["1 h 30 min"]
    assert table["surefoot's git revision"] == ["abc123"]
    assert table["device"] == ["CPU, 2 cores"]
    assert table["versions"] == ["jax 0.12"]
    assert "\nsurefoot train cheetah-run --out 'my runs/a|b'\n" in card
    assert table["started from"] == ["random networks"]
    assert "Task: Apache-2.0 (package `dm-control`" in card
    assert (
        "5 observation entries (a dict of arrays: position [3], velocity [2]) to 2 action entries ([2] float32)" in card
    )
    assert "Fewer than 5 seeds" in card
    assert "not reached its last step" not in card


def test_policy_of_another_step_than_the_scores(make_run: MakeRun) -> None:
    path = make_run()
    assert f"saved at env step {ENV_STEPS:,}." in surefoot.write_model_card(path).read_text()
    lines = (path / "evaluations.csv").read_text().splitlines()
    (path / "evaluations.csv").write_text("\n".join(line for line in lines if f",{ENV_STEPS}," not in line) + "\n")
    assert "selects seed" not in surefoot.write_model_card(path).read_text()


def test_every_table_row_has_as_many_cells_as_its_header(make_run: MakeRun) -> None:
    path = make_run()
    change_config(path, task="a|b <script>", started="x | y")
    card = surefoot.write_model_card(path).read_text()
    assert "<script>" not in card
    for block in card.split("\n\n"):
        if block.startswith("|"):
            assert len({len(re.findall(r"(?<!\\)\|", line)) for line in block.splitlines()}) == 1, block


def test_untrusted_text_is_escaped(make_run: MakeRun, tmp_path: Path) -> None:
    path = make_run()
    change_config(path, started="![x](http://a.b/c) `x` a\\", resumed=3)
    path = path.rename(tmp_path / 'a "b"; rm \n```\nc')
    card = surefoot.write_model_card(path).read_text()
    assert "\\[x](http://a.b/c) \\`x\\` a\\\\ |" in card
    assert re.search(r"^```$\n(?=c)", card, re.MULTILINE) is None
    assert f"load_policy({path.name!r})\n" in card
    assert """surefoot export $'a "b"; rm \\x0a```\\x0ac'\n""" in card


def test_existing_symlink_is_not_followed(make_run: MakeRun, tmp_path: Path) -> None:
    path = make_run()
    (tmp_path / "precious").write_text("precious")
    (path / ".tmp-MODEL_CARD.md").symlink_to(tmp_path / "precious")
    surefoot.write_model_card(path)
    assert (tmp_path / "precious").read_text() == "precious"
    assert (path / "MODEL_CARD.md").is_file()
    assert not (path / "MODEL_CARD.md").is_symlink()


def test_diverged_seed_is_excluded_from_scores(make_run: MakeRun) -> None:
    path = make_run(lambda arrays: arrays["mean/kernel"].__setitem__(1, np.nan))
    log = (path / "evaluations.csv").read_text().splitlines()
    last = [line if f",4,{ENV_STEPS}," not in line else re.sub(r"(1000,,,),[^,]*", r"\1,nan", line) for line in log]
    (path / "evaluations.csv").write_text("\n".join(last) + "\n")
    card = surefoot.write_model_card(path).read_text()
    table = rows(card)
    assert table["score"] == ["0.105", "", "1", "2"]
    assert table["4"] == ["diverged", "diverged"]
    assert "1 more diverged" in card
    assert "No interval" in card


def test_evaluation_of_a_task_that_is_code_names_it(make_run: MakeRun) -> None:
    path = make_run()
    change_config(path, task="my.envs:arm(size=3)", env_set={"size": 3})
    assert "--task my.envs:arm --episodes 20" in surefoot.write_model_card(path).read_text()
    change_config(path, task="my.envs:<lambda>#3f9a1c20de", suite="callable", env_set=None)
    card = surefoot.write_model_card(path).read_text()
    assert ", task=..., episodes=20)" in card
    assert "--task" not in card


def test_card_of_a_run_without_evaluation(make_run: MakeRun) -> None:
    path = make_run()
    log = path / "evaluations.csv"
    log.write_text(log.read_text().splitlines()[0] + "\n")
    (path / "policy" / "policy.json").unlink()
    card = surefoot.write_model_card(path).read_text()
    assert "The run has not been evaluated." in card
    assert "The run has no usable policy." in card
    assert "not reached its last step" in card


@pytest.mark.parametrize(
    ("suite", "package", "licence"),
    [("dmc", "dm-control", "Apache"), ("myosuite", "myosuite", "Apache"), ("gymnasium", "gymnasium", "MIT")],
)
def test_licences_match_the_installed_packages(suite: str, package: str, licence: str, make_run: MakeRun) -> None:
    about = metadata.metadata(package)
    declared = [text for field in ("License", "License-Expression", "Classifier") for text in about.get_all(field, [])]
    assert any(licence in text for text in declared if text.startswith(("License", licence)))
    path = make_run()
    change_config(path, suite=suite)
    assert f"Task: {licence}" in surefoot.write_model_card(path).read_text()


def test_warm_start_is_listed(make_run: MakeRun) -> None:
    path = make_run()
    change_config(path, warm_start={"init_from": "/runs/a", "prefill": "data.npz"})
    table = rows(surefoot.write_model_card(path).read_text())
    assert table["started from"] == ["networks of the run /runs/a and transitions from data.npz"]


@pytest.mark.parametrize("suite", ["callable", "module"])
def test_licence_of_a_custom_environment_is_unknown(suite: str, make_run: MakeRun) -> None:
    path = make_run()
    change_config(path, suite=suite)
    assert "Task: unknown" in surefoot.write_model_card(path).read_text()


def test_command_writes_to_the_given_path(
    make_run: MakeRun, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, out = make_run(), tmp_path / "card.md"
    assert main(["card", str(path), "-o", str(out)]) == 0
    assert capsys.readouterr().out == f"{out}\n"
    assert out.read_text().startswith("# cheetah-run")
    assert not (path / "MODEL_CARD.md").exists()


def test_errors_are_one_line(make_run: MakeRun, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = make_run()
    os.mkfifo(tmp_path / "pipe")
    for arguments, expected in (
        ([str(tmp_path / "none")], "is not a run"),
        ([str(path), "-o", str(path / "config.json")], "belongs to the run"),
        ([str(path), "-o", str(path / ".lock")], "belongs to the run"),
        ([str(path), "-o", str(tmp_path / "pipe")], "is not a regular file"),
        ([str(path), "-o", str(tmp_path / "none" / "card.md")], "is missing"),
    ):
        assert main(["card", *arguments]) == 2
        out, err = capsys.readouterr()
        assert (out, err.count("\n")) == ("", 1)
        assert expected in err
    change_config(path, seeds=3)
    with pytest.raises(UserError, match=r"config.json: seeds is 3, expected list"):
        surefoot.write_model_card(path)


def test_writing_a_card_imports_neither_jax_nor_a_simulator(make_run: MakeRun) -> None:
    heavy = {"jax", "flax", "mujoco", "dm_control"}
    code = f"import surefoot, sys; surefoot.write_model_card({str(make_run())!r}); print({heavy} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == "set()\n"
