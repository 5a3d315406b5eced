"""Kinds of findings: severity, consequence for training and remedy."""

from __future__ import annotations

from typing import Literal, NamedTuple

Severity = Literal["error", "warning", "info"]
"""error: training fails or learns something wrong. warning: it may, or other code is affected. info: no harm."""


class Kind(NamedTuple):
    """One kind of finding.

    Attributes:
        severity: Usual severity; a check may override it.
        title: Short description.
        effect: Consequence for training.
        remedy: How to fix it.
    """

    severity: Severity
    title: str
    effect: str
    remedy: str


_PROCESSES = (
    "give every copy its own process: --env-workers 1 for one seed and one evaluation episode, else --env-workers N, N "
    "being seeds times evaluation episodes (32 is enough, or the number of seeds if that is larger); with --num-envs, "
    "at least seeds times that number"
)

_FAILS = "training stops with exit code 1"

KINDS: dict[str, Kind] = {
    # Spaces
    "observation-space": Kind(
        "error",
        "the observation space is not supported",
        "training does not start",
        "use a Box with at least one number, or a Dict (with printable texts as keys) or Tuple of such Boxes; "
        "gymnasium.wrappers.FlattenObservation encodes Discrete observations",
    ),
    "action-space": Kind(
        "error",
        "the action space is not supported",
        "training does not start: the policy is a squashed Gaussian over real numbers",
        "use a Box of float16, float32 or float64; map choices or integers to ranges of a float inside the environment",
    ),
    "action-bounds": Kind(
        "error",
        "the action bounds are infinite, empty or too far apart",
        "training does not start: the policy's range [-1, 1] cannot be mapped to the bounds",
        "declare the actual range of the actuators, for example Box(-1.0, 1.0, ...)",
    ),
    "action-bounds-wide": Kind(
        "warning",
        "the action bounds look like placeholders",
        "exploration covers the whole range, so almost no action falls where the system responds",
        "declare the actual range of the actuators",
    ),
    "action-bounds-asymmetric": Kind(
        "info",
        "the action bounds are not symmetric about 0",
        "an untrained policy outputs the middle of the bounds on average, not 0",
        "offset the action inside the environment unless the middle is a sensible default",
    ),
    "observation-dict": Kind(
        "info",
        "the observation is a Dict or a Tuple",
        "its arrays are concatenated into one vector in this order",
        "nothing to fix; keep the order when deploying the policy",
    ),
    "observation-pixels": Kind(
        "warning",
        "the observation looks like an image",
        "images are flattened and fed to multilayer perceptrons, which learn little from them",
        "observe positions and velocities, or encode the image inside the environment",
    ),
    "observation-normalised": Kind(
        "error",
        "a wrapper normalises observations",
        "each copy of the environment has statistics of its own: evaluations show the policy other observations than "
        "training did, so their scores are wrong, and neither checkpoints nor saved policies hold the statistics",
        "remove the wrapper; --set observation_norm='ObservationNorm()' normalises in the algorithm, with statistics "
        "that evaluations share and the policy stores",
    ),
    "spaces-change": Kind(
        "error",
        "the environment changes its spaces",
        "networks and replay buffer have fixed sizes: training fails or mixes up entries",
        "create both spaces once, in __init__; pad entries of varying size and add a mask",
    ),
    # Return values of reset and step
    "api": Kind(
        "error",
        "reset or step returns something that training cannot use",
        _FAILS,
        "reset(*, seed=None, options=None) returns (observation, info); step(action) returns (observation, reward, "
        "terminated, truncated, info), with the observation as its space declares it and the reward a float",
    ),
    "gymnasium": Kind(
        "warning",
        "Gymnasium's environment checker reports a problem",
        "training converts observations to float32, rewards to float and flags to bool, with possibly wrong results",
        "follow https://gymnasium.farama.org/api/env; for types, return np.asarray(observation, space.dtype), "
        "float(reward), bool(terminated) and bool(truncated)",
    ),
    "raises": Kind(
        "error",
        "the environment raises an exception",
        _FAILS,
        "fix the cause; end the episode with terminated=True where a simulation cannot recover",
    ),
    "observation-not-finite": Kind(
        "error",
        "an observation is NaN or infinite",
        f"{_FAILS}: one such number would spread to every weight",
        "find the division or the unstable simulation, and terminate the episode before it; numbers above the float32 "
        "range (3.4e38) count as infinite",
    ),
    "observation-outside": Kind(
        "warning",
        "an observation lies outside its space",
        "training ignores the bounds, but the space does not describe the policy's input",
        "widen the space or find out why the value is out of range; Box(-inf, inf) allows every value",
    ),
    "observation-integers": Kind(
        "warning",
        "observations are integers",
        "they are converted to float32 unchanged: categories appear ordered, and counts are not scaled",
        "one-hot encode categories and scale counts to about [-1, 1]",
    ),
    "observation-large": Kind(
        "warning",
        "an observation is very large",
        "float32 has seven digits, so small changes vanish; networks without normalisation saturate",
        "observe differences instead of absolute times and positions, or scale the entry to about [-1, 1]",
    ),
    "observation-constant": Kind(
        "info",
        "some entries of the observation never change",
        "none, apart from a little computation",
        "remove them unless something other than random actions changes them",
    ),
    "observation-frozen": Kind(
        "warning",
        "the observation never changes",
        "the policy gets no feedback and learns one action at best",
        "return the state after the step, not the one at construction",
    ),
    "observation-aliased": Kind(
        "warning",
        "observations share a buffer that is overwritten",
        "none in surefoot train, which copies; other code that keeps observations ends up with wrong transitions",
        "return a copy: observation.copy()",
    ),
    "reward-unusable": Kind(
        "error",
        "a reward is not one number",
        _FAILS,
        "return a float, of several objectives their weighted sum (mo_gymnasium.wrappers.LinearReward)",
    ),
    "reward-not-finite": Kind(
        "error",
        "a reward is NaN or infinite",
        _FAILS,
        "find the division or logarithm in the reward, and bound it",
    ),
    # Episodes
    "never-ends": Kind(
        "warning",
        "no episode ended",
        "evaluations play whole episodes: training stops with exit code 1 once one exceeds 100,000 env steps",
        "add a time limit: gymnasium.wrappers.TimeLimit(env, max_episode_steps=1000); or check more --steps",
    ),
    "ends-unchecked": Kind(
        "info",
        "no episode was long enough to end",
        "none, but the end of episodes was not checked",
        "set --steps to several times the time limit",
    ),
    "both-flags": Kind(
        "error",
        "every episode ends with both terminated and truncated",
        "termination takes precedence: values at the time limit omit all later rewards",
        "return terminated=True only in states without a future, truncated=True only at the time limit",
    ),
    "time-limit-terminates": Kind(
        "error",
        "a time limit ends episodes with terminated instead of truncated",
        "values at the limit omit all later rewards, and no entry of the observation shows the time that is left",
        "return truncated=True at the limit; if the task really ends there, add the remaining time to the observation",
    ),
    "autoreset": Kind(
        "error",
        "the environment resets itself when an episode ends",
        "the last observation of an episode belongs to the next one, so values leak between unrelated episodes",
        "remove the autoreset wrapper: training resets the environment",
    ),
    "step-after-end": Kind(
        "warning",
        "a step after the end of an episode changes the next episode",
        "none in surefoot train, which never takes such a step; other training loops may",
        "make reset restore everything that step changes",
    ),
    # Rewards
    "reward-large": Kind(
        "warning",
        "rewards are very large",
        "values are up to 1 / (1 - discount) times larger: loss and gradients exceed the range that the "
        "hyperparameters were tuned for",
        "scale the reward to about 1 per step",
    ),
    "reward-small": Kind(
        "warning",
        "rewards are very small",
        "differences between actions vanish in the critic's error and next to the entropy bonus",
        "scale the reward so that a good step earns about 1",
    ),
    "reward-constant": Kind(
        "warning",
        "all rewards were equal",
        "random actions found no signal; with sparse rewards, learning starts only after a success",
        "check the reward function; shape the reward, or prefill the replay buffer with demonstrations",
    ),
    "reward-normalised": Kind(
        "error",
        "a wrapper normalises rewards",
        "each copy of the environment has a scale of its own, which changes during training: evaluations sum scaled "
        "rewards, so their returns have no unit and cannot be compared, and a resumed run starts with another scale",
        "remove the wrapper; --set reward_scaling='ReturnScaling()' scales sampled rewards in the algorithm, and "
        "evaluations keep the environment's own rewards",
    ),
    # Repeatability
    "seed-ignored": Kind(
        "warning",
        "equal seeds give different first observations",
        "evaluations are not paired, results are not reproducible, and a resumed run starts a new episode",
        "draw all random numbers from self.np_random after super().reset(seed=seed)",
    ),
    "seed-no-effect": Kind(
        "info",
        "different seeds give the same episode",
        "every episode starts in the same state, so the policy is evaluated on one start only",
        "draw the start from self.np_random unless the task has a fixed start",
    ),
    "replay-differs": Kind(
        "warning",
        "equal seeds and actions give different episodes",
        "results are not reproducible, and a resumed run starts a new episode",
        "draw from self.np_random only, and make reset restore everything that step changes",
    ),
    "reset-incomplete": Kind(
        "warning",
        "an episode depends on the previous one",
        "results depend on the order of episodes, and a resumed run starts a new episode",
        "make reset restore everything that step changes: counters, filters, solver warm starts, targets",
    ),
    "shared-state": Kind(
        "error",
        "copies of the environment share state",
        "the training seeds and their evaluations change each other's episodes",
        "keep state in self, not in class attributes, modules or default arguments; draw from self.np_random; or "
        f"{_PROCESSES}",
    ),
    "global-random": Kind(
        "warning",
        "the environment draws from a global random generator",
        "all copies share one random stream, so no episode is a function of its own seed",
        "draw from self.np_random instead of np.random and random",
    ),
    "process-differs": Kind(
        "warning",
        "equal seeds and actions give a different episode in another process",
        "results depend on the number of workers, and a resumed run starts a new episode",
        "look for hash(), the order of sets, the time of day, process ids and files that change",
    ),
    "not-sendable": Kind(
        "warning",
        "the environment cannot be created in a worker process",
        "on three or more cores training does not start without --env-workers 0",
        "create simulators inside the callable, and do not capture open ones",
    ),
    "second-copy": Kind(
        "error",
        "a second copy of the environment cannot be created",
        "training does not start: evaluations and every further seed need their own copy",
        f"release exclusive resources in close(); where one copy per process is possible, {_PROCESSES}; with a single "
        "robot, use surefoot.Agent in your own loop",
    ),
    # Actions
    "action-changed": Kind(
        "warning",
        "step modifies its action in place",
        "none in surefoot train, which passes a copy; other loops store an action that was not taken",
        "clip or scale a copy: action = np.clip(action, low, high)",
    ),
    "action-clipped": Kind(
        "warning",
        "actions at the bounds have the same effect as half of them",
        "part of the action range is dead: gradients vanish there and exploration is wasted",
        "declare the bounds at which the environment clips",
    ),
    "action-ignored": Kind(
        "warning",
        "actions change nothing",
        "there is nothing to learn",
        "check that step uses its action, and that the observation or the reward depends on it",
    ),
    # Cost
    "slow": Kind(
        "info",
        "the environment is slow",
        "a run takes at least as long as its environment",
        "render only on request, and create constant data in __init__; several seeds can step in worker processes",
    ),
}
"""Every kind of finding by its code."""
