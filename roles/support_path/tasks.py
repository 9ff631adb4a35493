"""Applies the role `support_path`."""

from __future__ import annotations

from deploy.inventory.site import SUPPORT_INTERFACE
from deploy.inventory.support_path import KEY
from deploy.runner.context import Context
from deploy.runner.operations import absent, packages, place, retire_units, unit
from roles.support_path.options import Options

TUNNEL = f"/etc/wireguard/{SUPPORT_INTERFACE}.conf"
UNIT = f"wg-quick@{SUPPORT_INTERFACE}"
CHECK_TUNNEL = "wg-quick strip {} >/dev/null"
DROP_IN = f"/etc/systemd/system/{UNIT}.service.d/lienxa.conf"


def install(ctx: Context[Options]) -> None:
    """Packages."""
    packages(ctx)


def configure(ctx: Context[Options]) -> None:
    """Both ends of the tunnel. What may come in by it is the firewall's to say, which the role `network` writes."""
    path = ctx.site.upstream.support_path
    assert path is not None
    place(ctx, TUNNEL, values={"end": path, "key": ctx.secrets[KEY.name]}, validate=CHECK_TUNNEL, secret=True)
    place(ctx, DROP_IN, template="support_path/etc/systemd/system/wg-quick@support0.service.d/lienxa.conf.j2")


def activate(ctx: Context[Options]) -> None:
    """A change makes the tunnel anew: who came in by it is cut off for as long as a handshake takes."""
    unit(UNIT, files=[TUNNEL, DROP_IN])


def retire(ctx: Context[Options]) -> None:
    """The tunnel is closed, and its key leaves the machine."""
    retire_units(ctx)
    absent(TUNNEL)
    absent(DROP_IN)
