"""YAML as people write it, with the line of every key and value.

libyaml composes the nodes (a hundred files in a fraction of a second); from them come plain data and, only when
somebody asks, line numbers. Stricter than YAML on purpose, because each of these has bitten people:

- a key stands once in a mapping;
- no anchors' aliases, tags or tabs: what is written is what is meant, and nothing can explode;
- only `true`, `false`, `null`, decimal numbers and text: `no`, `12:34:56:01:02:03` and `00123` stay text.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from deploy.inventory.problems import Problem

MAX_BYTES = 1 << 20
MAX_DEPTH = 20
PLAIN_TAGS = frozenset(f"tag:yaml.org,2002:{name}" for name in ("str", "seq", "map"))
WORDS: dict[str, bool | None] = {"": None, "~": None, "null": None, "true": True, "false": False}
WHOLE = re.compile(r"[-+]?(?:0|[1-9][0-9]{0,17})", re.ASCII)
DECIMAL = re.compile(r"[-+]?(?:0|[1-9][0-9]{0,17})\.[0-9]{1,17}", re.ASCII)

Steps = Sequence[str | int]
"""Keys and list positions from the top of a file down to a value."""

_Loader = getattr(yaml, "CBaseLoader", yaml.BaseLoader)


@dataclass(frozen=True)
class Source:
    """A YAML file that was read: its data, and where each part of it stands."""

    file: str
    data: dict[str, Any]
    root: yaml.Node

    def line(self, path: Steps) -> int:
        """Line of the value at `path` (of its key, for a mapping or list), or of the nearest thing above it."""
        node, line = self.root, 1
        for step in path:
            found = _child(node, step)
            if found is None:
                break
            key, node = found
            line = (node if isinstance(node, yaml.ScalarNode) else key).start_mark.line + 1
        return line

    def key_line(self, path: Steps) -> int:
        """Line of the last key of `path`."""
        node, line = self.root, 1
        for step in path:
            found = _child(node, step)
            if found is None:
                break
            key, node = found
            line = key.start_mark.line + 1
        return line

    def problem(self, path: Steps, message: str) -> Problem:
        """A problem at the value that stands at `path`."""
        return Problem(self.file, self.line(path), message)


def read(path: Path, file: str) -> tuple[Source | None, list[Problem]]:
    """Read one YAML file whose top is a mapping. `file` is how messages name it.

    Where there is no Source there is at least one Problem; duplicate keys leave both.
    """
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        return None, [Problem(file, 1, "there is no such file")]
    except OSError as error:
        return None, [Problem(file, 1, f"it cannot be read: {error.strerror}")]
    return parse(raw, file)


def parse(raw: bytes, file: str) -> tuple[Source | None, list[Problem]]:
    """What `read` does, with the bytes at hand."""
    text, problems = _text(raw, file)
    if problems:
        return None, problems
    try:
        root = yaml.compose(text, Loader=_Loader)
    except yaml.YAMLError as error:
        return None, [_syntax(error, text, file)]
    except RecursionError:  # libyaml counts levels itself; PyYAML without it does not
        return None, [Problem(file, 1, _NESTED)]
    if root is None:
        return None, [Problem(file, 1, "the file is empty; 'key: value' lines are wanted")]
    if not isinstance(root, yaml.MappingNode):
        return None, [Problem(file, root.start_mark.line + 1, "'key: value' lines are wanted at the top of the file")]
    reader = _Reader(file)
    data = reader.mapping(root, root, 0)
    if reader.fatal:
        return None, reader.problems
    return Source(file, data, root), reader.problems


def _text(raw: bytes, file: str) -> tuple[str, list[Problem]]:
    if len(raw) > MAX_BYTES:
        return "", [Problem(file, 1, f"the file has {len(raw)} bytes; at most {MAX_BYTES} are read")]
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        return "", [Problem(file, line, f"byte 0x{raw[error.start]:02x} is not UTF-8; save the file as UTF-8")]
    if "\t" in text:
        lines = [number for number, line in enumerate(text.split("\n"), 1) if "\t" in line]
        return "", [Problem(file, number, "a tab stands in this line; write spaces") for number in lines]
    return text, []


_NESTED = f"nested too deep; at most {MAX_DEPTH} levels are read"
_ALIAS = "an alias (*name) stands here; anchors and aliases are refused: write the value out"


def _syntax(error: yaml.YAMLError, text: str, file: str) -> Problem:
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    what = getattr(error, "problem", None) or getattr(error, "reason", None) or str(error)
    if mark is None:
        position = getattr(error, "position", 0)
        return Problem(file, text.count("\n", 0, position) + 1, f"this is not YAML: {what}")
    if "nesting" in what:
        return Problem(file, mark.line + 1, _NESTED)
    if "alias" in what:
        return Problem(file, mark.line + 1, _ALIAS)
    if isinstance(error, yaml.composer.ComposerError) and "document" in what:
        return Problem(file, mark.line + 1, "a second document ('---') begins here; one file is one document")
    hint = _HINTS.get(what, "")
    begin = getattr(error, "context_mark", None)
    if begin is not None and begin.line != mark.line:
        hint += f" (it begins in line {begin.line + 1})"
    return Problem(file, mark.line + 1, f"this is not YAML: {what}{hint}")


_HINTS = {
    "mapping values are not allowed in this context": "; look at the indentation, and quote text that has ': ' in it",
    "could not find expected ':'": "; each line is 'key: value'",
    "found character that cannot start any token": "; quote text that begins with @, ` or %",
    "did not find expected ',' or '}'": "; is a brace not closed, or a comma missing?",
    "did not find expected ',' or ']'": "; is a bracket not closed, or a comma missing?",
}


class _Reader:
    """Makes plain data of nodes, and notes what is refused."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.problems: list[Problem] = []
        self.fatal = False
        self._seen: set[int] = set()

    def mapping(self, node: yaml.MappingNode, key_node: yaml.Node, depth: int) -> dict[str, Any]:
        data: dict[str, Any] = {}
        lines: dict[str, int] = {}
        for key, value in node.value:
            line = key.start_mark.line + 1
            if not isinstance(key, yaml.ScalarNode):
                self._refuse(line, "a key is a plain word, not a list or mapping")
                continue
            name = key.value
            if name in data:
                self._say(line, f"the key '{name}' stands here again; it is in line {lines[name]} already")
                continue
            lines[name] = line
            data[name] = self._value(value, key, depth + 1)
        return data

    def _value(self, node: yaml.Node, key_node: yaml.Node, depth: int) -> Any:  # noqa: ANN401 - data of any shape
        if node.tag not in PLAIN_TAGS:
            self._refuse(node.start_mark.line + 1, f"the tag {node.tag} stands here; tags are refused")
            return None
        if id(node) in self._seen:
            self._refuse(key_node.start_mark.line + 1, _ALIAS)
            return None
        self._seen.add(id(node))
        if isinstance(node, yaml.ScalarNode):
            return node.value if node.style else _plain(node.value)
        if depth > MAX_DEPTH:
            self._refuse(node.start_mark.line + 1, _NESTED)
            return None
        if isinstance(node, yaml.MappingNode):
            return self.mapping(node, key_node, depth)
        return [self._value(item, item if id(item) not in self._seen else key_node, depth + 1) for item in node.value]

    def _say(self, line: int, message: str) -> None:
        self.problems.append(Problem(self.file, line, message))

    def _refuse(self, line: int, message: str) -> None:
        self.fatal = True
        self._say(line, message)


def _plain(text: str) -> str | int | float | bool | None:
    if text[:1] not in _CANDIDATES:
        return text
    if text in WORDS:
        return WORDS[text]
    if WHOLE.fullmatch(text):
        return int(text)
    if DECIMAL.fullmatch(text):
        return float(text)
    return text


_CANDIDATES = ("", "~", "n", "t", "f", "-", "+", *"0123456789")


def _child(node: yaml.Node, step: str | int) -> tuple[yaml.Node, yaml.Node] | None:
    """Key and value below `node`; for a list the item stands for its own key."""
    if isinstance(node, yaml.MappingNode):
        return next(((key, value) for key, value in node.value if key.value == str(step)), None)
    if isinstance(node, yaml.SequenceNode) and isinstance(step, int) and step < len(node.value):
        return node.value[step], node.value[step]
    return None
