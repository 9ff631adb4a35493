"""The text of a commune's `secrets.yaml`: read with line numbers, changed in place. Comments and git diffs survive.

recipients:
  - age1…                          # whose key it is
base:
  console_password: "age:…base64…"
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import yaml

from deploy.errors import UserError
from deploy.inventory.identity import parse_recipient
from deploy.inventory.problems import BadInventory, Problem
from deploy.inventory.yaml_source import Source, parse

KEY = re.compile(r"[a-z][a-z0-9_]*\.[A-Za-z0-9_][A-Za-z0-9._-]*")


@dataclass(frozen=True)
class Value:
    """A value as it stands in the file (sealed, unless somebody wrote it in clear), and its line."""

    text: str
    line: int


@dataclass(frozen=True)
class SecretsFile:
    """What a `secrets.yaml` says."""

    path: Path
    text: str
    recipients: tuple[str, ...]
    values: Mapping[str, Value]
    """By `<role>.<name>`."""
    lines: Mapping[str, int]
    """Where each role's values begin."""
    lab_only: bool = False
    """The commune is only ever rehearsed, with values made up there: nobody needs to be able to open these."""


def read_secrets(path: Path) -> SecretsFile:
    """Raises BadInventory with every line that is wrong, UserError where the file cannot be read at all."""
    try:
        raw = path.read_bytes()
    except OSError as error:
        command = f"lienxa secrets generate {path.parent.name}"
        raise UserError(f"{path}: {error.strerror}; begin it with: {command}") from error
    return parse_secrets(path, raw)


def parse_secrets(path: Path, raw: bytes) -> SecretsFile:
    """The same from bytes. Values are taken as they stand, sealed or not."""
    source, problems = parse(raw, str(path))
    if source is None:
        raise BadInventory(problems)
    recipients = _recipients(source, problems)
    values: dict[str, Value] = {}
    for role, block in source.data.items():
        if role in {"recipients", "lab_only"}:
            continue
        if not isinstance(block, dict | None):
            problems.append(
                source.problem([role], f'below "{role}:" stand lines "name: value", as lienxa writes them')
            )
            continue
        for name, value in (block or {}).items():
            if isinstance(value, str) and KEY.fullmatch(f"{role}.{name}"):
                values[f"{role}.{name}"] = Value(value, source.line([role, name]))
            else:
                problems.append(source.problem([role, name], f"{role}.{name} has to be a name and one value, age:…"))
    lab_only = source.data.get("lab_only", False)
    if not isinstance(lab_only, bool):
        problems.append(source.problem(["lab_only"], "lab_only has to be true or false"))
    if problems:
        raise BadInventory(problems)
    lines = {role: source.key_line([role]) for role in source.data}
    return SecretsFile(path, raw.decode("utf-8-sig"), recipients, values, lines, lab_only)


def check_key(key: str) -> None:
    """Raises UserError unless the key has the form `<role>.<name>`."""
    if not KEY.fullmatch(key):
        raise UserError(f'"{key}" names no secret; allowed: <role>.<name>, for example base.console_password')


def with_value(text: str, key: str, sealed: str) -> str:
    """The text with this value set; all other lines stay as they are. It has to be one without flaws."""
    role, name = key.split(".", 1)
    entry = f'{name}: "{sealed}"'
    found = _find(_root(text), role)
    if found is None:
        return f"{text.rstrip()}\n{role}:\n  {entry}\n"
    label, block = found
    if isinstance(block, yaml.MappingNode) and block.flow_style:
        return with_value(_in_lines(text, block), key, sealed)
    if not isinstance(block, yaml.MappingNode) or not block.value:
        return _insert_after(text, label.end_mark.index, f"  {entry}")
    if existing := _find(block, name):
        return text[: existing[1].start_mark.index] + f'"{sealed}"' + text[_end(text, existing[1]) :]
    indent = " " * block.value[0][0].start_mark.column
    return _insert_after(text, _end(text, block.value[-1][1]), indent + entry)


def without_value(text: str, key: str) -> str:
    """The text without this value's line; the text as it was if there is none."""
    role, name = key.split(".", 1)
    found = _find(_root(text), role)
    if found is None or not isinstance(found[1], yaml.MappingNode):
        return text
    block = found[1]
    if block.flow_style:
        return without_value(_in_lines(text, block), key)
    pair = _find(block, name)
    if pair is None:
        return text
    first = pair if len(block.value) > 1 else found
    start = text.rfind("\n", 0, first[0].start_mark.index) + 1
    end = text.find("\n", _end(text, pair[1]))
    return text[:start] + (text[end + 1 :] if end >= 0 else "")


def _root(text: str) -> yaml.Node:
    root = yaml.compose(text, Loader=getattr(yaml, "CBaseLoader", yaml.BaseLoader))
    assert root is not None
    return root


def _recipients(source: Source, problems: list[Problem]) -> tuple[str, ...]:
    written = source.data.get("recipients")
    if not isinstance(written, list) or not written:
        problems.append(source.problem(["recipients"], 'no recipients; allowed: "recipients:" and lines "- age1…"'))
        return ()
    for index, one in enumerate(written):
        try:
            parse_recipient(str(one))
        except ValueError as error:
            problems.append(source.problem(["recipients", index], str(error)))
    return tuple(str(one) for one in written)


def _find(node: yaml.Node, name: str) -> tuple[yaml.Node, yaml.Node] | None:
    return next((pair for pair in node.value if pair[0].value == name), None)


def _end(text: str, node: yaml.Node) -> int:
    """Where a scalar ends; that of a block scalar (`|`) is at the start of the next line, which is not its own."""
    end: int = node.end_mark.index
    return end - 1 if end > node.start_mark.index and text[end - 1] == "\n" else end


def _insert_after(text: str, index: int, line: str) -> str:
    end = text.find("\n", index)
    return f"{text}\n{line}\n" if end < 0 else f"{text[: end + 1]}{line}\n{text[end + 1 :]}"


def _in_lines(text: str, block: yaml.Node) -> str:
    """`base: {a: "…", b: "…"}` becomes one line for each value."""
    lines = "".join(f'\n  {key.value}: "{value.value}"' for key, value in block.value)
    return text[: block.start_mark.index].rstrip(" ") + lines + text[block.end_mark.index :]
