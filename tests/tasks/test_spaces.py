"""Spaces: actions inside the environment's own space, one rule of what is supported, comparison."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.spaces import Box, Dict, Discrete, Graph, MultiBinary, Tuple

import surefoot
from surefoot.errors import UserError
from surefoot.spaces import EnvSpaces, ObservationPart, UnsupportedSpace, require_same
from surefoot.tasks.check import check_env, checker
from surefoot.tasks.check.findings import Findings
from surefoot.tasks.check.spaces import check_spaces
from surefoot.tasks.spaces import describe_action, describe_spaces
from tests.tasks import zoo

OBSERVED = Box(-1.0, 1.0, (3,))

SUPPORTED = [
    Box(-0.1, 0.1, (2,), np.float64),
    Box(-0.1, 0.1, (2,), np.float32),
    Box(-0.1, 0.1, (2,), np.float16),
    Box(-1.0, 1.0, (2,), np.float64),
    Box(-1.0, 1.0, (2,), np.float16),
    Box(np.array([-0.3, 1e-3]), np.array([0.7, 1 / 3]), dtype=np.float64),
    Box(1e6, 1e6 + 1e-3, (2,), np.float64),  # adjacent numbers of float32 lie further apart
    Box(-3e4, 3e4, (2,), np.float16),
    Box(-1.6e38, 1.6e38, (2,), np.float32),
    Box(-1.0, np.nextafter(np.float32(-1.0), np.float32(0.0)), (2,), np.float32),
    Box(-0.1, 0.1, (), np.float64),
    Box(-0.1, 0.1, (1, 3), np.float64),
    Box(-0.1, 0.1, (2, 1), np.float32),
]

HUGE = [Box(-np.finfo(dtype).max, np.finfo(dtype).max, (2,), dtype) for dtype in (np.float16, np.float32, np.float64)]
UNSUPPORTED: list[tuple[gymnasium.Space[Any], gymnasium.Space[Any], str]] = [
    *((OBSERVED, space, "action-bounds") for space in HUGE),
    (OBSERVED, Box(-1e300, 1.0, (2,), np.float64), "action-bounds"),
    (OBSERVED, Box(-2e38, 2e38, (2,)), "action-bounds"),
    (OBSERVED, Box(-np.inf, np.inf, (2,)), "action-bounds"),
    (OBSERVED, Box(np.array([0.0, 0.0]), np.array([1.0, np.inf]), dtype=np.float64), "action-bounds"),
    (OBSERVED, Box(0.5, 0.5, (2,)), "action-bounds"),
    (OBSERVED, Box(0.0, 1e-45, (2,)), "action-bounds"),  # half of it is 0 in float32
    (OBSERVED, Box(-1.0, np.float32([1, -1])), "action-bounds"),
    (OBSERVED, Box(-1.0, 1.0, (0,)), "action-space"),
    (OBSERVED, Box(-1, 1, (2,), np.int64), "action-space"),
    (OBSERVED, Discrete(3), "action-space"),
    (Box(-1.0, 1.0, (0,)), Box(-1.0, 1.0), "observation-space"),
    (Box(-1.0, 1.0, (3, 0)), Box(-1.0, 1.0), "observation-space"),
    (Dict(), Box(-1.0, 1.0), "observation-space"),
    (Dict(a=Box(-1.0, 1.0, (0,))), Box(-1.0, 1.0), "observation-space"),
    (Dict(a=Dict(b=Discrete(3))), Box(-1.0, 1.0), "observation-space"),
    (Tuple([OBSERVED, MultiBinary(3)]), Box(-1.0, 1.0), "observation-space"),
    (Dict(a=Dict({1: OBSERVED})), Box(-1.0, 1.0), "observation-space"),
    (Dict(a=Tuple([])), Box(-1.0, 1.0), "observation-space"),
    (Dict({1: OBSERVED}), Box(-1.0, 1.0), "observation-space"),
    (Dict({"a\n": OBSERVED}), Box(-1.0, 1.0), "observation-space"),
    (Discrete(3), Box(-1.0, 1.0), "observation-space"),
]


class Made(gymnasium.Env[Any, Any]):
    """An environment with given spaces that rejects actions outside its space."""

    def __init__(self, observation_space: gymnasium.Space[Any], action_space: gymnasium.Space[Any]) -> None:
        self.observation_space, self.action_space = observation_space, action_space

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.place, self.steps = self.np_random.uniform(-0.5, 0.5, 3).astype(np.float32), 0
        return self.place, {}

    def step(self, action: np.ndarray) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        assert self.action_space.contains(action), f"{action!r} is not in {self.action_space}"
        self.steps += 1
        self.place = self.place + np.float32(0.01) * np.ravel(action)[:1].astype(np.float32)
        return self.place, 1.0 - 0.1 * self.steps, False, self.steps >= 10, {}


def units(size: int) -> np.ndarray:
    """[N, A] float32 in [-1, 1], with the bounds and their neighbours."""
    ends = np.float32([-1, np.nextafter(np.float32(-1), 0), -0.0, 0, 1e-30, np.nextafter(np.float32(1), 0), 1])
    drawn = np.random.default_rng(0).uniform(-1, 1, (500, size)).astype(np.float32)
    return np.concatenate([np.tile(ends[:, None], size), drawn])


@pytest.mark.parametrize("space", SUPPORTED, ids=str)
def test_every_action_is_in_the_action_space(space: Box) -> None:
    spec = describe_action(space)
    unit = units(spec.size)
    actions = spec.from_unit(unit)
    assert all(space.contains(np.asarray(action).reshape(space.shape)) for action in actions)
    assert all(space.contains(spec.from_unit(one)) for one in unit[:9])
    np.testing.assert_array_equal(actions[0], space.low)
    np.testing.assert_array_equal(actions[6], space.high)
    assert not spec.outside(actions.reshape(len(unit), -1), 0.0).any()


@pytest.mark.parametrize("bound", [0.4, 1.0, 2.0, 3.0])
def test_exact_bounds_keep_the_bits_of_float32(bound: float) -> None:
    for dtype in (np.float32, np.float64) if bound == 1.0 else (np.float32,):
        spec, unit = describe_action(Box(-bound, bound, (2,), dtype)), units(2)
        low, half = np.float32(-bound), np.float32(bound)
        expected = unit if bound == 1.0 else np.clip(low + (unit + np.float32(1)) * half, low, half)
        np.testing.assert_array_equal(spec.from_unit(unit), expected.astype(dtype))


@pytest.mark.parametrize("space", SUPPORTED[:6], ids=str)
def test_actions_return_to_the_unit_range(space: Box) -> None:
    spec, unit = describe_action(space), units(describe_action(space).size)
    error = 4e-3 if space.dtype == np.float16 else 1e-6
    np.testing.assert_allclose(spec.to_unit(spec.from_unit(unit).reshape(unit.shape)), unit, atol=error)


@pytest.mark.parametrize(("observation", "action", "code"), UNSUPPORTED, ids=str)
def test_one_rule_decides_what_is_supported(
    observation: gymnasium.Space[Any], action: gymnasium.Space[Any], code: str
) -> None:
    findings = Findings()
    with pytest.raises(UnsupportedSpace) as error:
        surefoot.get_task(lambda: Made(observation, action)).make()
    assert error.value.code == code
    assert "\n" not in str(error.value)
    assert check_spaces(Made(observation, action), findings) is None
    assert [(found.code, found.severity) for found in findings.sorted()] == [(code, "error")]
    with pytest.raises(UnsupportedSpace) as same:
        surefoot.Agent(observation, action, replay_capacity=10_000, task=_name(error.value))
    assert str(same.value) == str(error.value)


def test_refused_observation_names_the_wrapper_that_encodes_it() -> None:
    with pytest.raises(UnsupportedSpace, match=r"Discrete under 'a.0', expected a Box.*; gymnasium.wrappers.Flatten"):
        describe_spaces(Dict(a=Tuple([Discrete(3)])), SUPPORTED[0], "t")
    with pytest.raises(UnsupportedSpace, match=r"Graph, expected a Box, or a Dict or Tuple of Boxes$"):
        describe_spaces(Graph(OBSERVED, None), SUPPORTED[0], "t")


@pytest.mark.parametrize("path", [("a",), ("a", "b"), (0, "1"), ("a.b", "\\", 12), ("", ""), ("\\.",), ("x\\", "y")])
def test_keys_name_one_path(path: tuple[str | int, ...]) -> None:
    part = ObservationPart.at(path, (2,), "float32")
    assert ObservationPart(part.key, (2,), "float32").path == path
    assert EnvSpaces.from_data(EnvSpaces((part,), describe_action(SUPPORTED[0])).to_data()).observation == (part,)


@pytest.mark.parametrize("key", ["01", "a\\b", "a\\", "\\x"])
def test_other_spellings_of_a_key_are_rejected(key: str) -> None:
    with pytest.raises(UserError, match="superfluous backslash or zero"):
        EnvSpaces((ObservationPart(key, (2,), "float32"),), describe_action(SUPPORTED[0]))


def _name(error: UserError) -> str:
    return str(error).split("'")[1]


def test_unsupported_space_leaves_no_run(tmp_path: Any) -> None:
    for observation, action, _ in UNSUPPORTED[::6]:
        with pytest.raises(UserError, match="not supported"):
            surefoot.train(lambda o=observation, a=action: Made(o, a), env_steps=6_000, out=tmp_path / "run")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("space", [SUPPORTED[0], SUPPORTED[6], SUPPORTED[11]], ids=str)
def test_check_and_training_pass_the_same_actions(space: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checker, "check_other_process", lambda *_: None)
    assert "raises" not in {finding.code for finding in check_env(lambda: Made(OBSERVED, space), steps=50).findings}
    with surefoot.tasks.make_vector(surefoot.get_task(lambda: Made(OBSERVED, space)), [0], "train") as vector:
        vector.reset([0])
        for unit in units(vector.action_size)[:9]:
            vector.step(unit[None])


def test_check_finds_what_training_would_hit(monkeypatch: pytest.MonkeyPatch) -> None:
    class Narrow(Made):
        def step(self, action: np.ndarray) -> Any:
            assert (np.abs(action) < 0.1).all(), "closer than allowed"
            return super().step(action)

    monkeypatch.setattr(checker, "check_other_process", lambda *_: None)
    report = check_env(lambda: Narrow(OBSERVED, SUPPORTED[0]), steps=50)
    (found,) = (finding for finding in report.findings if finding.code == "raises")
    assert "every action at its lower bound" in found.observed


def test_environment_cannot_change_a_repeated_action() -> None:
    seen = []

    class Scales(Made):
        def step(self, action: np.ndarray) -> Any:
            seen.append(action.copy())
            action *= 0.5
            return super().step(action)

    env = surefoot.get_task(lambda: Scales(OBSERVED, Box(-2.0, 2.0, (2,)))).make(action_repeat=2)
    env.reset(seed=0)
    env.step(np.ones(2, np.float32))
    np.testing.assert_array_equal(seen, [[2, 2], [2, 2]])


# ---------------------------------------------------------------- storage and comparison

PARTS = Dict([("q", Box(-1.0, 1.0, (1, 3))), ("goal", Box(0, 5, (2,), np.int64))])


def spaces(observation: gymnasium.Space[Any] = PARTS, action: gymnasium.Space[Any] = SUPPORTED[0]) -> EnvSpaces:
    return describe_spaces(observation, action, "t")


def test_stored_spaces_are_equal() -> None:
    for space in SUPPORTED:
        assert EnvSpaces.from_data(spaces(action=space).to_data()) == spaces(action=space)


@pytest.mark.parametrize(
    ("other", "expected"),
    [
        (spaces(Box(-1.0, 1.0, (5,))), "observation keys q, goal, but .* now has none"),
        (spaces(Dict([("goal", PARTS["goal"]), ("q", PARTS["q"])])), "keys q, goal, but .* now has goal, q"),
        (
            spaces(Dict([("q", Box(-1.0, 1.0, (3, 1))), ("goal", PARTS["goal"])])),
            r"\['q'\] shape \(1, 3\), .* \(3, 1\)",
        ),
        (spaces(Dict([("q", PARTS["q"]), ("goal", Box(0, 5, (2,)))])), "dtype int64, .* now has float32"),
        (spaces(action=Box(-0.1, 0.1, (3,), np.float64)), r"action shape \(2,\), .* now has \(3,\)"),
        (spaces(action=Box(-0.1, 0.1, (2,), np.float32)), "action dtype float64, .* now has float32"),
        (spaces(action=Box(-0.2, 0.1, (2,), np.float64)), r"action low\[0\] -0.1, .* now has -0.2"),
        (spaces(action=Box(-0.1, np.array([0.1, 0.3]), dtype=np.float64)), r"action high\[1\] 0.1, .* now has 0.3"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_every_difference_names_both_sides(other: EnvSpaces, expected: str) -> None:
    with pytest.raises(UserError, match=f"^runs/arm was trained with .*{expected}") as error:
        require_same(spaces(), other, "runs/arm", "arm")
    assert "\n" not in str(error.value)
    require_same(spaces(), spaces(), "runs/arm", "arm")


def test_copies_with_other_spaces_are_named() -> None:
    bounds = iter([1.0, 2.0])
    task = surefoot.get_task(lambda: zoo.Echo(Box(-1.0, next(bounds), (1,))))
    with pytest.raises(UserError, match=r"expected copies of one: action high\[0\] is 1.0, then 2.0"):
        surefoot.tasks.make_vector(task, [0, 1], "train")
