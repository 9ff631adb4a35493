"""The journal's events: JSON lines that a runner appends on the machine and the laptop rebuilds its picture from."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, TypeAdapter

from deploy.inventory.site import Frozen


class _Event(Frozen):
    seq: int
    """From 0, without gaps: no event is lost or doubled."""
    at: str
    """UTC, RFC 3339, with milliseconds."""


class RunStarted(_Event):
    """First line of every journal."""

    event: Literal["run_started"] = "run_started"
    run: str
    machine: str
    action: Literal["apply", "plan", "verify", "doctor", "call-test"]
    by: str
    commit: str | None
    clean: bool | None
    order: str
    """The order's digest."""
    debian: str
    python: str
    total: int | None = None
    """Operations or checks to come, where known."""


class RoleStarted(_Event):
    """The runner turns to a role, to apply or to retire it."""

    event: Literal["role_started"] = "role_started"
    role: str
    stage: Literal["apply", "retire", "check", "diagnose"]
    total: int | None = None
    warnings: tuple[str, ...] = ()
    """What people should know of this role on this machine, in whole sentences."""


class OperationError(Frozen):
    """Why an operation failed, with the last lines of what its command printed (secrets masked)."""

    message: str
    output: str = ""
    next_step: str = ""


class OperationEnded(_Event):
    """One operation of a role, applied or planned."""

    event: Literal["operation"] = "operation"
    role: str
    name: str
    status: Literal["unchanged", "changed", "would_change", "failed"]
    commands: tuple[str, ...] = ()
    """What was or would be run, secrets masked."""
    diff: str = ""
    """Unified diff of a file, secrets masked; empty where the content is itself a secret."""
    seconds: float
    error: OperationError | None = None


class CheckEnded(_Event):
    """One check. `sentence` says what was to be shown; `next_step` what to do when it was not."""

    event: Literal["check"] = "check"
    role: str
    id: str
    """Stable over runs: `network.test_resolves_local[office]`."""
    sentence: str
    status: Literal["passed", "failed", "skipped", "error"]
    detail: str = ""
    next_step: str = ""
    seconds: float


class Words(Frozen):
    """A finding in one language, a sentence each."""

    what: str
    """What is wrong."""
    why: str
    """Why it matters to who sits there."""
    do: str
    """What to do about it."""


class Finding(_Event):
    """Something that the doctor found to be wrong."""

    event: Literal["finding"] = "finding"
    topic: str
    """`network`, `mail`, …"""
    cause: str
    """Stable over runs: `network.no_link`."""
    severity: Literal["problem", "warning"]
    """A warning stops nobody from working yet."""
    english: Words
    vietnamese: Words
    command: str = ""
    """Which command of ours does it; empty where none does."""


Verdict = Literal["good", "bearable", "bad"]
"""Of a call: nobody notices anything; people notice, and can go on; a meeting will not do."""


class CallWay(Frozen):
    """What became of a call's media one way, sound and picture together."""

    kilobits: float
    """Per second, on average."""
    packets: int
    lost_percent: float
    jitter_ms: float
    """Of sound (RFC 3550, 6.4.1)."""
    frames_per_second: float
    freezes: int
    frozen_seconds: float
    """How long the picture stood still, all together; upwards: how long no new one was sent."""


class CallPath(Frozen):
    """The pair of candidates that a call settled on (RFC 8445)."""

    local: str
    """`host`, `srflx`, `prflx` or `relay`."""
    remote: str
    protocol: str
    """Between the machine and the service or its relay: `udp`, `tcp` or `tls`."""


class Call(Frozen):
    """What a call of `call-test` was like."""

    page: str
    generated: bool
    """Picture and sound were the browser's own, for the machine has no camera or no microphone."""
    loaded: bool
    """The line was filled on purpose."""
    seconds: float
    """How long it was measured."""
    begun_seconds: float
    """From when the page began to join until media flowed both ways."""
    page_seconds: float
    """The same from the page's opening: its scripts have to come, and camera and microphone to be opened."""
    round_trip_ms: float
    round_trip_slow_ms: float
    """Of the slowest twentieth."""
    path: CallPath
    up: CallWay
    down: CallWay


class CallEnded(Call, _Event):
    """A call has ended; the checks before it say how it is judged."""

    event: Literal["call"] = "call"
    verdict: Verdict


class GuardEvent(_Event):
    """What can cut the laptop off is under guard: armed before the first change, decided at the role's end."""

    event: Literal["guard"] = "guard"
    status: Literal["armed", "released", "waiting", "confirmed", "rolled_back"]
    """`released`: nothing was changed that could cut anybody off. `waiting`: for the laptop's new connection."""
    guard: str
    """The run's name and a number. Of an earlier run where nobody was there to hear that it was rolled back."""
    seconds: float = 0.0
    """While `waiting`: how long."""
    what: tuple[str, ...] = ()
    """While `waiting`: what was changed."""
    witness: str | None = None
    """While `waiting`, at a gateway: a machine behind it that has to be reached through it as well."""
    reason: str = ""
    """Why it was rolled back."""
    left: tuple[str, ...] = ()
    """What is not as it was, after it was rolled back."""
    verified: bool | None = None
    """Whether after the roll-back everything was found to be as before."""

    @property
    def sentence(self) -> str:
        """What it means, for people."""
        match self.status:
            case "armed":
                return "what can cut the laptop off is kept"
            case "released":
                return "nothing was changed that could cut the laptop off"
            case "waiting":
                return f"waiting {self.seconds:.0f} s for a new connection, or what was changed is rolled back"
            case "confirmed":
                return "reached over a new connection: what was changed stays"
            case "rolled_back":
                checked = "verified" if not self.left else f"but not as it was: {', '.join(self.left)}"
                return f"{self.reason}: rolled back, {checked}"


class RunEnded(_Event):
    """Last line of a journal that was not cut off by a reboot."""

    event: Literal["run_ended"] = "run_ended"
    status: Literal["done", "failed", "stopped"]
    operations: int = 0
    changed: int = 0
    """Changed, or for `plan`: would change."""
    checks: int = 0
    failed: int = 0
    skipped: int = 0
    topics: tuple[str, ...] = ()
    """What the doctor has looked at."""
    findings: int = 0
    """Warnings included; problems count as `failed` too."""
    seconds: float
    error: OperationError | None = None


Event = Annotated[
    RunStarted | RoleStarted | OperationEnded | CheckEnded | Finding | CallEnded | GuardEvent | RunEnded,
    Field(discriminator="event"),
]
_ADAPTER: TypeAdapter[Event] = TypeAdapter(Event)


def parse_event(line: str | bytes) -> Event:
    """One line of a journal. Raises pydantic.ValidationError if it is none."""
    return _ADAPTER.validate_json(line)
