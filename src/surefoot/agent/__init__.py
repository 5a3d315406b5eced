"""Agents for custom loops, and learning concurrent with a real-time control loop."""

from surefoot.agent.agent import Agent
from surefoot.agent.asynchronous import AsyncLearner, AsyncStats
from surefoot.agent.clock import ClockStats, ControlClock
from surefoot.agent.core import UpdateMetrics

__all__ = ["Agent", "AsyncLearner", "AsyncStats", "ClockStats", "ControlClock", "UpdateMetrics"]
