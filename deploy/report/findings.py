"""What the doctor found, as sentences for people, in English or Vietnamese."""

from __future__ import annotations

from typing import Literal

from rich.console import Console
from rich.text import Text

from deploy.fleet.updates import State
from deploy.journal import Finding
from deploy.report.picture import MachineRun, Picture

Language = Literal["en", "vi"]

_TOPICS: dict[Language, dict[str, str]] = {
    "en": {
        "network": "network",
        "mail": "mail",
        "signing": "digital signature",
        "portal": "one-stop portal",
        "meeting": "meetings by video",
    },
    "vi": {
        "network": "mạng",
        "mail": "thư điện tử",
        "signing": "chữ ký số",
        "portal": "cổng một cửa",
        "meeting": "họp trực tuyến",
    },
}
_HEALTHY: dict[Language, str] = {
    "en": "{machine}: nothing is wrong ({topics}).",
    "vi": "{machine}: không thấy gì sai ({topics}).",
}
_NOT_ASKED: dict[Language, str] = {
    "en": "{machine} could not be asked: {reason}",
    "vi": "Không hỏi được máy {machine}: {reason}",
}
_WHY: dict[Language, str] = {"en": "Why it matters", "vi": "Vì sao quan trọng"}
_DO: dict[Language, str] = {"en": "What to do", "vi": "Cần làm"}
_COMMAND: dict[Language, str] = {"en": "Command", "vi": "Lệnh"}


def print_findings(console: Console, picture: Picture, language: Language = "en") -> None:
    """Machine by machine; of a healthy one that it is so, and nothing else."""
    for machine in picture.machines.values():
        for finding in machine.findings:
            _print(console, machine.name, finding, language)
        if not machine.findings:
            console.print(Text(_without_findings(machine, language), style=_style(machine)), soft_wrap=True)


def _print(console: Console, machine: str, finding: Finding, language: Language) -> None:
    words = finding.vietnamese if language == "vi" else finding.english
    sign, style = ("✗", "bold red") if finding.severity == "problem" else ("!", "bold yellow")
    console.print(Text(f"{sign} {machine}: {words.what}", style=style), soft_wrap=True)
    console.print(Text(f"    {_WHY[language]}: {words.why}"), soft_wrap=True)
    console.print(Text(f"    {_DO[language]}: {words.do}", style="yellow"), soft_wrap=True)
    if finding.command:
        console.print(Text(f"    {_COMMAND[language]}: {finding.command}"), soft_wrap=True)


def _without_findings(machine: MachineRun, language: Language) -> str:
    if machine.state is State.DONE and machine.ended:
        topics = ", ".join(_TOPICS[language].get(topic, topic) for topic in machine.ended.topics)
        return _HEALTHY[language].format(machine=machine.name, topics=topics)
    error = machine.ended.error if machine.ended else None
    reason = error.message if error else machine.message or machine.state.value.replace("_", " ")
    return _NOT_ASKED[language].format(machine=machine.name, reason=reason)


def _style(machine: MachineRun) -> str:
    return "bold green" if machine.state is State.DONE else "bold red"
