"""Printers of CUPS: the inventory's queues, driverless; queues that somebody made by hand stay."""

from __future__ import annotations

import shlex
from collections.abc import Generator, Iterable, Sequence
from dataclasses import dataclass
from typing import Unpack

from deploy.runner.operations.script import Arguments, Reason, Script
from deploy.runner.pyinfra_api import FactBase, OperationMeta, StringCommand, host, operation

DRIVERLESS = "drv:///cupsfilters.drv/pwgrast.ppd"
"""cups-filters' description of any IPP Everywhere printer: the printer need not be on while the queue is made."""


@dataclass(frozen=True)
class Queue:
    """A printer as CUPS knows it."""

    name: str
    uri: str
    place: str
    """Where it stands, for people."""


def printers(queues: Iterable[Queue], *, domain: str, **arguments: Unpack[Arguments]) -> OperationMeta:
    """Make these queues be there, on A4; the first is the default unless somebody has chosen one.

    A queue for a host below `domain` that is not wanted any more is removed. CUPS has to run.
    """
    arguments.setdefault("name", "Printers of the inventory")
    return _printers(queues=tuple(queues), domain=domain, **arguments)


@dataclass(frozen=True)
class Queues:
    """Addresses of the queues that there are, by name, and the default one."""

    uris: tuple[tuple[str, str], ...] = ()
    default: str = ""


class QueuesFact(FactBase[Queues]):
    """What lpstat says."""

    def command(self) -> str:
        """Lines `device for NAME: URI` and `system default destination: NAME`."""
        return "LC_ALL=C lpstat -v 2>/dev/null; LC_ALL=C lpstat -d 2>/dev/null; :"

    @staticmethod
    def default() -> Queues:
        """None."""
        return Queues()

    def process(self, output: list[str]) -> Queues:
        """Parse it."""
        devices = [line.removeprefix("device for ") for line in output if line.startswith("device for ")]
        chosen = [line.partition(": ")[2] for line in output if line.startswith("system default destination: ")]
        return Queues(
            uris=tuple((name, uri) for name, _, uri in (line.partition(": ") for line in devices)),
            default=chosen[0].strip() if chosen else "",
        )


@operation()
def _printers(queues: Sequence[Queue], domain: str) -> Generator[StringCommand, None, None]:
    now = host.get_fact(QueuesFact)
    known, wanted = dict(now.uris), {queue.name for queue in queues}
    for queue in queues:
        if known.get(queue.name) != queue.uri:
            yield _made(queue)
    for name, uri in known.items():
        if name not in wanted and _host_of(uri).endswith(f".{domain}"):
            yield StringCommand(f"lpadmin -x {shlex.quote(name)}")
    if queues and (not now.default or now.default not in wanted | set(known)):
        yield StringCommand(f"lpadmin -d {shlex.quote(queues[0].name)}")


def _made(queue: Queue) -> Script:
    return Script(
        f"lpadmin -p {shlex.quote(queue.name)} -E -v {shlex.quote(queue.uri)} -m {DRIVERLESS} "
        f"-D {shlex.quote(queue.name)} -L {shlex.quote(queue.place)} "
        "-o PageSize=A4 -o printer-is-shared=false -o printer-error-policy=retry-job",
        summary=f"make the printer {queue.name} known to CUPS",
        explain=lambda _: Reason(
            f"CUPS did not take the printer {queue.name}", "Its own words: `journalctl -b -u cups`; does it run?"
        ),
    )


def _host_of(uri: str) -> str:
    return uri.partition("://")[2].partition("/")[0].partition(":")[0]
