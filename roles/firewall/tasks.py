"""Applies the role `firewall`."""

from __future__ import annotations

from deploy.runner.context import Context
from deploy.runner.operations import absent, directory, packages, place, retire_units, units
from deploy.runner.operations.netfilter import ruleset
from roles.firewall.options import Options
from roles.firewall.rules import open_to_all, openings

RULES = "/etc/nftables.conf"
FURTHER_RULES = "/etc/nftables.d"
TABLE = "inet lienxa"
CHECK = "nft -c -f {}"


def install(ctx: Context[Options]) -> None:
    """Packages."""
    packages(ctx)


def configure(ctx: Context[Options]) -> None:
    """The rules, checked by nft."""
    directory(FURTHER_RULES)
    values = {"openings": openings(ctx.site, ctx.machine), "open_to_all": open_to_all(ctx.machine)}
    place(ctx, RULES, mode="0755", values=values, validate=CHECK)


def activate(ctx: Context[Options]) -> None:
    """In one transaction; the unit does the same at boot. It is never restarted: that would open everything."""
    ruleset(RULES, TABLE)
    units(ctx)


def retire(ctx: Context[Options]) -> None:
    """Stopping the unit takes its rules out of the kernel."""
    retire_units(ctx)
    absent(RULES)
