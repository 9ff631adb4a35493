"""What the written reports (JUnit, HTML) say of a machine beside its checks, and text from machines made harmless."""

from __future__ import annotations

import re
from dataclasses import dataclass

from deploy.fleet.updates import State
from deploy.report.picture import MachineRun

_CONTROL = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]|[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")
_SAID = {
    State.UNREACHABLE: "it was out of reach to the end",
    State.HELD_BACK: "it was held back: a machine that it depends on was not done",
    State.LOST: "the line dropped and did not come back",
    State.FAILED: "its run did not get to the end",
}


@dataclass(frozen=True)
class Trouble:
    """Why a machine's checks are not all there."""

    message: str
    output: str = ""
    next_step: str = ""


def trouble(machine: MachineRun) -> Trouble | None:
    """None where the run got to its end, red checks or not."""
    error = machine.ended.error if machine.ended else None
    if error is not None:
        return Trouble(error.message, error.output, error.next_step)
    if machine.state is State.DONE or (machine.state is State.FAILED and machine.failed_checks):
        return None
    return Trouble(machine.message or _SAID.get(machine.state, "its run has not ended"))


def plain(text: str) -> str:
    """Without colour codes and control characters, which neither XML nor a reader can take."""
    return _CONTROL.sub("", text.replace("\r\n", "\n"))
