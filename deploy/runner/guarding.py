"""A run under guard: what can cut the laptop off is kept before the first change, and confirmed after the last.

No role says which of its operations are dangerous, so none can forget it: the guard is armed before the first change
of any sort that a role makes, and at the role's end it looks whether anything is different that could cut somebody
off. Only then the laptop is asked to come in anew. A role that changes nothing costs nothing.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from deploy.inventory.role import Kind
from deploy.inventory.site import Site, SiteMachine
from deploy.journal import OperationError
from deploy.order import Request
from deploy.runner import guard
from deploy.runner.journal_writer import JournalWriter

_SSH = 22
_KNOCK_SECONDS = 1.0
_POLL_SECONDS = 0.05
_WATCH_ANSWERS_SECONDS = 120.0
"""How long after the deadline the watch may take to have everything put back."""
_DIFFERENCES_TOLD = 20


class RolledBackError(Exception):
    """What a role did has cut the laptop (or a machine behind the gateway) off, and was put back."""

    def __init__(self, error: OperationError) -> None:
        super().__init__(error.message)
        self.error = error


class Guard:
    """The guard of one run; of each role that changes something in turn."""

    def __init__(self, request: Request, journal: JournalWriter, noted: Path, base: Path = guard.BASE) -> None:
        """`noted` is where the receiver writes how many seconds the laptop that follows needs to come in anew."""
        self._request = request
        self._journal = journal
        self._noted = noted
        self._base = base
        self._number = 0
        self._armed: _Armed | None = None

    def tell_of_earlier(self) -> None:
        """What was put back while nobody listened stands in this run's journal; what is being put back now is waited
        for. Call it before the run's first change. Raises guard.NotArmedError."""
        end = time.monotonic() + self._seconds() + _WATCH_ANSWERS_SECONDS
        while guard.undecided(self._base):
            if time.monotonic() > end:
                raise guard.NotArmedError(f"{guard.UNIT} does not decide about an earlier run; is it running?")
            time.sleep(_POLL_SECONDS)
        for folder, status in guard.rolled_back(self._base):
            _write_rolled_back(self._journal, folder.name, status)
            guard.forget(folder)

    def before_change(self) -> None:
        """Call it before each change; the first one of a role arms. Raises guard.NotArmedError, OSError."""
        if self._armed is not None:
            return
        self._number += 1
        name = f"{self._request.run}-{self._number}"
        site, machine = self._request.order.site, self._request.order.site.machine(self._request.order.machine)
        answering = _Answering(site, machine)
        before = guard.arm(name, site.support.user, self._base)
        self._armed = _Armed(self._base / name, before, answering)
        self._journal.guard("armed", name)

    def settle(self, role: str) -> None:
        """At a role's end, done or not: have the laptop confirm what can cut it off. Raises RolledBackError."""
        armed, self._armed = self._armed, None
        if armed is None:
            return
        if guard.goes_down():
            return  # what the shutdown stops is no change of ours; after the restart the watch puts back what is
        name = armed.folder.name
        what = guard.differences(armed.before, guard.look(armed.before["user"]))
        if not what and guard.release(armed.folder):
            self._journal.guard("released", name)
            return
        seconds = self._seconds()
        lost = armed.answering.lost(seconds / 2)
        if lost:
            guard.condemn(armed.folder, f"{lost} behind this gateway answered before, and does not any more")
        else:
            guard.ask(armed.folder, seconds)
            self._journal.guard(
                "waiting",
                name,
                seconds=seconds,
                what=tuple(what[:_DIFFERENCES_TOLD]),
                witness=armed.answering.witness,
            )
        status = _decided(armed.folder, seconds)
        if status["phase"] == "confirmed":
            self._journal.guard("confirmed", name)
            guard.forget(armed.folder)
            return
        _write_rolled_back(self._journal, name, status)
        guard.forget(armed.folder)
        raise RolledBackError(_as_error(role, what, status))

    def _seconds(self) -> float:
        """By the line of whoever follows; as the request says while nobody does."""
        try:
            return float(self._noted.read_text(encoding="ascii"))
        except (OSError, ValueError):
            return self._request.guard_seconds


class _Armed:
    def __init__(self, folder: Path, before: guard.State, answering: _Answering) -> None:
        self.folder = folder
        self.before = before
        self.answering = answering


class _Answering:
    """On a gateway: the machines behind it that answer on their SSH port, by zone. They are reached through it."""

    def __init__(self, site: Site, machine: SiteMachine) -> None:
        others: tuple[SiteMachine, ...] = ()
        if machine.kind is Kind.GATEWAY:
            others = tuple(other for other in site.machines if other.managed and other.name != machine.name)
        there = _knock(others)
        self._zones: dict[str, list[SiteMachine]] = {}
        for other in others:
            if there[other.name]:
                self._zones.setdefault(other.zone, []).append(other)

    @property
    def witness(self) -> str | None:
        """A machine to which there is a way that the laptop can try."""
        return next((machines[0].name for machines in self._zones.values()), None)

    def lost(self, seconds: float) -> str:
        """The machines of zones in which none answers any more, in words; given so long to come back."""
        end = time.monotonic() + seconds
        while True:
            there = _knock(machine for machines in self._zones.values() for machine in machines)
            lost = [m.name for ms in self._zones.values() if not any(there[m.name] for m in ms) for m in ms]
            if not lost or time.monotonic() > end:
                return ", ".join(lost)


def _knock(machines: Iterable[SiteMachine]) -> dict[str, bool]:
    asked = tuple(machines)
    if not asked:
        return {}
    with ThreadPoolExecutor(max_workers=min(32, len(asked))) as pool:
        return dict(zip([machine.name for machine in asked], pool.map(_answers, asked), strict=True))


def _answers(machine: SiteMachine) -> bool:
    try:
        with socket.create_connection((str(machine.address), _SSH), _KNOCK_SECONDS):
            return True
    except OSError:
        return False


def _decided(folder: Path, seconds: float) -> Mapping[str, Any]:
    """The status once it is confirmed or put back."""
    end = time.monotonic() + seconds + _WATCH_ANSWERS_SECONDS
    while (status := guard.read_status(folder))["phase"] not in ("confirmed", "rolled_back"):
        if time.monotonic() > end:
            raise guard.NotArmedError(
                f"{guard.UNIT} did not decide in time; on the machine: `journalctl -u {guard.UNIT}`"
            )
        time.sleep(_POLL_SECONDS)
    return status


def _write_rolled_back(journal: JournalWriter, name: str, status: Mapping[str, Any]) -> None:
    left = tuple(status["left"])
    journal.guard("rolled_back", name, reason=status["reason"], left=left, verified=not left)


def _as_error(role: str, what: list[str], status: Mapping[str, Any]) -> OperationError:
    left = status["left"]
    verified = "verified" if not left else f"but not all is as it was: {', '.join(left)}"
    more = f" and {len(what) - _DIFFERENCES_TOLD} more" if len(what) > _DIFFERENCES_TOLD else ""
    return OperationError(
        message=f"role {role}: {status['reason']}; rolled back, {verified}",
        output="What the role had changed of the way in:\n" + "\n".join(what[:_DIFFERENCES_TOLD]) + more,
        next_step=(
            "If the line was down at that moment, apply again. If not, one of these changes keeps you out: "
            "correct it in the inventory (`lienxa plan` shows the diffs), then apply again."
        ),
    )


Guards = Callable[[Request, JournalWriter, Path], Guard]
"""Makes the guard of a run."""
