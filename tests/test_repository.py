"""Files around the package: workflows, pre-commit, container, issue forms."""

from __future__ import annotations

import json
import re
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from scripts import fetch_uv

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def load(path: str) -> Any:
    return yaml.safe_load((ROOT / path).read_text())


def make_targets() -> set[str]:
    return set(re.findall(r"^([a-z-]+(?: [a-z-]+)*):", (ROOT / "Makefile").read_text(), re.MULTILINE))


def commands(workflow: str) -> list[str]:
    jobs = load(f".github/workflows/{workflow}.yml")["jobs"].values()
    return [step["run"] for job in jobs for step in job["steps"] if "run" in step]


def test_yaml_files_parse() -> None:
    files = [*ROOT.glob(".github/**/*.yml"), ROOT / ".pre-commit-config.yaml"]
    assert len(files) > 5
    assert all(isinstance(load(str(file.relative_to(ROOT))), dict) for file in files)


def test_workflows_call_existing_make_targets() -> None:
    names = {path.stem for path in (ROOT / ".github" / "workflows").glob("*.yml")}
    assert names == {"ci", "release"}
    called = {
        target for name in names for command in commands(name) for target in re.findall(r"^make ([a-z-]+)", command)
    }
    assert {"lint", "types", "docs", "test", "test-slow", "test-lowest", "test-newest", "build"} <= called
    assert called <= {name for line in make_targets() for name in line.split()}


def test_make_builds_both_ends_of_the_supported_versions() -> None:
    planned = subprocess.run(
        ["make", "--dry-run", "test-lowest", "test-newest"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    assert re.findall(r"--python \.envs/(\S+) --resolution (\S+)", planned) == [
        ("lowest", "lowest-direct"),
        ("newest", "highest"),
    ]
    assert re.findall(r"^\.envs/(\w+)/bin/pytest .*-m \"not slow\"", planned, re.MULTILINE) == ["lowest", "newest"]


def test_ci_covers_every_supported_python() -> None:
    jobs = load(".github/workflows/ci.yml")["jobs"]
    classified = re.findall(r"Python :: (3\.\d+)", "\n".join(PROJECT["classifiers"]))
    assert jobs["linux"]["strategy"]["matrix"]["python"] == classified
    pairs = jobs["dependencies"]["strategy"]["matrix"]["include"]
    assert [(pair["versions"], pair["python"]) for pair in pairs] == [
        ("lowest", classified[0]),
        ("newest", classified[-1]),
    ]


def test_issue_forms_have_unique_fields() -> None:
    forms = {path.stem: load(str(path.relative_to(ROOT))) for path in ROOT.glob(".github/ISSUE_TEMPLATE/*.yml")}
    assert forms.keys() == {"bug", "config", "environment", "learning"}
    for name, form in forms.items():
        if name != "config":
            fields = [field["id"] for field in form["body"]]
            assert len(fields) == len(set(fields)), name
            assert {"name", "description", "body"} <= form.keys(), name


def test_dockerfile_copies_files_that_exist_and_are_not_ignored() -> None:
    text = (ROOT / "Dockerfile").read_text()
    sources = {
        source for line in re.findall(r"^COPY (?!--from)(.+)$", text, re.MULTILINE) for source in line.split()[:-1]
    }
    assert {source for source in sources if not (ROOT / source).exists()} == set()
    allowed = re.findall(r"^!(.+)$", (ROOT / ".dockerignore").read_text(), re.MULTILINE)
    assert sources == set(allowed)


def test_dockerfile_uses_defined_extras_stages_and_uv() -> None:
    text = (ROOT / "Dockerfile").read_text()
    extras = re.findall(r'^ARG EXTRAS="(.*)"$', text, re.MULTILINE)[0].split()
    assert set(extras) | {"cuda", "envpool", "playground"} == set(PROJECT["optional-dependencies"])
    stages = re.findall(r" AS (\w+)$", text, re.MULTILINE)
    assert json.loads((ROOT / ".devcontainer" / "devcontainer.json").read_text())["build"]["target"] in stages
    assert re.findall(r"astral-sh/uv:(\S+)", text) == [fetch_uv.VERSION]


def test_no_tracked_file_is_ignored() -> None:
    command = ["git", "ls-files", "--cached", "--ignored", "--exclude-standard"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if result.returncode:
        pytest.skip("not in a git checkout")
    assert not result.stdout
