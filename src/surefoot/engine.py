"""Engines: what steps the environments of a task."""

from __future__ import annotations

from typing import Literal

Engine = Literal["suite", "envpool", "jax"]
"""suite: the task's own package, as in the papers. envpool: the same task in EnvPool's C++ threads. jax: an environment
written in JAX, within the compiled program that trains."""
