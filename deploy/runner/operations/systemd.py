"""systemd units that converge: enabled, running, and running with the configuration that is on the disk."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Unpack

from deploy.runner.context import Context
from deploy.runner.operations.script import Arguments, Reason, Script
from deploy.runner.pyinfra_api import FactBase, OperationMeta, StringCommand, host, operation

_PROPERTIES = (
    "LoadState",
    "ActiveState",
    "UnitFileState",
    "NeedDaemonReload",
    "Type",
    "RemainAfterExit",
    "ActiveEnterTimestamp",
    "StateChangeTimestamp",
)
_FILES = "##files"
_LOADED = "##loaded"
_UNIT_FILES = "/etc/systemd/system/"


def units(
    ctx: Context, *, files: Iterable[str] = (), changed: Iterable[OperationMeta] = (), **arguments: Unpack[Arguments]
) -> tuple[OperationMeta, ...]:
    """Make every unit of the card be enabled and running, with the configuration that is on the disk.

    A unit is restarted where one of `files` is newer than its start (so it converges even when a run was cut between
    the two), or where one of the `changed` operations changed something. daemon-reload is done where it is needed.
    """
    names = tuple(_full_name(unit.name) for unit in ctx.role.units)
    paths, operations = tuple(files), tuple(changed)
    return tuple(
        _unit(
            unit_name=name,
            siblings=names,
            files=paths,
            changed=operations,
            reload=False,
            **_named(arguments, f"Unit {name}"),
        )
        for name in names
    )


def unit(
    name: str,
    /,
    *,
    files: Iterable[str] = (),
    changed: Iterable[OperationMeta] = (),
    reload: bool = False,
    **arguments: Unpack[Arguments],
) -> OperationMeta:
    """Like `units`, for one unit by name. With `reload` it is reloaded where it would have been restarted."""
    full = _full_name(name)
    arguments.setdefault("name", f"Unit {full}")
    return _unit(
        unit_name=full,
        siblings=(full,),
        files=tuple(files),
        changed=tuple(changed),
        reload=reload,
        **arguments,
    )


def retired(name: str, /, **arguments: Unpack[Arguments]) -> OperationMeta:
    """Stop and disable a unit by name; one that is not there is as it should be."""
    full = _full_name(name)
    arguments.setdefault("name", f"Retire unit {full}")
    return _retired(unit_name=full, siblings=(full,), **arguments)


def retire_units(ctx: Context, **arguments: Unpack[Arguments]) -> tuple[OperationMeta, ...]:
    """Stop and disable the card's units, last one first. Packages, configuration and data stay."""
    names = tuple(_full_name(unit.name) for unit in ctx.role.units)
    return tuple(
        _retired(unit_name=name, siblings=names, **_named(arguments, f"Retire unit {name}"))
        for name in reversed(names)
    )


@dataclass(frozen=True)
class UnitState:
    """What systemd says of a unit. Times in seconds since 1970, 0.0 for never."""

    known: bool
    active: str
    """`active`, `inactive`, `failed`, `activating`, …"""
    enabled: str
    """`enabled`, `disabled`, `static`, `masked`, … or empty."""
    needs_daemon_reload: bool
    stays: bool
    """Whether it is active once started; False for a oneshot that runs and ends."""
    simple: bool
    """Whether systemd calls it started before it had a chance to fail."""
    started: float
    reloaded: float


@dataclass(frozen=True)
class UnitStates:
    """The units by name, and when the youngest of the files was written."""

    units: dict[str, UnitState]
    newest: float
    stale: bool = False
    """Whether one of the files is systemd's own and younger than what systemd has loaded. systemd 252 does not see by
    itself that a unit has its first drop-in."""


class UnitFact(FactBase[UnitStates]):
    """All units of a role and the age of their files, in one command."""

    def command(self, names: tuple[str, ...], files: tuple[str, ...]) -> str:
        """Blocks of properties in the order of the names; where there are files, the time now, and theirs."""
        quoted_units = " ".join(shlex.quote(name) for name in names)
        quoted_files = " ".join(shlex.quote(path) for path in files)
        times = f"date +%s.%6N; stat -c %.6Y -- {quoted_files} 2>/dev/null; " if files else ""
        return (
            f"for unit in {quoted_units}; do echo unit=$unit; "
            f"systemctl show --timestamp=us+utc --property={','.join(_PROPERTIES)} -- $unit || exit; done; "
            f"echo '{_FILES}'; {times}{_loaded(files)}true"
        )

    def process(self, output: list[str]) -> UnitStates:
        """Parse it."""
        end = output.index(_FILES)
        middle = output.index(_LOADED) if _LOADED in output else len(output)
        now, *times = [float(line) for line in output[end + 1 : middle]] or [0.0]
        # A file from the future (the clock was set back since) would be newer than every start to come.
        newest = max((time for time in times if time <= now), default=0.0)
        loaded, *written = output[middle + 1 :] or [""]
        since = _seconds(loaded)
        stale = any(since < float(time) <= now for time in written)
        return UnitStates({block["unit"]: _unit_state(block) for block in _blocks(output[:end])}, newest, stale)


def _loaded(files: tuple[str, ...]) -> str:
    """When systemd has read its files, and when those of ours were written; nothing where none of ours is for it."""
    ours = " ".join(shlex.quote(path) for path in files if path.startswith(_UNIT_FILES))
    asked = "systemctl show --timestamp=us+utc --property=UnitsLoadTimestamp --value"
    return f"echo '{_LOADED}'; {asked}; stat -c %.6Y -- {ours} 2>/dev/null; " if ours else ""


def _blocks(lines: list[str]) -> Iterator[dict[str, str]]:
    block: dict[str, str] = {}
    for line in lines:
        key, _, value = line.partition("=")
        if key == "unit" and block:
            yield block
            block = {}
        block[key] = value
    if block:
        yield block


def _unit_state(block: dict[str, str]) -> UnitState:
    kind = block.get("Type", "")
    return UnitState(
        known=block.get("LoadState") != "not-found",
        active=block.get("ActiveState", "inactive"),
        enabled=block.get("UnitFileState", ""),
        needs_daemon_reload=block.get("NeedDaemonReload") == "yes",
        stays=kind != "oneshot" or block.get("RemainAfterExit") == "yes",
        simple=kind in {"simple", "exec", "idle"},
        started=_seconds(block.get("ActiveEnterTimestamp", "")),
        reloaded=_seconds(block.get("StateChangeTimestamp", "")),
    )


def _seconds(text: str) -> float:
    """`Tue 2026-11-24 22:18:04.123456 UTC` as seconds since 1970; empty or `n/a`: 0."""
    try:
        return datetime.strptime(text, "%a %Y-%m-%d %H:%M:%S.%f UTC").replace(tzinfo=UTC).timestamp()
    except ValueError:
        return 0.0


_START = """\
unit={unit}
systemctl reset-failed -- "$unit" 2>/dev/null
failed() {{ journalctl --no-pager -o cat -n 20 -u "$unit" >&2; echo "lienxa: $unit does not run" >&2; exit 1; }}
systemctl {verb} -- "$unit" || failed
{settle}tries=0
while state=$(systemctl is-active -- "$unit"); [ "$state" = activating ] || [ "$state" = reloading ]; do
    tries=$((tries + 1)); [ $tries -lt 300 ] || failed
    sleep 0.1
done
[ "$state" = active ] || {otherwise}
"""


@operation()
def _unit(
    unit_name: str,
    siblings: tuple[str, ...],
    files: tuple[str, ...],
    changed: tuple[OperationMeta, ...],
    reload: bool,
) -> Generator[StringCommand, None, None]:
    states = host.get_fact(UnitFact, names=siblings, files=files)
    now = states.units[unit_name]
    quoted = shlex.quote(unit_name)
    if now.needs_daemon_reload or states.stale:
        yield StringCommand("systemctl daemon-reload")
    if now.enabled in {"masked", "masked-runtime"}:
        yield StringCommand(f"systemctl unmask -- {quoted}")
    if not now.known or now.enabled in {"disabled", "masked", "masked-runtime"}:
        yield Script(
            f"systemctl enable -- {quoted}",
            summary=f"systemctl enable {unit_name}",
            explain=_why_not_enabled(unit_name),
        )
    verb = _verb(now, states.newest, any(_did_change(meta) for meta in changed), reload=reload)
    if verb:
        yield _start(unit_name, verb, now)


@operation()
def _retired(unit_name: str, siblings: tuple[str, ...]) -> Generator[StringCommand, None, None]:
    now = host.get_fact(UnitFact, names=siblings, files=()).units[unit_name]
    if now.active not in {"inactive", "failed"} or now.enabled in {"enabled", "enabled-runtime"}:
        yield StringCommand(f"systemctl disable --now -- {shlex.quote(unit_name)}")


def _verb(now: UnitState, newest: float, changed: bool, *, reload: bool) -> str | None:
    """What systemctl has to be told, if anything."""
    if now.active not in {"active", "reloading"}:
        return "start" if now.stays or changed else None
    since = now.reloaded if reload else now.started
    if changed or newest > since:
        return "reload-or-restart" if reload else "restart"
    return None


def _start(unit_name: str, verb: str, now: UnitState) -> Script:
    return Script(
        _START.format(
            unit=shlex.quote(unit_name),
            verb=verb,
            # systemd calls such a unit active as soon as it was forked: a moment to read its configuration and fail.
            settle="sleep 0.3\n" if now.simple else "",
            otherwise="failed" if now.stays else '[ "$state" = inactive ] || failed',
        ),
        summary=f"systemctl {verb} {unit_name}",
        explain=lambda _: Reason(
            f"{unit_name} does not run after `systemctl {verb}`",
            f"Read its last lines below; more: `systemctl status {unit_name}`, `journalctl -b -u {unit_name}`.",
        ),
    )


def _why_not_enabled(unit_name: str) -> Callable[[str], Reason | None]:
    def explain(output: str) -> Reason | None:
        if "does not exist" in output or "not found" in output.lower():
            return Reason(
                f"there is no unit {unit_name} on the machine",
                "Look in the role's card: is the package that brings the unit in `packages`?",
            )
        return None

    return explain


def _did_change(meta: OperationMeta) -> bool:
    # Stock pyinfra asks before anything was executed, to tell whether something would change.
    return bool(meta.did_change() if meta.is_complete() else meta.will_change)


def _full_name(name: str) -> str:
    known = (".service", ".socket", ".timer", ".target", ".path", ".mount")
    return name if name.endswith(known) else f"{name}.service"


def _named(arguments: Arguments, name: str) -> Arguments:
    return {"name": name, **arguments}
