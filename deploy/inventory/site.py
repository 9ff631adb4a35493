"""The site: one commune, resolved. Frozen, typed, without secrets; every role is given the whole of it."""

from __future__ import annotations

from datetime import datetime
from ipaddress import IPv4Address, IPv4Network, IPv6Network
from typing import Literal, TypeVar

from pydantic import BaseModel, ConfigDict

from deploy.inventory.role import Kind, Purpose

PACKAGES = "package cache"
"""Purpose of the port where the commune's machines fetch packages; see `Site.service`."""
KIT = "lienxa's kit"
"""Purpose of the port where they fetch what lienxa itself needs."""
MAIL_SMTP = "mail from outside"
"""Purpose of the port where other domains' servers hand over mail."""
MAIL_SUBMISSION = "mail submission"
"""Purpose of the port where people's programs hand over what they send, TLS from the first byte."""
MAIL_SUBMISSION_STARTTLS = "mail submission, STARTTLS"
"""The same for programs that begin in clear; without TLS nobody logs in there either."""
MAIL_IMAP = "mailboxes"
"""Purpose of the port where mail is read, TLS from the first byte."""
MAIL_SIEVE = "mail filters"
"""Purpose of the port where people's programs keep their rules (ManageSieve)."""
WEBMAIL = "webmail"
"""Purpose of the port where the mail machine speaks HTTPS: webmail, autoconfiguration, MTA-STS."""
SUPPORT_INTERFACE = "support0"
"""The gateway's end of the tunnel to the province."""
LAPTOP_CACHE_PORT = 13142
"""Where the laptop's package cache appears on a machine's loopback while a run is on."""


class Frozen(BaseModel):
    """Plain data that nobody changes after it was made."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class SiteZone(Frozen):
    """A network segment with its addresses. The gateway's own address in it is `gateway`."""

    name: str
    purpose: Purpose
    vlan: int
    interface: str
    """Name of the gateway's interface in this zone, `lan0.20` or a port of its own."""
    trunk: str | None
    """The port that carries this zone as a VLAN, or None where the zone has a port of its own."""
    network: IPv4Network
    gateway: IPv4Address
    pool: tuple[IPv4Address, IPv4Address] | None
    """First and last address leased to machines without a reservation."""
    network6: IPv6Network | None = None


class SiteUplink(Frozen):
    """A line out of the commune. Rates in bit/s."""

    name: str
    interface: str
    method: Literal["dhcp", "static", "pppoe"]
    address: str | None = None
    """With prefix length, for `static`."""
    gateway: IPv4Address | None = None
    user: str | None = None
    """Account name, for `pppoe`; its password is the secret `network.pppoe_<name>`."""
    public: IPv4Address | None = None
    """By which address the world reaches the commune on it, where that is not `address`."""
    down: int | None = None
    up: int | None = None

    @property
    def shaped(self) -> bool:
        """Whether a rate is known, so that the gateway keeps the line's queue itself."""
        return bool(self.down or self.up)


class SitePort(Frozen):
    """A port that some role opens on a machine, from its card."""

    role: str
    number: int
    protocol: Literal["tcp", "udp"]
    zones: tuple[str, ...]
    """Names of the commune's zones that may reach it, sorted."""
    purpose: str
    probe: Literal["connect", "dns", "ntp", "none"]
    from_support: bool
    from_outside: bool = False
    """Whether everybody on the uplinks' side may reach it: the gateway hands its own port of that number on."""


class SiteMachine(Frozen):
    """A machine with its address and name. The gateway's `address` is the one in its own (management) zone."""

    name: str
    kind: Kind
    zone: str
    address: IPv4Address
    mac: str | None
    fqdn: str
    what: str | None = None
    """What an unmanaged machine is: `printer`, `windows`, …"""
    sip: str | None = None
    """A room's account at the province's room systems, `Upstream.sip`."""
    debian: str | None = None
    """Where the inventory says which: `12` or `13`. None: as it was installed; in a lab what `lab up` is told."""
    roles: tuple[str, ...] = ()
    """In the order in which they are applied."""
    ports: tuple[SitePort, ...] = ()

    @property
    def managed(self) -> bool:
        """Whether lienxa logs in to it."""
        return self.kind is not Kind.UNMANAGED


class SitePerson(Frozen):
    """An official."""

    name: str
    login: str
    mailbox: bool = False
    title: str | None = None
    department: str | None = None
    phone: str | None = None
    machines: tuple[str, ...] = ()
    """Names of the machines that this person signs in to."""


class SiteMailbox(Frozen):
    """A mailbox of the mail machine: a person's, or one that several share."""

    login: str
    """Local part of its address; a person logs in with the whole address."""
    name: str
    quota: int
    """In MiB."""
    members: tuple[str, ...] = ()
    """Logins of those who share it; it has no password of its own. Empty: a person's."""

    @property
    def shared(self) -> bool:
        """Whether it is an office's."""
        return bool(self.members)


class SiteAlias(Frozen):
    """A further address, and the mailboxes that its mail ends up in, aliases of aliases followed."""

    name: str
    to: tuple[str, ...]


class SiteMailList(Frozen):
    """An address whose mail goes to many mailboxes."""

    name: str
    title: str
    members: tuple[str, ...]
    """Every mailbox by its login, resolved."""
    senders: Literal["members", "commune", "anyone"]


class Smarthost(Frozen):
    """The relay for mail that leaves. Its password is the secret `mail.smarthost_password`."""

    host: str
    port: int
    user: str | None = None


MAIL_LABELS = ("mail", "autoconfig", "autodiscover", "mta-sts")
"""First labels of the mail machine's further names, in the order of `SiteMail.host_names`."""


class SiteMail(Frozen):
    """The officials' mail: whose it is, and for mode local all addresses there are."""

    mode: Literal["province", "local"]
    domain: str
    """What stands after the @."""
    imap: str
    """Host name of the server that mail is read from: 993, TLS."""
    submission: str
    """Host name of the server that mail is sent through: 465, TLS."""
    server: str | None = None
    """Name of the mail machine, for mode local; with it `mailboxes` and all below is filled."""
    mailboxes: tuple[SiteMailbox, ...] = ()
    aliases: tuple[SiteAlias, ...] = ()
    """With postmaster, abuse, hostmaster, webmaster and root."""
    lists: tuple[SiteMailList, ...] = ()
    smarthost: Smarthost | None = None
    dmarc: Literal["none", "quarantine", "reject"] = "reject"
    """What others are asked to do with mail that only pretends to be the commune's."""
    selectors: tuple[str, ...] = ()
    """DKIM selectors. The first signs, all are published; their keys are the secrets `mail.dkim_<selector>`."""

    def address(self, login: str) -> str:
        """`mau.nv@xa-mau.gialai.gov.vn`."""
        return f"{login}@{self.domain}"

    @property
    def host_names(self) -> tuple[str, ...]:
        """Further names of the mail machine, the first one for IMAP, SMTP and the web; () for the province's."""
        if self.mode == "province":
            return ()
        return tuple(f"{label}.{self.domain}" for label in MAIL_LABELS)


class Support(Frozen):
    """The engineers' way in: the account on every machine, their public keys, and where they come from."""

    user: str = "hotro"
    keys: tuple[str, ...] = ()
    prefixes: tuple[IPv4Network, ...] = ()
    """Source prefixes on the uplink that may reach the gateway's SSH (the province's support network)."""


class SiteBookmark(Frozen):
    """A page that people go to often."""

    title: str
    url: str


class SitePortal(Frozen):
    """A web service of the province that people work with from their desks."""

    name: str
    title: str
    """In Vietnamese, for people."""
    url: str
    start: bool = False
    """Whether it stands on top of the browsers' start page."""
    bookmarks: tuple[SiteBookmark, ...] = ()
    origins: tuple[str, ...]
    """`https://host[:port]` of all that belongs to it, that of `url` first."""
    issuers: tuple[str, ...] = ()
    """Common names of authorities whose client certificates the browser chooses by itself."""
    helper_ports: tuple[int, ...] = ()
    """On the machine's loopback, where signing programs listen."""
    may: tuple[Literal["popups", "clipboard", "pdf", "local_network"], ...] = ()
    """What its origins may in a browser."""


class PortRange(Frozen):
    """Ports from `first` to `last`, both included."""

    first: int
    last: int

    def __str__(self) -> str:
        """As nftables writes it: `3478`, `10000-20000`."""
        return str(self.first) if self.first == self.last else f"{self.first}-{self.last}"


class SiteMeetingService(Frozen):
    """The province's service for meetings by video."""

    title: str
    """In Vietnamese, for people."""
    url: str
    media: tuple[PortRange, ...]
    """Its UDP ports for sound and picture, sorted."""
    echo: str | None = None
    """The page of its echo room."""


class SiteSipService(Frozen):
    """The province's room systems by SIP (RFC 3261)."""

    title: str
    """In Vietnamese, for people."""
    registrar: str
    """Host name; accounts are at it."""
    transport: Literal["tls", "tcp", "udp"]
    port: int | None = None
    """None: what DNS says (RFC 3263), else the transport's own."""
    media: tuple[PortRange, ...]
    """Its UDP ports for sound and picture, sorted."""
    srtp: Literal["mandatory", "off"]

    @property
    def location(self) -> str:
        """As a SIP address has it after the @: `sip.gialai.gov.vn`, with the port where one is written."""
        return f"{self.registrar}:{self.port}" if self.port else self.registrar


class SiteMeeting(Frozen):
    """A meeting by video. It has a date, or comes again every week."""

    title: str
    """In Vietnamese, for people."""
    date: str | None = None
    """`2026-12-01`"""
    weekdays: tuple[int, ...] = ()
    """1 is Monday, 7 Sunday (ISO 8601)."""
    at: str
    """When it begins, Vietnamese time: `08:00`."""
    minutes: int
    url: str
    machines: tuple[str, ...]
    """Names of the rooms that it is for."""


class SupportPath(Frozen):
    """The province's end of the tunnels by which its engineers come in."""

    endpoint: str
    """`host:port`, UDP."""
    public_key: str
    """32 bytes in base64."""
    prefixes: tuple[IPv4Network, ...]
    """Where engineers come from; none of them overlaps another."""


class Upstream(Frozen):
    """What the province offers every commune."""

    resolvers: tuple[IPv4Address, ...] = ()
    """Empty: the gateway's resolver asks the root servers itself."""
    time_servers: tuple[str, ...] = ()
    trust_anchors: tuple[str, ...] = ()
    """DS records (RFC 4034, presentation form) instead of the IANA root's; only a lab has them."""
    portals: tuple[SitePortal, ...] = ()
    """The province's web services, in the order of the start page."""
    meeting: SiteMeetingService | None = None
    support_path: SupportPath | None = None
    sip: SiteSipService | None = None

    @property
    def media(self) -> tuple[PortRange, ...]:
        """UDP ports of calls at any of the province's services, sorted, none of them twice."""
        written = [ports for service in (self.meeting, self.sip) if service for ports in service.media]
        merged: list[PortRange] = []
        for ports in sorted(written, key=lambda one: one.first):
            if merged and ports.first <= merged[-1].last + 1:
                before = merged.pop()
                ports = PortRange(first=before.first, last=max(before.last, ports.last))
            merged.append(ports)
        return tuple(merged)


class SiteAuthority(Frozen):
    """An authority whose certificate the officials' programs believe in (a trust anchor of the province)."""

    name: str
    """Common name of its subject."""
    sha256: str
    """Of the certificate (DER), in hex: its fingerprint."""
    pem: str
    begins: datetime
    ends: datetime
    root: bool
    """Whether it signed itself; else one of the site's other authorities has signed it."""
    revocation: tuple[str, ...] = ()
    """Web addresses of revocation lists (CRL) that it, or who signed it, publishes."""


class SiteModule(Frozen):
    """A vendor's PKCS#11 module. Its content travels in the kit, by `sha256`."""

    name: str
    file: str
    """As the inventory names it, from the folder of province.yaml on."""
    sha256: str
    """Of the file, in hex."""
    architecture: Literal["x86_64", "aarch64"]
    """As `uname -m` has it."""
    usb: tuple[str, ...] = ()
    """Tokens that it reaches without pcscd, `vendor:product`."""


class CommuneId(Frozen):
    """Official name and codes of the commune and its province."""

    name: str
    slug: str
    code: str
    province: str
    province_slug: str


class Site(Frozen):
    """One commune, resolved: every name, address, port and person."""

    commune: CommuneId
    domain: str
    """`<commune>.<province>.gov.vn`"""
    prefix: IPv4Network
    zones: tuple[SiteZone, ...]
    uplinks: tuple[SiteUplink, ...]
    machines: tuple[SiteMachine, ...]
    people: tuple[SitePerson, ...] = ()
    meetings: tuple[SiteMeeting, ...] = ()
    mail: SiteMail | None = None
    support: Support = Support()
    upstream: Upstream = Upstream()
    authorities: tuple[SiteAuthority, ...] = ()
    """Trust anchors of the province, as written."""
    modules: tuple[SiteModule, ...] = ()
    """Vendors' PKCS#11 modules, by name in alphabetical order."""
    notes: tuple[str, ...] = ()
    """What `check` says without refusing it."""

    def zone(self, name: str) -> SiteZone:
        """The zone of that name; KeyError if there is none."""
        return _named(self.zones, name)

    def machine(self, name: str) -> SiteMachine:
        """The machine of that name; KeyError if there is none."""
        return _named(self.machines, name)

    @property
    def gateway(self) -> SiteMachine:
        """The commune's gateway; the loader refuses a commune without one."""
        return next(machine for machine in self.machines if machine.kind is Kind.GATEWAY)

    def service(self, purpose: str, user: SiteMachine) -> tuple[SiteMachine, str] | None:
        """Which machine offers a service to `user`, and where, as `address:port`; None where nobody does.

        `purpose` is that of a port on some role's card. The gateway is met at its side in the user's zone, a machine
        meets itself on its loopback.
        """
        for machine in self.machines:
            for port in machine.ports:
                if port.purpose != purpose:
                    continue
                if machine.name == user.name:
                    return machine, f"127.0.0.1:{port.number}"
                if user.zone in port.zones:
                    near = machine.kind is Kind.GATEWAY
                    address = self.zone(user.zone).gateway if near else machine.address
                    return machine, f"{address}:{port.number}"
        return None


_Thing = TypeVar("_Thing", SiteZone, SiteMachine)


def _named(things: tuple[_Thing, ...], name: str) -> _Thing:
    for thing in things:
        if thing.name == name:
            return thing
    raise KeyError(name)
