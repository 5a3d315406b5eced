"""Standard streams that fail, cannot encode a text, or are written to by environments."""

from __future__ import annotations

import errno
import io
import json
import os
import subprocess
import sys
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import IO, Any

import pytest

from surefoot import streams
from surefoot.encodable import encodable
from surefoot.training.callbacks import EventDispatcher
from surefoot.training.events import EvaluationDone, Observer, RunFinished

SLOW = pytest.mark.slow

FAILURES = {
    "a full disk": OSError(errno.ENOSPC, "No space left on device"),
    "a closed pipe": BrokenPipeError(errno.EPIPE, "Broken pipe"),
    "a closed terminal": OSError(errno.EIO, "Input/output error"),
    "a closed stream": ValueError("I/O operation on closed file."),
}


def run(code: str, stdout: int | IO[bytes] = subprocess.PIPE) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-c", code]
    return subprocess.run(command, stdout=stdout, stderr=subprocess.PIPE, timeout=60, check=False)


class Failing(io.StringIO):
    """Stream whose writes raise."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error

    def write(self, text: str) -> int:
        raise self.error


# ---------------------------------------------------------------- programs of others


@pytest.mark.parametrize("failure", FAILURES)
def test_default_observer_survives_a_failing_stdout(
    failure: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(streams, "_warned", False)
    monkeypatch.setattr(sys, "stdout", Failing(FAILURES[failure]))
    observer = Observer()
    observer.on_message("first")
    observer.on_evaluation(EvaluationDone(1, (0,), (1.0,), None, 1.0))
    observer.on_finish(RunFinished(Path("run"), 1, True, 1.0, None, 0.0))
    assert capsys.readouterr().err == (
        f"surefoot: warning: cannot write to standard output: "
        f"{getattr(FAILURES[failure], 'strerror', None) or FAILURES[failure]}; the run continues without its display\n"
    )


@pytest.mark.parametrize("failure", FAILURES)
def test_run_continues_without_an_observer_whose_output_fails(failure: str, capsys: pytest.CaptureFixture[str]) -> None:
    calls = []

    class Own(Observer):
        def on_message(self, text: str) -> None:
            calls.append(text)
            print(text, file=Failing(FAILURES[failure]))

    events = EventDispatcher(Own())
    events.on_message("first")
    events.on_message("second")
    assert (calls, events.raised) == (["first"], None)
    assert capsys.readouterr().err == (
        f"surefoot: warning: the observer Own failed: {FAILURES[failure]}; the run continues without it\n"
    )


def test_other_exceptions_of_an_observer_end_the_run() -> None:
    class Own(Observer):
        def on_message(self, text: str) -> None:
            raise ValueError("mine")

    events = EventDispatcher(Own())
    with pytest.raises(ValueError, match="mine"):
        events.on_message("text")
    assert isinstance(events.raised, ValueError)


def test_default_observer_survives_missing_streams(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", None)
    monkeypatch.setattr(sys, "stderr", None)
    Observer().on_message("text")
    streams.warn("text")


def test_failing_stderr_raises_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", Failing(FAILURES["a full disk"]))
    streams.warn("text")
    streams.show_error(ValueError("text"))


@pytest.mark.parametrize(
    ("encoding", "expected"),
    [
        ("ascii", "runs/caf\\xe9 - \\u03b8 ~"),
        ("iso-8859-1", "runs/caf\xe9 \xb7 \\u03b8 ~"),
        ("gbk", "runs/caf\xe9 \xb7 \u03b8 \u2026"),
        ("utf-8", "runs/caf\xe9 \xb7 \u03b8 \u2026"),
        ("no such codec", "runs/caf\xe9 \xb7 \u03b8 \u2026"),
    ],
)
def test_text_is_readable_in_any_encoding(encoding: str, expected: str) -> None:
    stream: Any = SimpleNamespace(encoding=encoding)
    assert encodable("runs/caf\xe9 \xb7 \u03b8 \u2026", stream) == expected


def test_undecodable_bytes_of_a_path_are_escaped() -> None:
    assert encodable(os.fsdecode(b"caf\xe9"), io.StringIO()) == r"caf\udce9"


def test_output_of_child_processes_goes_nowhere_without_a_stderr(monkeypatch: pytest.MonkeyPatch) -> None:
    assert streams.third_party_descriptors() == (2, 2)
    monkeypatch.setattr(sys, "__stderr__", None)  # closed at the start: 2 may be any file by now
    assert streams.third_party_descriptors() == (subprocess.DEVNULL, subprocess.DEVNULL)


# ---------------------------------------------------------------- processes of ours

SEPARATED = """
import atexit, os, sys
from surefoot import streams
atexit.register(os.write, 1, b"late\\n")
streams.protect()
streams.separate_third_party_output()
print("python"); os.write(1, b"c\\n"); sys.__stdout__.write("original\\n"); os.system("echo child")
streams.emit("result")
streams.stdout().flush()
"""


RELAYED = """
import os, sys
from surefoot import streams
streams.protect()
streams.separate_third_party_output()
lines = []
with streams.relayed_third_party_output(lambda line: (lines.append(line), 1 / 0)):
    os.write(1, b"c\\n\\xff part")
    os.system("echo child")
    sys.stderr.write("error\\n")
    out, err = streams.third_party_descriptors()
    os.write(out, b"worker")
assert (out, err) == (1, 2) and streams.third_party_descriptors() == (2, 2)
os.write(1, b"after\\n")
streams.emit(ascii(lines))
streams.stdout().flush()
"""


def test_output_of_c_code_is_relayed_to_a_display_on_a_terminal() -> None:
    ours, theirs = os.openpty()
    subprocess.run([sys.executable, "-c", RELAYED], stdout=theirs, stderr=theirs, timeout=60, check=True)
    os.close(theirs)
    printed = os.read(ours, 10_000).decode().split("\r\n")
    os.close(ours)
    assert printed == ["error", "after", r"['c', '\ufffd partchild', 'worker']", ""]


def test_output_of_c_code_is_not_relayed_to_a_display_elsewhere() -> None:
    done = run(RELAYED.replace("(1, 2)", "(2, 2)"))
    assert done.stdout == b"[]\n"
    assert b"child" in done.stderr


def test_json_has_no_numbers_that_json_lacks(capsys: pytest.CaptureFixture[str]) -> None:
    streams.emit_json({"a": [float("nan"), 1.5], "b": (float("inf"), True, None, "nan")})
    printed = capsys.readouterr().out
    assert json.loads(printed, parse_constant=pytest.fail) == {"a": [None, 1.5], "b": [None, True, None, "nan"]}


PRINTING = """
import os
from tests.tasks.zoo import Counter
print("at import"); os.write(1, b"C at import\\n")
class Printing(Counter):
    def reset(self, **options):
        print("in reset"); os.write(1, b"C in reset\\n"); os.system("echo child")
        return super().reset(**options)
    def close(self):
        os.write(1, b"C in close\\n")
"""


@SLOW
def test_json_stays_json_where_an_environment_prints(tmp_path: Path) -> None:
    (tmp_path / "printing.py").write_text(PRINTING)
    command = [sys.executable, "-m", "surefoot", "check-env", "printing:Printing", "--json", "--steps", "50"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(Path.cwd()), os.environ.get("PYTHONPATH", "")])}
    done = subprocess.run(command, capture_output=True, cwd=tmp_path, env=environment, timeout=200, check=False)
    assert json.loads(done.stdout)["task"] == "printing:Printing"
    for text in (b"at import", b"C at import", b"in reset", b"C in reset", b"child"):
        assert text in done.stderr


def test_third_party_output_goes_to_stderr() -> None:
    done = run(SEPARATED)
    assert done.stdout == b"result\n"
    assert sorted(done.stderr.split()) == [b"c", b"child", b"late", b"original", b"python"]


def test_streams_are_restored() -> None:
    code = "from surefoot import streams\nwith streams.ProtectedStreams() as own:\n    own.separate(); print('in')\n"
    done = run(f"import os\n{code}    streams.emit('own')\nprint('out', flush=True); os.write(1, b'c')")
    assert (done.stdout, done.stderr) == (b"own\nout\nc", b"in\n")


def test_closed_descriptors_are_not_given_to_files(tmp_path: Path) -> None:
    code = (
        "import os, sys\nfrom surefoot import streams\nstreams.protect(required=False)\n"
        f"file = open({str(tmp_path / 'data')!r}, 'w')\n"
        "print('out', flush=True); print('err', file=sys.stderr)\n"
        "for number in (1, 2):\n    try: os.write(number, b'c')\n    except OSError: pass\n"
        "file.write('data')"
    )
    done = subprocess.run(["sh", "-c", 'exec "$0" -c "$1" >&- 2>&- <&-', sys.executable, code], timeout=60, check=False)
    assert done.returncode == 0
    assert (tmp_path / "data").read_text() == "data"


def test_write_to_a_non_blocking_pipe_waits_for_its_reader() -> None:
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    failures: list[OSError] = []
    raw = streams._Descriptor(writer, failures.append)
    read = bytearray()
    thread = threading.Thread(target=lambda: read.extend(_read_all(reader)))
    with io.BufferedWriter(raw) as stream:
        thread.start()
        stream.write(b"x" * 1_000_000)
    os.close(writer)
    thread.join()
    assert (len(read), failures) == (1_000_000, [])


def _read_all(descriptor: int) -> bytes:
    with open(descriptor, "rb") as stream:
        return stream.read()


MAIN = "import sys; from surefoot.cli.main import main; sys.argv[1:] = {}; sys.exit(main())"


@pytest.mark.parametrize(
    "arguments", [["--version"], *(pytest.param(each, marks=SLOW) for each in (["tasks"], ["--help"]))]
)
def test_results_that_cannot_be_printed_are_an_error(arguments: list[str]) -> None:
    with open("/dev/full", "wb") as full:
        done = run(MAIN.format(arguments), stdout=full)
    assert done.returncode == 1
    assert done.stderr == b"surefoot: error: cannot write to standard output: No space left on device\n"


def test_closed_pipe_ends_a_listing_silently() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with open(writer, "wb") as pipe:
        done = run(MAIN.format(["tasks"]), stdout=pipe)
    assert (done.returncode, done.stderr) == (1, b"")


DISPLAY = """
import sys, time
from pathlib import Path
from surefoot import streams
from surefoot.cli.display import make_display
from surefoot.training.events import EvaluationDone, Progress, RunFinished, RunStarted
streams.protect()
streams.continue_without_output()
streams.separate_third_party_output()
path = Path("caf\\xe9\\udce9")
with make_display() as display:
    display.on_start(RunStarted(path, "arm", "sac", 1, (0,), 20, 0, "CPU", 8, 0))
    display.on_progress(Progress(10, 10, 10, 1.0, 1.0, 1.0, (1.0,)))
    sys.stdin.read()
    for _ in range(3):
        display.on_message("message")
        print("environment")
    time.sleep(0.3)  # a live display is redrawn by a thread
    display.on_finish(RunFinished(path, 20, True, 1.0, EvaluationDone(20, (0,), (1.0,), None, 1.0), 0.0))
sys.exit(5)
"""


@pytest.mark.parametrize("kind", ["full", "pipe", "closed"])
def test_run_goes_on_without_its_display(kind: str) -> None:
    reader, pipe = os.pipe()
    os.close(reader)
    with open(pipe, "wb") as unread, open("/dev/full", "wb") as full:
        done = subprocess.run(
            ["sh", "-c", f'exec "$0" -c "$1" {">&-" if kind == "closed" else ""}', sys.executable, DISPLAY],
            stdin=subprocess.DEVNULL,
            stdout=unread if kind == "pipe" else full,
            stderr=subprocess.PIPE,
            timeout=60,
            check=False,
        )
    assert done.returncode == 5
    warning, *rest = done.stderr.decode().splitlines()
    assert warning.startswith("surefoot: warning: cannot write to standard output: ")
    assert rest == ["environment"] * 3


def on_terminal(code: str, **environment: str) -> tuple[subprocess.Popen[bytes], int]:
    """Start a program on a terminal, with a pipe as standard input; return it and the terminal's other end."""
    ours, terminal = os.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        stdin=subprocess.PIPE,
        stdout=terminal,
        stderr=terminal,
        env={**os.environ, "TERM": "xterm", "COLUMNS": "80", **environment},
    )
    os.close(terminal)
    return process, ours


def test_run_goes_on_when_its_terminal_closes() -> None:
    process, ours = on_terminal(DISPLAY)
    while b"\x1b" not in os.read(ours, 4096):
        pass
    os.close(ours)
    process.communicate(timeout=60)
    assert process.returncode == 5


@pytest.mark.parametrize(
    "encoding", ["ascii", *(pytest.param(name, marks=SLOW) for name in ("iso-8859-1", "gbk", "utf-8"))]
)
def test_live_display_is_readable_in_any_encoding(encoding: str) -> None:
    process, ours = on_terminal(DISPLAY, PYTHONIOENCODING=encoding)
    assert process.stdin is not None
    process.stdin.close()
    shown = b""
    try:
        while part := os.read(ours, 4096):
            shown += part
    except OSError:
        pass  # the end of a terminal's output
    os.close(ours)
    assert process.wait(timeout=60) == 5
    text = shown.decode(encoding)
    assert ("caf\\xe9\\xe9" if encoding == "ascii" else "caf\xe9\\xe9") in text
    assert "Traceback" not in text
    assert ("\u256d" in text) == (encoding == "utf-8")  # the panel's corner


NO_RUNS = """
import signal
from surefoot.runs import progress
signal.signal(signal.SIGHUP, signal.SIG_IGN)
class NoRuns:
    def __init__(self, paths): pass
    def read(self): return []
progress.RunsReader = NoRuns
"""


@pytest.mark.slow
def test_live_table_ends_with_its_terminal() -> None:
    process, ours = on_terminal(NO_RUNS + MAIN.format(["watch"]))
    while b"0 runs" not in os.read(ours, 4096):
        pass
    os.close(ours)
    assert process.wait(timeout=30) in (0, 1)
