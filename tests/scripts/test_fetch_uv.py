"""Download of uv, from a package index made of local files."""

from __future__ import annotations

import hashlib
import json
import platform
import zipfile
from pathlib import Path

import pytest

from scripts import fetch_uv


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An index with the right wheel and others; the path of the right one."""
    machine = platform.machine()
    wheel_name = f"uv-{fetch_uv.VERSION}-py3-none-musllinux_1_1_{machine}.whl"
    others = [
        wheel_name.replace(machine, "pdp11"),
        wheel_name.replace("musllinux_1_1", "win"),
        wheel_name.replace(fetch_uv.VERSION, "0.0.5"),
    ]
    for name in (wheel_name, *others):
        with zipfile.ZipFile(tmp_path / name, "w") as archive:
            archive.writestr(f"uv-{fetch_uv.VERSION}.data/scripts/uv", f"#!/bin/sh\necho {name}\n")
    files = [
        {
            "filename": name,
            "url": (tmp_path / name).as_uri(),
            "hashes": {"sha256": hashlib.sha256((tmp_path / name).read_bytes()).hexdigest()},
        }
        for name in (*others, wheel_name)
    ]
    (tmp_path / "index.json").write_text(json.dumps({"files": files}))
    monkeypatch.setattr(fetch_uv, "INDEX", (tmp_path / "index.json").as_uri())
    return tmp_path / wheel_name


def test_fetch_writes_the_pinned_version_as_an_executable(index: Path, tmp_path: Path) -> None:
    program = tmp_path / "bin" / "uv"
    fetch_uv.fetch(program)
    assert index.name in program.read_text()
    assert program.stat().st_mode & 0o777 == 0o755


def test_wrong_checksum_is_an_error(index: Path, tmp_path: Path) -> None:
    index.write_bytes(index.read_bytes() + b"\0")
    with pytest.raises(ValueError, match="sha256"):
        fetch_uv.fetch(tmp_path / "uv")
    assert not (tmp_path / "uv").exists()


def test_missing_build_is_an_error(index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "vax")
    with pytest.raises(LookupError, match="on vax"):
        fetch_uv.fetch(tmp_path / "uv")
