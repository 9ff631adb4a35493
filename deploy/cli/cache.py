"""`lienxa cache`: what rehearsals have left on this laptop, and whether it is enough."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path

import click

from deploy.cli.options import commune_argument, commune_folder, inventories_option, json_option
from deploy.cli.troubles import Stopped, troubles
from deploy.fleet.kit import Kits
from deploy.fleet.links import Links
from deploy.fleet.origin import origin
from deploy.fleet.package_cache import cache_in_use
from deploy.fleet.rehearsed import CacheStatus, Manifest, look, read, record
from deploy.inventory.loading import load
from deploy.inventory.resolve import resolve
from deploy.inventory.site import Site
from deploy.report.exit_codes import DONE, FAILED
from deploy.report.json_lines import JsonLines
from deploy.report.words import count
from deploy.site import CATALOG
from deploy.target import Target

_SHOWN = 10


@click.group()
def cache() -> None:
    """The packages that this laptop keeps: rehearse a commune here, then set it up without the Internet."""


@cache.command()
@commune_argument()
@json_option
@inventories_option
def status(commune: str, as_json: bool, inventories: Path) -> None:
    """Say whether all that a commune's machines need is on this laptop, how long it is good for, and what is missing.

    Asks nobody. Exit code 1: `apply --offline` would not get through; the last line says what to do.
    """
    commune_folder(inventories, commune)
    with troubles():
        site = resolve(load(inventories, CATALOG), commune).site
        found = _look(site)
    (_print_json if as_json else _print)(commune, found)
    click.get_current_context().exit(DONE if found.ready else FAILED)


def prepared(target: Target, port: int) -> Manifest:
    """What the commune's rehearsal has left; Stopped where that is not enough to go offline."""
    found = look(target.site, port, Kits())
    if not found.ready or found.manifest is None:
        raise Stopped("\n".join((*_faults(found), _next_step(target.commune))))
    return found.manifest


def record_rehearsal(target: Target, *, changed: bool) -> None:
    """Write down what the machines of the lab have fetched, unless nothing has changed since that was done."""
    if not changed and read(target.commune) is not None:
        return
    with Links(target.access) as links:
        manifest = record(target.site, links, target.managed, origin(target.inventories, target.commune).commit)
    packages = sum(len(each.packages) for each in manifest.rehearsals)
    click.echo(
        f"rehearsed: {count(packages, 'package')} of {target.commune} noted for `apply --offline`; "
        f"lienxa cache status {target.commune}",
        err=True,
    )


def _look(site: Site) -> CacheStatus:
    # A cache that is there is asked as it is: what is only looked at does not turn it over.
    with cache_in_use(offline=None) as port:
        return look(site, port, Kits())


def _print_json(commune: str, found: CacheStatus) -> None:
    lines = JsonLines(sys.stdout)
    for each in found.lists:
        lines.line({"event": "list", "url": each.url, "valid_until": _iso(each.valid_until)})
    for missing in found.missing:
        lines.line({"event": "missing", "what": missing})
    manifest = found.manifest
    lines.line(
        {"event": "summary", "verb": "cache status", "commune": commune, "ready": found.ready}
        | {"rehearsed": _iso(manifest.at) if manifest else None, "commit": manifest.commit if manifest else None}
        | {"packages": _packages(found)[0], "bytes": _packages(found)[1], "missing": len(found.missing)}
        | {"expired": len(found.expired), "valid_until": _iso(found.valid_until)}
    )


def _print(commune: str, found: CacheStatus) -> None:
    if found.manifest is not None:
        number, size = _packages(found)
        click.echo(
            f"rehearsed {found.manifest.at:%Y-%m-%d %H:%M} UTC: {count(number, 'package')}, {size / 1e6:.0f} MB"
        )
        for each in found.lists:
            click.echo(f"{each.url}: {_validity(each.valid_until)}")
    for fault in _faults(found):
        click.echo(fault)
    until = f" until {found.valid_until:%Y-%m-%d %H:%M} UTC" if found.valid_until else ""
    ready = f"{commune}: ready for `lienxa apply {commune} --offline`{until}."
    click.echo(ready if found.ready else _next_step(commune))


def _faults(found: CacheStatus) -> list[str]:
    if found.manifest is None:
        return ["this commune was not rehearsed on this laptop yet"]
    faults = [f"missing: {each}" for each in found.missing[:_SHOWN]]
    if len(found.missing) > _SHOWN:
        faults.append(f"missing: {len(found.missing) - _SHOWN} more")
    return faults + [f"expired: {each.url} ({_validity(each.valid_until)})" for each in found.expired]


def _next_step(commune: str) -> str:
    return f"Where there is a line: lienxa lab down {commune}; lienxa lab up {commune}; lienxa apply {commune} --lab"


def _packages(found: CacheStatus) -> tuple[int, int]:
    rehearsals = found.manifest.rehearsals if found.manifest else ()
    packages = [package for each in rehearsals for package in each.packages]
    return len(packages), sum(package.size for package in packages)


def _validity(until: datetime | None) -> str:
    if until is None:
        return "does not expire"
    left = until - datetime.now(UTC)
    return f"valid until {until:%Y-%m-%d %H:%M} UTC" + (f", {left.days} days" if left.days >= 0 else ", expired")


def _iso(at: datetime | None) -> str | None:
    return at.isoformat() if at else None
