"""The commune's mail addresses: from what people wrote to every mailbox, alias and list."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from deploy.inventory.models import CommuneFile, MailWritten, PersonWritten, ProvinceFile
from deploy.inventory.site import SiteAlias, SiteMail, SiteMailbox, SiteMailList, Smarthost

POSTMASTER = ("postmaster", "abuse", "hostmaster", "webmaster", "root")
"""Addresses that somebody has to read (RFC 2142), and where machines write to."""


def mail_of(written: CommuneFile, province: ProvinceFile, commune_domain: str) -> SiteMail | None:
    """The mail of a commune that `rules` found nothing wrong in; None where the inventory says nothing of mail."""
    mail = written.services.mail
    if mail is None:
        return None
    if mail.mode == "local":
        return _local(mail, written.people, mail.domain or commune_domain)
    upstream = province.upstream.mail
    if upstream is None:
        return None
    return SiteMail(mode="province", domain=upstream.domain, imap=upstream.imap, submission=upstream.submission)


def members_of(steps: Mapping[str, Sequence[str]], name: str) -> tuple[str, ...]:
    """The mailboxes that mail to a local part ends up in, each once; `steps` as `targets` gives them."""
    return tuple(dict.fromkeys(_ends(steps, name, ())))


def targets(mail: MailWritten, people: Sequence[PersonWritten]) -> dict[str, tuple[str, ...]]:
    """What each alias and list stands for, one step; a list without members for everybody."""
    everybody = tuple(person.login for person in people if person.mailbox)
    lists = {name: each.members or everybody for name, each in mail.lists.items()}
    return {**mail.aliases, **lists, **_postmaster(mail, everybody)}


def loops(steps: Mapping[str, Sequence[str]]) -> Iterator[tuple[str, ...]]:
    """Every circle of names once, from the name in it that is written first: `(a, b, a)`."""
    done: set[str] = set()
    for start in steps:
        trail = [start]
        if start not in done and (circle := _circle(steps, trail, done)):
            yield circle
            done.update(circle)
        done.add(start)


def _circle(steps: Mapping[str, Sequence[str]], trail: list[str], done: set[str]) -> tuple[str, ...] | None:
    for name in steps.get(trail[-1], ()):
        if name in trail:
            return (*trail[trail.index(name) :], name)
        if name not in done and (found := _circle(steps, [*trail, name], done)):
            return found
    done.add(trail[-1])
    return None


def _ends(steps: Mapping[str, Sequence[str]], name: str, trail: tuple[str, ...]) -> Iterator[str]:
    if name not in steps:
        yield name
    elif name not in trail:
        for target in steps[name]:
            yield from _ends(steps, target, (*trail, name))


def _postmaster(mail: MailWritten, everybody: Sequence[str]) -> dict[str, tuple[str, ...]]:
    to = mail.postmaster or next(iter(everybody), None)
    taken = {*mail.aliases, *mail.shared, *mail.lists, *everybody}
    return {name: (to,) for name in POSTMASTER if name not in taken} if to else {}


def _local(mail: MailWritten, people: Sequence[PersonWritten], domain: str) -> SiteMail:
    steps = targets(mail, people)
    aliases = [name for name in steps if name not in mail.lists]
    return SiteMail(
        mode="local",
        domain=domain,
        imap=f"mail.{domain}",
        submission=f"mail.{domain}",
        server=mail.server,
        mailboxes=(*_personal(mail, people), *_shared(mail)),
        aliases=tuple(SiteAlias(name=name, to=members_of(steps, name)) for name in aliases),
        lists=tuple(
            SiteMailList(name=name, title=each.name, members=members_of(steps, name), senders=each.senders)
            for name, each in mail.lists.items()
        ),
        smarthost=mail.smarthost and Smarthost(**mail.smarthost.model_dump()),
        dmarc=mail.dmarc,
        selectors=mail.selectors,
    )


def _personal(mail: MailWritten, people: Sequence[PersonWritten]) -> Iterator[SiteMailbox]:
    for person in people:
        if person.mailbox:
            yield SiteMailbox(login=person.login, name=person.name, quota=person.quota or mail.quota)


def _shared(mail: MailWritten) -> Iterator[SiteMailbox]:
    for login, box in mail.shared.items():
        yield SiteMailbox(login=login, name=box.name, quota=box.quota or mail.quota, members=box.members)
