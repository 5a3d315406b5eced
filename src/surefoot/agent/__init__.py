"""A loop of your own: the agent as an object, and learning beside a control loop that must not wait."""

from surefoot.agent.agent import Agent
from surefoot.agent.asynchronous import AsyncLearner, AsyncStats
from surefoot.agent.clock import ClockStats, ControlClock
from surefoot.agent.core import UpdateMetrics

__all__ = ["Agent", "AsyncLearner", "AsyncStats", "ClockStats", "ControlClock", "UpdateMetrics"]
