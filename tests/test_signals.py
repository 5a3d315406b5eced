"""Requests to stop."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from surefoot.signals import StopSignal, _restorable, blocked_in_children, raised_as_interrupts


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_stop_signal_records_a_request(number: signal.Signals) -> None:
    before = signal.getsignal(number)
    with StopSignal() as stop:
        signal.raise_signal(number)
        assert stop.received
        signal.raise_signal(signal.SIGHUP)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(number) is before


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_delivered_signal_reaches_the_previous_handler(number: signal.Signals) -> None:
    received: list[int] = []
    before = signal.signal(number, lambda number, _: received.append(number))
    try:
        with StopSignal() as stop:
            signal.raise_signal(number)
        assert received == []
        stop.deliver()
        assert received == [number]
    finally:
        signal.signal(number, before)


def test_delivered_interrupt_is_a_keyboard_interrupt_and_ends_a_loop() -> None:
    done: list[int] = []

    def train_seeds() -> None:
        for seed in range(3):
            with StopSignal() as stop:
                signal.raise_signal(signal.SIGINT)
                done.append(seed)
            stop.deliver()

    with pytest.raises(KeyboardInterrupt):
        train_seeds()
    assert done == [0]
    StopSignal().deliver()  # none was received


DELIVERED = """
import signal
from surefoot.signals import StopSignal
with StopSignal() as stop:
    for name in {names}:
        signal.raise_signal(getattr(signal, name))
    print("checkpoint", flush=True)
stop.deliver()
print("next seed", flush=True)
"""


@pytest.mark.parametrize("names", [["SIGTERM"], ["SIGHUP"], ["SIGINT", "SIGTERM"]])
def test_delivered_signal_ends_the_process(names: list[str]) -> None:
    code = DELIVERED.format(names=names)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (-getattr(signal, names[-1]), "checkpoint\n", "")


def test_ignored_hangup_stays_ignored() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with StopSignal() as stop, raised_as_interrupts():
            signal.raise_signal(signal.SIGHUP)
        assert not stop.received
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def _release_and_hang_up_again(number: int, released: list[bool]) -> None:
    try:
        signal.raise_signal(number)
    finally:
        if number != signal.SIGINT:
            signal.raise_signal(signal.SIGHUP)  # a second one, as a closing terminal may send
        released.append(True)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_request_interrupts_a_command_once(number: signal.Signals) -> None:
    before = [signal.getsignal(each) for each in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)]
    released: list[bool] = []
    with pytest.raises(KeyboardInterrupt), raised_as_interrupts():
        _release_and_hang_up_again(number, released)
    assert released == [True]
    assert [signal.getsignal(each) for each in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)] == before


def test_handlers_of_c_code_are_replaced_by_defaults() -> None:
    assert _restorable(signal.SIGINT, None) is signal.default_int_handler
    assert _restorable(signal.SIGTERM, None) is signal.SIG_DFL


def test_children_do_not_receive_a_blocked_signal() -> None:
    with blocked_in_children(signal.SIGHUP):
        child = subprocess.Popen(["sleep", "60"])
    child.send_signal(signal.SIGHUP)
    time.sleep(0.05)
    assert child.poll() is None
    child.kill()
    assert child.wait() == -signal.SIGKILL
    assert signal.SIGHUP not in signal.pthread_sigmask(signal.SIG_BLOCK, [])


INTERRUPTED_AT = """
import os, signal, sys
from surefoot.cli import main
import surefoot.{module} as target
def interrupt(*_, **__):
    os.kill(os.getpid(), signal.SIGINT)
    raise AssertionError("not interrupted")
target.{name} = interrupt
sys.argv[1:] = {arguments}
sys.exit(main.main())
"""


@pytest.mark.parametrize(
    ("module", "name", "arguments"),
    [
        ("cli.parse", "parse", ["tasks"]),
        ("cli.parse", "load_command", ["doctor"]),
        ("tasks", "list_tasks", ["tasks"]),
        pytest.param("training.api", "make_plan", ["train", "probe-action", "--out", "run"], marks=pytest.mark.slow),
        pytest.param("tasks.vector", "EnvSlots", ["train", "probe-action", "--out", "run"], marks=pytest.mark.slow),
    ],
)
def test_interrupt_before_a_run_is_silent(module: str, name: str, arguments: list[str], tmp_path: Path) -> None:
    code = INTERRUPTED_AT.format(module=module, name=name, arguments=arguments)
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=100, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signal_during_an_import_is_silent(number: signal.Signals, tmp_path: Path) -> None:
    (tmp_path / "tyro.py").write_text(f"import os\nos.kill(os.getpid(), {int(number)})\n")
    code = f"import sys; sys.path.insert(0, {str(tmp_path)!r}); from surefoot.cli.main import main\nsys.exit(main())"
    done = subprocess.run(
        [sys.executable, "-c", code, "tasks"], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")


def test_ignored_interrupt_stays_ignored() -> None:
    """As in background jobs of shell scripts: a stop that nothing raises would let a loop over runs go on."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with StopSignal() as stop:
            signal.raise_signal(signal.SIGINT)
        assert not stop.received
    finally:
        signal.signal(signal.SIGINT, before)
