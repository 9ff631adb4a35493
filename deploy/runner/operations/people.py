"""Who signs in to a machine: an account each, without admin rights; who has left is locked out and keeps the home."""

from __future__ import annotations

import shlex
from collections.abc import Generator, Mapping
from dataclasses import dataclass
from typing import Unpack

from deploy.runner.operations.script import Arguments, Reason, Script
from deploy.runner.pyinfra_api import FactBase, OperationMeta, StringCommand, host, operation

ADMIN_GROUPS = frozenset(
    {
        *(
            "adm",
            "disk",
            "docker",
            "kmem",
            "kvm",
            "libvirt",
            "lpadmin",
            "lxd",
            "netdev",
            "operator",
            "root",
            "shadow",
        ),
        *("staff", "sudo", "systemd-journal"),
    }
)
"""Groups of Debian whose members can change the machine for others, or read what is others'."""
_FIRST_UID = 1000
_EXPIRED = 1
"""In days since 1970: an account that has ended, whatever way somebody signs in."""


def people(group: str, wanted: Mapping[str, str], **arguments: Unpack[Arguments]) -> OperationMeta:
    """Make exactly these be the people of the machine: full names by login.

    Each has an account with a home, in `group` and in no group of `ADMIN_GROUPS`. An account of the group that is not
    wanted any more is locked, with all that is in its home. Passwords are `console_password`'s.
    """
    arguments.setdefault("name", "People who sign in here")
    return _people(group=group, wanted=dict(wanted), **arguments)


@dataclass(frozen=True)
class Person:
    """What the machine knows of an account."""

    uid: int
    name: str
    expired: bool
    groups: frozenset[str]


@dataclass(frozen=True)
class PeopleState:
    """The group, and everybody in it or asked for."""

    has_group: bool = False
    members: frozenset[str] = frozenset()
    accounts: tuple[tuple[str, Person], ...] = ()


class PeopleFact(FactBase[PeopleState]):
    """Members of the group, and what is known of them and of these logins."""

    def command(self, group: str, logins: tuple[str, ...]) -> str:
        """Lines `group MEMBER,…`, then for each account `LOGIN:UID:EXPIRES:GROUPS:NAME`."""
        asked = " ".join(shlex.quote(login) for login in logins)
        return (
            f'if found=$(getent group -- {shlex.quote(group)}); then echo "group ${{found##*:}}"; fi; '
            f"for one in $(echo \"${{found##*:}}\" | tr , ' ') {asked}; do "
            'entry=$(getent passwd -- "$one") || continue; '
            'echo "$one:$(id -u -- "$one"):$(getent shadow -- "$one" | cut -d: -f8):$(id -nG -- "$one")'
            ':$(echo "$entry" | cut -d: -f5 | cut -d, -f1)"; done'
        )

    @staticmethod
    def default() -> PeopleState:
        """Nobody."""
        return PeopleState()

    def process(self, output: list[str]) -> PeopleState:
        """Parse it."""
        groups = [line.removeprefix("group ") for line in output if line.startswith("group ")]
        rows = [line.split(":", 4) for line in output if line.count(":") >= 4]
        return PeopleState(
            has_group=bool(groups),
            members=frozenset(login for line in groups for login in line.split(",") if login),
            accounts=tuple(
                (login, Person(int(uid), name, expires == str(_EXPIRED), frozenset(their_groups.split())))
                for login, uid, expires, their_groups, name in {row[0]: row for row in rows}.values()
            ),
        )


@operation()
def _people(group: str, wanted: dict[str, str]) -> Generator[StringCommand, None, None]:
    now = host.get_fact(PeopleFact, group=group, logins=tuple(wanted))
    accounts = dict(now.accounts)
    if not now.has_group:
        yield StringCommand(f"groupadd --system -- {shlex.quote(group)}")
    for login, name in wanted.items():
        yield from _wanted(group, login, _as_comment(name), accounts.get(login))
    for login in sorted(now.members - set(wanted)):
        if login in accounts and not accounts[login].expired:
            yield StringCommand(f"usermod --lock --expiredate {_EXPIRED} -- {shlex.quote(login)}")


def _wanted(group: str, login: str, comment: str, now: Person | None) -> Generator[StringCommand, None, None]:
    quoted, about = shlex.quote(login), shlex.quote(comment)
    if now is None:
        made = f"useradd --create-home --key HOME_MODE=0700 --shell /bin/bash --comment {about}"
        yield StringCommand(f"{made} --groups {shlex.quote(group)} -- {quoted}")
        return
    if now.uid < _FIRST_UID:
        yield _refused(login, now.uid)
        return
    changes = [f"--comment {about}"] if now.name != comment else []
    changes += [f"--append --groups {shlex.quote(group)}"] if group not in now.groups else []
    changes += ["--expiredate ''"] if now.expired else []
    if changes:
        yield StringCommand(f"usermod {' '.join(changes)} -- {quoted}")
    for rights in sorted(now.groups & ADMIN_GROUPS):
        yield StringCommand(f"gpasswd --delete {quoted} {shlex.quote(rights)}")


def _as_comment(name: str) -> str:
    """A name as the passwd file has room for it: its own separators are not for names."""
    return " ".join(name.replace(":", " ").replace(",", " ").split())


def _refused(login: str, uid: int) -> Script:
    return Script(
        "exit 1",
        summary=f"refuse {login}",
        explain=lambda _: Reason(
            f"{login} is an account of the machine's own (uid {uid}), not a person's",
            "Give the person another login in commune.yaml (people[].login).",
        ),
    )
