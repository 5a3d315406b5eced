"""Grids: expansion to cells, and validation."""

from __future__ import annotations

import dataclasses
import itertools
import json
from pathlib import Path

import pytest

from surefoot.algorithms import Algorithm, L2Penalty, ResetEvery
from surefoot.benchmark.grid import (
    _OWN_KEYS,
    _PRESET_KEYS,
    _SETTINGS,
    Cell,
    Grid,
    load_grid,
    parse_grid,
    shipped_grids,
)
from surefoot.cli.main import main
from surefoot.errors import UserError
from surefoot.networks import BatchNorm
from tests.benchmark.support import ALGORITHM, HEAD, write_grid

FIELDS = [field.name for field in dataclasses.fields(Algorithm) if field.name not in ("name", "utd")]


def grid(text: str) -> Grid:
    return parse_grid("g", text)


def labelled(grid: Grid) -> dict[str, set[int]]:
    found: dict[str, set[int]] = {}
    for cell in grid.cells:
        found.setdefault(cell.label, set()).add(cell.algorithm().utd)
    return found


def test_cells_are_product_of_tasks_algorithms_and_seeds() -> None:
    found = grid(
        f'tasks = ["probe-action", "probe-truncation"]\nnum_seeds = 5\nseeds_per_cell = 2\nseed = 10{HEAD}{ALGORITHM}'
    )
    assert len(found.cells) == 2 * 3
    assert found.cells[0].name == "probe-action--small-sac--u1--s10-11"
    assert found.cells[-1].settings["seed"] == 14
    assert found.cells[-1].settings["num_seeds"] == 1
    config = found.cells[0].config(Path("out"))
    assert (config.env_steps, config.num_seeds, config.seed, config.algorithm.name) == (600, 2, 10, "small sac")


def test_cells_match_patterns() -> None:
    found = grid(f'tasks = ["probe-action", "probe-truncation"]\nnum_seeds = 2\nseeds_per_cell = 1{HEAD}{ALGORITHM}')
    action, truncation, action_1, truncation_1 = found.cells
    assert found.matching(()) == list(found.cells)
    assert found.matching(["*--s1-1", "probe-action*"]) == [action, action_1, truncation_1], "in the grid's order"
    assert found.matching([truncation.name]) == [truncation]
    with pytest.raises(UserError, match=r"no cell of grid g matches 'dog-\*': expected .* such as probe-action--small"):
        found.matching([action.name, "dog-*"])


@pytest.mark.parametrize("name", shipped_grids())
def test_shipped_grids_are_valid(name: str) -> None:
    found = load_grid(name)
    assert found.description
    assert len({cell.name for cell in found.cells}) == len(found.cells) > 0


def test_paper_grids_match_paper() -> None:
    suites, utd = load_grid("paper-suites"), load_grid("paper-utd")
    for found in (suites, utd):
        assert len({cell.task for cell in found.cells}) == 25
        assert {cell.settings["env_steps"] for cell in found.cells} == {1_000_000}
        assert {cell.settings["num_seeds"] for cell in found.cells} == {10}
    assert labelled(suites) == {"crossq-wn": {1, 5}, "crossq": {1, 5}, "sac": {1}, "sr-sac": {32}, "bro": {2, 10}}
    assert labelled(utd) == {"crossq-wn": {1, 2, 5}, "crossq-wn-r": {10, 20}}
    parts = {cell.label: cell.algorithm() for cell in load_grid("paper-ablations").cells}
    assert len(parts) == 5
    assert parts["crossq-wn, no weight normalisation"].weight_constraint is None
    assert parts["crossq-wn, no target network"].target is None
    assert parts["crossq-wn, L2 penalty"].weight_constraint == L2Penalty(1e-4)
    assert parts["crossq-wn, with resets"].resets == ResetEvery(env_steps=80_000)


def test_settings_of_parts_have_dotted_paths() -> None:
    text = ALGORITHM.replace('critic = "MLP((16, 16))"', 'critic.widths = [16, 8]\ncritic.norm = "BatchNorm()"')
    (cell,) = grid(f"{VALID}{text}temperature.initial = 0.5\n").cells
    algorithm = cell.algorithm()
    assert algorithm.critic.widths == (16, 8)
    assert algorithm.critic.norm == BatchNorm()
    assert algorithm.temperature.initial == 0.5
    assert cell.overrides["critic.widths"] == [16, 8]


def test_keywords_of_environments_are_those_of_the_grid_and_of_the_task() -> None:
    tasks = 'tasks = ["Pendulum-v1", {name = "Ant-v5", env_set = {frame_skip = 2, max_episode_steps = 7}}]'
    cells = grid(f"{tasks}{HEAD}env_set = {{max_episode_steps = 9}}\n{ALGORITHM}").cells
    assert [cell.name for cell in cells] == [
        "Pendulum-v1-max_episode_steps-9--small-sac--u1--s0-0",
        "Ant-v5-frame_skip-2-max_episode_steps-7--small-sac--u1--s0-0",
    ]
    names = ["Pendulum-v1(max_episode_steps=9)", "Ant-v5(frame_skip=2, max_episode_steps=7)"]
    assert [cell.find_task().name for cell in cells] == names
    assert cells[0].config(Path("x")).env_set == {"max_episode_steps": 9}
    assert Cell(**json.loads(json.dumps(cells[1].to_data()))) == cells[1]


VALID = f'tasks = ["probe-action"]{HEAD}'


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("tasks = [", "grid g: not TOML"),
        (f'{VALID}task = "x"\n{ALGORITHM}', r"a grid has no key 'task'; did you mean 'tasks'"),
        (f"{VALID}utd = 2\n{ALGORITHM}", r"a grid has no key 'utd', which belongs to an entry of \[\[algorithms\]\]"),
        (f"{VALID}{ALGORITHM}num_critic = 3", r"an algorithm has no field 'num_critic'; did you mean 'num_critics'"),
        (f'tasks = ["dogrun"]{HEAD}{ALGORITHM}', "dogrun"),
        (f'tasks = ["mymodule:make"]{HEAD}{ALGORITHM}', "task 'mymodule:make' is code"),
        (f'{VALID}[[algorithms]]\npreset = "sacc"', r"unknown algorithm 'sacc'; did you mean 'sac'"),
        (f'{VALID}[[algorithms]]\nname = "x"', "an algorithm lacks its preset"),
        (f"{VALID}env_set = {{x = 3}}\n{ALGORITHM}", "task 'probe-action' takes no keywords, got 'x'"),
        (f"{VALID}env_set = 3\n{ALGORITHM}", "env_set must be a dict"),
        (
            f'tasks = [{{name = "Ant-v5", env_st = {{}}}}]{HEAD}{ALGORITHM}',
            "key of a task 'env_st'; did you mean 'env_set'",
        ),
        (f"tasks = [{{env_set = {{}}}}]{HEAD}{ALGORITHM}", "the name of a task must be a text, got None"),
        (f'tasks = ["Ant-v5"]{HEAD}env_set = {{a = "m:E-v0"}}\n{ALGORITHM}', "has a colon, which may name code"),
        (f"tasks = []{HEAD}{ALGORITHM}", "tasks must be a list of one or more names"),
        (VALID, "algorithms must be one or more tables"),
        (f'{VALID}[[algorithms]]\npreset = "sac"\nutd = []', "no algorithms: every utd is an empty list"),
        (f"{VALID}num_seeds = 0\n{ALGORITHM}", "num_seeds must be at least 1, got 0"),
        (f'{VALID}num_seeds = "ten"\n{ALGORITHM}', "num_seeds must be a whole number, got 'ten'"),
        (f"{VALID}{ALGORITHM}{ALGORITHM}", "two cells have the name probe-action--small-sac--u1--s0-0"),
        (f'tasks = ["probe-action", "probe-action"]{HEAD}{ALGORITHM}', "two cells have the name"),
        (f'{VALID}{ALGORITHM}weight_constraint = "unit-nrm"', "weight_constraint must be one of"),
        (f'{VALID}{ALGORITHM}learning_rate = "3e-4"', "learning_rate must be a number such as 3e-4, got '3e-4'"),
        (
            f"{VALID}{ALGORITHM}{ALGORITHM}utd = 2\nnum_critics = 3",
            "two different algorithms have the name 'small sac'",
        ),
        ("a = " + "[" * 5000, "not TOML"),
        (
            f'tasks = ["probe-action"]\nenv_steps = 50\n{ALGORITHM}',
            "env_steps must be at least 101, one step more than the warm-up of 100 transitions at action repeat 1",
        ),
        (
            f"{VALID.replace('evaluate_every = 300', 'evaluate_every = true')}{ALGORITHM}",
            "evaluate_every must be a whole",
        ),
        (
            f'{VALID}[[algorithms]]\npreset = "sac"\nlearning_rate = "fast"',
            "learning_rate must be a number .*got 'fast'",
        ),
        (f'{VALID}[[algorithms]]\npreset = "sac"\nbatch_size = "big"', "batch_size must be a number, got 'big'"),
        (
            f'{VALID}{ALGORITHM}temperature.initail = "none"',
            "Temperature has no field 'initail'; did you mean 'initial'",
        ),
        (f"{VALID}{ALGORITHM}resets.env_steps = 5", "resets is None, which has no field 'env_steps'"),
        (f'tasks = ["probe-action"]\nenv_steps = "many"\n{ALGORITHM}', "env_steps must be a whole number"),
    ],
)
def test_invalid_grids_raise_user_error(text: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        grid(text)


ODD_VALUES = (
    "true",
    "-5",
    "0",
    "2.5",
    "nan",
    "inf",
    '"x"',
    '""',
    "[]",
    "[1]",
    '["a"]',
    "{a=1}",
    "2020-01-01",
    '"none"',
)


def test_any_value_is_accepted_or_raises_user_error() -> None:
    """An accepted grid is equal after a JSON round trip."""
    head = {"tasks": '["probe-action"]', "env_steps": "600"}
    algorithm = dict(line.split(" = ", 1) for line in ALGORITHM.strip().splitlines()[1:])
    for key, value in itertools.product((*_OWN_KEYS, *_SETTINGS), ODD_VALUES):
        check_accepted_or_user_error(lines(head | {key: value}) + (ALGORITHM if key != "algorithms" else ""))
    for key, value in itertools.product(("preset", "name", *_PRESET_KEYS, *FIELDS), ODD_VALUES):
        check_accepted_or_user_error(f"{lines(head)}\n[[algorithms]]\n{lines(algorithm | {key: value})}")


def lines(values: dict[str, str]) -> str:
    return "\n".join(f"{key} = {value}" for key, value in values.items())


def check_accepted_or_user_error(text: str) -> None:
    message = ""
    try:
        found = grid(text)
    except UserError as error:
        message = str(error)
    else:
        stored = json.dumps([cell.to_data() for cell in found.cells], allow_nan=False)
        assert tuple(Cell(**cell) for cell in json.loads(stored)) == found.cells, text
    assert "\n" not in message, text


def test_command_line_validates_before_writing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "g.toml").write_text(f"{VALID}wrong = 1\n{ALGORITHM}")
    (tmp_path / "binary.toml").write_bytes(b"tasks = \xff")
    good = write_grid(tmp_path / "good.toml")
    out = str(tmp_path / "out")
    for arguments, message in (
        ([str(tmp_path / "g.toml")], "a grid has no key 'wrong'"),
        (["quik"], "no grid 'quik': expected a TOML file or one of paper-ablations"),
        (["/dev/zero"], "cannot read /dev/zero: it is not a regular file"),
        ([str(tmp_path)], "it is not a regular file"),
        ([str(tmp_path / "binary.toml")], "not TOML: byte 8 is not UTF-8"),
        ([str(good), "--max-parallel", "0"], "max_parallel must be at least 1, got 0"),
        ([str(good), "--cells", "dog-*"], "no cell of grid good matches 'dog-*'"),
        ([str(good), "--retries", "-1"], "retries must be 0 or more, got -1"),
        ([str(good), "--address", "1.2.3.4:5"], "it needs --launcher ray"),
        ([str(good), "--launcher", "slurm"], "slurm"),
    ):
        assert main(["bench", *arguments, "--out", out]) == 2
        error = capsys.readouterr().err
        assert message in error
        assert error.count("\n") == 1
    assert not (tmp_path / "out").exists()
    assert main(["bench", "status", str(tmp_path)]) == 2
    assert "has no bench.json: expected a directory made by `surefoot bench GRID --out DIR`" in capsys.readouterr().err
