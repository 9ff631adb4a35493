"""One merge rule for options: role default < province < commune < machine; maps merge, lists replace.

What a level says about a role is checked where it is written; what comes of all levels together is checked once per
machine (once per commune, where the machine adds nothing).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from deploy.inventory.models import OptionsByRole
from deploy.inventory.problems import Problem, allowed
from deploy.inventory.role import Catalog, Options, Role
from deploy.inventory.sentences import problem, sentence
from deploy.inventory.yaml_source import Source


@dataclass(frozen=True)
class Layer:
    """One level's options, and where in which file they stand."""

    name: str
    """`province`, `commune` or `machine <name>`."""
    source: Source
    at: tuple[str, ...]
    """Path of the level's `options` in its file."""
    options: OptionsByRole

    def role(self, role: str) -> dict[str, Any]:
        """What this level says about a role."""
        return self.options.get(role, {})


class BadOptions(Exception):  # noqa: N818 - see BadInventory
    """Merged options of a role that its model refuses."""

    def __init__(self, problems: list[Problem]) -> None:
        self.problems = problems
        super().__init__("\n".join(map(str, problems)))


def merge(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """`above` over `below`: maps merge, everything else replaces. Changes neither."""
    merged = dict(below)
    for key, value in above.items():
        under = merged.get(key)
        merged[key] = merge(under, value) if isinstance(under, Mapping) and isinstance(value, Mapping) else value
    return merged


def role_options(role: Role, layers: Sequence[Layer]) -> Options:
    """The role's options as these layers (the lowest first) make them; BadOptions if its model refuses them."""
    values: dict[str, Any] = {}
    for layer in layers:
        values = merge(values, layer.role(role.name))
    try:
        return role.options.model_validate(values)
    except ValidationError as error:
        details = error.errors(include_url=False)
    raise BadOptions([_blame(role, layers, detail) for detail in details])


def check_layer(layer: Layer, catalog: Catalog) -> Iterator[Problem]:
    """What is wrong with one level on its own; what it leaves to other levels is no mistake."""
    for name, values in layer.options.items():
        role = catalog.roles.get(name)
        at = (*layer.at, name)
        if role is None:
            message = f"{'.'.join(layer.at)}: there is no role '{name}'{allowed(name, sorted(catalog.roles))}"
            yield Problem(layer.source.file, layer.source.key_line(at), message)
            continue
        try:
            role.options.model_validate(values)
        except ValidationError as error:
            for detail in error.errors(include_url=False):
                if detail["type"] != "missing" and detail["loc"]:
                    yield problem(layer.source, role.options, detail, at)


def origin(layers: Sequence[Layer], role: str, steps: Sequence[str | int]) -> Layer | None:
    """The topmost layer that says something at `steps` below the role; None: the role's default."""
    for layer in reversed(layers):
        here: Any = layer.options.get(role)
        if here is None:
            continue
        for step in steps:
            here = here.get(step, _NOTHING) if isinstance(here, Mapping) else _item(here, step)
        if here is not _NOTHING:
            return layer
    return None


class _Nothing:
    pass


_NOTHING = _Nothing()


def _item(here: object, step: str | int) -> object:
    if isinstance(here, Sequence) and not isinstance(here, str) and isinstance(step, int) and step < len(here):
        return here[step]
    return _NOTHING


def _blame(role: Role, layers: Sequence[Layer], detail: ErrorDetails) -> Problem:
    steps = [step for step in detail["loc"] if step != "[key]"]
    layer = origin(layers, role.name, steps[:-1] if detail["type"] == "missing" else steps)
    if layer is not None and steps:
        return problem(layer.source, role.options, detail, (*layer.at, role.name))
    last = layer or layers[-1]
    text = sentence(role.options, detail, ("options", role.name)).removeprefix(": ")
    return Problem(last.source.file, last.source.key_line((*last.at, role.name)), text)
