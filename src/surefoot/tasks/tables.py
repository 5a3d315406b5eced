"""Tables of the suites' tasks, so that listing them needs no simulator."""

from __future__ import annotations

DMC = """
acrobot swingup 6 1|acrobot swingup_sparse 6 1|ball_in_cup catch 8 2|cartpole balance 5 1|cartpole balance_sparse 5 1
cartpole swingup 5 1|cartpole swingup_sparse 5 1|cartpole two_poles 8 1|cartpole three_poles 11 1|cheetah run 17 6
dog stand 223 38|dog walk 223 38|dog trot 223 38|dog run 223 38|dog fetch 232 38|finger spin 9 2|finger turn_easy 12 2
finger turn_hard 12 2|fish upright 21 5|fish swim 24 5|hopper stand 15 4|hopper hop 15 4|humanoid stand 67 21
humanoid walk 67 21|humanoid run 67 21|humanoid run_pure_state 55 21|humanoid_CMU stand 137 56|humanoid_CMU walk 137 56
humanoid_CMU run 137 56|manipulator bring_ball 44 5|manipulator bring_peg 44 5|manipulator insert_ball 44 5
manipulator insert_peg 44 5|pendulum swingup 3 1|point_mass easy 4 2|point_mass hard 4 2|quadruped walk 78 12
quadruped run 78 12|quadruped escape 101 12|quadruped fetch 90 12|reacher easy 6 2|reacher hard 6 2|stacker stack_2 49 5
stacker stack_4 63 5|swimmer swimmer6 25 5|swimmer swimmer15 61 14|walker stand 24 6|walker walk 24 6|walker run 24 6
"""
"""Domain, task, O, A of every suite task except lqr, which has no time limit and a random model."""

DMC_BENCHMARK = {
    "cheetah": ("run",),
    "dog": ("stand", "walk", "trot", "run"),
    "finger": ("turn_hard",),
    "fish": ("swim",),
    "hopper": ("stand", "hop"),
    "humanoid": ("stand", "walk", "run"),
    "pendulum": ("swingup",),
    "quadruped": ("run",),
    "walker": ("run",),
}

MYOSUITE = (
    ("reach", "Reach", 115),
    ("pose", "Pose", 108),
    ("obj-hold", "ObjHold", 91),
    ("key-turn", "KeyTurn", 93),
    ("pen-twirl", "PenTwirl", 83),
)
"""Name, name in MyoSuite, O. "-hard" is MyoSuite's Random variant, the plain name its Fixed one."""

MYOSUITE_HORIZON = 100

MUJOCO = (
    ("Ant-v5", 105, 8),
    ("HalfCheetah-v5", 17, 6),
    ("Hopper-v5", 11, 3),
    ("Humanoid-v5", 348, 17),
    ("Walker2d-v5", 17, 6),
)
"""Id, O, A. In v4, Ant omitted contact forces (O = 27), and Humanoid included entries that are always 0 (O = 376)."""
