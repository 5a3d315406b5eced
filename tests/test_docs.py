"""The documentation is whole: every public name, page, command and snippet; the site's build checks the links."""

from __future__ import annotations

import dataclasses
import importlib.util
import re
import shlex
import textwrap
from pathlib import Path
from types import ModuleType

import pytest

from surefoot.algorithms.presets import find_preset, list_presets
from surefoot.cli.main import COMMANDS
from surefoot.cli.parse import load_command, parse
from surefoot.errors import UserError

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = sorted([*DOCS.rglob("*.md"), ROOT / "README.md"])
RUNNABLE = "<!-- runnable -->"
"""Stands on the line before a snippet that is run; snippets of a page share their names, as a reader's session does."""

_SNIPPET = re.compile(rf"^( *)(?:({RUNNABLE})\n\1)?```python[^\n]*\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)


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
    """Every Python snippet of a page, and whether it is to be run."""
    return [(bool(run), textwrap.dedent(code)) for _, run, code in _SNIPPET.findall(page.read_text(encoding="utf-8"))]


def test_everything_public_is_documented() -> None:
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
    """Nothing to tell."""


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


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("", "", None),
        ('"made", ', "", None),
        ("    Args:\n        task: what.\n", "", "toy.run: parameter 'task' is not documented"),
        ("task: str)", "task: str, seed: int)", "toy.run: parameter 'seed' is not documented"),
        ('    """Nothing to tell."""', "    pass", "toy.made: no docstring"),
        ("depth: how deep", "width: how wide", "toy.Options: attribute 'depth' is not documented"),
        ("size: how big", "width: how wide", "toy.Options: parameter 'size' is not documented"),
        ('        """Go."""', "        pass", "toy.Options: method 'go' has no docstring"),
        (
            '"run"]',
            '"run", "left"]\n\nleft = 1\n"""Over."""',
            "toy.left is public and has no place in docs/reference: add a line '::: toy.left'",
        ),
    ],
)
def test_what_is_not_documented_is_found(old: str, new: str, problem: str | None, tmp_path: Path) -> None:
    assert old in PACKAGE
    (tmp_path / "toy").mkdir()
    (tmp_path / "toy" / "__init__.py").write_text(PACKAGE.replace(old, new, 1).lstrip())
    (tmp_path / "page.md").write_text("# Toy\n\n::: toy.run\n\n::: toy.made\n\n::: toy.Options\n")
    assert load_hook().find_problems(tmp_path, tmp_path, "toy") == ([] if problem is None else [problem])


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_python_snippets_are_python(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    found = snippets(page)
    assert len(found) == text.count("```python"), "a fence is not closed, or not where its opening is"
    assert sum(run for run, _ in found) == text.count(RUNNABLE), "the mark stands on the line before the fence"
    for _, code in found:
        compile(code, name_of(page), "exec")


@pytest.mark.parametrize("page", [page for page in PAGES if RUNNABLE in page.read_text(encoding="utf-8")], ids=name_of)
def test_runnable_snippets_run(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "results").symlink_to(ROOT / "results")
    monkeypatch.chdir(tmp_path)  # where a picture may be left
    monkeypatch.setenv("MPLBACKEND", "agg")
    names: dict[str, object] = {"__name__": "__main__"}
    for run, code in snippets(page):
        if run:
            exec(compile(code, name_of(page), "exec"), names)


@pytest.mark.parametrize("page", sorted(DOCS.glob("*.md")), ids=name_of)
def test_every_page_is_in_the_navigation_and_on_the_first_page(page: Path) -> None:
    assert re.search(rf": {re.escape(page.name)}$", (ROOT / "mkdocs.yml").read_text(), re.MULTILINE)
    if page.name != "index.md":
        assert f"({page.name})" in (DOCS / "index.md").read_text(encoding="utf-8")


ALGORITHMS = DOCS / "algorithms"
_TRAIN = re.compile(r"^surefoot train .*$", re.MULTILINE)
NAMES = [preset.name for preset in list_presets()]


@pytest.mark.parametrize("name", NAMES)
def test_every_algorithm_has_a_page_whose_tables_the_build_fills(name: str) -> None:
    page = ALGORITHMS / f"{name}.md"
    text = page.read_text(encoding="utf-8")
    for marker in (f"<!-- values: {name} -->", f"<!-- size: {name} -->"):
        assert text.splitlines().count(marker) == 1, marker
    for section in ("Deviations", "Where paper and code differ"), ("Run it",), ("Curves",):
        assert any(f"\n## {title}" in text for title in section), section
    assert text.count("\n$$\n") >= 2, "no equations"
    assert f"algorithms/{page.name}\n" in (ROOT / "mkdocs.yml").read_text()

    built = load_hook().on_page_markdown(text)
    assert "<!--" not in built
    values = list(find_preset(name).values())
    assert values
    for path, _, source in values:
        assert re.search(rf"^\| `{re.escape(path)}` \| [^|]+ \| {re.escape(source)} \|$", built, re.MULTILINE), path


def test_tables_of_algorithms() -> None:
    built = load_hook().on_page_markdown("<!-- presets -->\n\n<!-- size: bro -->\n\n<!-- values: bro -->\n")
    assert [name for name in NAMES if f"| [`{name}`]({name}.md) |" in built] == NAMES
    cost = 2_520_276 * 10 / (629_644 * 5)
    assert f"| 10 | 10 | 2,520,276 | {cost:.2f} |" in built
    assert "| environment steps per agent step (action repeat) | 1 |" in built
    assert "| `resets.agent_steps` | 15,001; 50,001; 250,001; 500,001; 750,001 | BRO code" in built
    assert "| `observation_norm` | none | neutral |" in built
    assert "| `discount` | the task's | neutral |" in load_hook().on_page_markdown("<!-- values: sac -->")


def test_a_table_of_an_unknown_algorithm_fails_the_build() -> None:
    with pytest.raises(UserError, match="unknown algorithm 'brow'"):
        load_hook().on_page_markdown("<!-- values: brow -->")


def test_every_page_of_an_algorithm_is_one() -> None:
    assert sorted(page.stem for page in ALGORITHMS.glob("*.md")) == sorted(["index", *NAMES])


def test_training_commands_of_the_docs_are_valid() -> None:
    lines = [line for page in DOCS.rglob("*.md") for line in _TRAIN.findall(page.read_text(encoding="utf-8"))]
    commands = [parse(COMMANDS, shlex.split(line, comments=True)[1:]) for line in lines]
    for command in commands:
        command.make_algorithm()
    assert sum(len(command.set) for command in commands) >= 8, "the overview shows how to replace settings"


def test_the_page_of_commands_lists_every_option_of_every_command() -> None:
    text = (DOCS / "cli.md").read_text(encoding="utf-8")
    built = load_hook().on_page_markdown(text)
    for name, location in COMMANDS.items():
        section = re.search(rf"^## surefoot {name}\b.*?(?=^## |\Z)", built, re.MULTILINE | re.DOTALL)
        assert section is not None, name
        for field in dataclasses.fields(load_command(location)):
            option = f"`--{field.name.replace('_', '-')}"
            places = (f"| {option}", f", {option}", field.name.upper())
            assert any(place in section[0] for place in places), option


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_nothing_is_left_to_be_filled_in(page: Path) -> None:
    assert not re.search(r"@@|\bTODO\b|\bTBD\b|\bFIXME\b", page.read_text())
