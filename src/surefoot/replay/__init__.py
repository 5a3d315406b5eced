"""Replay: what the agent has seen, on the device."""

from surefoot.replay.buffer import ReplayState, add, frame_capacity, init, nbytes, sample

__all__ = ["ReplayState", "add", "frame_capacity", "init", "nbytes", "sample"]
