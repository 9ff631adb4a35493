"""What mail programs have to know: where the servers are, who is who, how a letter is signed."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from html import escape

from deploy.inventory.site import MAIL_IMAP, MAIL_SUBMISSION, Site, SiteMail, SitePerson

PROVINCE_PORTS = {MAIL_IMAP: 993, MAIL_SUBMISSION: 465}
"""Of the province's servers, which no card of ours speaks of."""
COMMITTEE = "Ủy ban nhân dân"
FONT = "font-family: 'Times New Roman', serif; font-size: 13pt; color: #000000"
"""Decree 30/2020, appendix I, section I: Times New Roman, black, 13 to 14 points."""


@dataclass(frozen=True)
class Server:
    """Where a program connects, TLS from the first byte."""

    host: str
    port: int


@dataclass(frozen=True)
class Contact:
    """An entry of the commune's address book."""

    name: str
    address: str
    title: str | None = None
    department: str | None = None
    phone: str | None = None


def imap_of(site: Site) -> Server:
    """The server that mail is read from."""
    return Server(_mail(site).imap, _port(site, MAIL_IMAP))


def submission_of(site: Site) -> Server:
    """The server that mail is sent through."""
    return Server(_mail(site).submission, _port(site, MAIL_SUBMISSION))


def organ(site: Site) -> str:
    """The commune's authority, as it is written in a sentence: Ủy ban nhân dân xã Mẫu."""
    kind, _, name = site.commune.name.partition(" ")
    return _composed(f"{COMMITTEE} {kind.lower()} {name}")


def book_name(site: Site) -> str:
    """The commune's address book: Danh bạ xã Mẫu."""
    kind, _, name = site.commune.name.partition(" ")
    return _composed(f"Danh bạ {kind.lower()} {name}")


def contacts(site: Site) -> tuple[Contact, ...]:
    """Everybody with a mailbox, then the offices' and the lists' addresses."""
    mail = _mail(site)
    people = (
        Contact(_composed(one.name), mail.address(one.login), one.title, one.department, one.phone)
        for one in site.people
        if one.mailbox
    )
    offices = (Contact(_composed(box.name), mail.address(box.login)) for box in mail.mailboxes if box.shared)
    lists = (Contact(_composed(one.title), mail.address(one.name)) for one in mail.lists)
    return (*people, *offices, *lists)


def signature(site: Site, person: SitePerson) -> tuple[str, ...]:
    """The lines below a letter, as Decree 30/2020 orders them: office held, name, whose letter it is, how to answer.

    The office is in capitals, the name is not and has no degree before it; whoever works in a department has the
    authority above it in capitals.
    """
    lines = (
        person.title and person.title.upper(),
        person.name,
        organ(site).upper(),
        person.department and person.department.upper(),
        person.phone and f"Điện thoại: {person.phone}",
        f"Thư điện tử: {_mail(site).address(person.login)}",
    )
    return tuple(_composed(line) for line in lines if line)


def signature_html(site: Site, person: SitePerson) -> str:
    """The same in the decree's typeface: office, name and the nearest authority in bold."""
    bold = {_composed(text.upper()) for text in (person.title, person.department or organ(site)) if text}
    bold.add(_composed(person.name))
    lines = (
        f"<b>{escape(line)}</b>" if line in bold else escape(line, quote=False) for line in signature(site, person)
    )
    return f'<div style="{FONT}">{"<br>".join(lines)}</div>'


def _mail(site: Site) -> SiteMail:
    assert site.mail is not None, "asked for by roles of a commune with mail"
    return site.mail


def _port(site: Site, purpose: str) -> int:
    mail = _mail(site)
    if mail.server is None:
        return PROVINCE_PORTS[purpose]
    return next(port.number for port in site.machine(mail.server).ports if port.purpose == purpose)


def _composed(text: str) -> str:
    """In composed Unicode (TCVN 6909:2001, as the decree wants it): one character for one letter."""
    return unicodedata.normalize("NFC", text)
