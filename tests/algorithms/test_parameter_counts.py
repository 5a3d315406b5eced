"""Exact numbers of parameters, as counted from the authors' networks."""

from __future__ import annotations

import itertools

import jax
import pytest

from surefoot.algorithms import Algorithm, Learner, LearnerState
from surefoot.algorithms.presets import get_preset, list_presets
from surefoot.diagnostics import parameter_count
from surefoot.types import EnvSpec, PyTree

CHEETAH, HUMANOID, DOG = EnvSpec(17, 6), EnvSpec(67, 21), EnvSpec(223, 38)


def shapes(algorithm: Algorithm, spec: EnvSpec) -> LearnerState:
    return jax.eval_shape(Learner(algorithm, spec, 0.99).init, jax.random.key(0))


def count(tree: PyTree) -> int:
    return sum(leaf.size for leaf in jax.tree.leaves(tree))


@pytest.mark.parametrize(
    ("preset", "spec", "trained", "with_target"),
    [
        ("crossq-wn", CHEETAH, 629_644, 1_184_746),
        ("crossq-wn", HUMANOID, 717_074, None),
        ("crossq-wn", DOG, 943_904, None),
        ("bro", CHEETAH, 2_520_276, 4_758_940),
        ("bro", DOG, 2_902_292, None),
        ("simba", CHEETAH, 4_351_373, None),
        ("xqc", CHEETAH, 1_914_452, None),
    ],
)
def test_published_counts(preset: str, spec: EnvSpec, trained: int, with_target: int | None) -> None:
    state = shapes(get_preset(preset), spec)
    assert parameter_count(state) == trained
    assert count(state.target_critic) == count(state.critic.params)
    if with_target is not None:
        assert parameter_count(state) + count(state.target_critic) == with_target


def test_preset_info_counts_parameters_at_cheetah_run() -> None:
    counts = {preset.name: preset.parameters for preset in list_presets()}
    assert counts == {preset.name: parameter_count(shapes(preset.build(), CHEETAH)) for preset in list_presets()}


def perceptron(*sizes: int) -> int:
    return sum(a * b + b for a, b in itertools.pairwise(sizes))


def flashsac_network(inputs: int, width: int, outputs: int) -> int:
    """Normalised input, a dense layer, two blocks, a root mean square's scale, and heads with biases."""
    block = 2 * width * 4 * width + 2 * 4 * width + 2 * width
    return 2 * inputs + inputs * width + 2 * block + width + width * outputs + outputs


@pytest.mark.parametrize(
    ("preset", "trained"),
    [
        ("sac", perceptron(17, 256, 256, 12) + 2 * perceptron(23, 256, 256, 1)),
        ("sr-sac", perceptron(17, 256, 256, 12) + 2 * perceptron(23, 256, 256, 1)),
        ("redq", perceptron(17, 256, 256, 12) + 10 * perceptron(23, 256, 256, 1)),
        # Two layer normalisations in each critic, of scale and bias.
        ("droq", perceptron(17, 256, 256, 12) + 2 * (perceptron(23, 256, 256, 1) + 2 * 2 * 256)),
        # A normalisation of the input and after each hidden layer, in all networks.
        ("crossq", perceptron(17, 256, 256, 12) + 2 * (17 + 512) + 2 * (perceptron(23, 512, 512, 1) + 2 * (23 + 1024))),
        (
            "crossq-2024",
            perceptron(17, 256, 256, 12) + 2 * (17 + 512) + 2 * (perceptron(23, 2048, 2048, 1) + 2 * (23 + 4096)),
        ),
        ("flashsac", flashsac_network(17, 128, 12) + 2 * flashsac_network(23, 256, 101)),
        ("td3-wn", perceptron(17, 256, 256, 6) + 2 * (17 + 512) + 2 * (perceptron(23, 512, 512, 1) + 2 * (23 + 1024))),
    ],
)
def test_counts_of_perceptrons_by_hand(preset: str, trained: int) -> None:
    assert parameter_count(shapes(get_preset(preset), CHEETAH)) == trained
