"""What a role's tasks are given."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic

from typing_extensions import TypeVar

from deploy.inventory.role import Kind, Options, Role
from deploy.inventory.site import Site, SiteMachine
from deploy.order import Order
from deploy.runner.hardware import Hardware, this_machine, with_queueing

OptionsT = TypeVar("OptionsT", bound=Options, default=Any)


@dataclass(frozen=True)
class Context(Generic[OptionsT]):
    """One role on one machine. Write `Context[Options]` with the role's own Options in its tasks."""

    site: Site
    machine: SiteMachine
    options: OptionsT
    role: Role
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)
    """By the short names of the role's card. Never in a repr."""
    lab: bool = False
    """Whether this is a rehearsal in containers."""
    debian: str = "13"
    """The machine's Debian release, `12` or `13`: for what is configured differently in each."""
    hardware: Hardware = field(default_factory=Hardware)
    """What the machine has: for what an old one is spared, and how a gateway can share its lines out."""


def contexts_of(
    order: Order, roles: Mapping[str, Role], *, lab: bool = False, debian: str = "13"
) -> tuple[Context, ...]:
    """The order's roles as contexts, in the order in which they are applied.

    Raises KeyError for a role that is not in `roles`, pydantic.ValidationError for options that do not fit it.
    """
    machine = order.site.machine(order.machine)
    hardware = this_machine()
    if machine.kind is Kind.GATEWAY and any(uplink.shaped for uplink in order.site.uplinks):
        hardware = with_queueing(hardware)
    return tuple(
        Context(
            site=order.site,
            machine=machine,
            options=roles[entry.name].options.model_validate(entry.options),
            role=roles[entry.name],
            secrets=_short_names(order.secrets, entry.name),
            lab=lab,
            debian=debian,
            hardware=hardware,
        )
        for entry in order.roles
    )


def debian_release(file: Path = Path("/etc/os-release")) -> str:
    """This machine's Debian release, `13`; empty where it has none."""
    lines = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
    for line in lines:
        key, _, value = line.partition("=")
        if key == "VERSION_ID":
            return value.strip('"')
    return ""


def _short_names(secrets: Mapping[str, str], role: str) -> dict[str, str]:
    prefix = f"{role}."
    return {name.removeprefix(prefix): value for name, value in secrets.items() if name.startswith(prefix)}
