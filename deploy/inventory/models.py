"""What a person may write in `province.yaml`, `commune.yaml` and what stands in `addresses.yaml`.

Each field says what it means, its unit and its default; the JSON Schemas and the reference are made from here.
What needs more than one field to judge stands in `rules.py`.
"""

from __future__ import annotations

import base64
import binascii
import re
from datetime import date
from ipaddress import IPv4Address, IPv4Network, IPv6Network
from pathlib import PurePosixPath
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StrictBool, StrictInt, WithJsonSchema

from deploy.inventory.role import Kind, Purpose
from deploy.inventory.urls import Origin, Url

MAC = re.compile(r"[0-9a-f]{2}(?:[:-][0-9a-f]{2}){5}")
RATE = re.compile(r"([1-9][0-9]{0,5})(kbit|mbit|gbit)")
UNITS = {"kbit": 10**3, "mbit": 10**6, "gbit": 10**9}
LABEL = r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$"
INTERFACE = r"^[a-z][a-z0-9_-]{0,9}$"
LOGIN = r"^[a-z][a-z0-9._-]{0,31}$"
LOCAL_PART = r"^[a-z0-9]([a-z0-9._-]{0,62}[a-z0-9])?$"
SIP_ACCOUNT = r"^[a-z0-9]([a-z0-9._-]{0,62}[a-z0-9])?$"
DOMAIN = r"^([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z]{2,}$"
USB = r"^[0-9a-f]{4}:[0-9a-f]{4}$"
WEB_ADDRESS = r"^https?://[!-~]+$"
PORTS = re.compile(r"([1-9][0-9]{0,4})(?:-([1-9][0-9]{0,4}))?")
ENDPOINT = re.compile(r"([A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?):([1-9][0-9]{0,4})")
WIREGUARD_KEY_BYTES = 32
CLOCK = re.compile(r"([01][0-9]|2[0-3]):[0-5][0-9]")
SIZE = re.compile(r"([1-9][0-9]{0,6})(MiB|GiB)")
MEBIBYTES = {"MiB": 1, "GiB": 1024}


class Written(BaseModel):
    """Base of all that people write: frozen, and nothing unknown is accepted."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def _address(written: object) -> object:
    if isinstance(written, IPv4Address):
        return written
    try:
        return IPv4Address(_text(written))
    except ValueError:
        raise ValueError(f"'{written}' is no IPv4 address like 10.52.0.10") from None


def _network(written: object) -> object:
    return written if isinstance(written, IPv4Network) else _any_network(written, IPv4Network, "IPv4", "10.52.0.0/22")


def _network6(written: object) -> object:
    if isinstance(written, IPv6Network):
        return written
    return _any_network(written, IPv6Network, "IPv6", "2001:db8:0:10::/64")


def _any_network(written: object, of: type[IPv4Network] | type[IPv6Network], what: str, example: str) -> object:
    text = _text(written)
    network = _parsed(of, text, strict=True)
    if network is not None:
        return network
    wider = _parsed(of, text, strict=False)
    if wider is not None:
        raise ValueError(f"'{written}' is an address inside a network; did you mean '{wider}'?")
    raise ValueError(f"'{written}' is no {what} network like {example}")


def _parsed(
    of: type[IPv4Network] | type[IPv6Network], text: str, *, strict: bool
) -> IPv4Network | IPv6Network | None:
    try:
        return of(text, strict=strict) if "/" in text else None
    except ValueError:
        return None


def _mac(written: object) -> object:
    text = _text(written).lower()
    if not MAC.fullmatch(text):
        raise ValueError(f"'{written}' is no MAC address like 52:54:00:12:34:56")
    if int(text[:2], 16) & 1:
        raise ValueError(f"'{written}' is a group's MAC address (its first byte is odd); no machine has one")
    return text.replace("-", ":")


def _rate(written: object) -> object:
    found = RATE.fullmatch(_text(written))
    if not found:
        raise ValueError(f"'{written}' is no rate; allowed: a whole number with kbit, mbit or gbit, like 50mbit")
    return int(found[1]) * UNITS[found[2]]


def _size(written: object) -> object:
    found = SIZE.fullmatch(_text(written))
    if not found:
        raise ValueError(f"'{written}' is no size; allowed: a whole number with MiB or GiB, like 2GiB")
    return int(found[1]) * MEBIBYTES[found[2]]


def _ports(written: object) -> object:
    text = str(written) if isinstance(written, int) and not isinstance(written, bool) else _text(written)
    found = PORTS.fullmatch(text)
    first, last = (int(found[1]), int(found[2] or found[1])) if found else (0, 0)
    if not 1 <= first <= last <= 65535:
        raise ValueError(f"'{written}' is no port and no range of ports like 10000-20000")
    return text


def _endpoint(written: object) -> object:
    text = _text(written)
    found = ENDPOINT.fullmatch(text)
    if not found or int(found[3]) > 65535:
        raise ValueError(f"'{written}' is no host with a port like hotro.gialai.gov.vn:51820")
    return text


def _wireguard_key(written: object) -> object:
    text = _text(written)
    try:
        key = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if len(key) != WIREGUARD_KEY_BYTES:
        message = (
            f"'{written}' is no public key of WireGuard; allowed: 32 bytes in base64, as `wg pubkey` prints them"
        )
        raise ValueError(message)
    return text


def _clock(written: object) -> object:
    text = _text(written)
    if not CLOCK.fullmatch(text):
        raise ValueError(f"'{written}' is no time of day like 08:00")
    return text


def _day(written: object) -> object:
    text = _text(written)
    try:
        return date.fromisoformat(text).isoformat()
    except ValueError:
        raise ValueError(f"'{written}' is no day like 2026-12-01") from None


def _sha256(written: object) -> object:
    text = re.sub("[: ]", "", _text(written)).lower()
    if not re.fullmatch("[0-9a-f]{64}", text):
        raise ValueError(f"'{written}' is no SHA-256; allowed: 64 hexadecimal digits, with or without colons")
    return text


def _file(written: object) -> object:
    text = _text(written)
    path = PurePosixPath(text)
    if not text or path.is_absolute() or ".." in path.parts:
        raise ValueError(f"'{written}' is no file beside province.yaml like tin-cay/goc-g2.crt")
    return text


def _code(written: object) -> object:
    """A code is text; one that YAML took for a number is that number's digits."""
    return str(written) if isinstance(written, int) and not isinstance(written, bool) else written


def _text(written: object) -> str:
    return written if isinstance(written, str) else ""


def _json(description: str, **more: Any) -> WithJsonSchema:  # noqa: ANN401 - JSON Schema's own keywords
    return WithJsonSchema({"type": "string", "description": description, **more})


Address = Annotated[IPv4Address, BeforeValidator(_address), _json("IPv4 address", format="ipv4")]
Network = Annotated[IPv4Network, BeforeValidator(_network), _json("IPv4 network, address/length")]
Network6 = Annotated[IPv6Network, BeforeValidator(_network6), _json("IPv6 network, address/length")]
Mac = Annotated[str, BeforeValidator(_mac), _json("MAC address", pattern="^([0-9A-Fa-f]{2}[:-]){5}[0-9A-Fa-f]{2}$")]
Rate = Annotated[int, BeforeValidator(_rate), _json("whole number with unit", pattern="^[1-9][0-9]*[kmg]bit$")]
Size = Annotated[int, BeforeValidator(_size), _json("whole number with unit", pattern="^[1-9][0-9]*[MG]iB$")]
"""In MiB."""
Ports = Annotated[
    str,
    BeforeValidator(_ports),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "integer", "minimum": 1, "maximum": 65535},
                {"type": "string", "pattern": f"^{PORTS.pattern}$"},
            ],
            "description": "a port, or a range of ports like 10000-20000",
        }
    ),
]
"""As written: `3478` or `10000-20000`."""
Endpoint = Annotated[str, BeforeValidator(_endpoint), _json("host:port", pattern=f"^{ENDPOINT.pattern}$")]
WireGuardKey = Annotated[
    str, BeforeValidator(_wireguard_key), _json("32 bytes in base64", pattern="^[A-Za-z0-9+/]{43}=$")
]
Clock = Annotated[str, BeforeValidator(_clock), _json("time of day", pattern=f"^{CLOCK.pattern}$")]
Day = Annotated[str, BeforeValidator(_day), _json("day, year first", format="date")]
Sha256 = Annotated[str, BeforeValidator(_sha256), _json("SHA-256, hexadecimal, with or without colons")]
GivenFile = Annotated[str, BeforeValidator(_file), _json("file, from the folder of province.yaml on")]
UsbId = Annotated[str, Field(pattern=USB)]
WebAddress = Annotated[str, Field(pattern=WEB_ADDRESS)]
Code = Annotated[str, BeforeValidator(_code), Field(pattern=r"^[0-9]{1,5}$")]
Label = Annotated[str, Field(pattern=LABEL)]
Interface = Annotated[str, Field(pattern=INTERFACE)]
LocalPart = Annotated[str, Field(pattern=LOCAL_PART)]
Host = Annotated[str, Field(pattern=DOMAIN)]
Weekday = Literal["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"]
PortalMay = Literal["popups", "clipboard", "pdf", "local_network"]
OptionsByRole = dict[str, dict[str, Any]]
"""Options as written, by role and option; checked against the roles' own models in `options.py`."""


class Province(Written):
    """The province, as the official list has it."""

    name: str = Field(min_length=1, description="Official name without its type: Gia Lai.")
    slug: Label = Field(description="Name without diacritics, as used in file names: gia-lai.")
    code: Code = Field(
        description="Official code of the province: 52.", json_schema_extra={"type": ["string", "integer"]}
    )
    domain: str = Field(
        pattern=DOMAIN,
        description="The province's domain; a commune's is <slug>.<domain>.",
    )


class SupportWritten(Written):
    """How the province's engineers get into machines."""

    user: str = Field("hotro", pattern=LOGIN, description="The support account on every managed machine.")
    keys: tuple[str, ...] = Field(
        (), description="SSH public keys of the engineers, one per line of authorized_keys."
    )
    prefixes: tuple[Network, ...] = Field(
        (), description="Networks on the uplink's side that may reach the gateway's SSH. Empty: nobody from outside."
    )


class ProvinceMailWritten(Written):
    """The province's own mail, for communes of mode province."""

    domain: Host = Field(description="What stands after the @ of an official's address.")
    imap: Host = Field(description="The server that mail is read from, IMAP with TLS on port 993.")
    submission: Host = Field(description="The server that mail is sent through, TLS on port 465.")


class TrustAnchorWritten(Written):
    """The certificate of an authority that the officials' programs believe in."""

    file: GivenFile = Field(description="Its certificate, PEM or DER, one in a file.")
    sha256: Sha256 = Field(
        description="SHA-256 of the certificate (its fingerprint), from the authority itself and by another way than "
        "the file came."
    )
    revocation: tuple[WebAddress, ...] = Field(
        (),
        description="Where it publishes what it has revoked (CRL), besides what its certificate says. Checked by "
        "`verify`.",
    )


class TokenModuleWritten(Written):
    """A vendor's PKCS#11 module, by which programs use its tokens."""

    file: GivenFile = Field(description="The shared library, for 64-bit Linux.")
    sha256: Sha256 = Field(description="SHA-256 of the file.")
    usb: tuple[UsbId, ...] = Field(
        (),
        description="Tokens that it reaches without pcscd, as USB vendor:product, 096e:0807. Who sits at the machine "
        "may use them, nobody else. Default: none; readers that speak CCID need no entry.",
    )


class BookmarkWritten(Written):
    """A page that people go to often."""

    title: str = Field(min_length=1, description="What it is called, in Vietnamese: Tra cứu hồ sơ.")
    url: Url = Field(description="Its address, https.")


class PortalWritten(Written):
    """A web service of the province that people work with from their desks."""

    title: str = Field(min_length=1, description="What it is called, in Vietnamese: Cổng dịch vụ công tỉnh Gia Lai.")
    url: Url = Field(description="The page that it begins with, https. Its origin is the portal's first.")
    start: StrictBool = Field(
        False, description="Whether it stands on top of the browsers' start page; one portal at most."
    )
    bookmarks: tuple[BookmarkWritten, ...] = Field(
        (), description="Further pages of it, for start page and bookmarks."
    )
    origins: tuple[Origin, ...] = Field(
        (),
        description="Further origins that belong to it, each by name: where people sign in, where files come from. "
        "What the portal may, these may too.",
    )
    issuers: tuple[Annotated[str, Field(min_length=1)], ...] = Field(
        (),
        description="Common names of the authorities whose certificates people sign in with: the browser then "
        "chooses theirs by itself, for this portal alone. Default: the browser asks.",
    )
    helper_ports: tuple[Annotated[StrictInt, Field(ge=1024, le=65535)], ...] = Field(
        (),
        description="Ports on the machine's own loopback where the portal's signing programs listen: 8987. Nobody "
        "but the machine itself reaches them.",
    )
    may: tuple[PortalMay, ...] = Field(
        (),
        description="What its origins may in a browser, and no others: popups: open windows; clipboard: read and "
        "write it; pdf: have PDF files saved rather than shown; local_network: talk to programs on this machine and "
        "to the commune's network, as signing helpers need.",
    )


class MeetingServiceWritten(Written):
    """The province's service for meetings by video."""

    title: str = Field(min_length=1, description="What it is called, in Vietnamese: Họp trực tuyến tỉnh Gia Lai.")
    url: Url = Field(description="The page that people join from, https.")
    media: tuple[Ports, ...] = Field(
        min_length=1,
        description="Its UDP ports for sound and picture, as its operator names them: 3478, 10000-20000. On the "
        "commune's lines they go before everything else.",
    )
    echo: Url | None = Field(
        None,
        description="A page of the service's that sends picture and sound back to who sends them, for `lienxa "
        "call-test`: https://hop.gialai.gov.vn/thu. Default: none, and no call can be tested.",
    )


class SupportPathWritten(Written):
    """The province's end of the tunnels (WireGuard) by which its engineers come in."""

    endpoint: Endpoint = Field(description="Where it is met, host:port over UDP: hotro.gialai.gov.vn:51820.")
    public_key: WireGuardKey = Field(description="Its public key, as `wg pubkey` prints it.")
    prefixes: tuple[Network, ...] = Field(
        min_length=1, description="Networks behind it that engineers come from. They reach what support may reach."
    )


class SipServiceWritten(Written):
    """The province's room systems by SIP: where the communes' rooms register, and are called."""

    title: str = Field(
        min_length=1, description="What it is called, in Vietnamese: Hội nghị truyền hình tỉnh Gia Lai."
    )
    registrar: Host = Field(
        description="Host name where rooms register; their accounts are at it: sip.gialai.gov.vn. With tls its "
        "certificate must be for this name."
    )
    transport: Literal["tls", "tcp", "udp"] = Field(
        "tls",
        description="How rooms speak to it. Over tcp and udp everybody on the way reads who calls whom, and the "
        "keys of what is said.",
    )
    port: StrictInt | None = Field(
        None, ge=1, le=65535, description="Its port. Default: 5061 for tls, else 5060; or what DNS says (SRV)."
    )
    media: tuple[Ports, ...] = Field(
        min_length=1,
        description="Its UDP ports for sound and picture (RTP), as its operator names them: 30000-31999. On the "
        "communes' lines they go before everything else.",
    )
    srtp: Literal["mandatory", "off"] = Field(
        "mandatory",
        description="Whether sound and picture are encrypted (SRTP). mandatory: a call without is refused, whoever "
        "calls.",
    )


class UpstreamWritten(Written):
    """What the province offers to every commune."""

    resolvers: tuple[Address, ...] = Field(
        (), description="The province's DNS resolvers. Empty: the gateway asks the root servers itself."
    )
    time_servers: tuple[str, ...] = Field(
        (), description="NTP servers, names or addresses. Empty: the role's default."
    )
    mail: ProvinceMailWritten | None = Field(
        None, description="The province's mail servers. Default: none; `services.mail.mode: province` wants them."
    )
    trust_anchors: tuple[TrustAnchorWritten, ...] = Field(
        (),
        description="Authorities whose certificates officials' programs believe in, old and new generations side by "
        "side; for one that another has signed, that one too.",
    )
    modules: dict[Label, TokenModuleWritten] = Field(
        {}, description="Vendors' PKCS#11 modules by name. Readers and cards that OpenSC knows need none."
    )
    portals: dict[Label, PortalWritten] = Field(
        {}, description="The province's web services by a short name, in the order of the start page."
    )
    meeting: MeetingServiceWritten | None = Field(
        None, description="The province's service for meetings by video. Default: none."
    )
    support_path: SupportPathWritten | None = Field(
        None,
        description="A tunnel from each gateway to the province, so that engineers get in where the commune has no "
        "public address. Default: none.",
    )
    sip: SipServiceWritten | None = Field(None, description="The province's room systems by SIP. Default: none.")


class ProvinceFile(Written):
    """`province.yaml`: what all communes of the folder share."""

    province: Province = Field(description="Name and code of the province.")
    supernet: Network = Field(description="The network from which communes get their prefixes.")
    commune_prefix: StrictInt = Field(
        22, ge=8, le=28, description="Length of the prefix that a new commune gets; 22 is 1024 addresses."
    )
    reserved: tuple[Network, ...] = Field((), description="Networks that no commune ever gets.")
    support: SupportWritten = Field(SupportWritten(), description="The engineers' way in.")
    upstream: UpstreamWritten = Field(UpstreamWritten(), description="What the province offers to every commune.")
    options: OptionsByRole = Field({}, description="Options of roles, for every machine of every commune.")


class CommuneHead(Written):
    """The commune, as the official list has it, and its prefix."""

    name: str = Field(min_length=1, description="Official name with its type: Xã Mẫu, Phường Quy Nhơn.")
    slug: Label = Field(description="Name without diacritics; also the name of the folder.")
    code: Annotated[Code, Field(pattern=r"^[0-9]{5}$")] = Field(description="Official code, five digits, quoted.")
    prefix: Network = Field(description="The commune's IPv4 prefix: assigned, or picked by `lienxa new`.")


class ZoneWritten(Written):
    """A network segment."""

    vlan: StrictInt = Field(ge=1, le=4094, description="VLAN id, 1 to 4094; once in a commune.")
    purpose: Purpose | None = Field(
        None,
        description="What it is for; decides who may reach whom. "
        "Default: from the zone's name (server, management, wireless, dmz), else internal.",
    )
    guest: StrictBool = Field(False, description="Whether visitors use it: they reach the Internet and nothing else.")
    network: Network | None = Field(
        None,
        description="Its IPv4 network, inside the commune's prefix. Default: planned, then kept in addresses.yaml.",
    )
    hosts: StrictInt | None = Field(
        None,
        ge=1,
        le=65000,
        description="How many machines it must have room for, those with leases counted. "
        "Default: a sixteenth of the prefix, twice that for guests.",
    )
    pool: StrictBool | None = Field(
        None,
        description="Whether machines that the inventory does not know get a lease here. Default: guests do, others "
        "do not. With it, a machine that was leased an address before it was written down keeps that one until its "
        "lease ends.",
    )
    prefix6: Network6 | None = Field(None, description="Its IPv6 prefix, a /64. Default: no IPv6.")


class UplinkWritten(Written):
    """A line out of the commune."""

    name: Label = Field(description="A name for people: fibre, backup.")
    interface: Interface = Field(description="The gateway's port that it is plugged into, one of its `ports`.")
    address: str = Field(
        "dhcp",
        pattern=r"^(dhcp|pppoe|[0-9.]+/[0-9]+)$",
        description="dhcp, pppoe, or the fixed address with its length: 203.0.113.2/30.",
    )
    gateway: Address | None = Field(None, description="The next router, for a fixed address.")
    user: str | None = Field(None, min_length=1, description="Account name, for pppoe; the password is a secret.")
    public: Address | None = Field(
        None,
        description="The fixed address by which the world reaches the commune on it, where that is another than "
        "`address`: the line is dhcp or pppoe, or somebody translates. Mail from outside comes to it.",
    )
    down: Rate | None = Field(None, description="Rate towards the commune: 50mbit. Default: not shaped.")
    up: Rate | None = Field(None, description="Rate out of the commune: 20mbit. Default: not shaped.")


class MachineWritten(Written):
    """A machine, managed by lienxa or only known to it."""

    kind: Kind = Field(description="What it is for; decides which roles it gets.")
    zone: str | None = Field(
        None, description="The zone it stands in. Only a gateway may do without: its own is then the management zone."
    )
    mac: Mac | None = Field(
        None, description="MAC address of its network card, by which it gets its address. Default: not known yet."
    )
    address: Address | None = Field(
        None, description="Its address, inside its zone. Default: planned, then kept in addresses.yaml."
    )
    ports: dict[Interface, str] = Field(
        {}, description="Only for a gateway: what each of its ports is plugged into: uplink, trunk, or a zone's name."
    )
    what: str | None = Field(None, min_length=1, description="What an unmanaged machine is: printer, windows, phone.")
    debian: Literal[12, 13] | None = Field(
        None, description="Debian's version, 12 or 13. Default: as it was installed; 13 in a lab."
    )
    ssh: str | None = Field(
        None,
        pattern=r"^[A-Za-z0-9._-]+(:[0-9]{1,5})?$",
        description="Where it is reached by SSH from outside: host or host:port. Default: by its address.",
    )
    sip: str | None = Field(
        None,
        pattern=SIP_ACCOUNT,
        description="A room's account at `upstream.sip`; its password is the secret video_client.sip_<account>, "
        "given by the province. Default: nobody calls the room by SIP.",
    )
    options: OptionsByRole = Field({}, description="Options of roles, for this machine.")


class SharedMailboxWritten(Written):
    """A mailbox of an office that several people work in."""

    name: str = Field(min_length=1, description="What stands beside the address: Văn thư xã Mẫu.")
    members: tuple[str, ...] = Field(min_length=1, description="Logins of those who read it and write from it.")
    quota: Size | None = Field(None, description="Most that it holds: 5GiB. Default: `services.mail.quota`.")


class MailListWritten(Written):
    """An address whose mail goes to many."""

    name: str = Field(min_length=1, description="What it is: Cán bộ, công chức.")
    members: tuple[str, ...] = Field(
        (), description="Logins and shared mailboxes that get its mail. Empty: everybody with a mailbox."
    )
    senders: Literal["members", "commune", "anyone"] = Field(
        "commune",
        description="Who may write to it: its members, everybody with a mailbox here, or anyone at all.",
    )


class SmarthostWritten(Written):
    """The province's relay for mail that leaves the commune."""

    host: Host = Field(description="Its name.")
    port: StrictInt = Field(
        587, ge=1, le=65535, description="Its port; 465 speaks TLS from the first byte, the others by STARTTLS."
    )
    user: str | None = Field(
        None,
        pattern=r"^[!-9;-~]+$",
        description="Account that it knows us by; the password is the secret mail.smarthost_password. "
        "Default: it knows us by our address.",
    )


class MailWritten(Written):
    """The officials' mail."""

    mode: Literal["province", "local"] = Field(description="Whose mailboxes: the province's, or a server's here.")
    server: str | None = Field(
        None, description="The machine that serves mail, for mode local: of kind server, in a zone for servers."
    )
    domain: Host | None = Field(
        None, description="What stands after the @: the commune's domain, or one below it. Default: the commune's."
    )
    quota: Size = Field(2048, description="Most that a mailbox holds: 2GiB, 500MiB. Default: 2GiB.")
    postmaster: str | None = Field(
        None,
        description="Who gets what is written to postmaster, abuse, hostmaster, webmaster and root. "
        "Default: the first of the people with a mailbox.",
    )
    shared: dict[LocalPart, SharedMailboxWritten] = Field(
        {}, description="Mailboxes of offices by their local part: vanthu."
    )
    aliases: dict[LocalPart, tuple[str, ...]] = Field(
        {},
        description="Further addresses by local part, each with the logins, shared mailboxes, lists or aliases "
        "that it stands for.",
    )
    lists: dict[LocalPart, MailListWritten] = Field({}, description="Addresses of many by local part: canbo.")
    smarthost: SmarthostWritten | None = Field(
        None, description="The relay for mail that leaves. Default: straight to whom the domain's MX names."
    )
    dmarc: Literal["none", "quarantine", "reject"] = Field(
        "reject",
        description="What others are asked to do with mail that only pretends to be the commune's (DMARC): nothing, "
        "put it with the spam, or refuse it.",
    )
    selectors: tuple[Label, ...] = Field(
        ("lx1", "lx2"),
        min_length=1,
        description="DKIM selectors. The first signs; all are published, so that the next one is known before it "
        "signs.",
    )


class PackagesWritten(Written):
    """The commune's package cache."""

    server: str | None = Field(
        None,
        description="The machine that keeps packages for all the others: the gateway or a server. "
        "Default: the gateway.",
    )


class ServicesWritten(Written):
    """What the commune offers its people beyond the network."""

    mail: MailWritten | None = Field(None, description="Official mail.")
    packages: PackagesWritten = Field(PackagesWritten(), description="The package cache of the commune's machines.")


class PersonWritten(Written):
    """An official."""

    name: str = Field(min_length=1, description="Full name.")
    login: str = Field(pattern=LOGIN, description="Login and local part of the mail address: mau.nv.")
    mailbox: StrictBool = Field(False, description="Whether this person has a mailbox.")
    title: str | None = Field(None, min_length=1, description="Office held.")
    department: str | None = Field(None, min_length=1, description="Where: Văn phòng HĐND và UBND.")
    phone: str | None = Field(
        None, pattern=r"^\+?[0-9][0-9 .-]{2,19}$", description="Telephone at work, quoted, as it is to be read."
    )
    quota: Size | None = Field(None, description="Most that the mailbox holds: 5GiB. Default: `services.mail.quota`.")
    machines: tuple[str, ...] = Field(
        (),
        description="Machines that this person signs in to, of kind office, counter or room; the password is the "
        "secret desktop.password_<login>.",
    )


class MeetingWritten(Written):
    """A meeting that a room's lobby leads to."""

    title: str = Field(min_length=1, description="What it is called, in Vietnamese: Giao ban tuần.")
    date: Day | None = Field(None, description="The day of one meeting: 2026-12-01.")
    every: tuple[Weekday, ...] = Field(
        (), description="Weekdays of a meeting that comes again and again: [monday, thursday]."
    )
    at: Clock = Field(description="When it begins, Vietnamese time: 08:00.")
    minutes: StrictInt = Field(60, ge=5, le=1440, description="How long it takes, in minutes.")
    url: Url | None = Field(
        None, description="The page that it is joined from, one of the service's. Default: the service's own."
    )
    machines: tuple[str, ...] = Field((), description="The rooms that it is for. Default: all of kind room.")


class CommuneFile(Written):
    """`commune.yaml`: one commune."""

    commune: CommuneHead = Field(description="Name, code and prefix of the commune.")
    zones: dict[Label, ZoneWritten] = Field(description="Network segments by name; at least one.")
    uplinks: tuple[UplinkWritten, ...] = Field((), description="Lines out, the preferred one first.")
    machines: dict[Label, MachineWritten] = Field(description="Machines by host name; one of them is the gateway.")
    services: ServicesWritten = Field(ServicesWritten(), description="What the commune offers its people.")
    people: tuple[PersonWritten, ...] = Field((), description="The officials.")
    meetings: tuple[MeetingWritten, ...] = Field((), description="Meetings by video, for the rooms' lobbies.")
    options: OptionsByRole = Field({}, description="Options of roles, for every machine of this commune.")

    def offered_by(self, machine: str, upstream: UpstreamWritten) -> frozenset[str]:
        """The services that a machine offers, by their names in `services`; mail at the desks, and the support path
        at the gateway where the province has one."""
        named = self.services.packages.server
        kind = self.machines[machine].kind
        mail = self.services.mail
        offers = {
            "packages": machine == named if named else kind is Kind.GATEWAY,
            "mail": mail is not None and mail.mode == "local" and mail.server == machine,
            "support path": upstream.support_path is not None and kind is Kind.GATEWAY,
            "mail client": mail is not None and kind in {Kind.OFFICE, Kind.COUNTER},
        }
        return frozenset(service for service, offered in offers.items() if offered)


class ZoneGiven(Written):
    """The network that a zone was given, and the addresses given in it."""

    network: Network = Field(description="The zone's network.")
    machines: dict[str, Address] = Field({}, description="Addresses by machine.")


class AddressesFile(Written):
    """`addresses.yaml`: what was given out and never moves; written by lienxa."""

    zones: dict[str, ZoneGiven] = Field(description="What each zone was given.")
