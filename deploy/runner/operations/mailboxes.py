"""Mail accounts in a passwd-like file, and mailboxes that outlive them."""

from __future__ import annotations

import base64
import shlex
from collections.abc import Generator, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Unpack

from deploy.inventory.mailboxes import LOCKED
from deploy.runner.operations.accounts import BCRYPT, hash_of, matches
from deploy.runner.operations.files import DirectoryFact
from deploy.runner.operations.script import Arguments, Reason, Script
from deploy.runner.pyinfra_api import FactBase, OperationMeta, StringCommand, host, operation

_ROUNDS = 10
"""Of bcrypt, as a power of two; the C library's own five are of another century."""
_NO_PASSWORD = "*"  # noqa: S105 - what stands where no password opens an account


@dataclass(frozen=True)
class MailAccount:
    """A line of the file."""

    address: str
    password: str | None = field(repr=False)
    """In clear; None: nobody logs in with it."""
    fields: str = ""
    """What stands at the end of the line, as Dovecot's passwd-file has it."""


def mail_accounts(
    path: str, accounts: Iterable[MailAccount], *, group: str, **arguments: Unpack[Arguments]
) -> OperationMeta:
    """Make a file in Dovecot's passwd-file form have exactly these accounts, with bcrypt hashes of their passwords.

    A hash that is there is kept as long as it is that of the password, so that nothing changes where nothing has to.
    """
    arguments.setdefault("name", f"Mail accounts in {path}")
    return _mail_accounts(path=path, accounts=tuple(accounts), group=group, **arguments)


def mail_folders(folder: str, logins: Iterable[str], *, user: str, **arguments: Unpack[Arguments]) -> OperationMeta:
    """Make every login have a folder of its own for its mail, and mark those of others as locked; none is removed."""
    arguments.setdefault("name", f"Mailboxes in {folder}")
    return _mail_folders(folder=folder, logins=tuple(logins), user=user, **arguments)


def system_account(name: str, home: str, /, **arguments: Unpack[Arguments]) -> OperationMeta:
    """Make an account be there that owns files and that nobody logs in with; its home is made too, for it alone."""
    arguments.setdefault("name", f"Account {name}")
    return _system_account(account=name, home=home, **arguments)


class HashesFact(FactBase[str]):
    """The text of the file with its hashes; empty where there is none, or where others may read it."""

    def command(self, path: str, group: str) -> str:
        """One shell command."""
        quoted = shlex.quote(path)
        owner = f"640:root:{group}"
        return f'if [ "$(stat -c %a:%U:%G -- {quoted} 2>/dev/null)" = {owner} ]; then base64 -w0 -- {quoted}; fi'

    @staticmethod
    def default() -> str:
        """Nothing."""
        return ""

    def process(self, output: list[str]) -> str:
        """Parse it."""
        return base64.b64decode("".join(output)).decode(errors="replace")


@dataclass(frozen=True)
class Folders:
    """The mailboxes of a folder by name."""

    open: frozenset[str] = frozenset()
    locked: frozenset[str] = frozenset()


class FoldersFact(FactBase[Folders]):
    """Which mailboxes there are, and which of them are locked."""

    def command(self, folder: str) -> str:
        """One shell command."""
        return (
            f'cd {shlex.quote(folder)} 2>/dev/null || exit 0; for one in *; do [ -d "$one" ] || continue; '
            f'if [ -e "$one/{LOCKED}" ]; then echo "locked $one"; else echo "open $one"; fi; done'
        )

    @staticmethod
    def default() -> Folders:
        """None."""
        return Folders()

    def process(self, output: list[str]) -> Folders:
        """Parse it."""
        found = [line.partition(" ")[::2] for line in output]
        return Folders(
            frozenset(name for state, name in found if state == "open"),
            frozenset(name for state, name in found if state == "locked"),
        )


_WRITE = """\
set -eu
path={path}
umask 077
new=$(mktemp -- "$path.XXXXXX")
trap 'rm -f -- "$new"' EXIT
trap 'exit 1' HUP INT TERM
base64 -d >"$new"
chown root:{group} -- "$new"
chmod 0640 -- "$new"
sync -- "$new"
mv -T -f -- "$new" "$path"
"""
_MAKE = """\
set -eu
for login in {logins}; do
    install -d -m 0700 -o {user} -g {user} -- {folder}/"$login"
    rm -f -- {folder}/"$login"/{locked}
done
"""
_LOCK = """\
set -eu
for login in {logins}; do
    touch -- {folder}/"$login"/{locked}
    doveadm kick -f "$login@*" >/dev/null 2>&1 || true
done
"""


@operation()
def _mail_accounts(path: str, accounts: tuple[MailAccount, ...], group: str) -> Generator[StringCommand, None, None]:
    before = host.get_fact(HashesFact, path=path, group=group)
    known = _hashes(before)
    after = "".join(_line(account, known.get(account.address, "")) for account in accounts)
    if after != before:
        yield Script(
            _WRITE.format(path=shlex.quote(path), group=shlex.quote(group)),
            summary=f"write {path}: {_difference(before, after)}",
            explain=lambda output: Reason(f"the mail accounts in {path} could not be written"),
            _stdin=base64.b64encode(after.encode()).decode(),
        )


@operation()
def _mail_folders(folder: str, logins: tuple[str, ...], user: str) -> Generator[StringCommand, None, None]:
    now = host.get_fact(FoldersFact, folder=folder)
    if missing := sorted(set(logins) - now.open):
        script = _MAKE.format(logins=_quoted(missing), user=user, folder=shlex.quote(folder), locked=LOCKED)
        yield Script(script, summary=f"make the mailboxes of {', '.join(missing)}")
    if gone := sorted(now.open - set(logins)):
        script = _LOCK.format(logins=_quoted(gone), folder=shlex.quote(folder), locked=LOCKED)
        yield Script(
            script,
            summary=f"lock the mailboxes of {', '.join(gone)}: no longer in the inventory; their mail is kept",
        )


@operation()
def _system_account(account: str, home: str) -> Generator[StringCommand, None, None]:
    quoted = shlex.quote(account)
    if not host.get_fact(SystemAccountFact, account_name=account):
        yield StringCommand(
            f"useradd --system --user-group --no-create-home --home-dir {shlex.quote(home)} --shell /usr/sbin/nologin"
            f" -- {quoted}"
        )
    now = host.get_fact(DirectoryFact, path=home)
    if now is None or (now.mode, now.owner, now.group) != ("700", account, account):
        yield StringCommand(f"install -d -m 0700 -o {quoted} -g {quoted} -- {shlex.quote(home)}")


class SystemAccountFact(FactBase[bool]):
    """Whether the account is there."""

    def command(self, account_name: str) -> str:
        """One shell command."""
        return f"getent passwd -- {shlex.quote(account_name)} || true"

    @staticmethod
    def default() -> bool:
        """It is not."""
        return False

    def process(self, output: list[str]) -> bool:
        """Parse it."""
        return bool(output)


def _hashes(text: str) -> dict[str, str]:
    entries = (line.split(":", 2) for line in text.splitlines())
    return {entry[0]: entry[1].removeprefix("{CRYPT}") for entry in entries if len(entry) > 2}


def _line(account: MailAccount, known: str) -> str:
    if account.password is None:
        hashed = _NO_PASSWORD
    elif matches(account.password, known):
        hashed = known
    else:
        hashed = hash_of(account.password, BCRYPT, _ROUNDS)
    return f"{account.address}:{{CRYPT}}{hashed}::::::{account.fields}\n"


def _difference(before: str, after: str) -> str:
    old, new = _by_address(before), _by_address(after)
    words = [f"+{name}" for name in new if name not in old]
    words += [f"-{name}" for name in old if name not in new]
    words += [f"~{name}" for name in new if name in old and old[name] != new[name]]
    return ", ".join(words) or "in another order"


def _by_address(text: str) -> dict[str, str]:
    return {line.partition(":")[0]: line for line in text.splitlines()}


def _quoted(names: Sequence[str]) -> str:
    return " ".join(shlex.quote(name) for name in names)
