"""What is refused in a commune's mail although every field on its own is right."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from deploy.inventory.mail import loops, targets
from deploy.inventory.models import MailWritten
from deploy.inventory.problems import Problem, allowed
from deploy.inventory.role import Kind, Purpose
from deploy.inventory.site import MAIL_LABELS
from deploy.inventory.zones import purpose_of

if TYPE_CHECKING:
    from deploy.inventory.rules import Draft
    from deploy.inventory.yaml_source import Steps

MAIL = ("services", "mail")
ONLY_LOCAL = ("server", "domain", "postmaster", "shared", "aliases", "lists", "smarthost")


def check_mail(draft: Draft) -> Iterator[Problem]:
    """All that is wrong in `services.mail`, and in `people` for its sake."""
    mail = draft.file.services.mail
    if mail is None:
        return
    if mail.mode == "province":
        yield from _not_local(draft)
        return
    yield from _server(draft, mail)
    yield from _taken_names(draft, mail)
    yield from _local_parts(draft, mail)
    yield from _shadows(draft, mail)
    if not any(place[0] in {"people", "services"} for place in draft.cut):
        yield from _targets(draft, mail)
        yield from _loops(draft, mail)
        yield from _nobody(draft, mail)


def check_mail_domain(draft: Draft, province_domain: str) -> Iterator[Problem]:
    """Mail is the commune's: its domain, or one below it."""
    mail = draft.file.services.mail
    own = f"{draft.slug}.{province_domain}"
    if mail is None or mail.domain is None or mail.domain == own or mail.domain.endswith(f".{own}"):
        return
    message = f"services.mail.domain: '{mail.domain}' is not this commune's; allowed: {own}, or a domain below it"
    yield draft.problem((*MAIL, "domain"), f"{message}; leave it out for {own}")


def _not_local(draft: Draft) -> Iterator[Problem]:
    written = draft.source.data["services"]["mail"]
    for field in ONLY_LOCAL:
        if field in written and (*MAIL, field) not in draft.cut:
            line = draft.source.key_line((*MAIL, field))
            yield Problem(draft.source.file, line, f"services.mail: '{field}' is only for mode local")


def _server(draft: Draft, mail: MailWritten) -> Iterator[Problem]:
    at = (*MAIL, "server")
    servers = [name for name, machine in draft.file.machines.items() if machine.kind is Kind.SERVER]
    if mail.server is None:
        if at not in draft.cut:
            message = f"services.mail is local, but has no 'server'{allowed('', servers)}"
            yield Problem(draft.source.file, draft.source.key_line(MAIL), message)
    elif mail.server not in draft.names("machines"):
        message = f"services.mail.server: there is no machine '{mail.server}'{allowed(mail.server, servers)}"
        yield draft.problem(at, message)
    elif mail.server in draft.file.machines:
        machine = draft.file.machines[mail.server]
        if machine.kind is not Kind.SERVER:
            message = f"services.mail.server: {mail.server} is of kind {machine.kind}, not server"
            yield draft.problem(at, message + allowed(mail.server, servers))
        else:
            yield from _server_zone(draft, mail.server, machine.zone)


def _server_zone(draft: Draft, server: str, name: str | None) -> Iterator[Problem]:
    fit = [
        zone
        for zone, each in draft.file.zones.items()
        if purpose_of(zone, each.purpose, guest=each.guest) is Purpose.SERVER
    ]
    if name in draft.file.zones and name not in fit:
        message = f"services.mail.server: {server} stands in zone {name}, which is not for servers{allowed('', fit)}"
        yield draft.problem((*MAIL, "server"), f"{message}; move it there, or name another machine")


def _taken_names(draft: Draft, mail: MailWritten) -> Iterator[Problem]:
    """Programs look for the mail machine under these names; another machine's would lead them there."""
    if mail.domain is not None and mail.domain.partition(".")[0] != draft.slug:
        return  # mail below the commune's own domain: its names are not those of machines
    for name in draft.names("machines"):
        if name in MAIL_LABELS and name != mail.server:
            line = draft.source.key_line(("machines", name))
            message = f"no machine can be named '{name}': programs look for the commune's mail under that name"
            yield Problem(draft.source.file, line, f"{message}; rename it")


def _local_parts(draft: Draft, mail: MailWritten) -> Iterator[Problem]:
    """What a pattern cannot say: mail systems refuse addresses with dots beside each other or at an end."""
    for place, name in _names(draft, mail):
        if ".." in name or name.endswith("."):
            yield draft.problem(place, f"'{name}' makes no mail address: a dot stands between two other characters")


def _names(draft: Draft, mail: MailWritten) -> Iterator[tuple[Steps, str]]:
    for index, person in zip(draft.listed("people"), draft.file.people, strict=True):
        if person.mailbox:
            yield ("people", index, "login"), person.login
    for section in ("shared", "aliases", "lists"):
        for name in getattr(mail, section):
            yield (*MAIL, section, name), name


def _shadows(draft: Draft, mail: MailWritten) -> Iterator[Problem]:
    """An address that two things want: mail would reach one of them and be missed by the other."""
    what = {"shared": "shared mailbox", "aliases": "alias", "lists": "list"}
    owners: dict[str, tuple[str, Steps]] = {}
    for index, person in zip(draft.listed("people"), draft.file.people, strict=True):
        if person.mailbox:
            owners.setdefault(person.login, (f"{person.name}'s mailbox", ("people", index, "login")))
    for section, word in what.items():
        for name in getattr(mail, section):
            place = (*MAIL, section, name)
            if name in owners:
                owner, where = owners[name]
                line = draft.source.line(where)
                message = f"{word} '{name}' hides {owner} (line {line}); take another name for one"
                yield Problem(draft.source.file, draft.source.key_line(place), message)
            owners.setdefault(name, (f"the {word} '{name}'", place))


def _targets(draft: Draft, mail: MailWritten) -> Iterator[Problem]:
    everything = [*_mailboxes(draft), *mail.shared, *mail.lists, *mail.aliases]
    for name, box in mail.shared.items():
        yield from _known(draft, (*MAIL, "shared", name, "members"), box.members, _mailboxes(draft))
    for name, alias in mail.aliases.items():
        yield from _known(draft, (*MAIL, "aliases", name), alias, everything)
        if not alias:
            yield draft.problem((*MAIL, "aliases", name), f"alias '{name}' stands for nobody; name a login or more")
    for name, each in mail.lists.items():
        yield from _known(draft, (*MAIL, "lists", name, "members"), each.members, everything)
    if mail.postmaster is not None:
        yield from _known(draft, (*MAIL, "postmaster"), (mail.postmaster,), everything, listed=False)


def _known(
    draft: Draft, place: Steps, names: Iterable[str], known: list[str], *, listed: bool = True
) -> Iterator[Problem]:
    people = {person.login: person for person in draft.file.people}
    for index, name in enumerate(names):
        if name in known:
            continue
        where = ".".join(str(step) for step in place)
        at = (*place, index) if listed else place
        if "@" in name:
            message = f"'{name}' is a whole address; name a login, and for mail that is to leave the commune a filter"
        elif name in people:
            message = f"{people[name].name} ({name}) has no mailbox; add 'mailbox: true', or take the name out"
        else:
            message = f"nobody has '{name}'{allowed(name, known)}"
        yield draft.problem(at, f"{where}: {message}")


def _mailboxes(draft: Draft) -> list[str]:
    return [person.login for person in draft.file.people if person.mailbox]


def _loops(draft: Draft, mail: MailWritten) -> Iterator[Problem]:
    for circle in loops(targets(mail, draft.file.people)):
        section = "aliases" if circle[0] in mail.aliases else "lists"
        place: Steps = (*MAIL, section, circle[0]) if circle[0] in getattr(mail, section) else (*MAIL, "postmaster")
        message = f"mail to '{circle[0]}' would go round for ever: {' → '.join(circle)}; take one of them out"
        yield Problem(draft.source.file, draft.source.key_line(place), message)


def _nobody(draft: Draft, mail: MailWritten) -> Iterator[Problem]:
    if not _mailboxes(draft) and mail.postmaster is None:
        message = "services.mail is local, but nobody in 'people' has 'mailbox: true': nobody would get its mail"
        yield Problem(draft.source.file, draft.source.key_line(MAIL), message)
