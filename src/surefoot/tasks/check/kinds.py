"""Everything a check can find, in one table: how bad it is, what it does to learning, how to mend it."""

from __future__ import annotations

from surefoot.tasks.check.findings import Kind

KINDS: dict[str, Kind] = {
    # Spaces
    "observation-space": Kind(
        "error",
        "the observation space is not supported",
        "training refuses to start",
        "use a Box of at least one number, or a Dict of such Boxes; one-hot encode what is Discrete",
    ),
    "action-space": Kind(
        "error",
        "the action space is not supported",
        "training refuses to start: the policy is a squashed Gaussian over real numbers",
        "use a Box of floats; map choices or integers onto ranges of a float inside the environment",
    ),
    "action-bounds": Kind(
        "error",
        "the action bounds are infinite or empty",
        "training refuses to start, or every action is NaN: the policy's [-1, 1] is mapped onto the bounds",
        "declare the range that the actuators really have, for example Box(-1.0, 1.0, ...)",
    ),
    "action-bounds-wide": Kind(
        "warning",
        "the action bounds look like placeholders",
        "exploration is spread over the whole range, so almost no action falls where the system responds",
        "declare the range that the actuators really have",
    ),
    "action-bounds-asymmetric": Kind(
        "info",
        "the action bounds are not symmetric about 0",
        "a policy that has learned nothing gives the middle of the bounds, not 0",
        "nothing to mend if the middle is a sensible place to start from; otherwise offset the action",
    ),
    "observation-dict": Kind(
        "info",
        "the observation is a Dict",
        "its parts are joined into one vector in the order of the keys",
        "nothing to mend; keep the order when you deploy the policy",
    ),
    "observation-pixels": Kind(
        "warning",
        "the observation looks like an image",
        "the networks are multilayer perceptrons: an image is flattened, and little is learned from it",
        "observe positions and velocities, or encode the image inside the environment",
    ),
    "spaces-change": Kind(
        "error",
        "the environment changes its spaces",
        "networks and replay buffer have one size, so training breaks, or mixes up what entries mean",
        "make both spaces once, in __init__; pad what varies and add a mask",
    ),
    # What reset and step return
    "api": Kind(
        "error",
        "reset or step does not follow Gymnasium's interface",
        "training breaks at the first call",
        "reset(*, seed=None, options=None) returns (observation, info); step(action) returns (observation, reward, "
        "terminated, truncated, info)",
    ),
    "raises": Kind(
        "error",
        "the environment raises an exception",
        "training ends there with exit code 1",
        "mend the cause; what a simulation cannot recover from should end the episode with terminated=True",
    ),
    "observation-shape": Kind(
        "error",
        "an observation does not have the size that its space promises",
        "training ends there with exit code 1",
        "return what observation_space describes, from reset and from step",
    ),
    "observation-not-finite": Kind(
        "error",
        "an observation is NaN or infinite",
        "one such number would spread through every weight, so training ends there with exit code 1",
        "find the division or the simulation that diverges, and terminate the episode before it does; what exceeds "
        "float32 (3.4e38) counts as infinite",
    ),
    "observation-outside": Kind(
        "warning",
        "an observation lies outside its space",
        "learning ignores the bounds, but the space does not describe what the policy is trained on",
        "widen the space, or find out why the value is out of range; Box(-inf, inf) promises nothing",
    ),
    "observation-dtype": Kind(
        "info",
        "observations have another dtype than their space",
        "none: everything is cast to float32",
        "return np.asarray(observation, space.dtype)",
    ),
    "observation-integers": Kind(
        "warning",
        "observations are integers",
        "they are cast to float32 as they are: categories look ordered, and counts are not scaled",
        "one-hot encode categories and scale counts to about [-1, 1]",
    ),
    "observation-large": Kind(
        "warning",
        "an observation is very large",
        "float32 keeps seven digits, so small changes of it vanish; networks without normalisation saturate",
        "observe differences in place of absolute times and positions, or scale the entry to about [-1, 1]",
    ),
    "observation-constant": Kind(
        "info",
        "entries of the observation never change",
        "none: such inputs are ignored, and cost a little time",
        "leave them out, unless something else than random actions changes them",
    ),
    "observation-frozen": Kind(
        "warning",
        "the observation never changes",
        "the policy cannot see what it does, and learns one action at best",
        "return the state as it is after the step, not as it was when the environment was made",
    ),
    "observation-aliased": Kind(
        "warning",
        "observations share a buffer that is written to again",
        "none in surefoot train, which copies; whoever keeps an observation (your own loop, a wrapper, a recorder) "
        "finds the next one in its place, and learns from transitions that go nowhere",
        "return a copy: observation.copy()",
    ),
    "reward-type": Kind(
        "error",
        "a reward is not a single number",
        "training ends there with exit code 1",
        "return float(reward)",
    ),
    "reward-not-finite": Kind(
        "error",
        "a reward is NaN or infinite",
        "training ends there with exit code 1",
        "find the division or logarithm behind it, and bound it",
    ),
    "flag-type": Kind(
        "warning",
        "terminated or truncated is not a bool",
        "it is read by its truth value, which may not be what was meant: None counts as False",
        "return bool(terminated), bool(truncated)",
    ),
    # Episodes
    "never-ends": Kind(
        "warning",
        "no episode ended",
        "an evaluation plays whole episodes: where one has not ended after 100,000 env steps, training ends there with "
        "exit code 1",
        "add a time limit: gymnasium.wrappers.TimeLimit(env, max_episode_steps=1000); or look longer with --steps",
    ),
    "ends-unseen": Kind(
        "info",
        "no episode was long enough to end",
        "none, but how episodes end could not be looked at",
        "look longer: --steps with a few times the time limit",
    ),
    "both-flags": Kind(
        "error",
        "every episode ends with both terminated and truncated",
        "terminated wins: a time limit looks like death, and values are wrong by everything that would have followed",
        "return terminated=True only for a state with no future, truncated=True only for the time limit",
    ),
    "time-limit-terminates": Kind(
        "error",
        "a time limit ends episodes with terminated in place of truncated",
        "the state at the limit looks like death, though nothing in the observation tells it from any other: values "
        "are wrong by everything that would have followed",
        "return truncated=True at the limit; if the task really ends there, put the time left into the observation",
    ),
    "autoreset": Kind(
        "error",
        "the environment resets itself when an episode ends",
        "the last observation of an episode is the first of another one, so values flow between episodes that have "
        "nothing to do with each other",
        "remove the autoreset wrapper: the trainer resets",
    ),
    "step-after-end": Kind(
        "warning",
        "a step after the end spoils the next episode",
        "none in surefoot train, which never takes one; a loop of your own might",
        "have reset put back everything that step changes",
    ),
    # Rewards
    "reward-large": Kind(
        "warning",
        "rewards are very large",
        "values are up to 1 / (1 - discount) times larger still: the critic's loss and its gradients dwarf everything "
        "the algorithm's settings were chosen for",
        "divide the reward so that a step's is about 1",
    ),
    "reward-small": Kind(
        "warning",
        "rewards are very small",
        "differences between actions vanish in the critic's error and beside the entropy bonus",
        "multiply the reward so that a good step's is about 1",
    ),
    "reward-constant": Kind(
        "warning",
        "all rewards were alike",
        "random actions found nothing to learn from: a sparse reward takes luck or a demonstration to be met at all",
        "check that the reward depends on what happens; shape it, or prefill the replay buffer with demonstrations",
    ),
    # Seeds, replay, copies
    "seed-ignored": Kind(
        "warning",
        "one seed gives different first observations",
        "evaluations are not paired, results cannot be repeated, and a resumed run starts a new episode",
        "draw every random number from self.np_random after super().reset(seed=seed)",
    ),
    "seed-no-effect": Kind(
        "info",
        "different seeds give the same episode",
        "every episode starts alike: the policy is tested on one start only, however many episodes are evaluated",
        "nothing to mend if the task is meant to be so; otherwise draw the start from self.np_random",
    ),
    "replay-differs": Kind(
        "warning",
        "the same seed and actions give another episode",
        "results cannot be repeated, and a resumed run starts a new episode",
        "draw from self.np_random alone, and have reset put back everything that step changes",
    ),
    "reset-incomplete": Kind(
        "warning",
        "an episode depends on the one before it",
        "what is learned depends on the order of episodes, and a resumed run starts a new episode",
        "have reset put back everything that step changes: counters, filters, solver warm starts, targets",
    ),
    "shared-state": Kind(
        "error",
        "two copies of the environment share state",
        "the seeds of a run, and its evaluations, step on each other's episodes",
        "keep state on self and never in class attributes, modules or default arguments; draw from self.np_random",
    ),
    "global-random": Kind(
        "warning",
        "the environment draws from a global random generator",
        "the copies of all seeds draw from the same stream, so no episode is a function of its own seed",
        "draw from self.np_random in place of np.random and random",
    ),
    "process-differs": Kind(
        "warning",
        "the same seed and actions give another episode in another process",
        "worker processes give other results than --env-workers 0, and a resumed run starts a new episode",
        "look for hash(), the order of sets, the time of day, process ids, files that change",
    ),
    "not-sendable": Kind(
        "warning",
        "the environment cannot be made in a worker process",
        "on three or more cores training refuses to start, unless it is told --env-workers 0",
        "make what the environment needs inside the callable, and have no open simulator in what it refers to",
    ),
    "second-copy": Kind(
        "error",
        "a second copy of the environment cannot be made",
        "training refuses to start: evaluations and every further seed have a copy of their own",
        "release what is exclusive in close(); where there is one robot only, use surefoot.Agent in a loop of your own",
    ),
    # Actions
    "action-changed": Kind(
        "warning",
        "step writes into the action it is given",
        "none in surefoot train, which hands over a copy; a loop of your own stores an action that was not taken",
        "clip or scale a copy: action = np.clip(action, low, high)",
    ),
    "action-clipped": Kind(
        "warning",
        "large actions do nothing that half of them does not do",
        "a part of the action range is dead: gradients vanish there, and exploration is wasted on it",
        "declare the bounds at which the environment really clips",
    ),
    "action-ignored": Kind(
        "warning",
        "actions change nothing",
        "there is nothing to learn",
        "check that step uses its action, and that the observation or the reward shows what it did",
    ),
    # Cost
    "slow": Kind(
        "info",
        "the environment is slow",
        "a run takes at least as long as its environment",
        "render only when asked to, make in __init__ what does not change; several seeds can step in worker processes",
    ),
}
"""Every finding by its code."""
