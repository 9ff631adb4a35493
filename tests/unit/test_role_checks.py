"""Every role's checks are written as `deploy.runner.checking` asks: a slip in a mark would go unseen on a machine."""

from __future__ import annotations

import importlib
import inspect
import string
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from types import ModuleType

import pytest

from deploy.inventory.role import Options, Role, Unit
from deploy.runner.check_result import plain_id
from deploy.site import ROLES


def problems(role: Role, module: ModuleType) -> list[str]:
    return [
        f"{name}: {problem}"
        for name, function in inspect.getmembers(module, inspect.isfunction)
        if name.startswith("test_")
        for problem in of_function(role, module, function)
    ]


def of_function(role: Role, module: ModuleType, function: Callable[..., None]) -> Iterator[str]:
    sentence = inspect.getdoc(function) or ""
    if not sentence.endswith("."):
        yield f"its docstring is its sentence in the report: {sentence!r}"
    known = {*inspect.signature(function).parameters, "machine", "site", "options"} - {"host"}
    for template in (sentence, *marks(module, function, "next_step")):
        if not fields(template) <= known:
            yield f"unknown {fields(template) - known} in {template!r}"
    for need in marks(module, function, "needs"):
        if plain_id(need).partition("[")[0] not in known_ids(role, module):
            yield f"needs {need}, which is no check"


def marks(module: ModuleType, function: Callable[..., None], name: str) -> Iterator[str]:
    of_module = getattr(module, "pytestmark", [])
    every = [*(of_module if isinstance(of_module, list) else [of_module]), *getattr(function, "pytestmark", [])]
    for mark in (getattr(mark, "mark", mark) for mark in every):
        if mark.name == name:
            yield from mark.args


def known_ids(role: Role, module: ModuleType) -> set[str]:
    """What a check of this role can stand on. Other roles' units may be named too: one name, one unit."""
    cards = [role, *ROLES.values()]
    ids = {f"package:{package}" for card in cards for package in card.packages}
    ids |= {plain_id(f"unit:{unit.name}") for card in cards for unit in card.units}
    ids |= {f"port:{port.protocol}/{port.number}" for card in cards for port in card.ports}
    return ids | {f"{role.name}.{name}" for name in vars(module)}


def fields(template: str) -> set[str]:
    return {
        field.partition(".")[0].partition("[")[0] for _, field, _, _ in string.Formatter().parse(template) if field
    }


@pytest.mark.parametrize("name", ROLES)
def test_checks_read_well_and_stand_on_what_there_is(name: str) -> None:
    if find_spec(f"roles.{name}.checks"):
        assert problems(ROLES[name], importlib.import_module(f"roles.{name}.checks")) == []


def test_slips_are_found() -> None:
    module = ModuleType("trial")

    @pytest.mark.needs("unit:unbond")
    @pytest.mark.next_step("Look at {mashine}.")
    def test_it(host: object) -> None:
        """{machine} is so"""

    module.test_it = test_it  # type: ignore[attr-defined]
    assert problems(Role(name="trial", summary="", options=Options, units=(Unit("unbound", ""),)), module) == [
        "test_it: its docstring is its sentence in the report: '{machine} is so'",
        "test_it: unknown {'mashine'} in 'Look at {mashine}.'",
        "test_it: needs unit:unbond, which is no check",
    ]
