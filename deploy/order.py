"""The order: all that one machine has to become, as deterministic JSON; and the request that carries it."""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Literal

from pydantic import BaseModel, Field
from pydantic_core import to_jsonable_python

from deploy.inventory.role import Catalog, Options, Secret
from deploy.inventory.site import Frozen, Site, SiteMachine
from deploy.probes import Probe


class RoleOrder(Frozen):
    """One role with its resolved options (as JSON values)."""

    name: str
    options: dict[str, Any]


class Order(Frozen):
    """What a machine has to become. The same inventory gives the same bytes.

    `format` is raised when a runner could misread an order of the version before.
    """

    format: Literal[1] = 1
    machine: str
    site: Site
    roles: tuple[RoleOrder, ...]
    """In the order in which they are applied."""
    secrets: dict[str, str] = Field(default_factory=dict)
    """Only those that this machine's roles ask for, by `<role>.<name>`."""

    def to_bytes(self) -> bytes:
        """Canonical JSON: keys sorted, no spaces, UTF-8."""
        return _canonical(self.model_dump(mode="json"))

    @property
    def digest(self) -> str:
        """SHA-256 of the canonical bytes, in hex."""
        return hashlib.sha256(self.to_bytes()).hexdigest()


def make_orders(
    site: Site,
    options: Mapping[str, Mapping[str, Options]],
    secrets_for: Callable[[str, str, Secret], str],
    catalog: Catalog,
) -> dict[str, Order]:
    """An order for each managed machine, by name. `options` are resolved, by machine and role.

    `secrets_for(machine, role, secret)` is asked for nothing but what the machine's own roles ask for.
    """
    return {
        machine.name: _order(site, machine, options[machine.name], secrets_for, catalog)
        for machine in site.machines
        if machine.managed
    }


class CallTest(Frozen):
    """A call that the machine makes to itself, by way of the service's echo room."""

    seconds: float = Field(gt=0, le=900)
    """How long it is measured, from when media flows on."""
    transfers: str | None = None
    """`address:port` of who takes and sends large transfers, to fill the line meanwhile; only a lab has one."""


class Request(Frozen):
    """An order with what is to be done about it, by whom, and from which commit of the inventory."""

    run: str
    """Unique and sortable: UTC time to the millisecond and a random part, `20261124T220327417-9f3c`."""
    action: Literal["apply", "plan", "verify", "doctor", "call-test"]
    order: Order
    by: str
    """`login@laptop` of whoever asked."""
    commit: str | None = None
    clean: bool | None = None
    """Whether the inventory's working tree had no changes; None outside git."""
    only_roles: tuple[str, ...] = ()
    """Empty: all of the order's roles."""
    topics: tuple[str, ...] = ()
    """For `doctor`: what to look at. Empty: everything."""
    probes: tuple[Probe, ...] = ()
    """For `verify`: what this machine must and must not reach."""
    call: CallTest | None = None
    """For `call-test`."""
    guard_seconds: float = Field(default=40.0, gt=0)
    """How long the machine waits for the laptop's new connection before it rolls a change of the way in back."""
    package_proxy: str | None = None
    """HTTP proxy for APT while this run is on, `http://127.0.0.1:<port>`."""
    package_sources: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    """Lines for APT's sources.list by Debian release, instead of the machine's own while this run is on."""
    lab: bool = False

    def to_bytes(self) -> bytes:
        """Canonical JSON, as sent to the machine."""
        return _canonical(self.model_dump(mode="json"))


def new_run(now: datetime | None = None) -> str:
    """A run's name: unique, and sorted by time."""
    now = now or datetime.now(UTC)
    return f"{now:%Y%m%dT%H%M%S}{now.microsecond // 1000:03d}-{secrets.token_hex(2)}"


def _order(
    site: Site,
    machine: SiteMachine,
    options: Mapping[str, Options],
    secrets_for: Callable[[str, str, Secret], str],
    catalog: Catalog,
) -> Order:
    secrets = {}
    for role in machine.roles:
        for secret in catalog.roles[role].secrets_on(machine.name, options[role], site):
            if not secret.ordered:
                continue
            secrets[f"{role}.{secret.name}"] = secrets_for(machine.name, role, secret)
    roles = tuple(RoleOrder(name=role, options=_plain(options[role])) for role in machine.roles)
    return Order(machine=machine.name, site=site, roles=roles, secrets=secrets)


def _plain(value: Any) -> Any:  # noqa: ANN401 - options of any shape
    """JSON values. Sets are sorted: their own order changes from one Python process to the next."""
    if isinstance(value, BaseModel):
        return {name: _plain(getattr(value, name)) for name in type(value).model_fields}
    if isinstance(value, Mapping):
        return {str(to_jsonable_python(key)): _plain(item) for key, item in value.items()}
    if isinstance(value, set | frozenset):
        return sorted((_plain(item) for item in value), key=_canonical)
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return to_jsonable_python(value)


def _canonical(value: object) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
