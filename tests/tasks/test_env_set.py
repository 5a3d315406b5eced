"""Keywords of environments: parsing, validation, and the task that they make."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np
import pytest

from surefoot.errors import UserError
from surefoot.keywords import check_keywords, keyword_argument, may_name_code, parse_keyword
from surefoot.tasks import get_run_task, get_task, make_vector
from tests.tasks import zoo
from tests.traits import NeedsKeyword

gymnasium.register("NeedsKeyword-v0", NeedsKeyword)
KEYWORD_ID = "tests.tasks.test_env_set:NeedsKeyword-v0"


DEEP: dict[str, Any] = {}
for _ in range(99):
    DEEP = {"a": DEEP}


def make_env(goal_scale: float = 1.0, name: str = "a", options: Any = None) -> gymnasium.Env:
    if options is not None:
        options["changed"] = True
    return NeedsKeyword(goal_scale)


def passes_on(**keywords: Any) -> gymnasium.Env:
    return NeedsKeyword(**keywords)


def needs_one_and_passes_on(goal_scale: float, **keywords: Any) -> gymnasium.Env:
    return NeedsKeyword(goal_scale, **keywords)


gymnasium.register("PassesOn-v0", needs_one_and_passes_on)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("true", True),
        ("False", False),
        ("none", None),
        ("3", 3),
        ("1_000", 1000),
        ("-0.5", -0.5),
        ("1e-3", 0.001),
        ('"true"', "true"),
        ("'a b'", "a b"),
        ("reach-v3", "reach-v3"),
        ("a b = c", "a b = c"),
        ("assets/arm.xml", "assets/arm.xml"),
        ("[1, [2.5, true]]", [1, [2.5, True]]),
        ('{lanes = 3, kind = "a"}', {"lanes": 3, "kind": "a"}),
    ],
)
def test_value_is_parsed_as_toml_or_as_text(text: str, value: Any) -> None:
    key, parsed = parse_keyword(f"goal-scale={text}")
    assert (key, parsed, type(parsed)) == ("goal_scale", value, type(value))


@pytest.mark.parametrize(
    "text",
    [
        "a",
        "=3",
        "a b=3",
        "3a=1",
        "a=",
        "a=[1",
        "a={b=1",
        "a='b",
        "a=.5",
        "a=nan",
        "a=inf",
        "a=2024-01-01",
        "a=1\nb=2",
        f"a={10**30}",
        "a=007",
    ],
)
def test_mistaken_keyword_is_not_taken_for_a_text(text: str) -> None:
    with pytest.raises(ValueError, match=r"no KEY=VALUE|not a|more than one"):
        parse_keyword(text)


@pytest.mark.parametrize(
    "value",
    [
        None,
        True,
        3,
        -1e-20,
        1e300,
        "a\n\"'= 😀",
        "3",
        "none",
        [1, ["a"]],
        {"a b": [{"ü": False}], "c": {}},
        [],
        "",
        "\x7f",
    ],
)
def test_keyword_survives_the_command_line(value: Any) -> None:
    assert parse_keyword(keyword_argument("key", value)) == ("key", value)


@pytest.mark.parametrize(
    "value",
    [
        3,
        [("a", 3)],
        {"a b": 3},
        {3: 3},
        {"a": np.float32(3)},
        {"a": (3,)},
        {"a": float("nan")},
        {"a": {1: 2}},
        {"a": {"b": object()}},
        {"a": chr(0xDCFF)},
        {"a": 2**70},
        DEEP,
    ],
)
def test_keywords_are_what_json_gives_back(value: Any) -> None:
    with pytest.raises(UserError):
        check_keywords(value)


def test_checked_keywords_survive_json_and_are_copies() -> None:
    given = {"a": [1, 2.0, None, True, {"b": "ü"}]}
    checked = check_keywords(given)
    assert json.loads(json.dumps(checked)) == checked == given
    given["a"].append(3)
    assert checked != given


@pytest.mark.parametrize(
    "target", ["NeedsKeyword-v0", KEYWORD_ID, f"{__name__}:make_env", f"{__name__}:passes_on", make_env, NeedsKeyword]
)
def test_keywords_reach_the_environment_and_its_name(target: str | Callable[[], Any]) -> None:
    task = get_task(target, {"goal_scale": 5.0})
    assert task.name.endswith("(goal_scale=5.0)")
    with task.make() as env:
        observation, _ = env.reset(seed=0)
        assert observation[1] == 5.0
    assert task.env_set == {"goal_scale": 5.0}


def test_keywords_reach_worker_processes() -> None:
    task = get_task("NeedsKeyword-v0", {"goal_scale": 5.0})
    with make_vector(task, [0], "train", num_workers=1) as vector:
        assert vector.reset([0])[0, 1] == 5.0


def test_environment_that_changes_its_keywords_changes_no_other() -> None:
    task = get_task(make_env, {"options": {}})
    task.make().close()
    assert task.env_set == {"options": {}}
    assert get_task(make_env, task.env_set).name == task.name


def test_time_limit_is_a_keyword_of_registered_ids() -> None:
    assert get_task("Pendulum-v1", {"max_episode_steps": 7}).horizon == 7
    assert get_task("Ant-v5", {"max_episode_steps": 7}).horizon == 7
    assert get_task("Ant-v5", {"frame_skip": 2}).horizon == 1000


def test_keywords_may_change_the_sizes_of_a_known_task() -> None:
    task = get_task("ant-v5", {"include_cfrc_ext_in_observation": False})
    assert (task.name, task.observation_size) == ("Ant-v5(include_cfrc_ext_in_observation=False)", None)
    assert task.make().spaces.observation_size == 27


@pytest.mark.parametrize(
    ("target", "keywords", "message"),
    [
        ("cheetah-run", {"x": 1}, "task 'cheetah-run' takes no keywords, got 'x'"),
        ("myo-reach", {"x": 1}, "task 'myo-reach' takes no keywords, got 'x'"),
        ("probe-action", {"x": 1}, "task 'probe-action' takes no keywords, got 'x'"),
        ("NeedsKeyword-v0", {}, "task 'NeedsKeyword-v0' needs the keyword 'goal_scale': pass --env-set goal_scale="),
        ("PassesOn-v0", {"goal_scal": 3}, "needs the keyword 'goal_scale', got goal_scal: pass --env-set"),
        ("NeedsKeyword-v0", {"goal_scal": 3}, "has no keyword 'goal_scal'; did you mean 'goal_scale'"),
        ("NeedsKeyword-v0", {"goal_scale": 3, "x": 3}, "has no keyword 'x', expected one of goal_scale"),
        ("Ant-v5", {"healthy": 3}, "task 'Ant-v5' has no keyword 'healthy'; did you mean 'healthy_reward'"),
        ("Pendulum-v1", {"id": 3}, "task 'Pendulum-v1' has no keyword 'id', expected one of g"),
        ("Pendulum-v1", {"disable_env_checker": True}, "has no keyword 'disable_env_checker'"),
        (NeedsKeyword, {}, "needs the argument 'goal_scale'.*--env-set goal_scale=VALUE"),
        (NeedsKeyword, {"goal": 3}, "has no keyword 'goal'; did you mean 'goal_scale'"),
        (zoo.terminating, {"x": 3}, "has no keyword 'x': it takes none"),
        (f"{__name__}:make_env", {"x": 3}, "has no keyword 'x', expected one of goal_scale, name, options"),
        (passes_on, {"goal_scale": 3, "x": 3}, "cannot be made: TypeError: .*'x'"),
        (functools.partial(make_env, goal_scale=3), {"goal_scale": 4}, "two values of the keyword 'goal_scale': 3 in"),
    ],
)
def test_wrong_keyword_is_one_line_that_names_it(target: Any, keywords: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        get_task(target, keywords).make()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("factory", "equal"),
    [
        (functools.partial(gymnasium.make, "Pendulum-v1"), get_task("Pendulum-v1")),
        (functools.partial(gymnasium.make, "Pendulum"), get_task("Pendulum-v1")),
        (functools.partial(gymnasium.make, id="Pendulum-v1", disable_env_checker=True), get_task("Pendulum-v1")),
        (functools.partial(gymnasium.make, gymnasium.spec("Pendulum-v1")), get_task("Pendulum-v1")),
        (functools.partial(gymnasium.make, "Ant-v5"), get_task("Ant-v5")),
        (functools.partial(gymnasium.make, KEYWORD_ID, goal_scale=3), get_task(KEYWORD_ID, {"goal_scale": 3})),
        (functools.partial(gymnasium.make, "Ant-v5", 7), get_task("Ant-v5", {"max_episode_steps": 7})),
    ],
)
def test_partial_of_gymnasium_make_is_the_task_of_the_id(factory: Callable[[], Any], equal: Any) -> None:
    task = get_task(factory)
    assert (task, task.env_set) == (equal, equal.env_set)


def test_run_is_found_by_its_name_and_keywords_alone() -> None:
    for target in ("Pendulum-v1", functools.partial(gymnasium.make, "Pendulum-v1", g=9.8)):
        task = get_task(target, {"max_episode_steps": 7})
        assert get_run_task(task.name, env_set=task.env_set) == task


def test_run_with_keywords_accepts_its_own_task_only() -> None:
    task = get_task(make_env, {"goal_scale": 3})
    own = (f"{__name__}:make_env", task.name, make_env, functools.partial(make_env, goal_scale=3))
    for given in own:
        assert get_run_task(task.name, given, task.env_set).name == task.name
    for other in (functools.partial(make_env, goal_scale=4), functools.partial(make_env, 3), passes_on, "Pendulum-v1"):
        with pytest.raises(UserError) as caught:
            get_run_task(task.name, other, task.env_set)
        assert "\n" not in str(caught.value)
    with pytest.raises(UserError, match="expected one that ends with"):
        get_run_task(task.name, make_env, {"goal_scale": 4})


def test_id_registered_by_an_import_is_that_of_the_module() -> None:
    task = get_run_task("NeedsKeyword-v0(goal_scale=3)", KEYWORD_ID, {"goal_scale": 3})
    assert task.name == "NeedsKeyword-v0(goal_scale=3)"
    given = functools.partial(gymnasium.make, "NeedsKeyword-v0", goal_scale=3)
    assert get_run_task(f"{KEYWORD_ID}(goal_scale=3)", given, {"goal_scale": 3}).name == f"{KEYWORD_ID}(goal_scale=3)"


def test_keywords_of_an_untrusted_run_name_no_code() -> None:
    assert may_name_code({"a": [{"b": "module:Env-v0"}]})
    assert may_name_code({"a": {"module:Env-v0": 3}})
    keywords = {"env_id": "untrusted_module:Env-v0"}
    with pytest.raises(UserError, match="does not run code"):
        get_run_task("Pendulum-v1(env_id='untrusted_module:Env-v0')", env_set=keywords)


@pytest.mark.parametrize(
    ("target", "keywords", "argument"),
    [
        ("cheetah-run", {}, None),
        ("Pendulum-v1", {"g": 9.8}, None),
        ("Pendulum-v1", {"env_id": "module:Env-v0"}, "Pendulum-v1"),
        (KEYWORD_ID, {"goal_scale": 3}, KEYWORD_ID),
        (f"{__name__}:make_env", {"goal_scale": 3}, f"{__name__}:make_env"),
        (make_env, {"goal_scale": 3}, f"{__name__}:make_env"),
        (functools.partial(make_env, 3), {}, ""),
        (lambda: make_env(), {}, ""),
    ],
)
def test_later_commands_name_a_task_that_is_code(target: Any, keywords: dict[str, Any], argument: str | None) -> None:
    task = get_task(target, keywords)
    assert task.command_argument == argument
    if argument:
        assert get_run_task(task.name, argument, task.env_set).name == task.name


def test_render_mode_is_not_a_keyword_to_set() -> None:
    with pytest.raises(UserError, match="env_set cannot have 'render_mode'"):
        get_task("Pendulum-v1", {"render_mode": "human"})
    for given in (functools.partial(gymnasium.make, "Pendulum-v1", render_mode="human"), ArmWithMode):
        with pytest.raises(UserError, match="has the keyword render_mode='human' in the callable: leave it out"):
            get_task(given)


def _make_arm(render_mode: str | None = None) -> gymnasium.Env:
    return gymnasium.make("Pendulum-v1", render_mode=render_mode)


ArmWithMode = functools.partial(_make_arm, render_mode="human")
