"""Makes the pages of the manual that only repeat what the code says: `python -m deploy.docs_maker [--check]`.

docs/options.md comes from the roles' option models, docs/verbs/*.md from the command itself.
"""

from __future__ import annotations

import inspect
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
from pydantic import BaseModel

from deploy.cli.group import lienxa
from deploy.inventory.models import CommuneFile, ProvinceFile
from deploy.inventory.role import Role
from deploy.site import KINDS, ROLES, SERVICES

DOCS = Path(__file__).parent.parent / "docs"
_MADE = "<!-- made by `python -m deploy.docs_maker`: do not edit -->\n\n"
_FILES: dict[str, type[BaseModel]] = {"province.yaml": ProvinceFile, "commune.yaml": CommuneFile}


def pages() -> dict[str, str]:
    """Text of every made page, by its path below docs/."""
    verbs = {f"verbs/{_file_name(path)}": _verb_page(path, command) for path, command in _commands()}
    return {"options.md": _options_page(), "verbs/README.md": _index_page(), **verbs}


def main() -> int:
    """Write the pages; with `--check` only say which are stale, and end with 1 if there are any."""
    made = pages()
    extra = [file for file in (DOCS / "verbs").glob("*.md") if f"verbs/{file.name}" not in made]
    stale = [name for name, text in made.items() if _read(DOCS / name) != text]
    if "--check" in sys.argv[1:]:
        for name in stale + [f"verbs/{file.name}" for file in extra]:
            click.echo(f"docs/{name} is stale: run `python -m deploy.docs_maker` and commit it", err=True)
        return int(bool(stale or extra))
    (DOCS / "verbs").mkdir(parents=True, exist_ok=True)
    for name in stale:
        (DOCS / name).write_text(made[name], encoding="utf-8")
    for file in extra:
        file.unlink()
    return 0


def _read(file: Path) -> str | None:
    return file.read_text(encoding="utf-8") if file.exists() else None


# The verbs


def _commands() -> Iterator[tuple[str, click.Command]]:
    """Every command that is not hidden with its path, `lienxa lab up`, groups included."""
    yield from _below("lienxa", lienxa)


def _below(path: str, command: click.Command) -> Iterator[tuple[str, click.Command]]:
    yield path, command
    if isinstance(command, click.Group):
        context = click.Context(command, info_name=path)
        for name in command.list_commands(context):
            child = command.get_command(context, name)
            if child is not None and not child.hidden:
                yield from _below(f"{path} {name}", child)


def _file_name(path: str) -> str:
    return path.replace(" ", "-") + ".md"


def _index_page() -> str:
    rows = [
        f"| [`{path}`]({_file_name(path)}) | {command.get_short_help_str(120)} |" for path, command in _commands()
    ]
    return "# The verbs of lienxa\n\n" + _MADE + "\n".join(["| verb | does |", "|---|---|", *rows]) + "\n"


def _verb_page(path: str, command: click.Command) -> str:
    context = click.Context(command, info_name=path, terminal_width=110, max_content_width=110)
    formatter = context.make_formatter()
    command.format_usage(context, formatter)
    usage = formatter.getvalue().strip()
    parts = [f"# {path}\n", f"{_MADE}```\n{usage.removeprefix('Usage: ')}\n```\n", _prose(command.help or "")]
    rows = [_parameter_row(parameter, context) for parameter in command.get_params(context) if _shown(parameter)]
    if rows:
        parts.append("\n".join(["| parameter | means |", "|---|---|", *rows]) + "\n")
    if isinstance(command, click.Group):
        parts.append(_children(path, command, context))
    return "\n".join(parts)


def _children(path: str, command: click.Group, context: click.Context) -> str:
    names = [name for name in command.list_commands(context) if not _command(command, context, name).hidden]
    return "\n".join(f"- [`{path} {name}`]({_file_name(f'{path} {name}')})" for name in names) + "\n"


def _command(group: click.Group, context: click.Context, name: str) -> click.Command:
    child = group.get_command(context, name)
    assert child is not None
    return child


def _prose(text: str) -> str:
    """A docstring as Markdown: the paragraphs that click keeps as they are (`\\b`) become code."""
    paragraphs = inspect.cleandoc(text).split("\n\n")
    return "\n\n".join(_paragraph(paragraph) for paragraph in paragraphs) + "\n"


def _paragraph(paragraph: str) -> str:
    if paragraph.startswith("\b\n"):
        return "```\n" + paragraph[2:] + "\n```"
    return paragraph


def _shown(parameter: click.Parameter) -> bool:
    return not (isinstance(parameter, click.Option) and parameter.hidden)


def _parameter_row(parameter: click.Parameter, context: click.Context) -> str:
    if isinstance(parameter, click.Option):
        record = parameter.get_help_record(context)
        names, text = record or (parameter.name or "", "")
    else:
        names, text = parameter.make_metavar(context), "required" if parameter.required else "may be left out"
    return f"| `{_cell(names)}` | {_cell(text)} |"


# The options


def _options_page() -> str:
    head = (
        "# What can be set\n\n"
        + _MADE
        + "Options of roles first, then the fields of the files themselves. Options stand under `options:` in\n"
        "`province.yaml`, in a `commune.yaml` and on a single machine there, by role.\n"
        "The machine's value wins over the commune's, that over the province's, that over the default below. Maps\n"
        "are merged, lists are replaced. `lienxa check COMMUNE --explain ROLE.KEY` says where a value came from.\n"
    )
    files = [_file_section(name, model) for name, model in _FILES.items()]
    return "\n".join([head, *(_role_section(role) for role in ROLES.values()), *files])


def _file_section(name: str, model: type[BaseModel]) -> str:
    return f"## {name}\n\n{inspect.cleandoc(model.__doc__ or '')}\n\n{_table(list(rows(model)))}"


def _role_section(role: Role) -> str:
    kinds = [kind.value for kind, names in KINDS.items() if role.name in names]
    kinds += [
        f"the machine that `services.{service}.server` names, else the gateway"
        for service, name in SERVICES.items()
        if name == role.name
    ]
    parts = [f"## {role.name}\n\n{role.summary}\n\nApplied to: {', '.join(kinds) or 'none yet'}.\n"]
    found = list(rows(role.options))
    parts.append(_table(found) if found else "Nothing can be set.\n")
    return "\n".join(parts)


def _table(found: list[tuple[str, str, str, str]]) -> str:
    lines = ["| key | type | default | means |", "|---|---|---|---|"]
    lines += ["| " + " | ".join(_cell(cell) for cell in row) + " |" for row in found]
    return "\n".join(lines) + "\n"


def rows(model: type[BaseModel]) -> Iterator[tuple[str, str, str, str]]:
    """Key, type, default and meaning of every field; fields of models inside it follow with their path, `a.b`."""
    schema = model.model_json_schema()
    yield from _schema_rows(schema, schema.get("$defs", {}), "")


def _schema_rows(schema: dict[str, Any], defs: dict[str, Any], prefix: str) -> Iterator[tuple[str, str, str, str]]:
    required = schema.get("required", [])
    for name, field in schema.get("properties", {}).items():
        default = "required" if name in required else _code(field.get("default"))
        yield f"`{prefix}{name}`", _type(field, defs), default, _meaning(field, defs)
        for suffix, inner in _inner(field, defs):
            yield from _schema_rows(inner, defs, f"{prefix}{name}{suffix}.")


def _inner(field: dict[str, Any], defs: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Models below a field: in it, in its list (`[]`), or under its free keys (`.KEY`)."""
    for variant in field.get("anyOf", field.get("allOf", [field])):
        target = _definition(variant, defs)
        if "properties" in target:
            yield "", target
        patterns = variant.get("patternProperties") or {}
        places = [("[]", variant.get("items")), (".KEY", variant.get("additionalProperties"))]
        for suffix, below in [*places, *((".KEY", value) for value in patterns.values())]:
            if isinstance(below, dict) and "properties" in _definition(below, defs):
                yield suffix, _definition(below, defs)


def _meaning(field: dict[str, Any], defs: dict[str, Any]) -> str:
    text: str = field.get("description") or _definition(field, defs).get("description", "")
    return text.replace("<", "&lt;")


def _definition(field: dict[str, Any], defs: dict[str, Any]) -> dict[str, Any]:
    reference = field.get("$ref", "")
    found: dict[str, Any] = defs.get(reference.rpartition("/")[2], {}) if reference else field
    return found


def _type(field: dict[str, Any], defs: dict[str, Any]) -> str:
    if "anyOf" in field:
        return " or ".join(dict.fromkeys(_type(variant, defs) for variant in field["anyOf"]))
    target = _definition(field, defs)
    if "enum" in target:
        return " or ".join(f"`{value}`" for value in target["enum"])
    if "const" in target:
        return f"`{target['const']}`"
    return _plain_type(target, defs) + _limits(target)


def _plain_type(target: dict[str, Any], defs: dict[str, Any]) -> str:
    kind: str | list[str] = target.get("type", "any")
    if isinstance(kind, list):
        return " or ".join(_plain_type({**target, "type": one}, defs) for one in kind)
    if kind == "array":
        return f"list of {_type(target.get('items', {}), defs)}"
    if kind == "object":
        return "map"
    words = {"string": "text", "integer": "whole number", "number": "number", "boolean": "`true` or `false`"}
    return {"null": "nothing"}.get(kind, str(target.get("format", words.get(kind, kind))))


def _limits(target: dict[str, Any]) -> str:
    signs = {"minimum": "≥", "maximum": "≤", "exclusiveMinimum": ">", "exclusiveMaximum": "<"}
    limits = [f"{sign} {target[key]}" for key, sign in signs.items() if key in target]
    if "pattern" in target:
        limits.append(f"like `{target['pattern']}`")
    return f" ({', '.join(limits)})" if limits else ""


def _code(value: object) -> str:
    return f"`{json.dumps(value, ensure_ascii=False)}`" if value is not None else "none"


def _cell(text: str) -> str:
    """Fits a cell of a Markdown table."""
    return re.sub(r"\s+", " ", text).replace("|", "\\|")


if __name__ == "__main__":
    sys.exit(main())
