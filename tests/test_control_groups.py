"""Limits of control groups, as different systems show them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from surefoot import control_groups, machine
from surefoot.control_groups import cpu_quota, free_memory, memory_limit

GB = 10**9
UNLIMITED = 0x7FFFFFFFFFFFF000
"""What version 1 shows where there is no limit."""


class System:
    """A file system with control groups."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self.write("proc/self/mountinfo", "22 1 0:20 / /proc rw,relatime - proc proc rw\nnonsense\n")

    def write(self, path: str, text: str) -> None:
        file = self._root / path.lstrip("/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)

    def process(self, groups: str) -> None:
        self.write("proc/self/cgroup", groups)

    def mount(self, place: str, kind: str, options: str = "rw", root: str = "/") -> None:
        file = self._root / "proc/self/mountinfo"
        line = f"31 23 0:28 {root} {place} rw,relatime shared:9 - {kind} {kind} {options}\n"
        file.write_text(file.read_text() + line)

    def group(self, folder: str, **files: object) -> None:
        for name, value in files.items():
            self.write(f"{folder}/{name.replace('_', '.', 1)}", f"{value}\n")


@pytest.fixture
def system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> System:
    monkeypatch.setattr(control_groups, "ROOT", tmp_path)
    monkeypatch.setattr("sys.platform", "linux")
    return System(tmp_path)


def test_without_control_groups_there_is_no_limit(system: System) -> None:
    assert (cpu_quota(), memory_limit(), free_memory()) == (None, None, None)


def test_container_whose_group_is_the_root_of_its_name_space(system: System) -> None:
    system.process("0::/\n")
    system.mount("/sys/fs/cgroup", "cgroup2")
    system.group(
        "sys/fs/cgroup",
        cpu_max="150000 100000",
        memory_max=4 * GB,
        memory_current=3 * GB,
        memory_stat=f"anon 1\ninactive_file {GB}\n\nodd line here",
    )
    assert (cpu_quota(), memory_limit(), free_memory()) == (1.5, 4 * GB, 2 * GB)


def test_limits_of_a_jobs_ancestors_count(system: System) -> None:
    slurm = "/sys/fs/cgroup/system.slice/slurmstepd.scope/job_7"
    system.process("0::/system.slice/slurmstepd.scope/job_7/step_0/user/task_0\n")
    system.mount("/sys/fs/cgroup", "cgroup2")
    system.group(f"{slurm}/step_0/user/task_0", cpu_max="max 100000", memory_max="max", memory_current=1)
    system.group(f"{slurm}/step_0", cpu_max="400000 100000", memory_max=9 * GB, memory_current=2 * GB)
    system.group(slurm, cpu_max="200000 100000", memory_max="max", memory_high=8 * GB, memory_current=7 * GB)
    system.group("/sys/fs/cgroup/other", cpu_max="1 100000", memory_max=1, memory_current=1)
    assert (cpu_quota(), memory_limit(), free_memory()) == (2.0, 8 * GB, GB)


def test_limits_of_version_1_count(system: System) -> None:
    system.process("9:name=systemd:/\n4:memory:/slurm/uid_1/job_7/step_0\n2:cpu,cpuacct:/slurm/uid_1\n0::/\n")
    system.mount("/sys/fs/cgroup/unified", "cgroup2")
    system.mount("/sys/fs/cgroup/cpu,cpuacct", "cgroup", "rw,cpu,cpuacct")
    system.mount("/sys/fs/cgroup/memory", "cgroup", "rw,memory")
    system.mount("/sys/fs/cgroup/systemd", "cgroup", "rw,name=systemd")
    system.group("sys/fs/cgroup/cpu,cpuacct/slurm/uid_1", cpu_cfs_quota_us=50_000, cpu_cfs_period_us=100_000)
    system.group("sys/fs/cgroup/cpu,cpuacct", cpu_cfs_quota_us=-1, cpu_cfs_period_us=100_000)
    memory = "sys/fs/cgroup/memory/slurm/uid_1"
    system.group(f"{memory}/job_7/step_0", memory_limit_in_bytes=UNLIMITED, memory_usage_in_bytes=GB)
    system.group(
        f"{memory}/job_7",
        memory_limit_in_bytes=6 * GB,
        memory_usage_in_bytes=3 * GB,
        memory_stat=f"total_inactive_file {GB}",
    )
    assert (cpu_quota(), memory_limit(), free_memory()) == (0.5, 6 * GB, 4 * GB)


def test_container_of_version_1_named_as_on_the_host(system: System) -> None:
    system.process("4:memory:/docker/ab c/inner\n2:cpu:/docker/ab c/inner\n")
    system.mount("/sys/fs/cgroup/cpu", "cgroup", "rw,cpu", root=r"/docker/ab\040c")
    system.mount("/sys/fs/cgroup/memory", "cgroup", "rw,memory", root=r"/docker/ab\040c")
    system.group("sys/fs/cgroup/cpu/inner", cpu_cfs_quota_us=300_000, cpu_cfs_period_us=100_000)
    # The host's limit on /docker, which is not visible, is in the statistics.
    system.group(
        "sys/fs/cgroup/memory",
        memory_limit_in_bytes=UNLIMITED,
        memory_usage_in_bytes=GB,
        memory_stat=f"hierarchical_memory_limit {5 * GB}",
    )
    assert (cpu_quota(), memory_limit(), free_memory()) == (3.0, 5 * GB, 4 * GB)


@pytest.mark.parametrize("own", ["/system.slice/docker-ab.scope", "/../../other.scope"])
def test_group_outside_the_mounted_tree_is_ignored(system: System, own: str) -> None:
    system.process(f"0::{own}\n")
    system.mount("/sys/fs/cgroup", "cgroup2")
    system.mount("/monitoring/cgroup", "cgroup2", root="/another.slice")  # of other processes
    system.group("sys/fs/cgroup", cpu_max="700000 100000")
    system.group("monitoring/cgroup", cpu_max="100000 100000")
    assert cpu_quota() == 7.0


@pytest.mark.parametrize("text", ["", "max", "garbage 100000", "0 0", "100000", "-1 100000", "²00 100"])
def test_unreadable_quotas_are_none(system: System, text: str) -> None:
    system.process("0::/\n:::\nshort\n")
    system.mount("/sys/fs/cgroup", "cgroup2")
    system.group("sys/fs/cgroup", cpu_max=text, memory_max="", memory_current="x", memory_stat="inactive_file -3")
    assert (cpu_quota(), memory_limit(), free_memory()) == (None, None, None)


@pytest.mark.parametrize(
    ("quota", "cores"), [(None, 16), (20.0, 16), (16.0, 16), (3.0, 3), (2.1, 3), (0.5, 1), (0.001, 1)]
)
def test_usable_cores_are_the_quota_rounded_up(
    monkeypatch: pytest.MonkeyPatch, quota: float | None, cores: int
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(16)))
    monkeypatch.setattr(machine, "cpu_quota", lambda: quota)
    assert machine.usable_cores() == cores


@pytest.mark.parametrize(
    ("meminfo", "group", "total", "free"),
    [
        ("MemTotal: 8000 kB\nMemAvailable: 6000 kB", (None, None), 8000, 6000),
        ("MemTotal: 8000 kB\nMemAvailable: 6000 kB", (4000, 1000), 4000, 1000),
        ("MemTotal: 8000 kB\nMemAvailable: 500 kB", (9000, 9000), 8000, 500),
        ("nothing", (4000, 0), 4000, 0),
        ("nothing", (None, None), None, None),
    ],
)
def test_memory_is_the_smaller_of_machine_and_group(
    monkeypatch: pytest.MonkeyPatch,
    meminfo: str,
    group: tuple[int | None, int | None],
    total: int | None,
    free: int | None,
) -> None:
    def kilobytes(count: int | None) -> int | None:
        return None if count is None else 1024 * count

    monkeypatch.setattr(Path, "read_text", lambda self: meminfo)
    monkeypatch.setattr(machine, "memory_limit", lambda: kilobytes(group[0]))
    monkeypatch.setattr(machine, "free_memory", lambda: kilobytes(group[1]))
    assert machine.host_memory() == (kilobytes(total), kilobytes(free))
    assert machine.free_host_memory() == (kilobytes(free) if free is not None else 2**63 - 1)


def test_address_space_limits_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control_groups, "ROOT", Path("/nonexistent"))
    monkeypatch.setattr(machine.resource, "getrlimit", lambda kind: (2**40, 2**40))
    assert machine._address_space()[0] == 2**40
    assert 0 < machine._address_space()[1] < 2**40
    monkeypatch.setattr(machine.resource, "getrlimit", lambda kind: (1, 1))
    assert machine.host_memory() == (1, 0)


def test_jax_gets_a_thread_per_usable_core_under_a_quota(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "jax_devices", lambda: ("cpu", ("cpu",), None))
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(16)))
    monkeypatch.setenv("NPROC", "")
    monkeypatch.delenv("NPROC")
    monkeypatch.setattr(machine, "cpu_quota", lambda: None)
    machine.start_jax()
    assert "NPROC" not in os.environ
    monkeypatch.setattr(machine, "cpu_quota", lambda: 2.5)
    machine.start_jax()
    assert os.environ["NPROC"] == "3"
    monkeypatch.setattr(machine, "cpu_quota", lambda: 1.0)
    machine.start_jax()
    assert os.environ["NPROC"] == "3", "a number that is set is kept"


def test_jax_that_does_not_start_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    import jax

    def fail() -> list[object]:
        raise RuntimeError("Unable to initialize backend 'gpuu':\nunknown")

    monkeypatch.setattr(jax, "devices", fail)
    with pytest.raises(machine.UserError, match="JAX does not start: Unable to initialize backend 'gpuu': unknown"):
        machine.start_jax()
