"""From pydantic's errors to sentences for people; and what is left of a file when its mistakes are taken out.

The second lets the rules that look at several things at once speak in the same round as the models: a wrong VLAN id
in one zone does not hide an unknown zone further down.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from types import MappingProxyType
from typing import Annotated, Any, Generic, Literal, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from deploy.inventory.models import DOMAIN, LOCAL_PART, LOGIN, USB, WEB_ADDRESS
from deploy.inventory.problems import Problem, allowed
from deploy.inventory.yaml_source import Source, Steps

Model = TypeVar("Model", bound=BaseModel)
Place = tuple[str | int, ...]
NOTHING: Mapping[Place, object] = MappingProxyType({})
MOST_ROUNDS = 5
"""Each round takes out one level of what is wrong; the files are not deeper."""


@dataclass(frozen=True)
class Fit(Generic[Model]):
    """What could be made of a file."""

    file: Model | None
    """Without the parts that are wrong; None when what is left makes no sense on its own."""
    problems: tuple[Problem, ...] = ()
    cut: frozenset[Place] = frozenset()
    """The parts that were taken out, or stood in for."""


def fit(model: type[Model], source: Source, stand_ins: Mapping[Place, object] = NOTHING) -> Fit[Model]:
    """The file as `model`; `stand_ins` are values for what is wrong or missing and cannot be left out."""
    data: Any = source.data
    problems: tuple[Problem, ...] = ()
    cuts: set[Place] = set()
    for _ in range(MOST_ROUNDS):
        try:
            return Fit(model.model_validate(data), problems, frozenset(cuts))
        except ValidationError as error:
            details = error.errors(include_url=False)
        problems = problems or tuple(problem(source, model, detail) for detail in details)
        cut = {_culprit(detail, stand_ins) for detail in details}
        cuts |= cut
        if () in cut:
            break
        data = _without(data, (), cut)
        for place in sorted(cut & stand_ins.keys(), key=len):
            _put(data, place, stand_ins[place])
    return Fit(None, problems, frozenset(cuts))


def problem(source: Source, model: type[BaseModel], detail: ErrorDetails, at: Steps = ()) -> Problem:
    """One error as a sentence; what was validated as `model` stands at `at` in the file."""
    steps = _steps(detail)
    path = (*at, *steps)
    if detail["type"] == "missing":
        return Problem(source.file, source.key_line(path[:-1]), sentence(model, detail, at))
    if detail["type"] == "extra_forbidden":
        return Problem(source.file, source.key_line(path), sentence(model, detail, at))
    return source.problem(path, sentence(model, detail, at))


def sentence(model: type[BaseModel], detail: ErrorDetails, at: Steps = ()) -> str:
    """What is wrong and what is allowed; without file and line."""
    steps = _steps(detail)
    here, above = dotted((*at, *steps)), dotted((*at, *steps[:-1]))
    if detail["type"] == "missing":
        return f"{above or 'the file'} has no '{steps[-1]}'{_explained(model, steps)}"
    if detail["type"] == "extra_forbidden":
        place = f" in {above}" if above else ""
        return f"unknown key '{steps[-1]}'{place}{allowed(str(steps[-1]), _keys(model, steps[:-1]))}"
    if detail["type"] in {"enum", "literal_error"}:
        return f"{here} is {_shown(detail['input'])}{allowed(str(detail['input']), _choices(model, steps))}"
    if detail["type"] == "value_error":
        return f"{here}: {detail['ctx']['error']}"
    if detail["type"] == "string_pattern_mismatch":
        return _mismatch(detail, here, above)
    if detail["type"] in BOUNDS:
        return f"{here} is {detail['input']}; allowed: {_bounds(model, steps, detail)}"
    say = SENTENCES.get(detail["type"])
    return say(here, detail) if say else f"{here}: {detail['msg'][0].lower()}{detail['msg'][1:]}"


def dotted(path: Steps) -> str:
    """`machines.vp01.zone`, `uplinks[0].name`."""
    text = ""
    for step in path:
        text += f"[{step}]" if isinstance(step, int) else f".{step}"
    return text.removeprefix(".")


def _wants(what: str) -> Callable[[str, ErrorDetails], str]:
    return lambda here, detail: f"{here} is {_shown(detail['input'])}; allowed: {what}"


BOUNDS: Mapping[str, tuple[str, str]] = {
    "greater_than_equal": ("ge", "at least"),
    "less_than_equal": ("le", "at most"),
    "greater_than": ("gt", "more than"),
    "less_than": ("lt", "less than"),
}


def _bounds(model: type[BaseModel], steps: Steps, detail: ErrorDetails) -> str:
    """`1 to 4094` where both ends are known, else the one that was passed."""
    field = _field(model, steps)
    limits = {
        key: getattr(rule, key)
        for rule in (field.metadata if field else ())
        for key in ("ge", "le")
        if hasattr(rule, key)
    }
    if "ge" in limits and "le" in limits:
        return f"{limits['ge']} to {limits['le']}"
    key, words = BOUNDS[detail["type"]]
    return f"{words} {detail['ctx'][key]}"


SENTENCES: Mapping[str, Callable[[str, ErrorDetails], str]] = {
    "int_type": _wants("a whole number"),
    "int_parsing": _wants("a whole number"),
    "int_from_float": _wants("a whole number"),
    "float_type": _wants("a number"),
    "float_parsing": _wants("a number"),
    "bool_type": _wants("true or false"),
    "bool_parsing": _wants("true or false"),
    "string_type": lambda here, detail: (
        f"{here} is {_shown(detail['input'])}; allowed: text"
        + (f'; write it in quotes: "{_yaml(detail["input"])}"' if _scalar(detail["input"]) else "")
    ),
    "dict_type": _wants("'key: value' lines below it"),
    "model_type": _wants("'key: value' lines below it"),
    "model_attributes_type": _wants("'key: value' lines below it"),
    "tuple_type": _wants("a list, [a, b] or lines that begin with '- '"),
    "list_type": _wants("a list, [a, b] or lines that begin with '- '"),
    "set_type": _wants("a list, [a, b] or lines that begin with '- '"),
    "frozen_set_type": _wants("a list, [a, b] or lines that begin with '- '"),
    "too_short": lambda here, detail: f"{here} is empty; at least {detail['ctx']['min_length']} is wanted",
    "string_too_short": lambda here, detail: (
        f"{here} is too short; at least {detail['ctx']['min_length']} character(s) are wanted"
    ),
    "string_too_long": lambda here, detail: (
        f"{here} is too long; at most {detail['ctx']['max_length']} characters are allowed"
    ),
}

PATTERNS: Mapping[str, str] = {
    "^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$": (
        "a DNS label: 1 to 63 of a-z, 0-9 and '-', neither beginning nor ending with '-'"
    ),
    "^[a-z][a-z0-9_-]{0,9}$": "an interface's name: 1 to 10 of a-z, 0-9, '-' and '_', beginning with a letter",
    "^[a-z][a-z0-9._-]{0,31}$": "1 to 32 of a-z, 0-9, '.', '_' and '-', beginning with a letter",
    LOCAL_PART: "what stands before the @: 1 to 64 of a-z, 0-9, '.', '_' and '-', at both ends a letter or digit",
    DOMAIN: "a domain name in lower case, like xa-mau.gialai.gov.vn",
    "^[!-9;-~]+$": "an account's name without spaces and ':'",
    r"^\+?[0-9][0-9 .-]{2,19}$": 'a telephone number in quotes, like "0269 3824 123"',
    USB: "USB vendor:product, each four of 0-9 and a-f, like 096e:0807",
    WEB_ADDRESS: "a web address that begins with http:// or https://",
    "^[0-9]{1,5}$": "one to five digits",
    "^[0-9]{5}$": 'five digits in quotes, like "21583"',
    "^(dhcp|pppoe|[0-9.]+/[0-9]+)$": "dhcp, pppoe, or an address with its length like 203.0.113.2/30",
    "^[A-Za-z0-9._-]+(:[0-9]{1,5})?$": "host or host:port",
}


def _mismatch(detail: ErrorDetails, here: str, above: str) -> str:
    pattern = detail["ctx"]["pattern"]
    want = PATTERNS.get(pattern, f"text of the form {pattern}")
    written = str(detail["input"])
    if detail["loc"][-1] == "[key]":
        here = f"the name '{written}'" + (f" in {above}" if above else "")
        text = f"{here} is not allowed; allowed: {want}"
    else:
        text = f"{here} is {_shown(detail['input'])}; allowed: {want}"
    if pattern == LOGIN:
        plain = unaccented(written)
        return text + (f"; did you mean '{plain}'?" if plain != written and re.fullmatch(LOGIN, plain) else "")
    better = written.lower().replace("_", "-").replace(" ", "-").strip("-.")
    usable = "DNS label" in want and better != written and better.isascii() and better.replace("-", "").isalnum()
    return text + (f"; did you mean '{better}'?" if usable else "")


def unaccented(text: str) -> str:
    """Lower case without diacritics and spaces: `Mẫu.NV` is mau.nv."""
    plain = unicodedata.normalize("NFD", text.lower().replace("đ", "d"))
    return "".join(one for one in plain if not unicodedata.combining(one) and not one.isspace())


def _steps(detail: ErrorDetails) -> Place:
    return tuple(step for step in detail["loc"] if step != "[key]")


def _culprit(detail: ErrorDetails, stand_ins: Mapping[Place, object]) -> Place:
    """What to take out so that the rest can be looked at: the value, or whatever lacks one.

    Items of lists go whole and at once: positions in what is left can then be told from those in the file.
    """
    steps = _steps(detail)
    if steps in stand_ins:
        return steps
    for number, step in enumerate(steps):
        if isinstance(step, int):
            return steps[: number + 1]
    return steps[:-1] if detail["type"] == "missing" else steps


def _put(data: Any, place: Place, value: object) -> None:  # noqa: ANN401 - any data
    for step in place[:-1]:
        data = data[step]
    data[place[-1]] = value


def _without(data: Any, path: Place, cut: set[Place]) -> Any:  # noqa: ANN401 - any data
    if isinstance(data, dict):
        return {key: _without(value, (*path, key), cut) for key, value in data.items() if (*path, key) not in cut}
    if isinstance(data, list):
        return [_without(value, (*path, i), cut) for i, value in enumerate(data) if (*path, i) not in cut]
    return data


def _shown(value: object) -> str:
    if isinstance(value, Mapping):
        return "a mapping"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return "a list"
    return "empty" if value is None else f"'{_yaml(value)}'"


def _yaml(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _scalar(value: object) -> bool:
    return isinstance(value, bool | int | float)


def _explained(model: type[BaseModel], steps: Steps) -> str:
    field = _field(model, steps)
    return f": {field.description}" if field and field.description else ""


def _field(model: type[BaseModel], steps: Steps) -> FieldInfo | None:
    parent = _model_at(model, steps[:-1])
    return parent.model_fields.get(str(steps[-1])) if parent else None


def _keys(model: type[BaseModel], steps: Steps) -> list[str]:
    parent = _model_at(model, steps)
    return [field.alias or name for name, field in parent.model_fields.items()] if parent else []


def _model_at(model: type[BaseModel], steps: Steps) -> type[BaseModel] | None:
    found = _models(_annotation(model, steps))
    return found[0] if found else None


def _choices(model: type[BaseModel], steps: Steps) -> list[str]:
    choices: list[str] = []
    for kind in _flat(_annotation(model, steps)):
        if isinstance(kind, type) and issubclass(kind, Enum):
            choices += [str(member.value) for member in kind]
        elif get_origin(kind) is Literal:
            choices += [str(value) for value in get_args(kind)]
    return choices


def _annotation(model: type[BaseModel], steps: Steps) -> Any:  # noqa: ANN401 - a type expression
    """The type that stands at `steps` below `model`; None where pydantic's path is not one of ours."""
    here: Any = model
    for step in steps:
        models = _models(here)
        if models:
            field = models[0].model_fields.get(str(step))
            here = field.annotation if field else None
            continue
        inner = [get_args(kind)[-1 if get_origin(kind) is dict else 0] for kind in _flat(here) if get_args(kind)]
        here = inner[0] if inner else None
    return here


def _models(kind: object) -> list[type[BaseModel]]:
    return [each for each in _flat(kind) if isinstance(each, type) and issubclass(each, BaseModel)]


def _flat(kind: Any) -> list[Any]:  # noqa: ANN401 - a type expression
    """The alternatives of a type, without Annotated and None."""
    if get_origin(kind) is Annotated:
        return _flat(get_args(kind)[0])
    if get_origin(kind) is Union or type(kind).__name__ == "UnionType":
        return [each for part in get_args(kind) for each in _flat(part)]
    return [] if kind is None or kind is type(None) else [kind]
