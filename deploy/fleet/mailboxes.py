"""Mailboxes that were locked and kept, on the machine that has them: what is in one, and its end."""

from __future__ import annotations

from dataclasses import dataclass

from deploy.fleet.links import Links
from deploy.inventory.mailboxes import FOLDER, LOCKED

_DOOMED = ".lienxa-deleting-"
"""Before a login: its folder from the first moment of the deletion on, so that one that was cut short is finished."""
_SECONDS = 60
_LONGEST_DELETION = 1800

_LOOK = f"""\
cd {FOLDER} 2>/dev/null || exit 0
for marker in */{LOCKED}; do [ -e "$marker" ] && echo "locked ${{marker%%/*}}"; done
for folder in {_DOOMED}*; do [ -d "$folder" ] && echo "locked ${{folder#{_DOOMED}}}"; done
[ -d "$1" ] && [ ! -e "$1/{LOCKED}" ] && echo "open $1"
set -- "$1" "{_DOOMED}$1"
du -sm -- "$@" 2>/dev/null | awk '{{all += $1}} END {{print "size", all + 0}}'
echo "mails $(find "$@" -path '*/cur/*' -type f -o -path '*/new/*' -type f 2>/dev/null | wc -l)"
"""
_DELETE = f"""\
set -eu
cd {FOLDER}
if [ -e "$1/{LOCKED}" ]; then rm -rf -- "{_DOOMED}$1"; mv -T -- "$1" "{_DOOMED}$1"; fi
rm -rf --one-file-system -- "{_DOOMED}$1"
logger -t lienxa "mailbox $1 deleted for good, asked for by $2" 2>/dev/null || true
"""


class MailboxError(Exception):
    """The machine could not do it; says which and why."""


@dataclass(frozen=True)
class Kept:
    """What a machine says of the mailboxes that nobody has any more, and of the one that was asked for."""

    logins: tuple[str, ...]
    """Of all that are locked."""
    is_open: bool
    """Whether the one that was asked for is there and not locked."""
    mebibytes: int
    mails: int
    """In the one that was asked for; 0 where there is none."""


def look(links: Links, machine: str, login: str) -> Kept:
    """Which mailboxes are kept, and how much is in this one. Raises LinkError or MailboxError."""
    found: dict[str, list[str]] = {}
    for line in _run(links, machine, _LOOK, login, timeout=_SECONDS).splitlines():
        what, _, value = line.partition(" ")
        found.setdefault(what, []).append(value)
    numbers = {name: int(found.get(name, ["0"])[0]) for name in ("size", "mails")}
    logins = tuple(sorted(set(found.get("locked", []))))
    return Kept(logins, "open" in found, numbers["size"], numbers["mails"])


def delete(links: Links, machine: str, login: str, by: str) -> None:
    """Delete a locked mailbox with all that is in it. Doing it again finishes what was cut short."""
    _run(links, machine, _DELETE, login, by, timeout=_LONGEST_DELETION)


def _run(links: Links, machine: str, script: str, *arguments: str, timeout: float) -> str:
    become_root = [] if links.access.user == "root" else ["sudo", "-n", "--"]
    done = links.run(machine, [*become_root, "sh", "-c", script, "lienxa", *arguments], timeout=timeout)
    if done.returncode:
        raise MailboxError(
            f"{machine}: {done.stderr.decode('utf-8', 'replace').strip() or 'it failed without a word'}"
        )
    return done.stdout.decode()
