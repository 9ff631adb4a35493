"""The end of a run in numbers: the summary that closes every report, and the exit code."""

from __future__ import annotations

from typing import Any, Literal

from deploy.fleet.updates import State
from deploy.report.exit_codes import DONE, FAILED, UNREACHABLE
from deploy.report.picture import MachineRun, Picture

Verb = Literal["apply", "plan", "verify", "doctor", "call-test", "attach"]


def summary(verb: Verb, commune: str, picture: Picture, seconds: float) -> dict[str, Any]:
    """The closing line of `--json`; docs/json.md says what each number means."""
    machines = list(picture.machines.values())
    line: dict[str, Any] = {"event": "summary", "verb": verb, "commune": commune, "machines": len(machines)}
    if verb == "verify":
        line |= _checks(machines)
    elif verb == "call-test":
        line |= _checks(machines) | {"calls": sum(machine.call is not None for machine in machines)}
    elif verb == "doctor":
        line |= _findings(machines)
    else:
        line |= _operations(machines)
    return line | {
        "unreachable": len(picture.in_state(State.UNREACHABLE)),
        "held_back": len(picture.in_state(State.HELD_BACK)),
        "seconds": round(seconds, 1),
    }


def exit_code(picture: Picture) -> int:
    """0: all done. 1: a change or a check failed. 3: a machine was out of reach, and nothing else is wrong."""
    if any(_broken(machine) for machine in picture.machines.values()):
        return FAILED
    if picture.in_state(State.UNREACHABLE):
        return UNREACHABLE
    # Machines held back without a failed one: what they wait for was out of reach or is not done.
    return DONE if all(machine.state is State.DONE for machine in picture.machines.values()) else FAILED


def _broken(machine: MachineRun) -> bool:
    return bool(machine.state is State.FAILED or machine.failed_operations or machine.failed_checks)


def _operations(machines: list[MachineRun]) -> dict[str, int]:
    return {
        "operations": sum(len(machine.operations) for machine in machines),
        "changed": sum(machine.changed for machine in machines),
        "failed": sum(_failures(machine, len(machine.failed_operations)) for machine in machines),
    }


def _checks(machines: list[MachineRun]) -> dict[str, int]:
    return {
        "checks": sum(len(machine.checks) for machine in machines),
        "passed": sum(machine.passed for machine in machines),
        "failed": sum(_failures(machine, len(machine.failed_checks)) for machine in machines),
        "skipped": sum(len(machine.skipped_checks) for machine in machines),
    }


def _findings(machines: list[MachineRun]) -> dict[str, int]:
    problems = [sum(one.severity == "problem" for one in machine.findings) for machine in machines]
    return {
        "findings": sum(len(machine.findings) for machine in machines),
        "failed": sum(_failures(machine, number) for machine, number in zip(machines, problems, strict=True)),
    }


def _failures(machine: MachineRun, counted: int) -> int:
    """A machine that failed as a whole (locked, refused the order) counts as one: `failed` 0 means all is well."""
    return counted or int(machine.state is State.FAILED)
