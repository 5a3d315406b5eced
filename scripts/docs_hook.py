"""MkDocs hook: a check that everything public is documented, and tables generated from the code.

Public names are those in an ``__all__`` of the package. Each needs an entry in the reference (a line
``::: full.name``) and a docstring that describes every parameter, field, method and property. The sources are parsed,
not imported.

Tables replace lines such as ``<!-- options: train -->``: the ``options`` of a command, the ``settings`` of a run, the
``values`` of a preset with their sources, its ``size`` and cost, its ``parity`` with its authors' code, and all
``presets``.
"""

from __future__ import annotations

import inspect
import logging
import re
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import griffe

if TYPE_CHECKING:
    from surefoot.algorithms.presets import PresetInfo

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = "surefoot"

_REFERENCE = re.compile(r"^::: ([\w.]+)$", re.MULTILINE)
_MARKER = re.compile(r"^<!-- (values|size|presets|options|settings|parity)(?:: ([\w-]+))? -->$", re.MULTILINE)
_SECTIONS = {griffe.DocstringSectionKind.parameters, griffe.DocstringSectionKind.attributes}


def on_pre_build(config: object) -> None:
    """Warn about everything undocumented; in a strict build a warning is an error."""
    log = logging.getLogger("mkdocs.hooks.docs_hook")
    for problem in find_problems():
        log.warning(problem)


def on_page_markdown(markdown: str, **_: object) -> str:
    """Return the text of a page with its tables filled in."""
    return _MARKER.sub(_fill, markdown)


def _fill(marker: re.Match[str]) -> str:
    kind, name = marker.groups()
    if kind == "options":
        return options_table(name or "")
    if kind == "settings":
        return settings_table()
    # Importing the presets imports JAX, which pages without a marker do not need.
    from surefoot.algorithms.presets import find_preset, list_presets

    if kind == "presets":
        return presets_table(list_presets())
    if kind == "parity":
        return parity_list(find_preset(name)) if name else parity_table(list_presets())
    return (values_table if kind == "values" else size_table)(find_preset(name or ""))


def options_table(name: str) -> str:
    """Return a command's description and a table of its arguments, as ``--help`` shows them."""
    import tyro

    from surefoot.cli.main import COMMANDS
    from surefoot.cli.parse import load_command

    command = load_command(COMMANDS[name])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        parser = tyro.extras.get_parser(command, config=(tyro.conf.FlagCreatePairsOff,))
    rows = []
    for action in parser._actions:
        if action.dest == "help":
            continue
        option = ", ".join(f"`{string}`" for string in action.option_strings) or "`" + str(action.metavar) + "`"
        if action.option_strings and action.metavar:
            option = f"{option[:-1]} {action.metavar}`"
        text = " ".join((action.help or "").split())
        meaning, _, default = text.removesuffix(")").rpartition(" (")
        default = default.removeprefix("default: ")
        rows.append((option, meaning, "off" if default == "False" else default))
    return f"{inspect.getdoc(command)}\n\n{_table(('option', 'meaning', 'default'), rows)}"


def settings_table() -> str:
    """Return every setting of a run with its type, meaning and default, and whether ``resume`` may change it."""
    from surefoot.training.config import settings

    rows = []
    for setting in settings():
        unit = setting.unit.lower().replace("_", " ")
        kind = getattr(setting.kind, "__name__", "str") + (f" ({unit})" if unit and setting.kind is int else "")
        default = setting.hint or _shown("", setting.default)
        rows.append((f"`{setting.name}`", kind, setting.meaning, default, "yes" if setting.resume else ""))
    return _table(("setting", "type", "meaning", "default", "resume may change it"), rows)


def values_table(preset: PresetInfo) -> str:
    """Return every value of a preset with its source."""
    rows = [(f"`{path}`", _shown(path, value), source) for path, value, source in preset.values()]
    return _table(("value", f"`{preset.name}`", "source"), rows)


def size_table(preset: PresetInfo) -> str:
    """Return the update-to-data ratio, the number of parameters and the cost of a preset."""
    algorithm = preset.build()
    repeat = "the task's: 2 on DM Control and MyoSuite" if algorithm.action_repeat is None else algorithm.action_repeat
    rows = [
        ("updates per agent step (UTD)", str(algorithm.utd)),
        ("environment steps per agent step (action repeat)", str(repeat)),
        ("updates per environment step, DM Control and MyoSuite", f"{_per_env_step(preset):g}"),
        (
            "policy updates",
            "every update" if algorithm.policy_delay == 1 else f"every {algorithm.policy_delay} updates",
        ),
        ("trained parameters on cheetah-run, without targets", f"{preset.parameters:,}"),
        ("parameters x UTD, over `crossq-wn`'s", f"{_cost(preset):.2f}"),
    ]
    return _table(("on DM Control unless stated otherwise", "value"), rows)


def presets_table(presets: Sequence[PresetInfo]) -> str:
    """Return one row per preset, with a link to its page."""
    rows = [
        (
            f"[`{preset.name}`]({preset.name}.md)",
            f"{preset.summary} ([{preset.paper}]({preset.url}))",
            str(preset.utd),
            f"{_per_env_step(preset):g}",
            f"{preset.parameters:,}",
            f"{_cost(preset):.2f}",
        )
        for preset in presets
    ]
    return _table(("algorithm", "description", "UTD", "updates per env step", "parameters", "cost"), rows)


def parity_list(preset: PresetInfo) -> str:
    """Return the comparison of a preset with its authors' code in one line, and a list of what differs."""
    from surefoot.algorithms.presets import parity

    rows = [
        f"- `{one.name}`: {one.what}. Which side is right: {one.reason}. Effect on a run: {one.effect}."
        for one in parity.deviations(preset.name)
    ]
    first = parity.line(preset.name)
    return "\n".join([f"{first[0].upper()}{first[1:]}.", "", *rows])


def parity_table(presets: Sequence[PresetInfo]) -> str:
    """Return the comparison of every preset with its authors' code, and the table of all deviations."""
    from surefoot.algorithms.presets import parity

    rows = []
    for preset in presets:
        found = parity.comparisons().get(preset.name)
        code = ("no released code", "", "", "", "")
        if found is not None:
            link = f"[{found.repository}](https://github.com/{found.repository})"
            code = (link, found.revision, str(found.updates), str(found.arrays), f"{found.difference:.0e}")
        left = ", ".join(f"`{one.name}`" for one in parity.deviations(preset.name))
        rows.append((f"[`{preset.name}`](algorithms/{preset.name}.md)", *code, left))
    header = ("algorithm", "repository", "revision", "updates", "arrays", "largest difference", "remaining deviations")
    details = [
        (f"`{one.name}`", ", ".join(one.presets), "yes" if one.in_update else "", one.what, one.reason, one.effect)
        for one in parity.DEVIATIONS
    ]
    columns = ("deviation", "algorithms", "in an update", "what", "which side is right", "effect on a run")
    return f"{_table(header, rows)}\n\n{_table(columns, details)}"


def _per_env_step(preset: PresetInfo) -> float:
    algorithm = preset.build()
    return float(algorithm.utd) / (algorithm.action_repeat or 2)


def _cost(preset: PresetInfo) -> float:
    """Parameters times updates per agent step, over those of CrossQ + WN."""
    from surefoot.algorithms.presets import find_preset

    subject = find_preset("crossq-wn")
    return preset.parameters * float(preset.utd) / (subject.parameters * float(subject.utd))


def _shown(path: str, value: Any) -> str:
    if value is None:
        return "the task's" if path in ("discount", "action_repeat") else "none"
    if isinstance(value, tuple):
        return "; ".join(_shown(path, entry) for entry in value)
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return str(value)


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines)


def find_problems(source: Path = ROOT / "src", docs: Path = ROOT / "docs", package: str = PACKAGE) -> list[str]:
    """Return one line for everything public that is not documented.

    Args:
        source: Folder that contains the package.
        docs: Folder of the documentation.
        package: Name of the package.
    """
    root = griffe.load(package, search_paths=[source], resolve_aliases=True, docstring_parser="google")
    assert isinstance(root, griffe.Module)
    placed, unknown = {}, []
    for name in _reference_names(docs):
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
        *(f"{name} is public but not in docs/reference: add a line '::: {name}'" for name in missing),
        *(f"{path}: {what}" for path, target in shown.items() for what in _undocumented(target)),
    ]


def _reference_names(docs: Path) -> Iterator[str]:
    for page in sorted(docs.rglob("*.md")):
        yield from _REFERENCE.findall(page.read_text(encoding="utf-8"))


def _target(root: griffe.Module, name: str) -> griffe.Object:
    """Return the object with a full name, from the module that defines it."""
    return _resolve(root[name.partition(".")[2]], name.rpartition(".")[2])


def _resolve(found: griffe.Object | griffe.Alias, name: str) -> griffe.Object:
    target = found.final_target if isinstance(found, griffe.Alias) else found
    # A package exports a function that has the name of its module.
    if isinstance(target, griffe.Module) and name in target.members and target.name == name:
        return _resolve(target.members[name], name)
    assert isinstance(target, griffe.Object)
    return target


def _public(module: griffe.Module) -> Iterator[tuple[str, griffe.Object]]:
    """Yield the names in the ``__all__`` of a module and its submodules."""
    for name in map(str, module.exports or ()):
        if name != "__version__":
            yield f"{module.path}.{name}", _resolve(module.members[name], name)
    for member in module.members.values():
        if isinstance(member, griffe.Module):
            yield from _public(member)


def _undocumented(public: griffe.Object) -> Iterator[str]:
    """Describe what is undocumented about a public object."""
    if not public.has_docstring:
        yield "no docstring"
    elif isinstance(public, griffe.Function):
        yield from (
            f"parameter {name!r} is not documented" for name in _parameters(public) if name not in _described(public)
        )
    elif isinstance(public, griffe.Class):
        yield from _undocumented_members(public)


def _undocumented_members(public: griffe.Class) -> Iterator[str]:
    parents = [parent for parent in public.mro() if isinstance(parent, griffe.Class)]
    described = _described(public).union(*map(_described, parents))
    constructor = public.members.get("__init__")
    # The parameters of a dataclass's constructor are its fields, which are checked below.
    if (
        isinstance(constructor, griffe.Function)
        and not _constructed_by_function(public)
        and "dataclass" not in public.labels
    ):
        for name in _parameters(constructor):
            if name not in described | _described(constructor):
                yield f"parameter {name!r} is not documented"
    for name, member in public.members.items():
        documented = [one for one in (public, *parents) if name in one.members and one.members[name].has_docstring]
        if name.startswith("_") or member.is_alias or documented:
            continue
        if isinstance(member, griffe.Function):
            yield f"method {name!r} has no docstring"
        elif isinstance(member, griffe.Attribute) and name not in described:
            yield f"attribute {name!r} is not documented"


def _constructed_by_function(public: griffe.Class) -> bool:
    """Whether users do not call the constructor: the docstring says, for example, "Made by `load_policy`"."""
    return public.docstring is not None and "Made by " in public.docstring.value


def _parameters(function: griffe.Function) -> list[str]:
    return [parameter.name for parameter in function.parameters if parameter.name not in ("self", "cls")]


def _described(documented: griffe.Object) -> set[str]:
    """Names in the Args and Attributes sections; an entry may list several, separated by commas."""
    if documented.docstring is None:
        return set()
    names: set[str] = set()
    for section in documented.docstring.parse("google", warnings=False):
        if section.kind in _SECTIONS:
            for item in section.value:
                names |= {name.strip().lstrip("*") for name in item.name.split(",")}
    return names
