"""Keyword arguments given to the wrong function, algorithms given by name, and whole numbers written as floats."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import gymnasium
import numpy as np
import pytest

import surefoot
from surefoot.algorithms.presets import as_algorithm, list_presets
from surefoot.cli.parse import parse
from surefoot.errors import UserError
from surefoot.misplaced import FIELDS, SETTINGS
from surefoot.whole_numbers import as_ratio, as_whole, whole_from_text, whole_number

BOX = gymnasium.spaces.Box(-1.0, 1.0, (2,))


def refusal(function: Any, *arguments: Any, **keywords: Any) -> str:
    with pytest.raises(UserError) as error:
        function(*arguments, **keywords)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_every_field_of_an_algorithm_given_elsewhere_is_explained() -> None:
    for name in (*FIELDS, "learning_rate"):
        end = {"utd": "(utd=7)", "learning_rate": "('crossq-wn-code', learning_rate=7)"}.get(
            name, f"().replace({name}=7)"
        )
        assert refusal(surefoot.train, "probe-action", **{name: 7}).endswith(end), name
        if name != "discount":
            assert refusal(surefoot.Agent, BOX, BOX, **{name: 7}).endswith(end), name


def test_every_setting_of_a_run_given_elsewhere_is_explained() -> None:
    calls: list[tuple[Any, tuple[Any, ...], set[str]]] = [
        (surefoot.Agent, (BOX, BOX), {"seed", "replay_capacity", "precision"}),
        (surefoot.crossq_wn, (), set()),
        (surefoot.sac().replace, (), set()),
        (surefoot.evaluate, ("run",), {"env_workers"}),
    ]
    for function, arguments, own in calls:
        for name in set(SETTINGS) - own:
            message = refusal(function, *arguments, **{name: 7})
            assert message.endswith(f"which is a setting of a run, as in surefoot.train(task, {name}=7)"), name


def test_misplaced_and_misspelled_keywords() -> None:
    assert [
        refusal(surefoot.train, "probe-action", utdd=5),
        refusal(surefoot.train, "probe-action", env_stpes=5).partition(" or ")[0],
        refusal(surefoot.train, "probe-action", actor="x" * 100),
        refusal(surefoot.crossq_wn, batch_size=64),
        refusal(surefoot.sac, learning_rate=1e-3),
        refusal(surefoot.Agent, BOX, BOX, algoritm="sac"),
        refusal(surefoot.train, "probe-action", qqqq=1).partition(" callbacks")[0],
        refusal(surefoot.train, "probe-action", algorithm="xqc", utd=5),
        refusal(surefoot.load_policy, "runs/x", seeds=1),
        refusal(surefoot.record, "runs/x", "x.gif", episode=1),
        refusal(surefoot.check_env, "probe-action", seeed=5),
    ] == [
        "train has no setting 'utdd'; did you mean 'utd'? It belongs to the algorithm, as in "
        "algorithm=surefoot.crossq_wn_code(utd=5)",
        "train has no setting 'env_stpes'; did you mean 'env_steps'",
        "train has no setting 'actor', which belongs to the algorithm, as in "
        "algorithm=surefoot.crossq_wn_code().replace(actor=...)",
        "crossq_wn has no argument 'batch_size', which belongs to the algorithm, as in "
        "surefoot.crossq_wn().replace(batch_size=64)",
        "sac has no argument 'learning_rate', which belongs to the algorithm, as in "
        "surefoot.algorithms.presets.get_preset('sac', learning_rate=0.001)",
        "Agent has no argument 'algoritm'; did you mean 'algorithm'?",
        "train has no setting 'qqqq', expected one of task, algorithm, observer,",
        "train has no setting 'utd', which belongs to the algorithm, as in algorithm=surefoot.xqc(utd=5)",
        "load_policy has no argument 'seeds'; did you mean 'seed'?",
        "record has no argument 'episode'; did you mean 'episodes'?",
        "check_env has no argument 'seeed'; did you mean 'seed'?",
    ]


def test_algorithms_are_accepted_by_name() -> None:
    assert [as_algorithm(preset.name) for preset in list_presets()] == [preset.build() for preset in list_presets()]
    assert as_algorithm("CrossQ_WN") == surefoot.crossq_wn()
    assert as_algorithm(None) == surefoot.crossq_wn_code()
    assert surefoot.Agent(BOX, BOX, "sac", replay_capacity=2e4, seed=3.0).algorithm == surefoot.sac()
    expected = "algorithm must be a surefoot.Algorithm such as surefoot.crossq_wn_code(), or a name such as "
    assert refusal(as_algorithm, 3) == f"{expected}'crossq-wn-code', got 3"
    assert refusal(as_algorithm, surefoot.sac) == f"{expected}'crossq-wn-code', got the function sac: call it, sac()"
    assert "unknown algorithm 'crossq-wm'; did you mean 'crossq-wn'" in refusal(
        surefoot.train, "probe-action", algorithm="crossq-wm"
    )


def test_whole_numbers_of_any_kind() -> None:
    values = (5, 5.0, np.int8(5), np.float32(5), np.float64(5), Fraction(5), np.array(5))
    assert [as_whole(value) for value in values] == [5] * len(values)
    assert {type(as_whole(value)) for value in values} == {int}
    for value in (5.5, np.float32(0.5), float("inf"), float("nan"), Fraction(1, 2), True, "5", None, [5], 5j):
        assert refusal(whole_number, "steps", value).startswith("steps must be a whole number, got ")
    assert [whole_from_text(text) for text in ("1e6", "1_000", "-3", "2.5e1", " 7 ")] == [1_000_000, 1000, -3, 25, 7]
    for text in ("1e-3", "inf", "nan", "1e999", "2.5", "x", "", "1e6x"):
        with pytest.raises(ValueError, match=r".*"):
            whole_from_text(text)


def test_ratios() -> None:
    accepted: dict[Any, int | str] = {
        2: 2,
        "2": 2,
        "2e1": 20,
        Fraction(4, 2): 2,
        "0.5": "1/2",
        "2/1024": "1/512",
        1 / 3: "1/3",
    }
    assert {value: as_ratio(value) for value in accepted} == {value: Fraction(own) for value, own in accepted.items()}
    assert {type(as_ratio(value)) for value in (2.0, "2", np.int8(2), Fraction(2))} == {int}
    assert as_ratio(np.float32(0.5)) == Fraction(1, 2)
    for value in ("1e999999999", "1/0", "-1", "x", "", "1/3000000", Fraction(1, 10**7), float("nan"), True, None):
        with pytest.raises(TypeError):
            as_ratio(value)


def test_integral_floats_are_accepted_for_every_integer_of_an_algorithm() -> None:
    for preset in list_presets():
        assert preset.build(utd=2.0) == preset.build(utd=2)
    assert surefoot.sac().replace(batch_size=1e3, warmup_transitions=2e3).batch_size == 1000
    assert surefoot.MLP((256.0, 64.0)).widths == (256, 64)  # type: ignore[arg-type]
    assert surefoot.ResetEvery(env_steps=8e4) == surefoot.ResetEvery(env_steps=80_000)  # type: ignore[arg-type]


def test_integral_floats_are_accepted_on_the_command_line() -> None:
    options = "--env-steps 1e6 --utd 2.0 --replay-capacity 1e5 --set batch_size=1e2"
    command = parse({"train": "surefoot.cli.train:Train"}, ["train", "cheetah-run", *options.split()])
    assert (command.env_steps, command.utd, command.replay_capacity) == (1_000_000, 2, 100_000)
    assert command.make_algorithm().batch_size == 100
