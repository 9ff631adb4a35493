"""Applies the role `cache`."""

from __future__ import annotations

from deploy.inventory.site import LAPTOP_CACHE_PORT
from deploy.runner.context import Context
from deploy.runner.operations import absent, directory, packages, place, retire_units, unit
from deploy.runner.operations.apt import keep_fetched
from deploy.runner.operations.checkers import CHECK_PYTHON, CHECK_SHELL
from roles.cache.options import Options

SQUID = "/etc/squid/squid.conf"
STORAGE = "/usr/local/lib/lienxa/cache-storage"
SQUID_UNIT = "/etc/systemd/system/squid.service.d/lienxa.conf"
KIT_SERVER = "/usr/local/lib/lienxa/kit-server"
KIT_SOCKET = "/etc/systemd/system/lienxa-kit.socket"
KIT_UNIT = "/etc/systemd/system/lienxa-kit@.service"
KITS = "/var/cache/lienxa/kit"

CHECK_SQUID = (
    "mkdir -p /run/squid && touch -a /run/squid/lienxa-storage.conf && "
    "said=$(squid -k parse -f {} 2>&1) || { printf '%s' \"$said\" | grep -E 'FATAL|ERROR|Bungled' >&2; exit 1; }"
)


def install(ctx: Context[Options]) -> None:
    """Packages."""
    packages(ctx)


def configure(ctx: Context[Options]) -> None:
    """How it starts before what it starts with."""
    place(ctx, STORAGE, mode="0755", validate=CHECK_SHELL)
    place(ctx, SQUID_UNIT)
    place(ctx, SQUID, values={"laptop_port": LAPTOP_CACHE_PORT}, validate=CHECK_SQUID)
    directory(KITS)
    place(ctx, KIT_SERVER, mode="0755", validate=CHECK_PYTHON)
    place(ctx, KIT_UNIT)
    place(ctx, KIT_SOCKET)


def activate(ctx: Context[Options]) -> None:
    """Then what this machine has fetched without the cache, once more for all the others."""
    unit("squid", files=[SQUID, STORAGE, SQUID_UNIT])
    unit("lienxa-kit.socket", files=[KIT_SOCKET])
    keep_fetched(ctx)


def retire(ctx: Context[Options]) -> None:
    """What it keeps stays on the disk."""
    retire_units(ctx)
    absent(KIT_SOCKET)
    absent(KIT_UNIT)
