"""The 57 tasks, with lienxa's own operations; what sysctl.d says is given to the kernel in one more."""

from __future__ import annotations

import re

from deploy.runner.context import Context
from deploy.runner.operations import directory, packages, place, retire_units, unit
from deploy.runner.operations.accounts import account
from deploy.runner.operations.edit import edit
from deploy.runner.operations.networking import kernel_settings
from roles.bench.options import Options
from roles.bench.wanted import DIRECTORIES, FILES, LINES, PACKAGES, SERVICES, SYSCTLS, USERS


def install(ctx: Context[Options]) -> None:
    """Packages and accounts."""
    for package in PACKAGES:
        packages(ctx, package, name=f"Package {package}")
    for name, uid in USERS.items():
        account(name, uid=uid, comment="")


def configure(ctx: Context[Options]) -> None:
    """Directories, files, lines, sysctls."""
    for path in DIRECTORIES:
        directory(path)
    for path, template in FILES.items():
        values = {"path": path, "greeting": ctx.options.greeting}
        place(ctx, path, template=f"bench/{template}", values=values)
    for key, value in LINES.items():
        _line("/etc/bench.lines", key, f"{key}={value}")
    for key, number in SYSCTLS.items():
        _line("/etc/sysctl.d/bench.conf", key, f"{key} = {number}")
    kernel_settings("/etc/sysctl.d/bench.conf")


def activate(ctx: Context[Options]) -> None:
    """Units."""
    for service in SERVICES:
        unit(service)


def retire(ctx: Context[Options]) -> None:
    """None of the card's."""
    retire_units(ctx)


def _line(path: str, key: str, wanted: str) -> None:
    """Make a file have this one line for a key."""

    def change(text: str) -> str:
        lines = text.splitlines()
        found = [number for number, line in enumerate(lines) if re.match(rf"{re.escape(key)} *=", line)]
        for number in found:
            lines[number] = wanted
        return "".join(f"{line}\n" for line in (lines if found else [*lines, wanted]))

    edit(path, change, name=f"Line {key}")
