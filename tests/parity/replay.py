"""Replay of a file's batches and noise through the learner, in float64."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from surefoot.algorithms import (
    ActorMetrics,
    Algorithm,
    CriticMetrics,
    Learner,
    LearnerState,
    NetworkState,
    optimism,
    policies,
)
from surefoot.algorithms.optimism import Optimist, OptimistState
from surefoot.algorithms.statistics import Moments
from surefoot.networks import Critic
from surefoot.types import Batch, EnvSpec, PyTree

REPLAYED = {"redq-policy-critic", "redq-alpha", "droq-policy-batch", "log-epsilon"}
"""The deviations in behaviour, which are put in here; ``cases.VALUES`` has those in values."""

COMPILE = {"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True}
KEY = jax.random.key(0)


def replay(
    arrays: dict[str, np.ndarray], algorithm: Algorithm, deviations: Iterable[str], monkeypatch: pytest.MonkeyPatch
) -> dict[str, np.ndarray]:
    """Return what the learner computes from a file's initial state, batches and noise, by the file's names.

    Args:
        arrays: Arrays of the file.
        algorithm: Composition at the file's sizes.
        deviations: Names of the deviations in which the code's behaviour is put in.
        monkeypatch: Fixture that restores what is replaced.
    """
    return _Replay(arrays, algorithm, frozenset(deviations), monkeypatch).run()


class _Draws:
    """Given arrays in place of random ones, first in, first out."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.normal: list[jax.Array] = []
        self.masks: list[jax.Array] = []
        self.subset: jax.Array | None = None
        monkeypatch.setattr(jax.random, "normal", self._normal)
        monkeypatch.setattr(jax.random, "choice", lambda key, count, shape, replace: self.subset)
        monkeypatch.setattr(jax.random, "bernoulli", lambda key, p, shape: self.masks.pop(0).astype(bool))

    def _normal(self, key: jax.Array, shape: tuple[int, ...], dtype: Any) -> jax.Array:
        noise = self.normal.pop(0)
        assert noise.shape == shape
        return noise


class _SeparateCritics:
    """An ensemble's module as one module per critic, so that each can have its own dropout masks."""

    def __init__(self, algorithm: Algorithm) -> None:
        self.one, self.count = Critic(algorithm.critic, algorithm.critic_loss.num_outputs), algorithm.num_critics

    def apply(self, variables: PyTree, *inputs: Any, mutable: Any = (), **options: Any) -> Any:
        each = [
            self.one.apply(jax.tree.map(lambda x, c=c: x[c], variables), *inputs, **options) for c in range(self.count)
        ]
        return (jnp.stack(each), {}) if mutable else jnp.stack(each)


class _Replay:
    def __init__(
        self,
        arrays: dict[str, np.ndarray],
        algorithm: Algorithm,
        deviations: frozenset[str],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        self.arrays, self.algorithm, self.deviations = arrays, algorithm, deviations
        self.updates, _, observation_size = arrays["data/observation"].shape
        spec = EnvSpec(observation_size, arrays["data/action"].shape[-1])
        self.learner = Learner(algorithm, spec, 0.99)
        self.draws = _Draws(monkeypatch)
        if "masks/critic" in arrays:
            monkeypatch.setattr(self.learner.critic, "module", _SeparateCritics(algorithm))
        if algorithm.optimism is not None:
            monkeypatch.setattr(Optimist, "update", self._recording(Optimist.update))
        if "log-epsilon" in deviations:
            monkeypatch.setattr(policies, "sample_with_log_prob", _sample_with_epsilon)

    # ---------------------------------------------------------------- state

    def state(self, when: str = "init") -> LearnerState:
        """Return the state of the file's arrays "init/..." or "start/...", with new optimisers."""
        functions, tree = self.learner, _nested(self.arrays, when)

        def network(name: str, trained: Any) -> NetworkState:
            params = tree[name]["params"]
            return NetworkState(params, tree[name].get("stats", {}), trained._optimizer.init(params))

        optimist = None
        if functions.optimist is not None:
            own = tree["optimist"]
            optimist = OptimistState(
                own["params"],
                functions.optimist._optimizer.init(own["params"]),
                own["weights"],
                functions.optimist._weights_optimizer.init(own["weights"]),
            )
        moments = None
        if (seen := tree.get("observations")) is not None:
            zeros = jnp.zeros_like(seen["mean"])
            moments = Moments(seen["mean"], seen["variance"], seen["weight"], zeros, zeros)
        return LearnerState(
            actor=network("actor", functions.actor),
            critic=network("critic", functions.critic),
            target_critic=tree.get("target"),
            log_alpha=tree["log_alpha"],
            temperature_opt_state=functions._temperature_optimizer.init(tree["log_alpha"]),
            key=KEY,
            optimist=optimist,
            observations=moments,
        )

    # ---------------------------------------------------------------- updates

    def run(self) -> dict[str, np.ndarray]:
        """Return every array of the file that the learner has, after each update."""
        found: dict[str, np.ndarray] = {}
        state, acted = self.state(), 0
        if "seen" in self.arrays:
            state, acted = self.state("start"), len(self.arrays["seen"]) - self.updates
            actions = []
            for i in range(acted):
                state, action = self._act_on_seen(state, i)
                actions.append(action)
            found |= {f"init/observations/{name}": value for name, value in _moments(state).items()}
        rows = []
        for u in range(self.updates):
            state, metrics = self._compiled_step(state, self._inputs(u))
            row = metrics
            if "mode" in self.arrays:
                row["mode"] = self._mode(state, self.arrays["data/observation"][u, :1])[0]
            if "seen" in self.arrays:
                state, row["action"] = self._act_on_seen(state, acted + u)
            elif "explore/noise" in self.arrays:
                row["action"] = self._explore(
                    state, self.arrays["data/observation"][u, :1], self.arrays["explore/noise"][u : u + 1]
                )[0]
            rows.append(_named(state) | row)
        stacked = {name: np.stack([np.asarray(row[name]) for row in rows]) for name in rows[0]}
        found |= {f"after/{name}": values for name, values in stacked.items()}
        return found | self._acting(state, stacked, actions if acted else [])

    @functools.cached_property
    def _compiled_step(self) -> Any:
        return jax.jit(self._step, compiler_options=COMPILE)

    def _inputs(self, u: int) -> dict[str, Any]:
        """Return the batch of update u and everything that is drawn in it."""
        arrays = self.arrays
        batch = Batch(**{name: arrays[f"data/{name}"][u] for name in Batch._fields})
        utd = self.algorithm.utd
        moves = arrays["update_policy"][u] if "update_policy" in arrays else self.learner.is_policy_due(u)
        per_decision = len(arrays["noise/policy_action"]) < self.updates
        inputs = {"batch": batch, "policy_observation": batch.observation, "update_policy": np.bool_(moves)}
        inputs |= {
            name: arrays[f"noise/{name}"][u] for name in ("next_action", "optimist") if f"noise/{name}" in arrays
        }
        inputs["policy_action"] = arrays["noise/policy_action"][u // utd if per_decision else u]
        if "subset" in arrays:
            inputs["subset"] = arrays["subset"][u]
        if "masks/critic" in arrays:
            inputs["masks"] = [
                arrays["masks/critic"][u],
                arrays["masks/target_critic"][u],
                arrays["masks/actor"][u // utd],
            ]
            inputs["policy_observation"] = arrays["data/actor_observation"][u // utd]
        first = self.algorithm.policy_delay - 1
        if "init/alpha" in arrays:
            inputs["constant_alpha"] = arrays["init/alpha"] if u <= first else np.full((), np.nan)
        return inputs

    def _step(self, state: LearnerState, inputs: dict[str, Any]) -> tuple[LearnerState, dict[str, jax.Array]]:
        self._fill(inputs)
        self.recorded: dict[str, jax.Array] = {}
        if self.deviations & (REPLAYED - {"log-epsilon"}):
            new, critic, actor = self._step_apart(state, inputs)
        else:
            new, critic, actor = self.learner.update(state, inputs["batch"], KEY, inputs["update_policy"])
        metrics = critic._asdict() | actor._asdict() | self.recorded
        if "constant_alpha" in inputs:
            metrics["alpha"] = jnp.exp(new.log_alpha)
            if "redq-alpha" in self.deviations:
                constant = ~jnp.isnan(inputs["constant_alpha"]) & ~inputs["update_policy"]
                metrics["alpha"] = jnp.where(constant, inputs["constant_alpha"], metrics["alpha"])
        assert not self.draws.masks
        assert not self.draws.normal
        return new, metrics

    def _fill(self, inputs: dict[str, Any]) -> None:
        """Put what an update draws into the queues, in the order in which the learner takes it."""
        names = ["next_action", "policy_action"]
        if self.algorithm.update_order == "actor-first":
            names.reverse()
        if "optimist" in inputs:
            names.append("optimist")
        self.draws.normal = [inputs[name] for name in names]
        self.draws.subset = inputs.get("subset", jnp.arange(self.algorithm.num_critics))
        if "masks" in inputs:
            critic, target, policy = inputs["masks"]
            unused = jnp.ones_like(critic)  # Q(s', a') of the critic and Q(s, a) of the target enter nothing
            passes = (critic, unused, unused, target, policy)
            self.draws.masks = [m[c, layer] for m in passes for c in range(m.shape[0]) for layer in range(m.shape[1])]

    def _step_apart(
        self, state: LearnerState, inputs: dict[str, Any]
    ) -> tuple[LearnerState, CriticMetrics, ActorMetrics]:
        """Return an update with what REDQ's and DroQ's code do in another way."""
        learner, batch, before = self.learner, inputs["batch"], state
        if "redq-alpha" in self.deviations:
            alpha = inputs["constant_alpha"]
            before = state._replace(log_alpha=jnp.where(jnp.isnan(alpha), state.log_alpha, jnp.log(alpha)))
        after, critic = learner.update_critic(before, batch, KEY)
        base = before if "redq-policy-critic" in self.deviations else after
        if "droq-policy-batch" in self.deviations:
            batch = batch._replace(observation=inputs["policy_observation"])
        moved, actor = learner.update_policy(base, batch, KEY, KEY)
        moved = after._replace(
            actor=moved.actor,
            log_alpha=state.log_alpha + (moved.log_alpha - before.log_alpha),
            temperature_opt_state=moved.temperature_opt_state,
        )
        stayed = after._replace(log_alpha=state.log_alpha), jax.tree.map(lambda x: x * jnp.nan, actor)
        choose = functools.partial(jnp.where, inputs["update_policy"])
        key, without_key = state.key, lambda s: s._replace(key=None)
        new, actor = jax.tree.map(choose, (without_key(moved), actor), (without_key(stayed[0]), stayed[1]))
        return new._replace(key=key), critic, actor

    def _recording(self, update: Any) -> Any:
        """Return ``Optimist.update`` that also records its loss, KL divergence and weights."""

        @functools.wraps(update)
        def wrapped(optimist: Optimist, state: OptimistState, *arguments: Any) -> OptimistState:
            self.draws.normal *= 2
            loss, kl = optimist.loss(state.params, state.weights, *arguments)
            weights = [optimism._weight(raw) for raw in state.weights]
            values = {"loss": loss, "kl": kl, "optimism": weights[0], "kl_weight": weights[1]}
            self.recorded |= {f"optimist/{name}": value for name, value in values.items()}
            return update(optimist, state, *arguments)

        return wrapped

    # ---------------------------------------------------------------- acting

    @functools.cached_property
    def _explore(self) -> Any:
        def one(state: LearnerState, observation: jax.Array, noise: jax.Array) -> jax.Array:
            self.draws.normal = [noise[None]]
            return self.learner.act(state, observation, KEY)

        return jax.jit(jax.vmap(one, in_axes=(None, 0, 0)), compiler_options=COMPILE)

    @functools.cached_property
    def _mode(self) -> Any:
        return jax.jit(self.learner.act_deterministic, compiler_options=COMPILE)

    @functools.cached_property
    def _update_moments(self) -> Any:
        return jax.jit(self.learner.statistics.update_observations, compiler_options=COMPILE)

    def _act_on_seen(self, state: LearnerState, i: int) -> tuple[LearnerState, np.ndarray]:
        observation = self.arrays["seen"][i]
        state = state._replace(observations=self._update_moments(state, observation).observations)
        return state, self._explore(state, observation[None], self.arrays["explore/noise"][i : i + 1])[0]

    def _acting(
        self, state: LearnerState, stacked: dict[str, np.ndarray], actions: list[np.ndarray]
    ) -> dict[str, np.ndarray]:
        arrays = self.arrays
        if "act/observation" in arrays:
            explore = self._explore(state, arrays["act/observation"], arrays["act/noise"])
            return {"act/explore": explore, "act/evaluate": self._mode(state, arrays["act/observation"])}
        if "mode" not in arrays:
            return {}
        if self.algorithm.critic.uses_batch_statistics or "seen" in arrays:
            return {
                "explore/action": np.concatenate([*(a[None] for a in actions), stacked["action"]]),
                "mode": stacked["mode"],
            }
        observation = arrays["data/observation"][:, 0]  # REDQ and DroQ act after the last update
        return {
            "explore/action": self._explore(state, observation, arrays["explore/noise"]),
            "mode": self._mode(state, observation),
        }


def _moments(state: LearnerState) -> dict[str, Any]:
    if (moments := state.observations) is None:
        return {}
    return {"mean": moments.mean, "variance": moments.variance, "weight": moments.weight}


def _named(state: LearnerState) -> dict[str, Any]:
    """Return the arrays of a state by the names of the files."""
    trees = {
        "actor/params": state.actor.params,
        "actor/stats": state.actor.batch_stats,
        "critic/params": state.critic.params,
        "critic/stats": state.critic.batch_stats,
        "target": state.target_critic or {},
        "observations": _moments(state),
    }
    if state.optimist is not None:
        trees |= {"optimist/params": state.optimist.params, "optimist": {"weights": state.optimist.weights}}
    found = {"log_alpha": state.log_alpha}
    for prefix, tree in trees.items():
        for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
            found["/".join([prefix, *(entry.key for entry in path)])] = leaf
    return found


def _nested(arrays: dict[str, np.ndarray], when: str) -> dict[str, Any]:
    """Return the arrays "init/..." as nested dictionaries."""
    tree: dict[str, Any] = {}
    for name, array in arrays.items():
        first, *path = name.split("/")
        if first == when:
            *path, last = path
            at = tree
            for key in path:
                at = at.setdefault(key, {})
            at[last] = jnp.asarray(array)
    return tree


def _sample_with_epsilon(mean: jax.Array, log_std: jax.Array, key: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Draw as ``sample_with_log_prob``, with log(1 - a^2 + 1e-6) in the density (REDQ's and DroQ's code)."""
    noise = jax.random.normal(key, mean.shape, mean.dtype)
    action = jnp.tanh(mean + jnp.exp(log_std) * noise)
    gaussian = -0.5 * jnp.square(noise) - log_std - 0.5 * math.log(2.0 * math.pi)
    return action, jnp.sum(gaussian - jnp.log(1.0 - jnp.square(action) + 1e-6), axis=-1)
