"""One run on this machine: reads the request, holds the lock, does it, and says everything in the journal."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import sys
import time
import traceback
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from types import FrameType
from typing import Literal
from urllib.parse import urlsplit

from pydantic import ValidationError

from deploy.journal import OperationError
from deploy.order import Request
from deploy.runner.context import debian_release
from deploy.runner.diagnosis import run_diagnosis
from deploy.runner.engine import Engine, Performed
from deploy.runner.guard import goes_down
from deploy.runner.guarding import Guard, Guards, RolledBackError
from deploy.runner.journal_writer import Counts, JournalError, JournalWriter, utc_now
from deploy.runner.lock import HeldError, Holder, lock
from deploy.runner.masking import Masking
from deploy.runner.relay import AWAY, relayed
from deploy.runner.shell import ENVIRONMENT, Shell
from deploy.runner.stages import PrepareError, RoleSource, Stage, apply_roles, is_known, retire_roles
from deploy.runner.state import State, StateError, read_state, write_state
from deploy.runner.system_errors import SYSTEM_ERRORS

DONE, FAILED, BAD_REQUEST = 0, 1, 2
"""Exit codes."""
_JOURNALS_KEPT = 100
_ROOM_NEEDED = 32 * 1024 * 1024
"""Bytes that have to be free where our journal and state are, before anything is changed."""


@dataclass(frozen=True)
class Paths:
    """Where things are on a machine."""

    lasting: Path = Path("/var/lib/lienxa")
    fleeting: Path = Path("/run/lienxa")
    """On tmpfs."""

    def request(self, run: str) -> Path:
        """The order with what is to be done about it; gone as soon as it was read."""
        return self.fleeting / f"{run}.json"

    def private(self, run: str) -> Path:
        """A directory of the run's own, gone at its end."""
        return self.fleeting / f"{run}.d"

    def journal(self, run: str) -> Path:
        """The run's journal."""
        return self.lasting / "journal" / f"{run}.jsonl"

    @property
    def package_port(self) -> Path:
        """Where the laptop's package cache is found at the moment, noted by the receiver."""
        return self.fleeting / "package-port"

    @property
    def guard_seconds(self) -> Path:
        """How long a change of the way in waits for the laptop that follows, noted by the receiver."""
        return self.fleeting / "guard-seconds"

    @property
    def lock(self) -> Path:
        """Held while a run is on."""
        return self.lasting / "lock"

    @property
    def state(self) -> Path:
        """What was applied."""
        return self.lasting / "state.json"


_APT_CONFIG = """\
Acquire::http::Proxy "{proxy}";
Acquire::https::Proxy "{proxy}";
Acquire::http::Proxy-Auto-Detect "";
Acquire::https::Proxy-Auto-Detect "";
// The relay waits for a laptop that is away, and hangs up as soon as it is back on another connection.
Acquire::http::Timeout "{away}";
Acquire::https::Timeout "{away}";
Acquire::Retries "30";
Acquire::Retries::Delay "false";
"""


class Stop:
    """Whether someone asked the run to stop: it then ends after the operation that is on."""

    def __init__(self) -> None:
        self.asked = False

    def ask(self, number: int = 0, frame: FrameType | None = None) -> None:
        """Usable as a signal handler."""
        self.asked = True


def run(
    run_id: str,
    source: RoleSource,
    paths: Paths = Paths(),
    stop: Stop | None = None,
    guards: Guards | None = None,
) -> int:
    """Do what the request of this run asks for. Returns an exit code; everything else is in the journal.

    `guards` makes the run's guard; without one, changes that cut the laptop off stay.
    """
    os.umask(0o077)
    written = paths.request(run_id)
    try:
        request = Request.model_validate_json(written.read_bytes())
        masking = Masking(request.order.secrets.values())
        journal = JournalWriter(paths.journal(run_id), masking)
    except (OSError, ValidationError, JournalError) as error:
        sys.stderr.write(f"lienxa: run {run_id} cannot begin: {_without_input(error)}\n")
        return BAD_REQUEST
    finally:
        # It has secrets in it. After the journal is there: by one or the other the receiver knows of the run.
        with suppress(OSError):
            written.unlink(missing_ok=True)
    try:
        guard = guards(request, journal, paths.guard_seconds) if guards else None
        return _Run(request, source, paths, journal, stop or Stop(), guard).to_its_end()
    except JournalError as error:
        sys.stderr.write(f"lienxa: run {run_id} was given up: {masking(str(error))}\n")
        return FAILED
    finally:
        journal.close()
        shutil.rmtree(paths.private(run_id), ignore_errors=True)


@contextmanager
def stopped_by_signals(stop: Stop) -> Iterator[None]:
    """SIGTERM, SIGINT and SIGHUP ask for a stop instead of ending the process in the middle of something."""
    numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
    before = {number: signal.signal(number, stop.ask) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class _CannotError(Exception):
    """Why the run cannot be done, said so that the engineer can act on it."""

    def __init__(self, message: str, next_step: str) -> None:
        super().__init__(message)
        self.error = OperationError(message=message, next_step=next_step)


class _Run:
    def __init__(
        self,
        request: Request,
        source: RoleSource,
        paths: Paths,
        journal: JournalWriter,
        stop: Stop,
        guard: Guard | None,
    ) -> None:
        self._request = request
        self._source = source
        self._paths = paths
        self._journal = journal
        self._stop = stop
        self._guard = guard
        self._counts = Counts()
        self._begun = time.monotonic()

    def to_its_end(self) -> int:
        """Whatever happens, the journal gets its last line (unless it cannot be written)."""
        holder = Holder(who=self._request.by, since=utc_now(), run=self._request.run)
        error: OperationError | None = None
        try:
            with lock(self._paths.lock, holder):
                _prune(self._paths.lasting / "journal")
                self._do()
        except JournalError:
            raise
        except Exception as caught:  # noqa: BLE001 (whatever it is, the laptop must hear of it)
            error = _as_error(caught, self._request)
        return self._end(error)

    def _end(self, error: OperationError | None) -> int:
        if self._journal.is_empty:
            self._journal.run_started(self._request)
        bad = error is not None or self._counts.failed > 0
        if self._stop.asked and goes_down():
            return FAILED  # without a last line: who comes after the restart hears that it was cut off, and goes on
        status: Literal["done", "failed", "stopped"] = "failed" if bad else "stopped" if self._stop.asked else "done"
        self._journal.run_ended(status, self._counts, seconds=time.monotonic() - self._begun, error=error)
        return DONE if status == "done" else FAILED

    def _do(self) -> None:
        match self._request.action:
            case "verify":
                self._verify()
            case "doctor":
                self._journal.run_started(self._request)
                self._counts = run_diagnosis(self._request, self._journal, self._source.cards)
            case "call-test":
                self._call()
            case "apply" | "plan":
                self._change()

    def _verify(self) -> None:
        # pytest is slow to import, and only needed here.
        from deploy.runner.checking import run_checks  # noqa: PLC0415

        self._journal.run_started(self._request)
        self._counts = run_checks(self._request, self._journal, self._source.cards, self._source.checks)

    def _call(self) -> None:
        # Only needed here, as pytest is only there.
        from deploy.runner.calls.calling import run_call_test  # noqa: PLC0415

        self._journal.run_started(self._request)
        self._counts = run_call_test(
            self._request, self._journal, self._paths.private(self._request.run), lambda: self._stop.asked
        )

    def _change(self) -> None:
        plan = self._request.action == "plan"
        if not plan:
            _need_room(self._paths.lasting)
        state = read_state(self._paths.state)
        with ExitStack() as stack:
            shell = Shell(self._environment(stack))
            stack.callback(shell.close)
            before_change = self._guard.before_change if self._guard else lambda: None
            engine = Engine(self._request.order.machine, shell, plan=plan, before_change=before_change)
            with engine.contexts():
                stages = self._stages(state)
                self._journal.run_started(self._request, total=len(engine.operations()))
                if self._guard and not plan:
                    self._guard.tell_of_earlier()
                self._perform_all(engine, stages, _StateKeeper(self._paths.state, state, self._request, plan=plan))

    def _stages(self, state: State) -> tuple[Stage, ...]:
        order, lab, only = self._request.order, self._request.lab, self._request.only_roles
        # Someone who asks for one role wants that one done, and nothing taken away.
        retired = () if only else retire_roles(order, state.roles, self._source, lab=lab)
        return (*retired, *apply_roles(order, self._source, lab=lab, only=only))

    def _perform_all(self, engine: Engine, stages: tuple[Stage, ...], keeper: _StateKeeper) -> None:
        for stage in stages:
            self._journal.role_started(stage.role, stage.what, len(stage.operations), stage.warnings)
            if stage.what == "retire" and not is_known(stage.role, self._source):
                self._cannot_retire(stage)
                continue
            keeper.begins(stage)
            done = all(not self._stop.asked and self._perform(engine, stage, name) for name in stage.operations)
            # Half a role may cut off as well as a whole one.
            if self._guard:
                self._guard.settle(stage.role)
            if not done:
                return
            keeper.ended(stage)
        keeper.all_ended()

    def _perform(self, engine: Engine, stage: Stage, operation: str) -> bool:
        performed = engine.perform(operation)
        self._journal.operation(
            stage.role,
            performed.name,
            performed.status,
            commands=performed.commands,
            diff=performed.diff,
            seconds=performed.seconds,
            error=performed.error,
        )
        self._counts = _counted(self._counts, performed)
        return performed.status != "failed"

    def _cannot_retire(self, stage: Stage) -> None:
        error = OperationError(
            message=f"role {stage.role} was applied to this machine once, but this kit does not know it any more",
            next_step="Retire it with the release that still has it, or stop its units by hand. It stays on record.",
        )
        self._journal.operation(stage.role, f"Retire {stage.role}", "unchanged", seconds=0, error=error)

    def _environment(self, stack: ExitStack) -> Mapping[str, str]:
        given = urlsplit(self._request.package_proxy or "")
        if given.port is None:
            return ENVIRONMENT
        port = stack.enter_context(relayed(given.port, self._paths.package_port))
        folder = self._paths.private(self._request.run)
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        # Only for APT: a proxy in the environment would also be taken by what the roles install and start.
        config = folder / "apt.conf"
        text = _APT_CONFIG.format(proxy=f"http://127.0.0.1:{port}", away=int(AWAY))
        if lines := self._request.package_sources.get(debian_release(), ()):
            sources = folder / "sources.list"
            sources.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
            text += f'Dir::Etc::SourceList "{sources}";\nDir::Etc::SourceParts "-";\n'
        config.write_text(text, encoding="utf-8")
        return {**ENVIRONMENT, "APT_CONFIG": str(config), "LIENXA_PACKAGES": f"127.0.0.1:{port}"}


class _StateKeeper:
    """Writes the machine's state as the run goes on; a plan writes nothing."""

    def __init__(self, path: Path, state: State, request: Request, *, plan: bool) -> None:
        self._path = path
        self._state = state
        self._request = request
        self._plan = plan

    def begins(self, stage: Stage) -> None:
        if stage.what == "apply":
            self._write(roles={**self._state.roles, stage.role: stage.version})

    def ended(self, stage: Stage) -> None:
        if stage.what == "retire":
            self._write(roles={name: version for name, version in self._state.roles.items() if name != stage.role})

    def all_ended(self) -> None:
        request = self._request
        self._write(
            # A part of an order says nothing about the whole.
            order=self._state.order if request.only_roles else request.order.digest,
            run=request.run,
            at=utc_now(),
            by=request.by,
            commit=request.commit,
            clean=request.clean,
        )

    def _write(self, **fields: object) -> None:
        state = self._state.model_copy(update=fields)
        if not self._plan and state != self._state:
            write_state(self._path, state)
            self._state = state


def _counted(counts: Counts, performed: Performed) -> Counts:
    return replace(
        counts,
        operations=counts.operations + 1,
        changed=counts.changed + (performed.status in {"changed", "would_change"}),
        failed=counts.failed + (performed.status == "failed"),
    )


def _need_room(folder: Path) -> None:
    free = shutil.disk_usage(folder).free
    if free < _ROOM_NEEDED:
        raise OSError(errno.ENOSPC, f"only {free // 1024 // 1024} MB are free", str(folder))


def _prune(folder: Path) -> None:
    for old in sorted(folder.glob("*.jsonl"))[:-_JOURNALS_KEPT]:
        with suppress(OSError):
            old.unlink()


def _as_error(error: Exception, request: Request) -> OperationError:
    match error:
        case RolledBackError():
            return error.error
        case HeldError():
            return OperationError(
                message=str(error), next_step="Wait for it to end, or attach to it; then try again."
            )
        case PrepareError():
            return OperationError(
                message=f"{error}; nothing was touched",
                output=_trace(error.__cause__ or error),
                next_step="This is a mistake in the role, its template or its options; correct it and try again.",
            )
        case StateError():
            return OperationError(
                message=str(error),
                next_step="Move the file away on the machine and apply again: the roles are then recorded anew.",
            )
        case OSError() if error.errno in SYSTEM_ERRORS:
            reason = SYSTEM_ERRORS[error.errno]
            return OperationError(message=f"{reason.message}: {error}", next_step=reason.next_step)
    return OperationError(
        message=f"the runner failed in run {request.run}: {type(error).__name__}: {error}",
        output=_trace(error),
        next_step="This is a mistake in lienxa: report it with this text.",
    )


def _trace(error: BaseException) -> str:
    return "".join(traceback.format_exception(error))


def _without_input(error: Exception) -> str:
    """The error's words without the request's content, which has secrets in it."""
    if isinstance(error, ValidationError):
        return "; ".join(
            f"{'.'.join(str(part) for part in detail['loc'])}: {detail['msg']}"
            for detail in error.errors(include_input=False, include_url=False, include_context=False)
        )
    return str(error)
