"""The laptop's picture of a run, rebuilt from the updates of all machines. No output, no clock of its own."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from deploy.fleet.updates import State, Update
from deploy.journal import (
    CallEnded,
    CheckEnded,
    Event,
    Finding,
    GuardEvent,
    OperationEnded,
    RoleStarted,
    RunEnded,
    RunStarted,
)


@dataclass
class MachineRun:
    """What is known of one machine in this run."""

    name: str
    state: State = State.WAITING
    message: str = ""
    """The last message that came with a state: how far, or what is wrong."""
    role: str = ""
    stage: str = ""
    """`apply`, `retire` or `check`."""
    sentence: str = ""
    """Name of the last operation or check that ended."""
    started: RunStarted | None = None
    ended: RunEnded | None = None
    operations: list[OperationEnded] = field(default_factory=list)
    checks: list[CheckEnded] = field(default_factory=list)
    changed_before: int = 0
    """Operations that changed something in a run that the machine's reboot cut off."""
    findings: list[Finding] = field(default_factory=list)
    call: CallEnded | None = None
    """Of `call-test`."""
    guards: list[GuardEvent] = field(default_factory=list)

    warnings: list[str] = field(default_factory=list)
    """What people should know of this machine, each with its role in front."""

    @property
    def total(self) -> int | None:
        """Operations or checks to come in the whole run, where the runner knew."""
        return self.started.total if self.started else None

    @property
    def steps(self) -> int:
        """Operations and checks that have ended."""
        return len(self.operations) + len(self.checks)

    @property
    def changed(self) -> int:
        """Operations that changed something, or would; those of a run that a reboot cut off included."""
        return self.changed_before + sum(
            1 for operation in self.operations if operation.status in {"changed", "would_change"}
        )

    @property
    def failed_operations(self) -> list[OperationEnded]:
        """Operations that failed, in the order in which they did."""
        return [operation for operation in self.operations if operation.status == "failed"]

    @property
    def failed_checks(self) -> list[CheckEnded]:
        """Checks that were red or broke off, in the order in which they ran."""
        return [check for check in self.checks if check.status in {"failed", "error"}]

    @property
    def skipped_checks(self) -> list[CheckEnded]:
        """Checks that did not run; each says why in `detail`."""
        return [check for check in self.checks if check.status == "skipped"]

    @property
    def passed(self) -> int:
        """Checks that passed."""
        return sum(1 for check in self.checks if check.status == "passed")

    def take(self, update: Update) -> None:
        """Add what an update says."""
        self.state = update.state
        if update.message or update.event is None:
            self.message = update.message
        if update.event is not None:
            self._take_event(update.event)

    def _take_event(self, event: Event) -> None:
        match event:
            case RunStarted():
                self._starts(event)
            case RoleStarted():
                self.role, self.stage, self.sentence = event.role, event.stage, ""
                self.warnings += [f"{event.role}: {warning}" for warning in event.warnings]
            case OperationEnded():
                self.role, self.sentence = event.role, event.name
                self.operations.append(event)
            case CheckEnded():
                self.role, self.sentence = event.role, event.sentence
                self.checks.append(event)
            case Finding():
                self.sentence = event.english.what
                self.findings.append(event)
            case CallEnded():
                self.call = event
            case GuardEvent():
                self.sentence = event.sentence
                self.guards.append(event)
            case RunEnded():
                self.ended = event

    def _starts(self, event: RunStarted) -> None:
        """A second one comes when the machine was started again in mid-run: it does the whole order once more."""
        self.changed_before = self.changed
        self.operations, self.checks, self.findings, self.warnings = [], [], [], []
        self.ended = None
        self.started = event


class Picture:
    """All machines of a run, in the order in which they were asked for."""

    def __init__(self, machines: Iterable[str]) -> None:
        self.machines: dict[str, MachineRun] = {name: MachineRun(name) for name in machines}

    def __call__(self, update: Update) -> None:
        """Take an update; a machine that was not named before is added at the end."""
        self.machines.setdefault(update.machine, MachineRun(update.machine)).take(update)

    def in_state(self, state: State) -> list[MachineRun]:
        """The machines that stand there now."""
        return [machine for machine in self.machines.values() if machine.state is state]
