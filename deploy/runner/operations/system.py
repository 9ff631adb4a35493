"""Name, time zone and languages of a machine."""

from __future__ import annotations

import base64
import re
import shlex
from collections.abc import Generator, Iterable
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Unpack

from deploy.runner.operations.edit import edit
from deploy.runner.operations.script import Arguments, Reason, Script
from deploy.runner.pyinfra_api import FactBase, OperationMeta, StringCommand, host, operation


def hostname(host_name: str, /, **arguments: Unpack[Arguments]) -> OperationMeta:
    """Make this be the machine's name, now and after the next boot."""
    arguments.setdefault("name", f"Host name {host_name}")
    return _hostname(host_name=host_name, **arguments)


def own_name_in_hosts(fqdn: str, **arguments: Unpack[Arguments]) -> OperationMeta:
    """Make the machine find its own full name without the network: Debian's line for 127.0.1.1 in /etc/hosts."""
    return edit("/etc/hosts", lambda text: with_own_name(text, fqdn), **arguments)


def timezone(zone: str, **arguments: Unpack[Arguments]) -> OperationMeta:
    """Make this be the machine's time zone."""
    arguments.setdefault("name", f"Time zone {zone}")
    return _timezone(zone=zone, **arguments)


def locales(names: Iterable[str], *, default: str, **arguments: Unpack[Arguments]) -> OperationMeta:
    """Make these UTF-8 locales be generated, others as well, and `default` be what programs start with."""
    arguments.setdefault("name", "Languages")
    return _locales(names=tuple(names), default=default, **arguments)


def masked(unit_name: str, /, **arguments: Unpack[Arguments]) -> OperationMeta:
    """Make a unit never start, whoever asks for it: for a package's helper that would undo our work."""
    arguments.setdefault("name", f"Never {unit_name}")
    return _masked(unit_name=unit_name, **arguments)


def trust_anchor(path: str, **arguments: Unpack[Arguments]) -> OperationMeta:
    """Make every program believe in the authority whose certificate is at `path`, below ca-certificates' own folder.

    Where nothing is at `path`, make them believe in it no longer.
    """
    arguments.setdefault("name", f"Authority {PurePosixPath(path).stem} is believed in")
    return _trust_anchor(path=path, **arguments)


def trust_anchors(**arguments: Unpack[Arguments]) -> OperationMeta:
    """Make every program believe in exactly the authorities in ca-certificates' own folder, besides Debian's."""
    arguments.setdefault("name", "Authorities are believed in")
    return _trust_anchors(**arguments)


def plugged_in_again(*subsystems: str, **arguments: Unpack[Arguments]) -> OperationMeta:
    """Make udev look again at what is plugged in: for `_if` after its rules have changed."""
    arguments.setdefault("name", "What is plugged in follows the new rules")
    return _plugged_in_again(subsystems=subsystems, **arguments)


def with_own_name(text: str, fqdn: str) -> str:
    """The text of /etc/hosts in which 127.0.1.1 is this machine; all other lines stay."""
    line = f"127.0.1.1\t{fqdn} {fqdn.partition('.')[0]}"
    lines = text.splitlines()
    own = [number for number, old in enumerate(lines) if old.split("#")[0].split()[:1] == ["127.0.1.1"]]
    kept = [old for number, old in enumerate(lines) if number not in own[1:]]
    if own:
        kept[own[0]] = line
    else:
        loopback = [n for n, old in enumerate(kept) if old.split()[:1] == ["127.0.0.1"]]
        kept.insert(loopback[0] + 1 if loopback else 0, line)
    return "\n".join(kept) + "\n"


def with_locales(text: str, names: Iterable[str]) -> str:
    """The text of /etc/locale.gen in which these are not commented out."""
    for name in names:
        entry = f"{name} UTF-8"
        if re.search(rf"^{re.escape(entry)}\s*$", text, flags=re.MULTILINE):
            continue
        commented = re.compile(rf"^#\s*{re.escape(entry)}\s*$", flags=re.MULTILINE)
        if commented.search(text):
            text = commented.sub(entry, text, count=1)
        else:
            text += f"{'' if not text or text.endswith(chr(10)) else chr(10)}{entry}\n"
    return text


class MaskFact(FactBase[bool]):
    """Whether a unit is masked for good."""

    def command(self, unit_name: str) -> str:
        """One shell command."""
        return f"readlink -- {shlex.quote(f'/etc/systemd/system/{unit_name}')} || true"

    @staticmethod
    def default() -> bool:
        """It is not."""
        return False

    def process(self, output: list[str]) -> bool:
        """Parse it."""
        return output[:1] == ["/dev/null"]


class AnchorFact(FactBase[bool]):
    """Whether what programs read of authorities is as new as this one's certificate, or has lost one that is gone."""

    def command(self, path: str) -> str:
        """One shell command."""
        link = shlex.quote(f"/etc/ssl/certs/{PurePosixPath(path).stem}.pem")
        quoted, bundle = shlex.quote(path), "/etc/ssl/certs/ca-certificates.crt"
        return (
            f"if [ -e {quoted} ]; then if [ -e {link} ] && [ {bundle} -nt {quoted} ]; then echo current; fi; "
            f"elif [ ! -L {link} ]; then echo current; fi"
        )

    @staticmethod
    def default() -> bool:
        """Nothing is known."""
        return False

    def process(self, output: list[str]) -> bool:
        """Parse it."""
        return "current" in output


class AnchorsFact(FactBase[bool]):
    """Whether what programs read of authorities is what is in ca-certificates' own folder, no more and no less."""

    def command(self) -> str:
        """One shell command. Links into the folder that lead nowhere are of authorities that are gone."""
        ours, links, bundle = (
            "/usr/local/share/ca-certificates",
            "/etc/ssl/certs",
            "/etc/ssl/certs/ca-certificates.crt",
        )
        return (
            f"stale=$(find {links} -xtype l -lname '{ours}/*'); for file in {ours}/*.crt; do "
            '[ -e "$file" ] || continue; name=${file##*/}; '
            f'if [ ! -e "{links}/${{name%.crt}}.pem" ] || [ ! {bundle} -nt "$file" ]; then stale=$file; fi; done; '
            '[ -n "$stale" ] || echo current'
        )

    @staticmethod
    def default() -> bool:
        """Nothing is known."""
        return False

    def process(self, output: list[str]) -> bool:
        """Parse it."""
        return "current" in output


class HostnameFact(FactBase[tuple[str, str]]):
    """The name that the kernel has, and the one for the next boot."""

    def command(self) -> str:
        """One shell command."""
        return "cat /proc/sys/kernel/hostname; cat /etc/hostname 2>/dev/null || echo"

    def process(self, output: list[str]) -> tuple[str, str]:
        """Parse it."""
        kernel, boot, *_ = [line.strip() for line in (*output, "", "")]
        return kernel, boot


class TimezoneFact(FactBase[tuple[str, str | None]]):
    """The zone that /etc/localtime leads to, and what /etc/timezone says where there is one."""

    def command(self) -> str:
        """One shell command."""
        return (
            "readlink /etc/localtime || echo; if [ -f /etc/timezone ] && [ ! -L /etc/timezone ]; "
            "then cat /etc/timezone; fi"
        )

    def process(self, output: list[str]) -> tuple[str, str | None]:
        """Parse it."""
        link = output[0] if output else ""
        return link.partition("zoneinfo/")[2], output[1].strip() if len(output) > 1 else None


@dataclass(frozen=True)
class LocaleState:
    """Locales that are generated (as `locale -a` writes them), those that are to be, and LANG."""

    generated: frozenset[str]
    listed: str
    default: str


class LocaleFact(FactBase[LocaleState]):
    """All of it in one command."""

    def command(self) -> str:
        """Three parts with a line between them."""
        return (
            "locale -a 2>/dev/null; echo '##listed'; cat /etc/locale.gen 2>/dev/null; "
            "echo '##default'; sed -n 's/^LANG=//p' /etc/default/locale 2>/dev/null; true"
        )

    def process(self, output: list[str]) -> LocaleState:
        """Parse it."""
        listed, default = output.index("##listed"), output.index("##default")
        return LocaleState(
            generated=frozenset(output[:listed]),
            listed="".join(f"{line}\n" for line in output[listed + 1 : default]),
            default="".join(output[default + 1 :][-1:]).strip("\"'"),
        )


_TIMEZONE = """\
set -eu
[ -f /usr/share/zoneinfo/{zone} ] || {{ echo "no /usr/share/zoneinfo/{zone}" >&2; exit 1; }}
ln -s /usr/share/zoneinfo/{zone} /etc/.localtime.lienxa
mv -T -f /etc/.localtime.lienxa /etc/localtime
if [ -f /etc/timezone ] && [ ! -L /etc/timezone ]; then echo {zone} >/etc/timezone; fi
"""
_LOCALES = """\
set -eu
base64 -d >/etc/locale.gen.lienxa
mv -T -f /etc/locale.gen.lienxa /etc/locale.gen
locale-gen --keep-existing
"""


@operation()
def _trust_anchor(path: str) -> Generator[StringCommand, None, None]:
    if not host.get_fact(AnchorFact, path=path):
        yield StringCommand("update-ca-certificates --fresh >/dev/null")


@operation()
def _trust_anchors() -> Generator[StringCommand, None, None]:
    if not host.get_fact(AnchorsFact):
        yield StringCommand("update-ca-certificates --fresh >/dev/null")


@operation()
def _plugged_in_again(subsystems: tuple[str, ...]) -> Generator[StringCommand, None, None]:
    matches = " ".join(f"--subsystem-match={shlex.quote(one)}" for one in subsystems)
    yield Script(
        f"systemctl is-active --quiet systemd-udevd || exit 0; udevadm control --reload && udevadm trigger {matches}",
        summary="udevadm trigger",
    )


@operation()
def _masked(unit_name: str) -> Generator[StringCommand, None, None]:
    if not host.get_fact(MaskFact, unit_name=unit_name):
        quoted = shlex.quote(unit_name)
        yield StringCommand(f"systemctl mask --now -- {quoted}; systemctl reset-failed -- {quoted} 2>/dev/null; true")


@operation()
def _hostname(host_name: str) -> Generator[StringCommand, None, None]:
    kernel, boot = host.get_fact(HostnameFact)
    if boot != host_name:
        yield StringCommand(f"printf '%s\\n' {shlex.quote(host_name)} >/etc/hostname")
    if kernel != host_name:
        yield StringCommand(f"hostname -- {shlex.quote(host_name)}")


@operation()
def _timezone(zone: str) -> Generator[StringCommand, None, None]:
    link, named = host.get_fact(TimezoneFact)
    if link != zone or named not in {None, zone}:
        yield Script(
            _TIMEZONE.format(zone=shlex.quote(zone)),
            summary=f"set the time zone to {zone}",
            explain=lambda output: Reason(
                f"the time zone {zone} could not be set",
                "Is it a name of the IANA database (`timedatectl list-timezones`)?",
            ),
        )


@operation()
def _locales(names: tuple[str, ...], default: str) -> Generator[StringCommand, None, None]:
    now = host.get_fact(LocaleFact)
    listed = with_locales(now.listed, names)
    if listed != now.listed or not now.generated.issuperset(_as_generated(name) for name in names):
        yield Script(
            _LOCALES,
            summary=f"generate the locales {', '.join(names)}",
            explain=lambda output: Reason("the locales could not be generated"),
            _stdin=base64.b64encode(listed.encode()).decode(),
        )
    if now.default != default:
        yield StringCommand(f"update-locale LANG={shlex.quote(default)}")


def _as_generated(name: str) -> str:
    return name.replace(".UTF-8", ".utf8")
