"""`lienxa status`: what the machines remember of their last run, and whether the inventory has moved on since."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import click
from rich.text import Text

from deploy.cli.options import commune_argument, commune_folder, inventories_option, json_option, lab_option
from deploy.cli.troubles import troubles
from deploy.fleet.conversation import Message, RefusedError
from deploy.fleet.conversation import status as ask_status
from deploy.fleet.links import LinkError, Links
from deploy.fleet.origin import changed_since
from deploy.report.console import make_console, plain_table
from deploy.report.exit_codes import DONE, UNREACHABLE
from deploy.report.json_lines import JsonLines
from deploy.target import Target, open_target

_RUNS = 20
"""How far back the last apply that went through is looked for."""


@dataclass(frozen=True)
class MachineStatus:
    """What one machine remembers. None where it does not know, or was not reached."""

    machine: str
    reached: bool
    message: str = ""
    """Why it was not reached, or who is at work there now."""
    run: str | None = None
    action: str | None = None
    result: str | None = None
    """`done`, `failed`, `stopped`; `on` while it runs, `cut off` when it ended without a last word."""
    at: str | None = None
    by: str | None = None
    commit: str | None = None
    clean: bool | None = None
    drift: bool | None = None
    """Whether the inventory now gives another order than the one last applied."""
    last_apply: str | None = None
    """How the newest apply ended, in the words of `result`; None where there was none."""
    inventory_changed: bool | None = None
    """Whether the commune's files differ from the commit of the last run; None where git cannot tell."""


@click.command()
@commune_argument()
@lab_option
@json_option
@inventories_option
def status(commune: str, lab: bool, as_json: bool, inventories: Path) -> None:
    """Show each machine's last run, by whom and from which commit, and whether the inventory has changed since."""
    commune_folder(inventories, commune)
    with troubles():
        target = open_target(inventories, commune, lab=lab)
        digests = {name: order.digest for name, order in target.orders().items()}
        with Links(target.access) as links, ThreadPoolExecutor(16) as threads:
            found = list(threads.map(lambda name: _look(target, links, name, digests[name]), target.managed))
    if as_json:
        _print_json(commune, found)
    else:
        _print_table(found)
    click.get_current_context().exit(DONE if all(each.reached for each in found) else UNREACHABLE)


def _look(target: Target, links: Links, machine: str, digest: str) -> MachineStatus:
    try:
        answer = ask_status(links, machine, runs=_RUNS)
    except (LinkError, RefusedError) as error:
        return MachineStatus(machine, reached=False, message=str(error))
    return understand(machine, answer, digest, target)


def left_to_do(target: Target, machines: Iterable[str]) -> tuple[str, ...]:
    """Those of the machines that have not got through with their present order, or cannot be asked."""
    digests = {name: order.digest for name, order in target.orders().items()}

    def is_left(machine: str) -> bool:
        found = _look(target, links, machine, digests[machine])
        return not found.reached or found.drift is not False or found.last_apply != "done"

    with Links(target.access) as links, ThreadPoolExecutor(16) as threads:
        wanted = list(machines)
        return tuple(name for name, left in zip(wanted, threads.map(is_left, wanted), strict=True) if left)


def understand(machine: str, answer: Message, digest: str, target: Target) -> MachineStatus:
    """A receiver's answer, held against what the inventory gives now."""
    runs: list[Message] = answer.get("runs") or []
    newest: Message = next(iter(runs), {})
    first: Message = newest.get("first") or {}
    commit = first.get("commit")
    state: Message | None = answer.get("state")
    # The state is exact: it knows of whole orders alone, where a run may have been of some roles only.
    applied = state.get("order") if state else next((run["first"]["order"] for run in runs if _applied(run)), None)
    return MachineStatus(
        machine,
        reached=True,
        message=_holder(answer),
        run=first.get("run"),
        action=first.get("action"),
        result=_result(newest, running=bool(answer.get("running"))),
        at=first.get("at"),
        by=first.get("by"),
        commit=commit,
        clean=first.get("clean"),
        drift=applied != digest if applied else None,
        last_apply=_last_apply(runs, running=answer.get("running")),
        inventory_changed=changed_since(target.inventories, target.commune, commit) if commit else None,
    )


def _applied(run: Message) -> bool:
    """Whether a run was an apply that went through."""
    return (run.get("first") or {}).get("action") == "apply" and (run.get("last") or {}).get("status") == "done"


def _last_apply(runs: list[Message], running: str | None) -> str | None:
    newest = next((run for run in runs if (run.get("first") or {}).get("action") == "apply"), None)
    return _result(newest, running=newest["first"].get("run") == running) if newest else None


def _result(ends: Message, *, running: bool) -> str | None:
    if not ends:
        return None
    last: Message = ends.get("last") or {}
    if last.get("event") == "run_ended":
        return str(last["status"])
    return "on" if running else "cut off"


def _holder(answer: Message) -> str:
    holder: Message = answer.get("holder") or {}
    if not answer.get("running"):
        return ""
    return f"a run is on, by {holder.get('who') or holder.get('by') or 'somebody'} since {holder.get('since', '?')}"


def _print_json(commune: str, found: list[MachineStatus]) -> None:
    lines = JsonLines(sys.stdout)
    for each in found:
        lines.line({"event": "status"} | asdict(each))
    lines.line(
        {"event": "summary", "verb": "status", "commune": commune, "machines": len(found)}
        | {"unreachable": sum(not each.reached for each in found)}
        | {"drift": sum(bool(each.drift) for each in found)}
        | {"inventory_changed": any(each.inventory_changed for each in found)}
    )


def _print_table(found: list[MachineStatus]) -> None:
    console = make_console()
    table = plain_table("machine", "last run", "result", "at (UTC)", "by", "from", "inventory since")
    for column in table.columns:
        column.justify = "left"
    for each in found:
        table.add_row(*_row(each))
    console.print(table)
    for each in found:
        if each.message:
            console.print(Text(each.message if each.reached else f"✗ {each.message}"), soft_wrap=True)


def _row(each: MachineStatus) -> tuple[Any, ...]:
    if not each.reached:
        return each.machine, "", Text("out of reach", style="bold magenta"), "", "", "", ""
    commit = (each.commit or "")[:10] + (" + changes" if each.clean is False else "")
    at = (each.at or "").replace("T", " ")[:16]
    return each.machine, each.action or "none yet", each.result or "", at, each.by or "", commit, _since(each)


def _since(each: MachineStatus) -> str:
    """Whether there is something to apply."""
    if each.drift:
        return "another order: apply"
    if each.drift is None:
        return "never applied: apply"
    return "changed, same order" if each.inventory_changed else "as applied"
