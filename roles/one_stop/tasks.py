"""Applies the role `one_stop`."""

from __future__ import annotations

import json

from deploy.runner.context import Context
from deploy.runner.operations import absent, packages, place
from deploy.runner.operations.checkers import CHECK_JSON, CHECK_PYTHON, CHECK_SHELL
from roles.one_stop import chromium, firefox, kiosk
from roles.one_stop.options import Options

CHROMIUM = "/etc/chromium/policies/managed/lienxa-one-stop.json"
FIREFOX = "/etc/firefox/policies/policies.json"
"""Debian's firefox-esr looks here too, before its own folder; the container test shows it."""
CHROMIUM_START = "/etc/chromium.d/lienxa"
START_PAGE = "/usr/local/share/lienxa/one-stop/index.html"
SCAN = "/usr/local/bin/lienxa-scan"
SCAN_BUTTON = "/usr/share/applications/lienxa-scan.desktop"
PLACED = (CHROMIUM, FIREFOX, CHROMIUM_START, START_PAGE, SCAN, SCAN_BUTTON)


def install(ctx: Context[Options]) -> None:
    """Packages."""
    packages(ctx)
    kiosk.install(ctx)


def configure(ctx: Context[Options]) -> None:
    """The page before the policies that lead to it."""
    place(ctx, START_PAGE)
    place(ctx, CHROMIUM_START, validate=CHECK_SHELL)
    of_firefox = firefox.policies(ctx.site, ctx.machine, ctx.options)
    for path, made in ((CHROMIUM, chromium.policies(ctx.site, ctx.options)), (FIREFOX, of_firefox)):
        written = json.dumps(made, ensure_ascii=False, indent=2)
        place(ctx, path, content=f"{written}\n", validate=CHECK_JSON)
    place(ctx, SCAN, mode="0755", validate=CHECK_PYTHON)
    place(ctx, SCAN_BUTTON)
    kiosk.configure(ctx)


def activate(ctx: Context[Options]) -> None:
    """Browsers read their policies when they are started next."""
    kiosk.activate(ctx)


def retire(ctx: Context[Options]) -> None:
    """Profiles and scans are people's, and stay."""
    kiosk.retire()
    for path in PLACED:
        absent(path)
