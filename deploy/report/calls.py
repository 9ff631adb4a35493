"""What a call was like, for people: a sentence per figure, a verdict, and what to do next."""

from __future__ import annotations

from rich.console import Console
from rich.text import Text

from deploy.fleet.updates import State
from deploy.journal import CallEnded, CheckEnded, Verdict
from deploy.report.picture import MachineRun, Picture

_VERDICTS: dict[Verdict, tuple[str, str]] = {
    "good": ("good: a meeting will hold.", "bold green"),
    "bearable": ("bearable: people notice it, and can go on.", "bold yellow"),
    "bad": ("bad: a meeting would be disturbed.", "bold red"),
}


def print_calls(console: Console, picture: Picture) -> None:
    """Machine by machine."""
    for machine in picture.machines.values():
        for check in machine.checks:
            _print(console, check)
        text, style = _verdict(machine)
        console.print(Text(f"{machine.name}: {text}", style=style), soft_wrap=True)


def _print(console: Console, check: CheckEnded) -> None:
    passed = check.status == "passed"
    console.print(
        Text(f"{'✓' if passed else '✗'} {check.sentence}", style="" if passed else "bold red"), soft_wrap=True
    )
    console.print(Text(f"    {check.detail}"), soft_wrap=True)
    if check.next_step:
        console.print(Text(f"    What to do: {check.next_step}", style="yellow"), soft_wrap=True)


def _verdict(machine: MachineRun) -> tuple[str, str]:
    if machine.call is not None:
        text, style = _VERDICTS[machine.call.verdict]
        return f"{text} {_how(machine.call)}", style
    error = machine.ended.error if machine.ended else None
    if error:
        return f"no call was made: {error.message}", "bold red"
    if machine.state in {State.DONE, State.FAILED} and machine.checks:
        return "bad: there was no call to measure.", "bold red"
    return f"no call was made: {machine.message or machine.state.value.replace('_', ' ')}", "bold red"


def _how(call: CallEnded) -> str:
    media = "generated picture and sound" if call.generated else "its own camera and microphone"
    return f"Measured for {call.seconds:.0f} s with {media}{', on a full line' if call.loaded else ''}."
