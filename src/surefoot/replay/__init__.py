"""Replay buffer on the device."""

from surefoot.replay.buffer import ReplayState, add, frame_capacity, init, nbytes, sample, start_episode

__all__ = ["ReplayState", "add", "frame_capacity", "init", "nbytes", "sample", "start_episode"]
