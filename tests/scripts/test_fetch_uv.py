"""Against a small index of our own, in files."""

import hashlib
import json
import platform
import zipfile

import pytest

from scripts import fetch_uv


@pytest.fixture
def index(tmp_path, monkeypatch):
    """An index that lists the wanted wheel among others; returns the wanted wheel's path."""
    machine = platform.machine()
    wanted = f"uv-{fetch_uv.VERSION}-py3-none-musllinux_1_1_{machine}.whl"
    others = [
        wanted.replace(machine, "pdp11"),
        wanted.replace("musllinux_1_1", "win"),
        wanted.replace(fetch_uv.VERSION, "0.0.5"),
    ]
    for name in (wanted, *others):
        with zipfile.ZipFile(tmp_path / name, "w") as wheel:
            wheel.writestr(f"uv-{fetch_uv.VERSION}.data/scripts/uv", f"#!/bin/sh\necho {name}\n")
    files = [
        {
            "filename": name,
            "url": (tmp_path / name).as_uri(),
            "hashes": {"sha256": hashlib.sha256((tmp_path / name).read_bytes()).hexdigest()},
        }
        for name in (*others, wanted)
    ]
    (tmp_path / "index.json").write_text(json.dumps({"files": files}))
    monkeypatch.setattr(fetch_uv, "INDEX", (tmp_path / "index.json").as_uri())
    return tmp_path / wanted


def test_the_pinned_version_for_this_machine_arrives_ready_to_run(index, tmp_path):
    program = tmp_path / "bin" / "uv"
    fetch_uv.fetch(program)
    assert index.name in program.read_text()
    assert program.stat().st_mode & 0o777 == 0o755


def test_a_damaged_wheel_is_refused(index, tmp_path):
    index.write_bytes(index.read_bytes() + b"\0")
    with pytest.raises(ValueError, match="sha256"):
        fetch_uv.fetch(tmp_path / "uv")
    assert not (tmp_path / "uv").exists()


def test_a_machine_without_a_build_is_named(index, tmp_path, monkeypatch):
    monkeypatch.setattr(platform, "machine", lambda: "vax")
    with pytest.raises(LookupError, match="on vax"):
        fetch_uv.fetch(tmp_path / "uv")
