"""Fails the documentation build when something public is not documented; called by MkDocs and by the tests.

Public is what an ``__all__`` in the package names. Each such name needs a place in the reference (a line
``::: its.name``), a docstring, and there a word about every parameter, field, method and property. The sources are read
and not imported.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from pathlib import Path

import griffe

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = "surefoot"

_REFERENCE = re.compile(r"^::: ([\w.]+)$", re.MULTILINE)
_SECTIONS = {griffe.DocstringSectionKind.parameters, griffe.DocstringSectionKind.attributes}


def on_pre_build(config: object) -> None:
    """MkDocs calls this before it builds; in a strict build every warning is an error."""
    log = logging.getLogger("mkdocs.hooks.docs_hook")
    for problem in find_problems():
        log.warning(problem)


def find_problems(source: Path = ROOT / "src", docs: Path = ROOT / "docs", package: str = PACKAGE) -> list[str]:
    """Return one line for everything public that is not documented.

    Args:
        source: the folder that holds the package.
        docs: the folder of the documentation's pages.
        package: the package's name.
    """
    root = griffe.load(package, search_paths=[source], resolve_aliases=True, docstring_parser="google")
    assert isinstance(root, griffe.Module)
    placed, unknown = {}, []
    for name in _placed(docs):
        try:
            target = _target(root, name)
            placed[target.path] = target
        except (KeyError, griffe.AliasResolutionError):
            unknown.append(f"docs/reference shows {name}, which does not exist")
    public = dict(_public(root))
    missing = [name for name, target in public.items() if target.path not in placed]
    shown = {target.path: target for target in public.values()} | placed
    return [
        *unknown,
        *(f"{name} is public and has no place in docs/reference: add a line '::: {name}'" for name in missing),
        *(f"{path}: {what}" for path, target in shown.items() for what in _undocumented(target)),
    ]


def _placed(docs: Path) -> Iterator[str]:
    for page in sorted(docs.rglob("*.md")):
        yield from _REFERENCE.findall(page.read_text(encoding="utf-8"))


def _target(root: griffe.Module, name: str) -> griffe.Object:
    """The object of a full name, looked for where it is defined."""
    return _resolve(root[name.partition(".")[2]], name.rpartition(".")[2])


def _resolve(found: griffe.Object | griffe.Alias, name: str) -> griffe.Object:
    target = found.final_target if isinstance(found, griffe.Alias) else found
    # A function that its package exports under the very name of the module it is defined in.
    if isinstance(target, griffe.Module) and name in target.members and target.name == name:
        return _resolve(target.members[name], name)
    assert isinstance(target, griffe.Object)
    return target


def _public(module: griffe.Module) -> Iterator[tuple[str, griffe.Object]]:
    """Every name in an ``__all__``, of this module and those below it."""
    for name in map(str, module.exports or ()):
        if name != "__version__":
            yield f"{module.path}.{name}", _resolve(module.members[name], name)
    for below in module.members.values():
        if isinstance(below, griffe.Module):
            yield from _public(below)


def _undocumented(public: griffe.Object) -> Iterator[str]:
    """What of one public object nobody documented, in words."""
    if not public.has_docstring:
        yield "no docstring"
    elif isinstance(public, griffe.Function):
        yield from (
            f"parameter {name!r} is not documented" for name in _parameters(public) if name not in _told(public)
        )
    elif isinstance(public, griffe.Class):
        yield from _undocumented_members(public)


def _undocumented_members(public: griffe.Class) -> Iterator[str]:
    parents = [parent for parent in public.mro() if isinstance(parent, griffe.Class)]
    told = _told(public).union(*map(_told, parents))
    constructor = public.members.get("__init__")
    # A dataclass's constructor takes its fields, which are looked at below.
    if isinstance(constructor, griffe.Function) and not _made_elsewhere(public) and "dataclass" not in public.labels:
        for name in _parameters(constructor):
            if name not in told | _told(constructor):
                yield f"parameter {name!r} is not documented"
    for name, member in public.members.items():
        documented = [one for one in (public, *parents) if name in one.members and one.members[name].has_docstring]
        if name.startswith("_") or member.is_alias or documented:
            continue
        if isinstance(member, griffe.Function):
            yield f"method {name!r} has no docstring"
        elif isinstance(member, griffe.Attribute) and name not in told:
            yield f"attribute {name!r} is not documented"


def _made_elsewhere(public: griffe.Class) -> bool:
    """Whether users get it from a function, "Made by `load_policy`", so that its constructor is nobody's business."""
    return public.docstring is not None and "Made by " in public.docstring.value


def _parameters(function: griffe.Function) -> list[str]:
    return [parameter.name for parameter in function.parameters if parameter.name not in ("self", "cls")]


def _told(documented: griffe.Object) -> set[str]:
    """Names under Args and Attributes; "a, b: both" tells of a and b."""
    if documented.docstring is None:
        return set()
    names: set[str] = set()
    for section in documented.docstring.parse("google", warnings=False):
        if section.kind in _SECTIONS:
            for item in section.value:
                names |= {name.strip().lstrip("*") for name in item.name.split(",")}
    return names
