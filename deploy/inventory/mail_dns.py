"""The names of the commune's mail: what its own resolver answers, and what the province has to publish of it.

Both come from the same place, so that a program finds the same server inside and outside, as far as it can reach it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Interface
from typing import Literal

from deploy.errors import UserError
from deploy.inventory.site import (
    MAIL_IMAP,
    MAIL_SIEVE,
    MAIL_SMTP,
    MAIL_SUBMISSION,
    MAIL_SUBMISSION_STARTTLS,
    WEBMAIL,
    Site,
    SiteMachine,
    SiteMail,
    SitePort,
    SiteUplink,
)

SERVICE_NAMES = {
    MAIL_IMAP: "_imaps._tcp",
    MAIL_SUBMISSION: "_submissions._tcp",
    MAIL_SUBMISSION_STARTTLS: "_submission._tcp",
    MAIL_SIEVE: "_sieve._tcp",
    WEBMAIL: "_autodiscover._tcp",
}
"""By the purpose of the port: the name under which programs look for it (RFC 6186, RFC 8314, RFC 5804; Outlook)."""
NOT_OFFERED = ("_imap._tcp", "_pop3._tcp", "_pop3s._tcp")
"""Programs that look for these are told that there is nothing (RFC 6186, section 3.4)."""
STS_MAX_AGE = 604800
_LONGEST_STRING = 255
"""Characters of one string in a TXT record (RFC 1035, section 3.3)."""


class UnknownAddressError(UserError):
    """Nobody outside could be told where the commune is."""


@dataclass(frozen=True)
class Record:
    """A record of the DNS."""

    name: str
    """Without the dot at the end."""
    type: Literal["A", "MX", "PTR", "SRV", "TXT"]
    value: str
    """As a zone file has it, names with the dot at the end; of a TXT record the text itself."""

    @property
    def data(self) -> str:
        """The value as it stands in a zone file: text quoted, in strings that are not too long."""
        if self.type != "TXT":
            return self.value
        parts = range(0, len(self.value), _LONGEST_STRING)
        return " ".join(f'"{self.value[start : start + _LONGEST_STRING]}"' for start in parts)


@dataclass(frozen=True)
class Section:
    """Records that belong together."""

    about: str
    """What they are for, a sentence."""
    records: tuple[Record, ...]
    reachable: bool = True
    """False: what they point to is refused from outside, so that publishing them would send programs nowhere."""
    by: Literal["province", "provider"] = "province"
    """Who has to publish them: the province, or the provider of a line, whose addresses they are about."""


def inside_records(site: Site) -> tuple[Record, ...]:
    """What the commune's own resolver knows of the mail, apart from DKIM keys, which it asks the province for."""
    mail = site.mail
    if mail is None or mail.server is None:
        return ()
    server = site.machine(mail.server)
    hosts = [Record(name, "A", str(server.address)) for name in mail.host_names]
    # SPF and DMARC too: who forges the commune's address is known for it also while the line is down.
    policies = [*_sender_policies(site, mail), *_sts_policy(mail)]
    services = [record for port in server.ports for record in _service(mail, port)]
    return (*hosts, _exchanger(mail), *policies, *services, *_not_offered(mail))


def outside_records(site: Site, dkim: Mapping[str, str]) -> tuple[Section, ...]:
    """What the world has to know, `dkim` being the public keys by selector; () where mail is not the commune's own.

    Raises UnknownAddressError where the inventory does not say by which address the world reaches the commune.
    """
    mail = site.mail
    if mail is None or mail.server is None:
        return ()
    server = site.machine(mail.server)
    addresses = _public_addresses(site)
    open_ports = {port.purpose for port in server.ports if port.from_outside}
    mailer, *_, sts = mail.host_names
    return (
        Section(
            "Mail for the commune is handed over here.",
            (*_hosts([mailer], addresses), _exchanger(mail)),
            reachable=MAIL_SMTP in open_ports,
        ),
        Section("Who may send in the commune's name, and what becomes of forgeries.", _sender_policies(site, mail)),
        Section("What the commune's mail is signed with.", tuple(_signatures(mail, dkim))),
        Section(
            "Mail for the commune comes encrypted. The policy is read only where the world believes its certificate.",
            (*_hosts([sts], addresses), *_sts_policy(mail)),
            reachable=WEBMAIL in open_ports,
        ),
        *_programs(mail, server, addresses),
        Section(
            "Not for this zone: the provider of each line sets which name its address has.",
            tuple(Record(one.reverse_pointer, "PTR", f"{mailer}.") for one in addresses),
            by="provider",
        ),
    )


def sts_policy(mail: SiteMail) -> str:
    """The text of `/.well-known/mta-sts.txt` (RFC 8461).

    Testing, not enforced: what is served with the commune's own certificate nobody outside reads, and what was read
    once, under another certificate, must not keep mail away.
    """
    return f"version: STSv1\r\nmode: testing\r\nmx: {mail.host_names[0]}\r\nmax_age: {STS_MAX_AGE}\r\n"


def _exchanger(mail: SiteMail) -> Record:
    return Record(mail.domain, "MX", f"10 {mail.host_names[0]}.")


def _hosts(names: list[str], addresses: tuple[IPv4Address, ...]) -> tuple[Record, ...]:
    return tuple(Record(name, "A", str(address)) for name in names for address in addresses)


def _sender_policies(site: Site, mail: SiteMail) -> tuple[Record, ...]:
    senders = [f"ip4:{address}" for address in map(public_address, site.uplinks) if address]
    if mail.smarthost:
        senders.append(f"a:{mail.smarthost.host}")
    return (
        Record(mail.domain, "TXT", " ".join(["v=spf1", *senders, "-all"])),
        # The host's own name, with which it introduces itself, sends nothing but notices of failure.
        Record(mail.host_names[0], "TXT", " ".join(["v=spf1", *senders, "-all"])),
        Record(
            f"_dmarc.{mail.domain}",
            "TXT",
            f"v=DMARC1; p={mail.dmarc}; adkim=s; aspf=s; rua=mailto:{mail.address('postmaster')}",
        ),
    )


def _signatures(mail: SiteMail, dkim: Mapping[str, str]) -> Iterator[Record]:
    for selector, key in dkim.items():
        yield Record(f"{selector}._domainkey.{mail.domain}", "TXT", f"v=DKIM1; k=rsa; s=email; p={key}")


def _sts_policy(mail: SiteMail) -> tuple[Record, ...]:
    version = hashlib.sha256(sts_policy(mail).encode()).hexdigest()[:20]
    return (
        Record(f"_mta-sts.{mail.domain}", "TXT", f"v=STSv1; id={version}"),
        Record(f"_smtp._tls.{mail.domain}", "TXT", f"v=TLSRPTv1; rua=mailto:{mail.address('postmaster')}"),
    )


def _programs(mail: SiteMail, server: SiteMachine, addresses: tuple[IPv4Address, ...]) -> Iterator[Section]:
    web = next((port for port in server.ports if port.purpose == WEBMAIL), None)
    if web is not None:
        hosts = _hosts(list(mail.host_names[1:3]), addresses)
        about = "Programs outside find their settings by the address alone."
        yield Section(about, (*hosts, *_service(mail, web)), reachable=web.from_outside)
    found = [port for port in server.ports if port.purpose in SERVICE_NAMES and port is not web]
    for reachable in (True, False):
        records = [record for port in found if port.from_outside is reachable for record in _service(mail, port)]
        if records:
            yield Section("Programs outside find the servers.", tuple(records), reachable=reachable)


def _service(mail: SiteMail, port: SitePort) -> tuple[Record, ...]:
    if port.purpose not in SERVICE_NAMES:
        return ()
    target = f"0 1 {port.number} {mail.host_names[0]}."
    return (Record(f"{SERVICE_NAMES[port.purpose]}.{mail.domain}", "SRV", target),)


def _not_offered(mail: SiteMail) -> Iterator[Record]:
    return (Record(f"{name}.{mail.domain}", "SRV", "0 0 0 .") for name in NOT_OFFERED)


def public_address(uplink: SiteUplink) -> IPv4Address | None:
    """By which address the world reaches the commune on this line, as far as the inventory says so."""
    fixed = IPv4Interface(uplink.address).ip if uplink.address else None
    return uplink.public or fixed


def _public_addresses(site: Site) -> tuple[IPv4Address, ...]:
    found = tuple(dict.fromkeys(address for address in map(public_address, site.uplinks) if address))
    if not found:
        names = " or ".join(uplink.name for uplink in site.uplinks) or "a line"
        raise UnknownAddressError(
            "none of the uplinks says by which address the world reaches the commune, so there is nothing that an MX "
            f"record could name; ask the provider of {names} for a fixed address and write it there as `public`"
        )
    return found
