"""All machines of a run: in waves where one depends on the other, side by side where not."""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace

from deploy.fleet.access import Access
from deploy.fleet.depot import Depot, lending
from deploy.fleet.kit import Kits
from deploy.fleet.links import LinkError, Links, Trouble
from deploy.fleet.patience import APPLYING, Patience
from deploy.fleet.ship import Job, StoppedError, ship
from deploy.fleet.updates import Listener, State, Update
from deploy.inventory.role import Kind

SIDE_BY_SIDE = 16
_PAUSE = 2.0


def run_fleet(
    jobs: Sequence[Job],
    access: Access,
    listener: Listener,
    *,
    kits: Kits | None = None,
    patience: Patience | None = None,
) -> dict[str, Update]:
    """Do all jobs; returns the final update of each machine. `listener` hears every update, in this thread.

    `apply` goes in waves: the gateway, the servers, the rest. `plan` and `verify` change nothing, so all go at once.
    A machine that fails never stops its siblings; a gateway that fails holds back all that stands behind it. On
    Ctrl-C the connections are closed and KeyboardInterrupt goes on; runs that have begun go on at the machines.
    """
    final: dict[str, Update] = {}

    def hear(update: Update) -> None:
        if update.state.final:
            final[update.machine] = update
        listener(update)

    for job in jobs:
        hear(Update(job.machine, State.WAITING))
    patience = patience or patience_for(jobs)
    with Links(access) as links, _Crew(links, kits or Kits(), patience) as crew:
        depot = Depot(jobs[0].request.order.site, links) if jobs else None
        for wave in waves([replace(job, depot=depot) for job in jobs]):
            held = {job.machine: update for job in wave if (update := _held_back(job, access, final))}
            for update in held.values():
                hear(update)
            left = [job for job in wave if job.machine not in held]
            with lending(links, *_loan(left, depot, final)):
                for update in crew.work(left):
                    hear(update)
    return final


def waves(jobs: Sequence[Job]) -> list[list[Job]]:
    """The jobs in the order in which they have to be done; those of one wave side by side."""
    if not _applies(jobs):
        return [list(jobs)] if jobs else []
    order = {Kind.GATEWAY: 0, Kind.SERVER: 1}
    sorted_: list[list[Job]] = [[], [], []]
    for job in jobs:
        sorted_[order.get(_kind(job), 2)].append(job)
    return [wave for wave in sorted_ if wave]


def patience_for(jobs: Sequence[Job]) -> Patience:
    """How long machines are waited for, unless somebody says otherwise."""
    return APPLYING if _applies(jobs) else Patience()


def _loan(wave: Sequence[Job], depot: Depot | None, final: Mapping[str, Update]) -> tuple[str | None, int | None]:
    """To which machine the laptop's package cache is lent on behalf of this wave, and its port.

    Not to one that is at work itself, whose own connection lends it, nor to one that is out of reach.
    """
    port = next((job.package_port for job in wave if job.package_port is not None), None)
    machine = depot.machine if depot else None
    if machine is None or any(job.machine == machine for job in wave):
        return None, None
    out = machine in final and final[machine].state is State.UNREACHABLE
    return (None, None) if out else (machine, port)


def _applies(jobs: Sequence[Job]) -> bool:
    return any(job.request.action == "apply" for job in jobs)


class _Crew:
    """The threads that work; leaving it ends them."""

    def __init__(self, links: Links, kits: Kits, patience: Patience) -> None:
        self._links = links
        self._kits = kits
        self._patience = patience
        self._cancel = threading.Event()
        self._threads = ThreadPoolExecutor(max_workers=SIDE_BY_SIDE, thread_name_prefix="lienxa")

    def __enter__(self) -> _Crew:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None:
            self._cancel.set()
            self._links.close()
        self._threads.shutdown(cancel_futures=True)

    def work(self, jobs: Sequence[Job]) -> Iterator[Update]:
        """Do these jobs side by side; yields their updates as they come."""
        updates: queue.SimpleQueue[Update | Future[None]] = queue.SimpleQueue()
        door = _Door(self._links, self._patience, self._cancel)
        at_work: set[Future[None]] = set()
        for job in jobs:
            future = self._threads.submit(self._do, job, door, updates)
            at_work.add(future)
            future.add_done_callback(updates.put)
        while at_work:
            item = updates.get()
            if isinstance(item, Update):
                yield item
            else:
                at_work.remove(item)
                item.result()  # an error of ours is not to be swallowed

    def _do(self, job: Job, door: _Door, updates: queue.SimpleQueue[Update | Future[None]]) -> None:
        with contextlib.suppress(StoppedError):
            if job.machine in self._links.access.behind and (problem := door.problem()):
                message = f"{job.machine} is reached through {problem}"
                updates.put(Update(job.machine, State.UNREACHABLE, message=message))
                return
            for update in ship(job, self._links, self._kits, self._patience, self._cancel):
                updates.put(update)


class _Door:
    """The gateway as jump host: tried once per wave, so that those behind it share one connection and one verdict."""

    def __init__(self, links: Links, patience: Patience, cancel: threading.Event) -> None:
        self._links = links
        self._patience = patience
        self._cancel = cancel
        self._lock = threading.Lock()
        self._tried = False
        self._problem: LinkError | None = None

    def problem(self) -> LinkError | None:
        """Why it does not let through, or None. Waits for it as long as patience allows. May raise StoppedError."""
        with self._lock:
            if not self._tried:
                self._problem = self._try()
                self._tried = True
            return self._problem

    def _try(self) -> LinkError | None:
        give_up = self._patience.ends(time.monotonic(), None)
        while True:
            try:
                self._links.reach(self._links.access.gateway)
            except LinkError as error:
                if error.trouble is not Trouble.UNREACHABLE or time.monotonic() > give_up:
                    return error
                if self._cancel.wait(_PAUSE):
                    raise StoppedError from error
            else:
                return None


def _kind(job: Job) -> Kind:
    return job.request.order.site.machine(job.machine).kind


def _held_back(job: Job, access: Access, final: dict[str, Update]) -> Update | None:
    """Why this job must not begin: what it depends on has not been done."""
    gateway = final.get(access.gateway)
    if gateway is None or gateway.state is State.DONE or job.machine not in access.behind:
        return None
    if job.request.action != "apply":
        return None
    message = (
        f"{job.machine} was not begun, because its gateway {access.gateway} {gateway.state.value}: {gateway.message}"
    )
    return Update(job.machine, State.HELD_BACK, message=message)
