"""Replay buffer on the device."""

from surefoot.replay.buffer import ReplayState, add, begin_episode, frame_capacity, init, nbytes, sample

__all__ = ["ReplayState", "add", "begin_episode", "frame_capacity", "init", "nbytes", "sample"]
