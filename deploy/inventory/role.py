"""A role's card: the typed declaration from which firewall, derived checks and handover are made."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal

from pydantic import BaseModel, ConfigDict


class Kind(StrEnum):
    """What a machine is for; decides which roles it gets."""

    GATEWAY = "gateway"
    SERVER = "server"
    OFFICE = "office"
    COUNTER = "counter"
    ROOM = "room"
    UNMANAGED = "unmanaged"


DESKS = frozenset({Kind.OFFICE, Kind.COUNTER, Kind.ROOM})
"""Machines that people sit at."""


class Purpose(StrEnum):
    """What a zone is for; decides who may reach whom."""

    SERVER = "server"
    INTERNAL = "internal"
    WIRELESS = "wireless"
    DMZ = "dmz"
    MANAGEMENT = "management"
    GUEST = "guest"


INSIDE = frozenset({Purpose.SERVER, Purpose.INTERNAL, Purpose.WIRELESS, Purpose.DMZ, Purpose.MANAGEMENT})
"""Every zone of the commune's own people and machines: all but guests."""
EVERY_ZONE = frozenset(Purpose)
MANAGEMENT_ONLY = frozenset({Purpose.MANAGEMENT})


class Options(BaseModel):
    """Base of every role's options: frozen, and nothing unknown is accepted."""

    model_config = ConfigDict(extra="forbid", frozen=True)


@dataclass(frozen=True)
class Port:
    """A port that a role's service listens on, and the zones that may reach it.

    `probe` names how a client finds out whether it is served: plain TCP connects need none; a UDP
    port without a probe is only checked to be listened on.
    """

    number: int
    protocol: Literal["tcp", "udp"]
    zones: frozenset[Purpose]
    purpose: str
    probe: Literal["connect", "dns", "ntp", "none"] = "connect"
    from_support: bool = False
    """Also open to the province's support prefixes on the uplink (and to the gateway itself behind it)."""
    from_outside: bool = False
    """Also open to everybody on the uplinks' side: the gateway hands its port of that number on to the machine."""
    unit: str | None = None
    """Name of the card's unit that serves it, so that a check that finds it closed can say what to look at.
    None: the card's only unit, or not told."""


@dataclass(frozen=True)
class Unit:
    """A systemd unit that runs where the role is applied."""

    name: str
    purpose: str


AUTHORITY = "base.ca"
"""The secret that holds the commune's own certificate authority."""
TRUST_ANCHOR = "/usr/local/share/ca-certificates/lienxa-commune.crt"
"""Where every machine has that authority's certificate, for programs that are told so by name."""


@dataclass(frozen=True)
class Secret:
    """A secret that a role asks for, stored as `<role>.<name>` in the commune's `secrets.yaml`."""

    name: str
    description: str
    length: int = 24
    """Characters of a generated value."""
    generated: bool = True
    """False: it comes from outside (a provider's password) and has to be set by a person."""
    form: Literal["password", "authority", "anchor", "certificate", "dkim", "wireguard"] = "password"
    """What is made up: `password` is characters. The others are PEM: `authority` a key and its own certificate (the
    commune has one, `AUTHORITY`), `anchor` that certificate alone, `certificate` a key, a certificate by the
    authority for `names`, and the authority's, `dkim` an RSA key. `wireguard` is a
    private key as `wg genkey` makes it."""
    names: tuple[str, ...] = ()
    """Of a certificate: host names, the first one its subject. Of authority and anchor: the domains it is for."""
    ordered: bool = True
    """False: it is kept in the commune's secrets and never put into a machine's order."""
    machines: frozenset[str] | None = None
    """Names of the only machines whose orders hold it. None: every machine that has the role."""


@dataclass(frozen=True)
class Kept:
    """What of a role's data a backup has to have, and how it is brought back."""

    what: str
    paths: tuple[str, ...]
    dump: str = ""
    """Shell command after which the paths are consistent. Empty: they are at any moment."""
    restore: str = ""
    """Shell command to be run once the paths are back in place. Empty: none is needed."""


def no_secrets(options: Options, site: object) -> tuple[Secret, ...]:
    """The answer of a role that asks for none."""
    return ()


def no_warnings(options: Options, hardware: object, site: object) -> tuple[str, ...]:
    """The answer of a role that any machine is good for."""
    return ()


@dataclass(frozen=True)
class Role:
    """What a role is, declared once. See CONTRIBUTING for the six steps to a new one."""

    name: str
    summary: str
    options: type[Options]
    version: int = 1
    packages: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()
    """Packages that come besides unless an option says otherwise."""
    units: tuple[Unit, ...] = ()
    ports: tuple[Port, ...] = ()
    keeps: tuple[Kept, ...] = ()
    """What a backup has to have of it."""
    needs: tuple[str, ...] = ()
    """Roles that are applied before this one on the same machine."""
    secrets: Callable[..., tuple[Secret, ...]] = no_secrets
    """`secrets(options, site)`: which secrets the role asks for, given its own resolved options on a machine and the
    Site. Pure. The values are the commune's (`<role>.<name>`): machines that ask for the same one get the same."""
    warnings: Callable[..., tuple[str, ...]] = no_warnings
    """`warnings(options, hardware, site)`: what people should know before the role comes to a machine that has this;
    `plan` and `apply` say it. Pure."""

    def secrets_on(self, machine: str, options: Options, site: object) -> tuple[Secret, ...]:
        """The secrets that this role asks for on one machine: those meant for others are left out."""
        asked = self.secrets(options, site)
        return tuple(secret for secret in asked if secret.machines is None or machine in secret.machines)


@dataclass(frozen=True)
class Catalog:
    """All roles there are, and which of them a kind of machine gets, in the order in which they are applied."""

    roles: Mapping[str, Role]
    kinds: Mapping[Kind, tuple[str, ...]]
    services: Mapping[str, str] = field(default_factory=dict)
    """The role that offers a service of the commune, by the service's name in `services:`. One machine has it: that
    which the inventory names, else the gateway."""

    def names(self, kind: Kind, offered: Collection[str] = ()) -> tuple[str, ...]:
        """The roles of a machine of that kind that offers these services, in order.

        A service's role that needs no other comes first: what it offers can then be used by the others.
        """
        extra = [role for service, role in self.services.items() if service in offered]
        first = [role for role in extra if not self.roles[role].needs]
        return (*first, *self.kinds.get(kind, ()), *(role for role in extra if role not in first))

    def in_order(self) -> tuple[str, ...]:
        """Every role, so that those of any machine stand in the order in which they are applied there."""
        first = [role for role in self.services.values() if not self.roles[role].needs]
        by_kind = [role for names in self.kinds.values() for role in names]
        return tuple(dict.fromkeys((*first, *by_kind, *self.services.values(), *self.roles)))

    def of(self, kind: Kind, offered: Collection[str] = ()) -> tuple[Role, ...]:
        """The same as cards."""
        return tuple(self.roles[name] for name in self.names(kind, offered))
