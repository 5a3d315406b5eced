"""The SLURM script in docs/cluster.md, with fakes for SLURM and Ray."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from pathlib import Path

PAGE = Path(__file__).parents[1] / "docs" / "cluster.md"

FAKES = {
    "srun": 'echo "srun $*" >> "$CALLS"',
    "scontrol": 'echo "scontrol $*" >> "$CALLS"; [ "$1" = show ] && printf "n1\\nn2\\nn3\\n" || true',
    "sleep": ":",
    "ray": '[ "$1" = status ] && [ -e "$UP" ] && exit 0; touch "$UP"; exit 1',
    "surefoot": 'echo "surefoot $*" >> "$CALLS"; trap "exit 130" TERM; while [ ! -e "$DONE" ]; do :; done; exit $CODE',
}


def recipe() -> str:
    (script,) = re.findall(
        r"```sh\n(#!/bin/bash\n(?:(?!```)[\s\S])*--launcher ray(?:(?!```)[\s\S])*)```", PAGE.read_text()
    )
    return script


def start(folder: Path, code: int) -> tuple[subprocess.Popen[str], Path]:
    tools = folder / "bin"
    tools.mkdir()
    for name, body in FAKES.items():
        (tools / name).write_text(f"#!/bin/bash\n{body}\n")
        (tools / name).chmod(0o755)
    calls = folder / "calls"
    environment = {
        **os.environ,
        "PATH": f"{tools}:{os.environ['PATH']}",
        "CALLS": str(calls),
        "DONE": str(folder / "done"),
        "UP": str(folder / "up"),
        "CODE": str(code),
        "SLURM_JOB_NODELIST": "n[1-3]",
        "SLURM_CPUS_PER_TASK": "12",
        "SLURM_JOB_ID": "77",
        "SCRATCH": str(folder),
    }
    script = folder / "job.sh"
    script.write_text(recipe())
    process = subprocess.Popen(["bash", str(script)], env=environment, text=True, stderr=subprocess.PIPE)
    deadline = time.monotonic() + 60
    while not calls.exists() or "surefoot bench" not in calls.read_text():
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.05)
    return process, calls


def test_job_starts_ray_on_every_node_and_the_grid_on_ray(tmp_path: Path) -> None:
    process, calls = start(tmp_path, code=1)
    (tmp_path / "done").touch()
    assert process.wait(timeout=60) == 1
    called = calls.read_text()
    assert called.count("--cpus-per-task=12 ") == 3
    assert "--nodelist=n1 ray start --block --num-cpus=12 --head --port=20077" in called
    for node in ("n2", "n3"):
        assert f"--nodelist={node} ray start --block --num-cpus=12 --address=n1:20077" in called
    assert f"surefoot bench paper-utd --launcher ray --address n1:20077 --out {tmp_path}/utd" in called
    assert "requeue" not in called


def test_time_limit_requeues_the_job(tmp_path: Path) -> None:
    process, calls = start(tmp_path, code=0)
    time.sleep(0.3)
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=60) == 130
    assert "scontrol requeue 77" in calls.read_text()
