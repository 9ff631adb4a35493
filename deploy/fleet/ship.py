"""Shipping: one machine's job from the first contact to the last event of its run.

The run is the machine's own; this side only starts it and follows its journal. Whenever the line drops, it connects
again, says hello, and goes on where it was: an upload at the byte, the journal at the event.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from deploy.fleet.confirm import confirm, guard_seconds
from deploy.fleet.conversation import Conversation, DroppedError, Message, RefusedError, busy, limited
from deploy.fleet.depot import Depot
from deploy.fleet.kit import Archive, KitError, Kits
from deploy.fleet.links import LinkError, Links, Trouble
from deploy.fleet.patience import Backoff, Patience
from deploy.fleet.updates import State, Update
from deploy.journal import GuardEvent, RunEnded, parse_event
from deploy.order import Request, new_run

_REBOOTS = 3
"""How often a machine may be started again in mid-run until the laptop takes it for broken."""
_CLOCKS_APART = 300.0
"""Seconds between the machine's clock and the laptop's from which on it is said: signatures depend on it."""
_SILENT = 20.0
"""Seconds after which a machine counts as out of reach: OpenSSH has noticed by then."""


@dataclass(frozen=True)
class Job:
    """What one machine is to do."""

    machine: str
    request: Request
    package_port: int | None = None
    """The laptop's package cache on its loopback, lent to the machine while the run is on."""
    attach: bool = False
    """Start nothing: follow whatever run is on there, whoever began it."""
    guard_seconds: float | None = None
    """How long the machine waits for the confirmation of a change of the way in; None: as the line needs it."""
    depot: Depot | None = None
    """Where in the commune it may take its kit from."""

    def is_done_by(self, on: Message) -> bool:
        """Whether the run that is on is what this job asks for, begun by whomever."""
        return self.attach or {key: on.get(key) for key in ("order", "action", "roles")} == self.work

    @property
    def work(self) -> Message:
        """What makes two runs the same."""
        request = self.request
        return {"order": request.order.digest, "action": request.action, "roles": list(request.only_roles)}


class StoppedError(Exception):
    """The engineer pressed Ctrl-C."""


class _RebootedError(Exception):
    """The machine was started again in the middle of the run."""


@dataclass
class _Progress:
    """What this side knows of the run so far."""

    request: Request
    run: str
    """The one that is followed: the request's, or one of the same order that was on already."""
    begun: float = field(default_factory=time.monotonic)
    seq: int = 0
    started: bool = False
    heard: float | None = None
    """When the machine last said something."""
    seen: str = ""
    """The same for people, by the laptop's clock."""
    reboots: int = 0
    greeting: float = 0.0
    """Seconds that the last new connection took, from its opening to the machine's first answer."""
    guarded: bool = False
    """Whether the machine may be putting the way in back just now."""

    def hears(self) -> None:
        self.heard = time.monotonic()
        self.seen = f"{datetime.now().astimezone():%H:%M:%S}"

    def follows(self, run: str) -> None:
        self.run, self.started = run, True

    def starts_anew(self) -> None:
        """The same order as a run of its own: the one that the reboot cut off stays as it is."""
        self.request = self.request.model_copy(update={"run": new_run()})
        self.run, self.seq, self.started = self.request.run, 0, False
        self.reboots += 1


def ship(
    job: Job, links: Links, kits: Kits, patience: Patience | None = None, cancel: threading.Event | None = None
) -> Iterator[Update]:
    """Do one job. The last update is final, whatever happens; only StoppedError is raised, once `cancel` is set."""
    patience = patience or Patience()
    cancel = cancel or threading.Event()
    progress = _Progress(job.request, job.request.run)
    backoff = Backoff(job.machine, patience.seed)
    yield Update(job.machine, State.CONNECTING)
    while True:
        heard = progress.heard
        try:
            yield from _converse(job, links, kits, progress, patience, backoff)
        except RefusedError as refusal:
            yield Update(job.machine, State.FAILED, message=f"{job.machine}: {refusal}")
        except _RebootedError:
            progress.starts_anew()
            message = f"it was started again (or lost power) during the run; going on as run {progress.run}"
            yield Update(job.machine, State.SENDING, message=message)
            continue
        except LinkError as error:
            # A guarded change may have taken the account, its key or its rights for now, not only the line.
            may_mend = error.trouble is Trouble.UNREACHABLE or progress.guarded
            if may_mend and time.monotonic() < _ends(patience, progress):
                yield _reconnecting(job, progress, error)
                if progress.heard != heard:
                    backoff.reached()
                if cancel.wait(backoff.pause()):
                    raise StoppedError from error
                continue
            yield _given_up(job, patience, progress, error)
        return


# ---------------------------------------------------------------------------------------------------- parts


def _converse(
    job: Job, links: Links, kits: Kits, progress: _Progress, patience: Patience, backoff: Backoff
) -> Iterator[Update]:
    """Once through the conversation, as far as the line lasts."""
    opened = time.monotonic()
    rest = patience.deadline and max(0.0, _ends(patience, progress) - time.monotonic())
    with Conversation(links, job.machine, job.package_port) as talk, limited(talk, rest):
        request, body = _first_words(job, kits, progress)
        with limited(talk, backoff.hello):
            hello = talk.ask(request, body)
        progress.hears()
        progress.greeting = time.monotonic() - opened
        if "started" in hello:
            yield Update(job.machine, State.SENDING, message=_notes(hello))
            progress.follows(progress.run)
        elif not progress.started:
            yield from _begin(job, talk, hello, kits, progress)
        if progress.started:
            yield Update(job.machine, State.RUNNING)
            yield from _follow(job, talk, progress, links)


def _first_words(job: Job, kits: Kits, progress: _Progress) -> tuple[Message, bytes]:
    """What to say first: hello, and to start the run if all for that is there already."""
    hello: Message = {"lend": job.package_port is not None}
    if progress.started or job.attach:
        return hello | {"do": "hello"}, b""
    there = {"runtimes": kits.runtime_names(), "content": kits.content().name}
    return hello | {"do": "begin"} | there | _start(job, progress), progress.request.to_bytes()


def _start(job: Job, progress: _Progress) -> Message:
    return {"run": progress.run, "by": progress.request.by} | job.work


def _begin(job: Job, talk: Conversation, hello: Message, kits: Kits, progress: _Progress) -> Iterator[Update]:
    """Start the run, or join the one that does the same already."""
    on: Message | None = hello["at_work"]
    if on is not None and (on["run"] == progress.run or job.is_done_by(on)):
        progress.follows(on["run"])
        message = (
            f"run {on['run']} is on, by {on.get('by') or 'somebody'} since {on.get('since', '?')}: attached to it"
        )
        yield Update(job.machine, State.RUNNING, message=message)
    elif on is not None:
        raise RefusedError(busy(on))
    elif job.attach:
        yield Update(job.machine, State.DONE, message="no run is on")
    else:
        yield from _send(job, talk, hello, kits, progress)


def _send(job: Job, talk: Conversation, hello: Message, kits: Kits, progress: _Progress) -> Iterator[Update]:
    yield Update(job.machine, State.SENDING, message=_notes(hello))
    try:
        archives = (kits.runtime(hello["python"], hello["arch"]), kits.content_for(hello["kits"]))
    except KitError as error:
        raise RefusedError(str(error)) from error
    for archive in archives:
        yield from _send_archive(job, talk, hello, archive, progress)
    start = {"do": "start", "runtime": archives[0].name, "content": archives[1].name}
    talk.ask(start | _start(job, progress), progress.request.to_bytes())
    progress.follows(progress.run)


def _send_archive(
    job: Job, talk: Conversation, hello: Message, archive: Archive, progress: _Progress
) -> Iterator[Update]:
    if archive.name in hello["kits"]:
        return
    room = hello["free"]
    if room < 10 * archive.size:
        raise RefusedError(
            f"its disk is full: {room >> 20} MB are free below /var, {10 * archive.size >> 20} MB are needed; "
            "free some space (`df -h`, `apt-get clean`, `journalctl --vacuum-size=100M`)"
        )
    kept = hello["partial"].get(f"{archive.name}.{archive.sha256[:12]}.part", 0)
    shown = -1
    keep: Literal["no", "too"] = "no"
    if job.depot is not None and archive.base is None:  # what only changed is shorter than the way to the depot
        yield Update(job.machine, State.SENDING, message="taking the kit from the commune's own depot")
        if job.depot.hand_over(job.machine, talk, archive):
            progress.hears()
            return
        keep = "too" if job.depot.keeps(job.machine) else "no"
    for arrived in talk.upload(archive, min(kept, archive.size), keep):
        progress.hears()
        percent = 100 * arrived // archive.size
        if percent // 5 > shown:
            shown = percent // 5
            message = f"kit {archive.name.partition('-')[0]} {percent} % of {archive.size / 1e6:.1f} MB"
            yield Update(job.machine, State.SENDING, message=message)


def _follow(job: Job, talk: Conversation, progress: _Progress, links: Links) -> Iterator[Update]:
    seconds = job.guard_seconds or guard_seconds(progress.greeting)
    talk.send({"do": "follow", "run": progress.run, "seq": progress.seq, "guard_seconds": seconds})
    while True:
        answer = talk.receive()
        progress.hears()
        if "gone" in answer:
            raise _gone(job, progress, answer["gone"])
        if "event" not in answer:
            raise DroppedError
        event = parse_event(answer["event"])
        progress.seq = event.seq + 1
        if isinstance(event, RunEnded):
            yield _ended(job, event)
            return
        yield Update(job.machine, State.RUNNING, event)
        if isinstance(event, GuardEvent):
            progress.guarded = event.status in ("armed", "waiting")
            if event.status == "waiting":
                confirm(links, job.machine, event)


# ---------------------------------------------------------------------------------------------------- words


def _ends(patience: Patience, progress: _Progress) -> float:
    return patience.ends(progress.begun, progress.heard)


def _reconnecting(job: Job, progress: _Progress, error: LinkError) -> Update:
    if not progress.seen:
        return Update(job.machine, State.CONNECTING, message=str(error))
    state = State.LOST if progress.started else State.CONNECTING
    return Update(job.machine, state, message=f"reconnecting, machine last seen {progress.seen} ({error})")


def _notes(hello: Message) -> str:
    """What is worth a word before anything is begun."""
    notes = []
    if hello.get("cut_off"):
        notes.append(f"its last run {hello['cut_off']} was cut off before its end; what was done is not done twice")
    apart = hello["time"] - time.time()
    if abs(apart) > _CLOCKS_APART:
        direction = "ahead of" if apart > 0 else "behind"
        notes.append(f"its clock is {abs(apart) / 60:.0f} min {direction} this laptop's: set it (`date`, `hwclock`)")
    return "; ".join(notes)


def _ended(job: Job, event: RunEnded) -> Update:
    if event.status == "done":
        return Update(job.machine, State.DONE, event)
    why = event.error.message if event.error else f"{event.failed} failed"
    if event.status == "stopped":
        why = "its run was stopped after an operation; apply again to go on"
    return Update(job.machine, State.FAILED, event, f"{job.machine}: {why}")


def _given_up(job: Job, patience: Patience, progress: _Progress, error: LinkError) -> Update:
    """The deadline has passed, or patience is at its end: is the machine out of reach, or only not done?"""
    if not progress.started:
        return Update(job.machine, State.UNREACHABLE, message=str(error))
    commune = job.request.order.site.commune.slug
    heard = progress.heard or progress.begun
    if patience.deadline is not None and time.monotonic() - heard < _SILENT:
        message = (
            f"{job.machine}: not done within the deadline of {patience.deadline:.0f} s; "
            f"its run {progress.run} goes on there: `lienxa attach {commune}`"
        )
        return Update(job.machine, State.FAILED, message=message)
    message = (
        f"{error}. It was last seen {progress.seen}; its run {progress.run} was on and may be done by now: "
        f"`lienxa apply {commune} --failed` when it can be reached again"
    )
    return Update(job.machine, State.UNREACHABLE, message=message)


def _gone(job: Job, progress: _Progress, why: Message) -> Exception:
    """The run has no last event: what became of it."""
    log = why["log"].strip()
    if why["rebooted"]:
        if not job.attach and progress.reboots < _REBOOTS:
            return _RebootedError()
        return RefusedError(
            "it was started again (or lost power) during the run; apply again, what was done is not done twice"
        )
    own = [line for line in log.splitlines() if line.startswith("lienxa: run ")]
    if own:
        return RefusedError(f"{own[-1].removeprefix('lienxa: ')}; mend that and apply again")
    if why.get("memory"):
        return RefusedError(
            "the machine has no memory left: the kernel ended the run; look at `free -m` and at what takes it, then "
            "apply again"
        )
    if not why["begun"]:
        return RefusedError(f"the runner did not start:\n{log}")
    return RefusedError(
        f"the runner was killed before it ended; apply again, what was done is not done twice. Its last words:\n{log}"
    )
