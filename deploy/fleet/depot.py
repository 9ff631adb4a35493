"""What crosses the line once per commune: one machine keeps the kit and packages for the others.

Which machine that is, its role `cache` says: a port of the purpose KIT on its card. Everything here is a short cut:
where it does not work, a machine is sent its kit over the line, and fetches packages by its own connection.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator

from deploy.fleet.conversation import Conversation, Message, RefusedError
from deploy.fleet.kit import Archive
from deploy.fleet.links import ON_MACHINE_PROXY_PORT, Connection, LinkError, Links
from deploy.inventory.site import KIT, Site

_PAUSE = 3.0
"""Seconds until a connection that dropped is tried again."""
_LEND_OPTIONS = ("-o", "ExitOnForwardFailure=yes")
_LEND = "echo lent; exec cat >/dev/null"


class Depot:
    """The machine that keeps the kit for the others, during one run. Safe to use from several threads."""

    def __init__(self, site: Site, links: Links) -> None:
        self._site = site
        self._links = links
        self._lock = threading.Lock()
        self._kept: set[str] | None = None
        """File names that it hands out; None: not asked yet."""
        offered = site.service(KIT, site.gateway)
        self.machine: str | None = offered[0].name if offered else None

    def keeps(self, machine: str) -> bool:
        """Whether what this machine is sent is to be kept for the others."""
        return machine == self.machine

    def hand_over(self, machine: str, talk: Conversation, archive: Archive) -> bool:
        """Make a machine fetch an archive from the depot; False where it has to be sent over the line.

        What the depot does not have yet is sent there, once. Raises DroppedError where the machine itself is gone.
        """
        offered = self._site.service(KIT, self._site.machine(machine)) if self._site_has(machine) else None
        if offered is None or offered[0].name == machine or not self._has(archive):
            return False
        url = f"http://{offered[1]}/{kept_name(archive)}"
        ask = {"do": "fetch", "name": archive.name, "sha256": archive.sha256, "total": archive.size, "url": url}
        with contextlib.suppress(RefusedError):
            return "installed" in talk.ask(ask)
        return False

    def _site_has(self, machine: str) -> bool:
        return any(each.name == machine for each in self._site.machines)

    def _has(self, archive: Archive) -> bool:
        """Whether the depot hands it out, after it was sent there if need be."""
        with self._lock:
            if self._kept is None or kept_name(archive) not in self._kept:
                try:
                    self._kept = self._send(archive)
                except (LinkError, RefusedError):
                    self._kept = set()
            return kept_name(archive) in self._kept

    def _send(self, archive: Archive) -> set[str]:
        assert self.machine is not None
        with Conversation(self._links, self.machine) as talk:
            hello: Message = talk.ask({"do": "hello"})
            kept = set(hello["kept"])
            if hello["hands_out"] and kept_name(archive) not in kept:
                for _ in talk.upload(archive, 0, keep="only"):
                    pass
                kept.add(kept_name(archive))
            return kept if hello["hands_out"] else set()


def kept_name(archive: Archive) -> str:
    """The name under which the depot hands it out."""
    return f"{archive.name}.{archive.sha256[:12]}.tar.xz"


@contextlib.contextmanager
def lending(links: Links, machine: str | None, port: int | None) -> Iterator[None]:
    """Lend the laptop's package cache to the commune's own, which asks it for what it does not have.

    The loan outlives a line that drops: it is tried again until the end. Without a machine or a port nothing is done.
    """
    if machine is None or port is None:
        yield
        return
    lender = _Lender(links, machine, port)
    lender.begin()
    try:
        yield
    finally:
        lender.end()


class _Lender:
    def __init__(self, links: Links, machine: str, port: int) -> None:
        self._links = links
        self._machine = machine
        self._port = port
        self._over = threading.Event()
        self._lent = threading.Event()
        self._connection: Connection | None = None
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._lend, name=f"lend-{machine}", daemon=True)

    def begin(self) -> None:
        """Returns when it is lent, or the first try has failed."""
        self._thread.start()
        self._lent.wait(20)

    def end(self) -> None:
        self._over.set()
        with self._lock:
            if self._connection is not None:
                self._connection.hang_up()
        self._thread.join(timeout=10)

    def _lend(self) -> None:
        forward = f"127.0.0.1:{ON_MACHINE_PROXY_PORT}:127.0.0.1:{self._port}"
        while not self._over.is_set():
            with self._lock:
                if self._over.is_set():
                    return
                options = (*_LEND_OPTIONS, "-R", forward)
                self._connection = self._links.open(self._machine, _LEND, options=options)
            while self._connection.stdout.readline():
                self._lent.set()
            self._connection.end()
            self._lent.set()
            self._over.wait(_PAUSE)
