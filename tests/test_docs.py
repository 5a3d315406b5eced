"""Completeness of the documentation: public names, pages, commands and snippets; `make docs` checks the links."""

from __future__ import annotations

import dataclasses
import functools
import importlib.util
import re
import shlex
import sys
import textwrap
from pathlib import Path
from types import ModuleType

import pytest

import surefoot
from surefoot.algorithms.presets import find_preset, list_presets
from surefoot.cli.main import COMMANDS
from surefoot.cli.parse import load_command, parse
from surefoot.errors import UserError

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = sorted([*DOCS.rglob("*.md"), ROOT / "README.md"])
RUNNABLE = "<!-- runnable -->"
"""On the line before a snippet, marks it as executed by the tests; the snippets of a page share one namespace."""

_SNIPPET = re.compile(rf"^( *)(?:({RUNNABLE})\n\1)?```python[^\n]*\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)


@functools.cache
def load_hook() -> ModuleType:
    spec = importlib.util.spec_from_file_location("docs_hook", ROOT / "scripts" / "docs_hook.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def name_of(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def snippets(page: Path) -> list[tuple[bool, str]]:
    """Every Python snippet of a page, with whether it is executed."""
    return [(bool(run), textwrap.dedent(code)) for _, run, code in _SNIPPET.findall(page.read_text(encoding="utf-8"))]


def test_public_names_are_documented() -> None:
    assert load_hook().find_problems() == []


PACKAGE = '''
"""A package."""

__all__ = ["Options", "made", "run"]


def run(task: str) -> None:
    """Run.

    Args:
        task: what.
    """


def made() -> None:
    """Return nothing."""


class Options:
    """How.

    Attributes:
        depth: how deep.
    """

    depth: int = 1

    def __init__(self, size: int) -> None:
        """Keep it.

        Args:
            size: how big.
        """

    def go(self) -> None:
        """Go."""
'''


CHANGES: list[tuple[str, str, list[str]]] = [
    ("", "", []),
    ('"made", ', "", []),
    ("    Args:\n        task: what.\n", "", ["toy.run: parameter 'task' is not documented"]),
    ("task: str)", "task: str, seed: int)", ["toy.run: parameter 'seed' is not documented"]),
    ('    """Return nothing."""', "    pass", ["toy.made: no docstring"]),
    ("depth: how deep", "width: how wide", ["toy.Options: attribute 'depth' is not documented"]),
    ("size: how big", "width: how wide", ["toy.Options: parameter 'size' is not documented"]),
    ('        """Go."""', "        pass", ["toy.Options: method 'go' has no docstring"]),
    (
        '"run"]',
        '"run", "left"]\n\nleft = 1\n"""Over."""',
        ["toy.left is public but not in docs/reference: add a line '::: toy.left'"],
    ),
]
"""Replacements in PACKAGE, and the problems that they cause."""


def test_undocumented_names_are_reported(tmp_path: Path) -> None:
    (tmp_path / "toy").mkdir()
    (tmp_path / "page.md").write_text("# Toy\n\n::: toy.run\n\n::: toy.made\n\n::: toy.Options\n")
    for old, new, problems in CHANGES:
        assert old in PACKAGE
        (tmp_path / "toy" / "__init__.py").write_text(PACKAGE.replace(old, new, 1).lstrip())
        assert load_hook().find_problems(tmp_path, tmp_path, "toy") == problems, new


def test_python_snippets_compile() -> None:
    for page in PAGES:
        text, found = page.read_text(encoding="utf-8"), snippets(page)
        assert len(found) == text.count("```python"), f"{name_of(page)}: unbalanced or badly indented fence"
        assert sum(run for run, _ in found) == text.count(RUNNABLE), f"{name_of(page)}: marker without a snippet"
        for _, code in found:
            compile(code, name_of(page), "exec")


@pytest.mark.parametrize(
    "page",
    [
        pytest.param(page, id=name_of(page), marks=pytest.mark.slow if page.name == "diagnostics.md" else [])
        for page in PAGES
        if RUNNABLE in page.read_text(encoding="utf-8")
    ],
)
def test_runnable_snippets_run(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "results").symlink_to(ROOT / "results")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MPLBACKEND", "agg")
    names: dict[str, object] = {"__name__": "__main__"}
    for run, code in snippets(page):
        if run:
            exec(compile(code, name_of(page), "exec"), names)


def test_environment_guide_shows_what_the_check_observed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The snippet that checks the guide's environment, where its time limit terminates."""
    page = DOCS / "own-environment.md"
    (_, environment), (_, check), *_ = snippets(page)
    flags = "reward, terminated, truncated, {}"
    assert flags in environment
    (tmp_path / "my_package").mkdir()
    (tmp_path / "my_package" / "__init__.py").touch()
    code = environment.replace(flags, "reward, terminated or truncated, False, {}")
    (tmp_path / "my_package" / "envs.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(AssertionError, match="terminated after exactly 200 steps"):
        exec(compile(check, name_of(page), "exec"), {})
    del sys.modules["my_package.envs"], sys.modules["my_package"]
    sentence = re.search(r"Each finding has the fields (.*?)\.$", page.read_text(), re.MULTILINE)
    assert sentence is not None
    assert re.findall(r"`(\w+)`", sentence[1]) == [field.name for field in dataclasses.fields(surefoot.Finding)]


def test_default_run_paths_have_the_default_algorithm() -> None:
    (default,) = (
        field.default for field in dataclasses.fields(load_command(COMMANDS["train"])) if field.name == "algorithm"
    )
    paths = [path for page in PAGES for path in re.findall(r"runs/[\w.-]+-\d+\b", page.read_text(encoding="utf-8"))]
    assert paths
    assert [path for path in paths if not path.endswith(f"-{default}-1")] == []


def test_guides_are_in_the_navigation_and_linked_from_the_home_page() -> None:
    pages = {page.name for page in DOCS.glob("*.md")}
    navigation, home = (ROOT / "mkdocs.yml").read_text(), (DOCS / "index.md").read_text(encoding="utf-8")
    assert pages - set(re.findall(r": (.+\.md)$", navigation, re.MULTILINE)) == set()
    assert pages - set(re.findall(r"\(([^)]+\.md)\)", home)) == {"index.md"}


ALGORITHMS = DOCS / "algorithms"
_TRAIN = re.compile(r"^surefoot train .*$", re.MULTILINE)
NAMES = [preset.name for preset in list_presets()]


def test_algorithms_and_their_pages_agree() -> None:
    assert sorted(page.stem for page in ALGORITHMS.glob("*.md")) == sorted(["index", *NAMES])
    navigation = (ROOT / "mkdocs.yml").read_text()
    assert [name for name in NAMES if f"algorithms/{name}.md\n" not in navigation] == []


def test_algorithm_pages_are_complete() -> None:
    sections = [("Deviations", "Where paper and code differ"), ("Run it",), ("Curves",)]
    problems = []
    for name in NAMES:
        text = (ALGORITHMS / f"{name}.md").read_text(encoding="utf-8")
        markers = (f"<!-- values: {name} -->", f"<!-- size: {name} -->")
        problems += [f"{name}: not exactly one {marker}" for marker in markers if text.splitlines().count(marker) != 1]
        problems += [
            f"{name}: no section {' or '.join(titles)}"
            for titles in sections
            if not any(f"\n## {title}" in text for title in titles)
        ]
        problems += [f"{name}: no equations"] * (text.count("\n$$\n") < 2)
    assert problems == []


def test_algorithm_pages_show_every_value_with_its_source() -> None:
    missing = []
    for name in NAMES:
        built = load_hook().on_page_markdown((ALGORITHMS / f"{name}.md").read_text(encoding="utf-8"))
        assert "<!--" not in built, name
        values = list(find_preset(name).values())
        assert values, name
        for path, _, source in values:
            row = rf"^\| `{re.escape(path)}` \| [^|]+ \| {re.escape(source)} \|$"
            if not re.search(row, built, re.MULTILINE):
                missing.append(f"{name}: {path}")
    assert missing == []


def test_tables_of_algorithms() -> None:
    built = load_hook().on_page_markdown("<!-- presets -->\n\n<!-- size: bro -->\n\n<!-- values: bro -->\n")
    assert [name for name in NAMES if f"| [`{name}`]({name}.md) |" in built] == NAMES
    cost = 2_520_276 * 10 / (629_644 * 5)
    assert f"| 10 | 10 | 2,520,276 | {cost:.2f} |" in built
    assert "| environment steps per agent step (action repeat) | 1 |" in built
    assert "| `resets.agent_steps` | 15,001; 50,001; 250,001; 500,001; 750,001; 1,000,001; 1,500,001; " in built
    assert "| `observation_norm` | none | neutral |" in built
    assert "| `discount` | the task's | neutral |" in load_hook().on_page_markdown("<!-- values: sac -->")


def test_table_of_an_unknown_algorithm_is_an_error() -> None:
    with pytest.raises(UserError, match="unknown algorithm 'brow'"):
        load_hook().on_page_markdown("<!-- values: brow -->")


def test_training_commands_of_the_docs_are_valid() -> None:
    lines = [line for page in DOCS.rglob("*.md") for line in _TRAIN.findall(page.read_text(encoding="utf-8"))]
    commands = [parse(COMMANDS, shlex.split(line, comments=True)[1:]) for line in lines]
    for command in commands:
        command.make_algorithm()
    assert sum(len(command.set) for command in commands) >= 8, "the overview shows how to replace settings"


def test_command_reference_lists_every_option() -> None:
    text = (DOCS / "cli.md").read_text(encoding="utf-8")
    built = load_hook().on_page_markdown(text)
    for name, location in COMMANDS.items():
        section = re.search(rf"^## surefoot {name}\b.*?(?=^## |\Z)", built, re.MULTILINE | re.DOTALL)
        assert section is not None, name
        for field in dataclasses.fields(load_command(location)):
            option = f"`--{field.name.replace('_', '-')}"
            places = (f"| {option}", f", {option}", field.name.upper())
            assert any(place in section[0] for place in places), option


def test_pages_have_no_placeholders() -> None:
    pattern = re.compile(r"@@|\bTODO\b|\bTBD\b|\bFIXME\b")
    assert [name_of(page) for page in PAGES if pattern.search(page.read_text(encoding="utf-8"))] == []
