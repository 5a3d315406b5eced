"""Loading runs, and the labels of their curves."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

import surefoot
from surefoot.cli.main import main
from surefoot.errors import UserError
from surefoot.report.labels import label_runs, name_curves, settings_table
from surefoot.report.runs import load_runs
from surefoot.runs import RunDirectory
from tests.report.support import STEPS, make_run, views_of


def labels(*paths: Path) -> list[str]:
    return list(label_runs(load_runs(paths)))


def edit_config(path: Path, **changes: object) -> None:
    config = json.loads((path / "config.json").read_text())
    (path / "config.json").write_text(json.dumps(config | changes))


def test_scores_are_means_over_episodes_by_seed(tmp_path: Path) -> None:
    make_run(tmp_path / "a", seeds=(7, 3))
    (run,) = load_runs([tmp_path])
    assert run.seeds == (7, 3)
    np.testing.assert_array_equal(run.env_steps, STEPS)
    np.testing.assert_allclose(run.scores, [[0.0, 0.2, 0.4], [0.1, 0.3, 0.5]], atol=1e-12)
    np.testing.assert_array_equal(run.wall_seconds, [0, 100, 200])
    assert run.finished
    assert run.env_steps_per_second == 2 * 20_000 / 200


def test_run_found_twice_is_loaded_once(tmp_path: Path) -> None:
    make_run(tmp_path / "a")
    assert len(load_runs([tmp_path, tmp_path / "a"])) == 1


def test_labels_contain_what_differs(tmp_path: Path) -> None:
    make_run(tmp_path / "1", preset="sac")
    make_run(tmp_path / "2", preset="crossq-wn", utd=1)
    assert labels(tmp_path) == ["crossq-wn", "sac"]
    make_run(tmp_path / "3", preset="crossq-wn", utd=5)
    assert labels(tmp_path) == ["crossq-wn UTD 1", "crossq-wn UTD 5", "sac UTD 1"]
    make_run(tmp_path / "4", preset="crossq-wn", utd=5, weight_constraint=None)
    assert labels(tmp_path) == [
        "crossq-wn UTD 1",
        "crossq-wn UTD 5",
        "crossq-wn UTD=5 weight_constraint=none",  # the others have a constraint
        "sac UTD 1",
    ]


def test_widths_of_both_networks_are_one_word(tmp_path: Path) -> None:
    make_run(tmp_path / "1", preset="crossq-wn", utd=1)
    narrow = {
        network: dataclasses.replace(getattr(surefoot.crossq_wn(), network), widths=(128, 128))
        for network in ("actor", "critic")
    }
    make_run(tmp_path / "2", preset="crossq-wn", utd=5, **narrow)
    assert labels(tmp_path) == ["crossq-wn UTD=1 512x512", "crossq-wn UTD=5 128x128"]


def test_settings_that_follow_the_utd_are_not_in_labels(tmp_path: Path) -> None:
    make_run(tmp_path / "1", preset="bro", utd=2)
    make_run(tmp_path / "2", preset="bro", utd=10)
    assert labels(tmp_path) == ["bro UTD 2", "bro UTD 10"]


def test_settings_of_runs_are_in_labels(tmp_path: Path) -> None:
    for name, changes in (("a", {}), ("b", {}), ("c", {"precision": "bf16"}), ("d", {"overlap": True})):
        edit_config(make_run(tmp_path / name, [(0.0, 0.2, 0.4)], seeds=[ord(name)]), **changes)
    assert labels(tmp_path) == ["sac", "sac bf16", "sac overlap"]
    edit_config(tmp_path / "b", replay_capacity=5_000)
    assert labels(tmp_path) == ["sac", "sac replay_capacity=5000", "sac bf16", "sac overlap"]
    assert labels(tmp_path / "a", tmp_path / "b") == ["sac", "sac replay_capacity=5000"]


def test_diverged_seed_has_no_success(tmp_path: Path) -> None:
    make_run(tmp_path / "run", [(0.0, 0.2), (0.1, np.nan)], solved=[(1.0, 1.0), (1.0, 0.0)], steps=STEPS[:2])
    (run,) = load_runs([tmp_path])
    np.testing.assert_array_equal(run.solved_at_end, [[1.0, 1.0], [1.0, np.nan]])
    (view,) = views_of(tmp_path)
    assert view.table[0]["solved at the end"].value == 1.0


def test_devices_of_resumed_parts_are_named(tmp_path: Path) -> None:
    path = make_run(tmp_path / "run")
    edit_config(path, resumed=[{"machine": {"device": name}} for name in ("a GPU", "CPU, 1 core")])
    assert load_runs([path])[0].devices == ("CPU, 1 core", "a GPU", "CPU, 1 core")
    assert views_of(path)[0].table[0]["device"] == "CPU, 1 core, a GPU"


def test_labels_of_more_than_three_words_become_numbers(tmp_path: Path) -> None:
    make_run(tmp_path / "1", preset="sac")
    make_run(tmp_path / "2", preset="sac", discount=0.9, batch_size=64, policy_delay=7, warmup_transitions=300)
    make_run(tmp_path / "3", name="a name of five words", preset="crossq")
    make_run(tmp_path / "4", name="a name of six or more", preset="crossq")
    groups = label_runs(load_runs([tmp_path]))
    assert list(groups) == ["a name #1", "a name #2", "sac #1", "sac #2"]
    *_, first, second = name_curves([runs[0] for runs in groups.values()])
    assert first.settings == "UTD 1, batch_size=256, discount=none, policy_delay=1, warmup_transitions=10000"
    assert second.settings == "UTD 1, batch_size=64, discount=0.9, policy_delay=7, warmup_transitions=300"


def test_parts_of_names_that_all_share_are_left_out(tmp_path: Path) -> None:
    make_run(tmp_path / "1", name="sac, width 128")
    assert labels(tmp_path) == ["sac, width 128"]
    make_run(tmp_path / "2", name="crossq, width 128", preset="crossq")
    assert labels(tmp_path) == ["crossq", "sac"]


def test_table_of_settings_has_every_setting(tmp_path: Path) -> None:
    make_run(tmp_path / "1", preset="sac")
    make_run(tmp_path / "2", preset="crossq")
    sac, crossq = load_runs([tmp_path])
    rows = {row["setting"]: row for row in settings_table({"sac": sac, "crossq": crossq})}
    assert rows["critic.widths"] == {"setting": "critic.widths", "sac": "256x256", "crossq": "512x512"}
    assert rows["critic.norm.momentum"]["sac"] == "–"  # it has no normalisation
    assert rows["precision"]["sac"] == "float32"


def test_descriptions_with_other_fields_are_separate_curves(tmp_path: Path) -> None:
    make_run(tmp_path / "1", preset="sac")
    path = make_run(tmp_path / "2", preset="sac") / "config.json"
    config = json.loads(path.read_text())
    config["algorithm"]["removed_field"] = config["algorithm"].pop("update_order")
    path.write_text(json.dumps(config))
    assert labels(tmp_path) == ["sac #1", "sac #2"]
    curves = name_curves(load_runs([tmp_path]))
    assert len({curve.family for curve in curves}) == 2, "they are not one algorithm at two UTDs"


def test_warm_started_runs_are_a_separate_curve(tmp_path: Path) -> None:
    make_run(tmp_path / "1", preset="sac")
    path = make_run(tmp_path / "2", preset="sac") / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "warm_start": {"source": "runs/dog"}}))
    assert labels(tmp_path) == ["sac", "sac warm_start"]


def test_mixed_protocols_are_rejected(tmp_path: Path) -> None:
    make_run(tmp_path / "a")
    make_run(tmp_path / "b", seeds=(5, 6))
    edit_config(tmp_path / "b", resolved={"action_repeat": 1, "discount": 0.99, "agent_steps": 20_000})
    with pytest.raises(UserError, match=r"mixed protocols of sac on cheetah-run: .*action repeat 2.*action repeat 1"):
        label_runs(load_runs([tmp_path]))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda run: (run / "evaluations.csv").write_text("a,b\n1,2\n"), "evaluations.csv has columns a, b, expected"),
        (lambda run: (run / "evaluations.csv").write_bytes(b"\xff\xfe\n"), "not a CSV file"),
        (
            lambda run: (run / "evaluations.csv").write_text(
                (run / "evaluations.csv").read_text().replace("cheetah-run", "dog-run", 1)
            ),
            "evaluations.csv mixes runs: task 'dog-run'",
        ),
        (
            lambda run: (run / "evaluations.csv").write_text(
                (run / "evaluations.csv").read_text().replace(",0.0,1000", ",0.0", 1)
            ),
            "line 2 has 14 cells, expected 15",
        ),
        (lambda run: edit_config(run, resolved={}), "config.json is not a run's"),
        (lambda run: edit_config(run, seeds=[]), "config.json is not a run's"),
        (
            lambda run: edit_config(run, resolved={"action_repeat": 0, "discount": 0.99, "agent_steps": 10}),
            "config.json is not a run's",
        ),
        (
            lambda run: (run / "evaluations.csv").write_text(
                (lambda lines: "\n".join([*lines, lines[-1], ""]))((run / "evaluations.csv").read_text().splitlines())
            ),
            "contains an episode of a seed and env step twice",
        ),
        (
            lambda run: (run / "evaluations.csv").write_text((run / "evaluations.csv").read_text()[:-20]),
            "evaluations.csv is truncated: its last row is incomplete, and no process is writing it",
        ),
    ],
)
def test_unreadable_run_is_reported_and_nothing_is_written(
    damage: object, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = make_run(tmp_path / "run")
    damage(run)  # type: ignore[operator]
    assert main(["report", str(run), "-o", str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_row_still_being_written_is_ignored(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    log = run / "evaluations.csv"
    log.write_text(log.read_text()[:-20])
    with RunDirectory.open(run).lock():
        (read,) = load_runs([run])
    assert not np.isnan(read.scores).any()  # the seed's other episode of that evaluation is complete
