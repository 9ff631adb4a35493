"""The checks that nobody writes, from a role's card: package installed, unit enabled and active, port listening."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from time import perf_counter

from deploy.inventory.role import Role, Unit
from deploy.inventory.site import SitePort
from deploy.order import Request
from deploy.runner.check_result import CheckResult, Ledger, apply_again

_TIMEOUT = 20.0
"""Seconds for dpkg-query, systemctl or ss, each of which answers in hundredths."""
_STARTS_AT_BOOT = frozenset({"enabled", "static", "alias", "indirect", "generated"})
"""Unit file states that outlive a reboot; `enabled-runtime` does not."""
_RUNNING = frozenset({"active", "reloading"})


@dataclass(frozen=True)
class UnitState:
    """What systemd says of a unit, in its own words."""

    load: str
    active: str
    sub: str
    file: str


@dataclass(frozen=True)
class Socket:
    """An address that something listens on; `*` is every address."""

    protocol: str
    address: str
    port: int

    @property
    def only_itself(self) -> bool:
        """Whether no other machine can reach it."""
        return self.address.startswith("127.") or self.address == "::1"


@dataclass(frozen=True)
class MachineState:
    """What dpkg, systemd and the kernel say, each asked once for all checks."""

    packages: Mapping[str, str] = field(default_factory=dict)
    """dpkg's status word by package: `installed`, `config-files`, …"""
    units: Mapping[str, UnitState] = field(default_factory=dict)
    """By full name, `unbound.service`."""
    sockets: tuple[Socket, ...] = ()
    unknown: Mapping[str, str] = field(default_factory=dict)
    """Why `packages`, `units` or `sockets` could not be found out."""
    seconds: float = 0.0


def check_cards(request: Request, roles: Mapping[str, Role], ledger: Ledger) -> None:
    """Everything that the cards of these roles promise of the ordered machine itself."""
    state = read_state(tuple(roles.values()))
    ports = request.order.site.machine(request.order.machine).ports if roles else ()
    for role in roles.values():
        ledger.role_started(role.name)
        for result, needs in derived(request, role, tuple(port for port in ports if port.role == role.name), state):
            ledger.add(result, needs)


def derived(
    request: Request, role: Role, ports: tuple[SitePort, ...], state: MachineState
) -> Iterator[tuple[CheckResult, tuple[str, ...]]]:
    """One role's derived checks, bases first, each with the ids of what it needs."""
    packages = tuple(f"package:{package}" for package in role.packages)
    for package in role.packages:
        yield _package(request, role, package, state), ()
    for unit in role.units:
        yield _unit(request, role, unit, state), packages
    for port in ports:
        unit_name = serving_unit(role, port.number, port.protocol)
        yield _port(request, role, port, state), (f"unit:{unit_name}",) if unit_name else packages


def read_state(roles: tuple[Role, ...]) -> MachineState:
    """Three short programs, whatever the number of checks."""
    started = perf_counter()
    unknown: dict[str, str] = {}
    packages = sorted({package for role in roles for package in role.packages})
    units = sorted({_full(unit.name) for role in roles for unit in role.units})

    def ask(what: str, command: list[str]) -> str:
        try:
            return _output(command)
        except (OSError, subprocess.SubprocessError) as error:
            unknown[what] = f"{command[0]} did not answer: {error}"
            return ""

    format_ = "--showformat=${Package}\\t${db:Status-Status}\\n"
    properties = "--property=Id,Names,LoadState,ActiveState,SubState,UnitFileState"
    return MachineState(
        packages=parse_packages(ask("packages", ["dpkg-query", "--show", format_, *packages])) if packages else {},
        units=parse_units(ask("units", ["systemctl", "show", properties, *units])) if units else {},
        sockets=parse_sockets(ask("sockets", ["ss", "-lntuH"])),
        unknown=unknown,
        seconds=perf_counter() - started,
    )


def serving_unit(role: Role | None, number: int, protocol: str) -> str | None:
    """The unit that serves a port: as its card says, or the only one that there is. Without `.service`."""
    if role is None:
        return None
    for port in role.ports:
        if (port.number, port.protocol) == (number, protocol) and port.unit:
            return port.unit.removesuffix(".service")
    return role.units[0].name.removesuffix(".service") if len(role.units) == 1 else None


def parse_packages(output: str) -> dict[str, str]:
    """The answer of dpkg-query; packages that dpkg never heard of are not in it."""
    rows = (line.split("\t") for line in output.splitlines())
    return {row[0]: row[1] for row in rows if len(row) == 2}


def parse_units(output: str) -> dict[str, UnitState]:
    """The answer of `systemctl show`: one paragraph per unit, under each of its names."""
    units = {}
    for paragraph in re.split(r"\n\s*\n", output.strip()):
        said = dict(line.partition("=")[::2] for line in paragraph.splitlines())
        state = UnitState(
            load=said.get("LoadState", ""),
            active=said.get("ActiveState", ""),
            sub=said.get("SubState", ""),
            file=said.get("UnitFileState", ""),
        )
        units.update(dict.fromkeys({said.get("Id", ""), *said.get("Names", "").split()} - {""}, state))
    return units


def parse_sockets(output: str) -> tuple[Socket, ...]:
    """The answer of `ss -lntuH`."""
    sockets = []
    for line in output.splitlines():
        columns = line.split()
        if len(columns) < 6:
            continue
        address, _, port = columns[4].rpartition(":")
        plain = address.strip("[]").partition("%")[0].strip("[]")
        everywhere = plain in {"0.0.0.0", "*", "::", ""}  # noqa: S104 (ss says so; we bind nothing)
        sockets.append(Socket(columns[0], "*" if everywhere else plain, int(port)))
    return tuple(sockets)


def _package(request: Request, role: Role, package: str, state: MachineState) -> CheckResult:
    status = state.packages.get(package, "not-installed")
    return _result(
        role,
        f"package:{package}",
        f"{request.order.machine}: package {package} is installed.",
        fault="" if status == "installed" else f"dpkg says {status}",
        unknown=state.unknown.get("packages"),
        next_step=f"{apply_again(request, request.order.machine, role.name)} installs it.",
    )


def _unit(request: Request, role: Role, unit: Unit, state: MachineState) -> CheckResult:
    machine, name = request.order.machine, unit.name.removesuffix(".service")
    return _result(
        role,
        f"unit:{name}",
        f"{machine}: unit {name} ({unit.purpose}) is enabled and running.",
        fault=_unit_fault(state.units.get(_full(unit.name))),
        unknown=state.unknown.get("units"),
        next_step=f"{look_at_unit(machine, name)}; then {apply_again(request, machine, role.name)}.",
    )


def _unit_fault(unit: UnitState | None) -> str:
    if unit is None or unit.load == "not-found":
        return "systemd knows no such unit"
    faults = []
    if unit.load != "loaded":
        faults.append(f"its unit file is {unit.load}")
    if unit.active not in _RUNNING:
        faults.append(f"it is {unit.active} ({unit.sub})")
    if unit.file not in _STARTS_AT_BOOT:
        faults.append(f"it is {unit.file or 'not enabled'}: it will not start at boot")
    return ", ".join(faults)


def _port(request: Request, role: Role, port: SitePort, state: MachineState) -> CheckResult:
    machine = request.order.machine
    unit = serving_unit(role, port.number, port.protocol)
    return _result(
        role,
        f"port:{port.protocol}/{port.number}",
        f"{machine}: {port.protocol} port {port.number} is listened on: {named_purpose(port.purpose, unit)}.",
        fault=_port_fault(port, state.sockets),
        unknown=state.unknown.get("sockets"),
        next_step=f"{look_at_unit(machine, unit)}; then {apply_again(request, machine, role.name)}.",
    )


def _port_fault(port: SitePort, sockets: tuple[Socket, ...]) -> str:
    found = [s for s in sockets if (s.protocol, s.port) == (port.protocol, port.number)]
    if not found:
        return f"nothing listens on {port.protocol} port {port.number}"
    if port.zones and all(socket.only_itself for socket in found):
        addresses = ", ".join(socket.address for socket in found)
        return f"it is listened on only at {addresses}: no other machine gets there"
    return ""


def named_purpose(purpose: str, unit: str | None) -> str:
    """`DNS (unbound)`; the unit is left out where the purpose already says it, or where it is not known."""
    return purpose if not unit or unit.lower() in purpose.lower() else f"{purpose} ({unit})"


def look_at_unit(machine: str, unit: str | None) -> str:
    """The first thing to do about a service that does not answer."""
    if unit is None:
        return f"On {machine}: `systemctl --failed`"
    return f"On {machine}: `systemctl status {unit}` and `journalctl -u {unit} -n 50`"


def _result(role: Role, id_: str, sentence: str, *, fault: str, unknown: str | None, next_step: str) -> CheckResult:
    if unknown:
        return CheckResult(role.name, id_, sentence, "error", unknown, next_step)
    return CheckResult(role.name, id_, sentence, "failed" if fault else "passed", fault, next_step)


def _full(unit: str) -> str:
    return unit if "." in unit else f"{unit}.service"


def _output(command: list[str]) -> str:
    """What it prints. dpkg-query's exit code 1 only says that some package is unknown, which we see for ourselves."""
    done = subprocess.run(
        command,
        capture_output=True,
        timeout=_TIMEOUT,
        check=False,
        stdin=subprocess.DEVNULL,
        env={**os.environ, "LC_ALL": "C"},
    )
    if done.returncode not in {0, 1} or (done.returncode and command[0] != "dpkg-query"):
        done.check_returncode()
    return done.stdout.decode(errors="replace")
