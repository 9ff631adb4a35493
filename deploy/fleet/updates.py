"""What the fleet tells the report: one stream of updates for all machines of a run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from deploy.journal import Event


class State(StrEnum):
    """Where the laptop's work with one machine stands.

    Four are final (`final`): after them nothing more comes from this machine in this run.
    """

    WAITING = "waiting"
    """Its wave has not begun."""
    CONNECTING = "connecting"
    SENDING = "sending"
    """The kit or the request is on its way; `message` says how far."""
    RUNNING = "running"
    """The runner works; most updates carry one of its journal's events."""
    LOST = "lost"
    """The line dropped. The run goes on at the machine, and the laptop connects again."""
    DONE = "done"
    FAILED = "failed"
    """The run ended with a failed operation or check, or the machine refused it; `message` says why."""
    UNREACHABLE = "unreachable"
    """Out of reach to the end: nothing is known of the machine since the last event."""
    HELD_BACK = "held_back"
    """Not begun, because what it depends on failed."""

    @property
    def final(self) -> bool:
        """Whether nothing more comes from this machine in this run."""
        return self in _FINAL


_FINAL = frozenset({State.DONE, State.FAILED, State.UNREACHABLE, State.HELD_BACK})


@dataclass(frozen=True)
class Update:
    """Something new about one machine."""

    machine: str
    state: State
    event: Event | None = None
    """The journal's event that came in, each exactly once and in the order of `seq`."""
    message: str = ""
    """For people: the cause and the next step where something is wrong."""


Listener = Callable[[Update], None]
"""Called from one thread at a time, never twice at once."""
