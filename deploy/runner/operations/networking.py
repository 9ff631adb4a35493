"""Interfaces of the gateway: there, and nobody's but ours; and the kernel's settings from a file."""

from __future__ import annotations

import base64
import re
import shlex
from collections.abc import Generator, Iterable
from functools import partial
from pathlib import Path
from typing import Unpack

from deploy.runner.operations.edit import rewritten
from deploy.runner.operations.script import Arguments, Reason, Script
from deploy.runner.pyinfra_api import FactBase, OperationMeta, StringCommand, host, operation
from deploy.runner.question import Question

MARK = "# lienxa has it: "
"""What a line of ifupdown's configuration is commented out with."""


def interfaces(names: Iterable[str], *, seconds: int = 15, **arguments: Unpack[Arguments]) -> OperationMeta:
    """Make sure that these interfaces are there; one that is being made is waited for, so many seconds."""
    arguments.setdefault("name", "Interfaces are there")
    return _interfaces(names=tuple(names), seconds=seconds, **arguments)


def ifupdown_lets_go(names: Iterable[str], **arguments: Unpack[Arguments]) -> OperationMeta:
    """Make ifupdown, which Debian's installer sets up, leave these interfaces alone from now on.

    Their lines in /etc/network/interfaces and interfaces.d are commented out, not deleted; the DHCP client that
    ifupdown started for them is ended without giving the address back. What it does for other interfaces stays.
    """
    arguments.setdefault("name", "ifupdown leaves our interfaces alone")
    return _ifupdown_lets_go(names=tuple(names), **arguments)


def kernel_settings(path: str, **arguments: Unpack[Arguments]) -> OperationMeta:
    """Make the kernel have what a file for sysctl.d says."""
    arguments.setdefault("name", f"Kernel settings of {path}")
    return _kernel_settings(path=path, **arguments)


def without_interfaces(text: str, names: Iterable[str]) -> str:
    """ifupdown's configuration in which these interfaces do not occur any more: their lines are commented out."""
    ours = frozenset(names)
    result, inside = [], False
    for line in text.splitlines():
        words = line.split()
        if words and re.match(r"(iface|mapping|auto|allow-\S+|source\S*|no-\S+|rename|template)$", words[0]):
            inside = words[0] in {"iface", "mapping"} and words[1:2] != [] and words[1] in ours
            line = _without_names(line, words, ours) if not inside else line
        if inside and words and not words[0].startswith("#"):
            line = f"{MARK}{line}"
        result.append(line)
    return "".join(f"{line}\n" for line in result)


def _without_names(line: str, words: list[str], ours: frozenset[str]) -> str:
    if not (words[0] == "auto" or words[0].startswith("allow-")) or not ours.intersection(words[1:]):
        return line
    kept = [word for word in words[1:] if word not in ours]
    return f"{words[0]} {' '.join(kept)}" if kept else f"{MARK}{line}"


class InterfaceFact(FactBase[frozenset[str]]):
    """Names of the interfaces that are there."""

    def command(self) -> str:
        """One shell command."""
        return "ls /sys/class/net"

    def process(self, output: list[str]) -> frozenset[str]:
        """Parse it."""
        return frozenset(" ".join(output).split())


class IfupdownFact(FactBase[dict[str, str]]):
    """ifupdown's files with their text."""

    def command(self) -> str:
        """One line of path and base64 per file."""
        return (
            "for file in /etc/network/interfaces /etc/network/interfaces.d/*; do "
            'if [ -f "$file" ]; then echo "$file $(base64 -w0 -- "$file")"; fi; done'
        )

    @staticmethod
    def default() -> dict[str, str]:
        """None."""
        return {}

    def process(self, output: list[str]) -> dict[str, str]:
        """Parse it."""
        pairs = (line.partition(" ") for line in output)
        return {path: base64.b64decode(text).decode(errors="surrogateescape") for path, _, text in pairs}


class DhcpClientFact(FactBase[tuple[str, ...]]):
    """Interfaces for which ifupdown's DHCP client runs: dhclient on Debian 12, dhcpcd on Debian 13."""

    def command(self, names: tuple[str, ...]) -> str:
        """One shell command."""
        quoted = " ".join(shlex.quote(name) for name in names)
        return (
            f"for name in {quoted}; do for file in /run/dhclient.$name.pid /run/dhcpcd/$name.pid "
            '/run/dhcpcd/$name-4.pid; do if [ -f "$file" ] && kill -0 "$(cat "$file")" 2>/dev/null; '
            "then echo $name; fi; done; done"
        )

    @staticmethod
    def default() -> tuple[str, ...]:
        """None."""
        return ()

    def process(self, output: list[str]) -> tuple[str, ...]:
        """Parse it."""
        return tuple(dict.fromkeys(output))


class KernelDifferenceFact(FactBase[tuple[str, ...]]):
    """Settings of a file for sysctl.d that the kernel does not have."""

    def command(self, path: str) -> Question:
        """Reads the few files under /proc/sys rather than all of them."""
        return Question(
            f"sed -n 's/^\\([a-z][^ =]*\\) *= *\\(.*\\)$/\\1 \\2/p' {shlex.quote(path)} 2>/dev/null | "
            "while read -r key value; do "
            'now=$(cat "/proc/sys/$(echo "$key" | tr . /)" 2>/dev/null); '
            '[ "$now" = "$value" ] || echo "$key"; done',
            here=partial(_kernel_difference, path),
        )

    @staticmethod
    def default() -> tuple[str, ...]:
        """None."""
        return ()

    def process(self, output: list[str]) -> tuple[str, ...]:
        """Parse it."""
        return tuple(output)


_SETTING = re.compile(r"([a-z][^ =]*) *= *(.*)")


def _kernel_difference(path: str) -> str:
    """What KernelDifferenceFact's command prints."""
    if not Path(path).is_file():
        return ""
    settings = [_SETTING.fullmatch(line) for line in Path(path).read_text(encoding="utf-8").splitlines()]
    return "".join(f"{one[1]}\n" for one in settings if one and _kernel_has(one[1]) != one[2].strip())


def _kernel_has(setting: str) -> str:
    try:
        return Path("/proc/sys", *setting.split(".")).read_text(encoding="utf-8").rstrip("\n")
    except FileNotFoundError:
        return ""


_WAIT = """\
tries=0
while :; do
    missing=
    for name in {names}; do [ -e "/sys/class/net/$name" ] || missing="$missing $name"; done
    [ -n "$missing" ] || exit 0
    tries=$((tries + 1)); [ $tries -lt {tries} ] || break
    sleep 0.1
done
echo "missing:$missing" >&2
echo "there are: $(ls /sys/class/net | tr '\\n' ' ')" >&2
exit 1
"""
_END_CLIENT = """\
name={name}
if [ -f "/run/dhclient.$name.pid" ]; then dhclient -x -pf "/run/dhclient.$name.pid" "$name"; fi
if command -v dhcpcd >/dev/null && [ -d /run/dhcpcd ]; then dhcpcd -x "$name" || true; fi
"""


@operation()
def _interfaces(names: tuple[str, ...], seconds: int) -> Generator[StringCommand, None, None]:
    there = host.get_fact(InterfaceFact)
    missing = sorted(name for name in names if name not in there)
    if missing:
        yield Script(
            _WAIT.format(names=" ".join(shlex.quote(name) for name in missing), tries=seconds * 10),
            summary=f"wait for {', '.join(missing)}",
            explain=lambda output: Reason(
                f"this machine has no interface {', '.join(missing)}",
                "Compare `ports` of the gateway in commune.yaml with `ip link` on the machine (its names are below).",
            ),
        )


@operation()
def _ifupdown_lets_go(names: tuple[str, ...]) -> Generator[StringCommand, None, None]:
    for path, text in sorted(host.get_fact(IfupdownFact).items()):
        if _speaks_of(text, names):
            yield rewritten(path, text, without_interfaces(text, names))
    for name in host.get_fact(DhcpClientFact, names=names):
        yield Script(_END_CLIENT.format(name=shlex.quote(name)), summary=f"end ifupdown's DHCP client on {name}")


def _speaks_of(text: str, names: tuple[str, ...]) -> bool:
    return without_interfaces(text, names) != without_interfaces(text, ())


@operation()
def _kernel_settings(path: str) -> Generator[StringCommand, None, None]:
    differing = host.get_fact(KernelDifferenceFact, path=path)
    if differing:
        yield Script(
            f"sysctl -q -p {shlex.quote(path)}",
            summary=f"set {', '.join(differing)}",
            explain=lambda output: Reason(f"the kernel did not take {path}"),
        )
