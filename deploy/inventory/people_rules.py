"""What is refused in the machines of `people` although every field on its own is right."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from deploy.inventory.models import PersonWritten
from deploy.inventory.problems import Problem, allowed
from deploy.inventory.role import DESKS

if TYPE_CHECKING:
    from deploy.inventory.rules import Draft

_BASE = (
    "root daemon bin sys sync games man lp mail news uucp proxy www-data backup list irc gnats nobody adm tty disk"
    " kmem dialout fax voice cdrom floppy tape sudo audio dip operator src shadow utmp video sasl plugdev staff users"
    " nogroup"
)
"""Of Debian's base-passwd: accounts, and groups, for an account brings a group of its name."""
_PACKAGES = (
    "_apt _chrony _rspamd avahi clamav colord crontab debian-spamd dnsmasq dovecot dovenull fwupd-refresh geoclue"
    " input kvm lightdm lpadmin messagebus netdev pcscd polkitd postdrop postfix pulse redis render rtkit saned"
    " scanner sgx sshd ssl-cert statd systemd-coredump systemd-journal systemd-network systemd-resolve"
    " systemd-timesync tcpdump tss unbound usbmux uuidd vmail xrdp"
)
"""Of packages that machines have or may get."""
_OURS = "lienxa lienxa-kiosk lienxa-people lienxa-room"
SYSTEM_ACCOUNTS = frozenset(f"{_BASE} {_PACKAGES} {_OURS}".split())
"""Names that Debian, its packages or lienxa have on a machine already."""


def check_people(draft: Draft) -> Iterator[Problem]:
    """Machines that are not there or are nobody's desk, and logins that a machine has for itself."""
    for index, person in _with_machines(draft):
        yield from _machines(draft, index, person)
        if person.login in SYSTEM_ACCOUNTS:
            message = f"{person.name}: '{person.login}' is an account of the system's own on every machine"
            yield draft.problem(("people", index, "login"), f"{message}; give this person another login")


def check_support_login(draft: Draft, support: str) -> Iterator[Problem]:
    """Who signs in to a machine must not do so as the engineers' own account."""
    for index, person in _with_machines(draft):
        if person.login == support:
            message = f"{person.name}: '{support}' is the engineers' account (support.user in province.yaml)"
            yield draft.problem(("people", index, "login"), f"{message}; give this person another login")


def _with_machines(draft: Draft) -> Iterator[tuple[int, PersonWritten]]:
    for index, person in zip(draft.listed("people"), draft.file.people, strict=True):
        if person.machines:
            yield index, person


def _machines(draft: Draft, index: int, person: PersonWritten) -> Iterator[Problem]:
    machines = draft.file.machines
    desks = [name for name, machine in machines.items() if machine.kind in DESKS]
    for number, name in enumerate(person.machines):
        at = ("people", index, "machines", number)
        if name not in draft.names("machines"):
            yield draft.problem(at, f"{person.name}: there is no machine '{name}'{allowed(name, desks)}")
        elif name in person.machines[:number]:
            yield draft.problem(at, f"{person.name}: machine {name} is named twice; take one out")
        elif name in machines and name not in desks:
            message = f"{person.name}: {name} is of kind {machines[name].kind}; nobody signs in there"
            yield draft.problem(at, f"{message}{allowed('', desks)}")
