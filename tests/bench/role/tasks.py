"""The 57 tasks. Where lienxa has an operation of its own it is used, else pyinfra's."""

from __future__ import annotations

from pyinfra.operations import server

from deploy.runner.context import Context
from deploy.runner.operations import directory, packages, place, retire_units, unit
from deploy.runner.operations.edit import edit
from roles.bench.options import Options
from roles.bench.wanted import DIRECTORIES, FILES, LINES, PACKAGES, SERVICES, SYSCTLS, USERS


def install(ctx: Context[Options]) -> None:
    """Packages and accounts."""
    for package in PACKAGES:
        packages(ctx, package, name=f"Package {package}")
    for name, uid in USERS.items():
        server.user(name=f"User {name}", user=name, uid=uid, shell="/bin/bash", create_home=True)


def configure(ctx: Context[Options]) -> None:
    """Directories, files, lines, sysctls."""
    for path in DIRECTORIES:
        directory(path)
    for path, template in FILES.items():
        values = {"path": path, "greeting": ctx.options.greeting}
        place(ctx, path, template=f"bench/{template}", values=values)
    for key, value in LINES.items():
        edit("/etc/bench.lines", lambda text, k=key, v=value: _with_line(text, k, v), name=f"Line {key}")  # type: ignore[misc]
    for key, number in SYSCTLS.items():
        server.sysctl(
            name=f"Sysctl {key}", key=key, value=number, persist=True, persist_file="/etc/sysctl.d/bench.conf"
        )


def activate(ctx: Context[Options]) -> None:
    """Units."""
    for service in SERVICES:
        unit(service)


def retire(ctx: Context[Options]) -> None:
    """None of the card's."""
    retire_units(ctx)


def _with_line(text: str, key: str, value: str) -> str:
    lines = text.splitlines()
    wanted = f"{key}={value}"
    found = [number for number, line in enumerate(lines) if line.startswith(f"{key}=")]
    if not found:
        lines.append(wanted)
    for number in found:
        lines[number] = wanted
    return "\n".join(lines) + "\n"
