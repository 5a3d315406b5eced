"""Tasks, their environments and vectors of environments. Importing this starts no simulator and no JAX."""

from surefoot.tasks.engines import with_engine
from surefoot.tasks.registry import get_task
from surefoot.tasks.run_task import get_run_task
from surefoot.tasks.seeding import episode_seed
from surefoot.tasks.suites import list_tasks
from surefoot.tasks.task import Task
from surefoot.tasks.vector import VectorEnv, VectorStep, make_vector

__all__ = [
    "Task",
    "VectorEnv",
    "VectorStep",
    "episode_seed",
    "get_run_task",
    "get_task",
    "list_tasks",
    "make_vector",
    "with_engine",
]
