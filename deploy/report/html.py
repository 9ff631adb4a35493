"""One self-contained page for people: what is wrong and what to do first, then everything that was looked at."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from markupsafe import Markup, escape

from deploy.inventory.site import Site
from deploy.report.picture import MachineRun, Picture
from deploy.report.trouble import plain, trouble
from deploy.report.words import count, duration

if TYPE_CHECKING:
    from jinja2 import Environment


def html_page(site: Site, picture: Picture) -> str:
    """The page as text. Its time is that of the last run that began."""
    machines = list(picture.machines.values())
    return (
        _environment()
        .get_template("verify.html.j2")
        .render(
            commune=site.commune,
            machines=machines,
            begun=max((machine.started.at for machine in machines if machine.started), default=None),
            verdict=_verdict(machines),
            good=not any(_red(machine) for machine in machines),
            totals={
                "checks": sum(len(machine.checks) for machine in machines),
                "passed": sum(machine.passed for machine in machines),
                "failed": sum(len(machine.failed_checks) for machine in machines),
                "skipped": sum(len(machine.skipped_checks) for machine in machines),
            },
            slowest=max((machine.ended.seconds for machine in machines if machine.ended), default=None),
        )
    )


def _verdict(machines: list[MachineRun]) -> str:
    red = [machine for machine in machines if machine.failed_checks]
    broken = [machine for machine in machines if trouble(machine)]
    checks = sum(len(machine.checks) for machine in machines)
    parts = []
    if red:
        failed = sum(len(machine.failed_checks) for machine in red)
        parts.append(f"{failed} of {count(checks, 'check')} failed, on {', '.join(machine.name for machine in red)}")
    if broken:
        parts.append(f"not looked at to the end: {', '.join(machine.name for machine in broken)}")
    skipped = sum(len(machine.skipped_checks) for machine in machines)
    if not parts and skipped:
        return f"{count(checks - skipped, 'check')} passed; {skipped} could not be made."
    return f"{'; '.join(parts)}." if parts else f"All {count(checks, 'check')} passed."


def _red(machine: MachineRun) -> bool:
    return bool(machine.failed_checks or trouble(machine))


def _environment() -> Environment:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined  # noqa: PLC0415 (slow, and most runs make no page)

    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    filters: dict[str, Any] = {
        "plain": plain,
        "commands": _commands,
        "duration": duration,
        "trouble": trouble,
        "red": _red,
        "minute": _minute,
    }
    environment.filters.update(filters)
    return environment


def _commands(text: str) -> Markup:
    """What stands between backticks is a command, and set as one."""
    parts = plain(text).split("`")
    if len(parts) % 2 == 0:
        return escape(plain(text))
    return Markup("").join(
        Markup("<code>{}</code>").format(part) if number % 2 else escape(part) for number, part in enumerate(parts)
    )


def _minute(at: str) -> str:
    return f"{datetime.fromisoformat(at).astimezone(UTC):%Y-%m-%d %H:%M} UTC"
