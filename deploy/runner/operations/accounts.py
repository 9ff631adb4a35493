"""The support account: there, in its groups, with exactly the site's keys, and with a password for the keyboard."""

from __future__ import annotations

import base64
import ctypes
import grp
import hmac
import os
import pwd
import shlex
from collections.abc import Generator, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Unpack

from deploy.runner.operations.script import Arguments, Reason, Script
from deploy.runner.pyinfra_api import FactBase, OperationMeta, StringCommand, host, operation
from deploy.runner.question import Question

YESCRYPT = b"$y$"
BCRYPT = b"$2b$"


def account(
    user: str,
    *,
    groups: Iterable[str] = (),
    uid: int | None = None,
    comment: str = "lienxa support",
    **arguments: Unpack[Arguments],
) -> OperationMeta:
    """Make an account be there, with a home and in these groups too; other groups of its own stay.

    `uid` and `comment` are for an account that is made now; one that is there keeps its own.
    """
    arguments.setdefault("name", f"Account {user}")
    return _account(user=user, groups=tuple(groups), uid=uid, comment=comment, **arguments)


def authorized_keys(user: str, keys: Iterable[str], **arguments: Unpack[Arguments]) -> OperationMeta:
    """Make exactly these public keys open the account; others are removed."""
    arguments.setdefault("name", f"Keys of {user}")
    return _authorized_keys(user=user, keys=tuple(keys), **arguments)


def console_password(user: str, password: str, **arguments: Unpack[Arguments]) -> OperationMeta:
    """Make this be the account's password.

    It is compared with the hash that the machine has, here in memory; only a hash ever goes to the machine, on a
    command's standard input.
    """
    arguments.setdefault("name", f"Console password of {user}")
    return _console_password(user=user, password=_Hidden(password), **arguments)


@dataclass(frozen=True)
class AccountState:
    """What the machine knows of an account."""

    home: str
    groups: frozenset[str]


class AccountFact(FactBase[AccountState | None]):
    """The account with its groups; None where there is none."""

    def command(self, account_name: str) -> Question:
        """One shell command, or none."""
        quoted = shlex.quote(account_name)
        return Question(
            f"if getent passwd -- {quoted}; then id -nG -- {quoted}; fi", here=partial(_account_here, account_name)
        )

    def process(self, output: list[str]) -> AccountState | None:
        """Parse it."""
        if len(output) < 2:
            return None
        return AccountState(home=output[0].split(":")[5], groups=frozenset(output[1].split()))


def _account_here(name: str) -> str:
    """What AccountFact's command prints. Raises OSError where a group has no name: `id` has words for that."""
    try:
        found = pwd.getpwnam(name)
    except KeyError:
        return ""
    try:
        groups = [grp.getgrgid(number).gr_name for number in os.getgrouplist(name, found.pw_gid)]
    except KeyError as missing:
        raise OSError(str(missing)) from missing
    return f"{':'.join(map(str, found))}\n{' '.join(groups)}\n"


class KeysFact(FactBase[str | None]):
    """The text of the account's authorized_keys; None where it is not there, or not the account's own alone."""

    def command(self, account_name: str) -> str:
        """One shell command."""
        return (
            f"file={_home(account_name)}/.ssh/authorized_keys; "
            f'if [ -f "$file" ] && [ "$(stat -c %U:%a -- "$file")" = {shlex.quote(account_name)}:600 ]; '
            'then echo there; base64 -w0 -- "$file"; echo; fi'
        )

    def process(self, output: list[str]) -> str | None:
        """Parse it."""
        if not output:
            return None
        return base64.b64decode("".join(output[1:])).decode(errors="replace")


class PasswordHashFact(FactBase[str]):
    """The account's hash in the shadow file; empty where there is none."""

    def command(self, account_name: str) -> str:
        """One shell command."""
        return f"getent shadow -- {shlex.quote(account_name)} | cut -d: -f2"

    @staticmethod
    def default() -> str:
        """No hash."""
        return ""

    def process(self, output: list[str]) -> str:
        """Parse it."""
        return output[0].strip() if output else ""


def matches(password: str, hashed: str) -> bool:
    """Whether that is the hash of this password, by the C library's own crypt(3)."""
    if not hashed.startswith("$"):
        return False
    found = _libcrypt().crypt(password.encode(), hashed.encode())
    return found is not None and hmac.compare_digest(bytes(found), hashed.encode())


def hash_of(password: str, method: bytes = YESCRYPT, rounds: int = 0) -> str:
    """A fresh hash; yescrypt is Debian's own choice since 11. `rounds` 0: as many as the C library thinks right.

    Raises OSError where it makes none.
    """
    library = _libcrypt()
    salt = library.crypt_gensalt(method, rounds, None, 0)
    hashed = library.crypt(password.encode(), salt) if salt else None
    if not hashed or not hashed.startswith(method):
        raise OSError(f"libcrypt has no {method.decode()}")
    return bytes(hashed).decode()


class _Hidden(str):
    """A text that no repr shows."""

    def __repr__(self) -> str:
        return "'******'"


_KEYS = """\
set -eu
home={home}
[ -n "$home" ]
umask 077
mkdir -p -- "$home/.ssh"
new=$(mktemp -- "$home/.ssh/authorized_keys.XXXXXX")
trap 'rm -f -- "$new"' EXIT
base64 -d >"$new"
chmod 0600 -- "$new"
chmod 0700 -- "$home/.ssh"
chown {user}: -- "$home/.ssh" "$new"
sync -- "$new"
mv -T -f -- "$new" "$home/.ssh/authorized_keys"
"""


@operation()
def _account(
    user: str, groups: tuple[str, ...], uid: int | None, comment: str
) -> Generator[StringCommand, None, None]:
    now = host.get_fact(AccountFact, account_name=user)
    quoted = shlex.quote(user)
    wanted = ",".join(shlex.quote(group) for group in groups)
    if now is None:
        also = (f" -G {wanted}" if groups else "") + (f" --uid {uid}" if uid is not None else "")
        yield StringCommand(
            f"useradd --create-home --shell /bin/bash --comment {shlex.quote(comment)}{also} -- {quoted}"
        )
    elif not now.groups.issuperset(groups):
        yield StringCommand(f"usermod -a -G {wanted} -- {quoted}")


@operation()
def _authorized_keys(user: str, keys: tuple[str, ...]) -> Generator[StringCommand, None, None]:
    now = host.get_fact(KeysFact, account_name=user)
    wanted = "".join(f"{key.strip()}\n" for key in keys)
    if now != wanted:
        yield Script(
            _KEYS.format(home=_home(user), user=shlex.quote(user)),
            summary=f"write the {len(keys)} keys of {user}",
            diff=_diff(now or "", wanted),
            explain=lambda output: Reason(f"the keys of {user} could not be written"),
            _stdin=base64.b64encode(wanted.encode()).decode(),
        )


@operation()
def _console_password(user: str, password: str) -> Generator[StringCommand, None, None]:
    if matches(password, host.get_fact(PasswordHashFact, account_name=user)):
        return
    yield Script(
        "set -eu; base64 -d | chpasswd --encrypted",
        summary=f"set the console password of {user}",
        explain=lambda output: Reason(f"the password of {user} could not be set"),
        _stdin=base64.b64encode(f"{user}:{hash_of(password)}\n".encode()).decode(),
    )


def _home(user: str) -> str:
    return f"$(getent passwd -- {shlex.quote(user)} | cut -d: -f6)"


def _diff(before: str, after: str) -> str:
    gone = [f"-{line}\n" for line in before.splitlines() if line not in after.splitlines()]
    new = [f"+{line}\n" for line in after.splitlines() if line not in before.splitlines()]
    return "".join(["--- authorized_keys\n", "+++ authorized_keys\n", *gone, *new])


def _libcrypt() -> ctypes.CDLL:
    library = ctypes.CDLL("libcrypt.so.1", use_errno=True)
    library.crypt.argtypes = [ctypes.c_char_p, ctypes.c_char_p]
    library.crypt.restype = ctypes.c_char_p
    library.crypt_gensalt.argtypes = [ctypes.c_char_p, ctypes.c_ulong, ctypes.c_char_p, ctypes.c_int]
    library.crypt_gensalt.restype = ctypes.c_char_p
    return library
