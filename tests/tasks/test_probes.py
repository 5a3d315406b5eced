"""Analytic values of the probes against returns in the environments."""

import numpy as np
import pytest

from surefoot.tasks import get_task
from surefoot.tasks.probes import PROBES

DISCOUNT = 0.9


@pytest.mark.parametrize("name", PROBES)
def test_optimal_policy_earns_optimal_value(name):
    probe, env = PROBES[name], get_task(name).make()
    for seed in range(5):
        observations, rewards = [env.reset(seed=seed)[0]], []
        terminated = truncated = False
        while not (terminated or truncated):
            best = probe.optimal_action(observations[-1][None])
            action = np.zeros(1, np.float32) if best is None else best[0]
            observation, reward, terminated, truncated, _ = env.step(action)
            observations.append(observation)
            rewards.append(reward)
        assert len(rewards) == get_task(name).horizon == probe.episode_steps
        assert truncated == probe.truncates
        values = probe.optimal_value(np.stack(observations), DISCOUNT)
        value = values[-1] if truncated else 0.0
        for reward, expected in zip(reversed(rewards), reversed(values[:-1]), strict=True):
            value = reward + DISCOUNT * value
            assert value == pytest.approx(expected, abs=1e-6)


def test_optimal_values():
    observations = np.array([[-1.0, 0.3], [1.0, 0.3]])
    expected = {
        "probe-constant": [1.0, 1.0],
        "probe-observation": [-1.0, 1.0],
        "probe-discount": [0.9, 1.0],
        "probe-action": [0.0, 0.0],
        "probe-truncation": [10.0, 10.0],
        "probe-termination": [6.5132155990, 0.0],
    }
    assert expected.keys() == PROBES.keys()
    for name, values in expected.items():
        np.testing.assert_allclose(PROBES[name].optimal_value(observations, DISCOUNT), values)


def test_suboptimal_actions_earn_less():
    env = get_task("probe-action").make()
    observation, _ = env.reset(seed=0)
    best = PROBES["probe-action"].optimal_action(observation[None])[0]
    rewards = [(env.reset(seed=0), env.step(best + shift))[1][1] for shift in (0.0, 0.25, -0.25)]
    np.testing.assert_allclose(rewards, [0.0, -0.0625, -0.0625], atol=1e-6)
