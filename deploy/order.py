"""The order: all that one machine has to become, as deterministic JSON; and the request that carries it."""

from __future__ import annotations

import hashlib
import json
from typing import Any, Literal

from pydantic import Field

from deploy.inventory.site import Frozen, Site
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


class Request(Frozen):
    """An order with what is to be done about it, by whom, and from which commit of the inventory."""

    run: str
    """Unique and sortable: UTC time and a random part, `20261124T220327-9f3c`."""
    action: Literal["apply", "plan", "verify"]
    order: Order
    by: str
    """`login@laptop` of whoever asked."""
    commit: str | None = None
    clean: bool | None = None
    """Whether the inventory's working tree had no changes; None outside git."""
    only_roles: tuple[str, ...] = ()
    """Empty: all of the order's roles."""
    probes: tuple[Probe, ...] = ()
    """For `verify`: what this machine must and must not reach."""
    package_proxy: str | None = None
    """HTTP proxy for APT while this run is on, `http://127.0.0.1:<port>`."""
    lab: bool = False

    def to_bytes(self) -> bytes:
        """Canonical JSON, as sent to the machine."""
        return _canonical(self.model_dump(mode="json"))


def _canonical(value: object) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
