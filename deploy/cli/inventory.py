"""`lienxa new`, `check` and `schema`: the inventory alone, offline."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path

import click
from pydantic_core import to_jsonable_python

from deploy.cli.options import (
    commune_argument,
    commune_folder,
    inventories_folder,
    inventories_option,
    json_option,
    listed,
)
from deploy.errors import UserError
from deploy.inventory.identity import configured_keys, create_identity, identity_path
from deploy.inventory.loading import SCHEMA_FOLDER, Inventory, load
from deploy.inventory.problems import BadInventory
from deploy.inventory.record import plan_addresses, write_plan
from deploy.inventory.resolve import Resolved, resolve
from deploy.inventory.secrets import generate_missing, wanted_secrets
from deploy.inventory.secrets_check import check_secrets
from deploy.inventory.signing import ending
from deploy.inventory.site import Site
from deploy.report.exit_codes import BAD_INPUT
from deploy.report.json_lines import JsonLines
from deploy.report.words import count
from deploy.site import CATALOG


@click.command()
@click.argument("name")
@click.option("--province", metavar="P", help="The province's name; needed only for the first commune of a folder.")
@click.option("--prefix", metavar="NET", help="The prefix that the commune was assigned. Default: the next free one.")
@inventories_option
def new(name: str, province: str | None, prefix: str | None, inventories: Path) -> None:
    """Make a commune's folder: official code, free prefix, zones, example machines.

    NAME is the official name, with or without type and diacritics, or the official code.
    """
    from deploy.inventory.new import new_commune  # noqa: PLC0415 `check` needs no list of the country's names
    from deploy.inventory.schema import write_schemas  # noqa: PLC0415 `check` needs none

    keys = configured_keys()
    if keys is None:
        keys = create_identity(identity_path())
        click.echo(f"wrote {keys.path}: your own key, for the communes' secrets; keep a copy of it in a safe place")
    made = new_commune(inventories, name, province, prefix, keys.recipients)
    slug = made.folder.name
    for file in (*made.written, *write_schemas(inventories / SCHEMA_FOLDER, CATALOG)):
        click.echo(f"wrote {file}")
    click.echo(f"{made.commune.name} ({made.commune.code}) has {made.prefix}.")
    try:
        inventory = load(inventories, CATALOG)
        each = resolve(inventory, slug)
    except BadInventory as bad:
        raise UserError(
            f"{bad}\nThe commune is there, without its secrets. Mend this, then: lienxa secrets generate {slug}"
        ) from bad
    for file in write_plan(inventory, (slug,)):
        click.echo(f"wrote {file}")
    generate_missing(made.folder / "secrets.yaml", wanted_secrets(each.site, each.options, CATALOG), keys.recipients)
    click.echo(f"Next: write down its machines in {made.folder / 'commune.yaml'}, then: lienxa check {slug}")


@click.command()
@commune_argument(required=False)
@click.option("--explain", metavar="KEY", help="Say where a value came from: base.timezone, machines.vp01, zones, …")
@click.option("--write", is_flag=True, help="Record the addresses that are planned; what is recorded never moves.")
@json_option
@inventories_option
def check(commune: str | None, explain: str | None, write: bool, as_json: bool, inventories: Path) -> None:
    """Validate one or all inventories, offline.

    All mistakes of all files at once, each with its line, what is allowed, and what may have been meant.
    """
    if explain and not commune:
        raise UserError("--explain needs the commune: lienxa check COMMUNE --explain KEY")
    folder = inventories_folder(inventories)
    if commune:
        commune_folder(inventories, commune)
    try:
        inventory = load(folder, CATALOG)
        resolved = [resolve(inventory, slug) for slug in ([commune] if commune else inventory.communes)]
        _refuse_bad_secrets(resolved, folder)
    except BadInventory as bad:
        _print_problems(bad, as_json)
        click.get_current_context().exit(BAD_INPUT)
    if explain and commune:
        _print_explanation(inventory, commune, explain, as_json)
        return
    if write:
        write_plan(inventory, tuple(each.site.commune.slug for each in resolved))
    _print_good(inventory, resolved, as_json, recorded=write)


@click.command()
@click.option("--check", "only_check", is_flag=True, help="Only say which are stale; exit code 1 if any is.")
@inventories_option
def schema(only_check: bool, inventories: Path) -> None:
    """Write the JSON Schemas into inventories/schema, for editors.

    `new` does it too; needed again after a new version of lienxa.
    """
    from deploy.inventory.schema import schemas, write_schemas  # noqa: PLC0415 `check` needs none

    folder = inventories / SCHEMA_FOLDER
    if not only_check:
        for file in write_schemas(folder, CATALOG):
            click.echo(f"wrote {file}")
        return
    stale = [folder / name for name, text in schemas(CATALOG).items() if _text(folder / name) != text]
    for file in stale:
        click.echo(f"{file} is stale: run lienxa schema", err=True)
    click.get_current_context().exit(int(bool(stale)))


def _text(file: Path) -> str | None:
    return file.read_text(encoding="utf-8") if file.exists() else None


def _refuse_bad_secrets(resolved: list[Resolved], folder: Path) -> None:
    keys = configured_keys()
    problems = [problem for each in resolved for problem in check_secrets(each, CATALOG, folder, keys)]
    if problems:
        raise BadInventory(problems)


def _print_problems(bad: BadInventory, as_json: bool) -> None:
    if not as_json:
        click.echo(str(bad), err=True)
        click.echo(f"{count(len(bad.problems), 'problem')}.", err=True)
        return
    lines = JsonLines(sys.stdout)
    for problem in bad.problems:
        lines.line({"event": "problem", "file": problem.file, "line": problem.line, "message": problem.message})
    lines.line({"event": "summary", "verb": "check", "communes": 0, "machines": 0, "problems": len(bad.problems)})


def _print_good(inventory: Inventory, resolved: list[Resolved], as_json: bool, *, recorded: bool) -> None:
    sites = [each.site for each in resolved]
    machines = sum(len(site.machines) for site in sites)
    notes = _notes(inventory, sites)
    if not recorded:
        notes |= _addresses_to_record(inventory, {site.commune.slug for site in sites})
    authorities = inventory.handed.authorities
    if as_json:
        lines = JsonLines(sys.stdout)
        for one in authorities:
            dates = {"begins": one.begins.isoformat(), "ends": one.ends.isoformat()}
            lines.line({"event": "authority", "name": one.name, "sha256": one.sha256} | dates)
        for note, slugs in notes.items():
            for slug in slugs:
                lines.line({"event": "note", "commune": slug, "text": note})
        line = {"event": "summary", "verb": "check", "communes": len(sites), "machines": machines, "problems": 0}
        lines.line(line)
        return
    for one in authorities:
        click.echo(f"authority {one.name}: in force from {one.begins:%Y-%m-%d} until {one.ends:%Y-%m-%d}")
    for note, slugs in notes.items():
        click.echo(f"{listed(slugs, most=3)}: note: {note}")
    click.echo(f"{count(len(sites), 'commune')}, {count(machines, 'machine')}: all is well.")


def _notes(inventory: Inventory, sites: list[Site]) -> dict[str, list[str]]:
    """What is worth a word, and the communes that it is about."""
    notes = {note: [site.commune.slug for site in sites] for note in ending(inventory.handed.authorities, _now())}
    for site in sites:
        for note in site.notes:
            notes.setdefault(note, []).append(site.commune.slug)
    return notes


def _now() -> datetime:
    return datetime.now(UTC)


def _addresses_to_record(inventory: Inventory, slugs: set[str]) -> dict[str, list[str]]:
    """A note: which addresses are planned and could still move."""
    changes: dict[str, list[str]] = {}
    for change in plan_addresses(inventory):
        if change.slug in slugs:
            changes.setdefault(change.slug, []).append(change.what.split()[-1])
    if len(changes) == 1:
        slug, names = next(iter(changes.items()))
        return {f"not on record yet: {', '.join(names)}; when they are right: lienxa check {slug} --write": [slug]}
    note = "has addresses that are not on record yet; when they are right: lienxa check --write"
    return {note: sorted(changes)} if changes else {}


def _print_explanation(inventory: Inventory, commune: str, key: str, as_json: bool) -> None:
    from deploy.inventory.explain import explain  # noqa: PLC0415 `check` needs none

    for origin in explain(inventory, commune, key):
        if as_json:
            value = {"key": origin.key, "value": to_jsonable_python(origin.value), "said_by": origin.said_by}
            line = {"event": "explain", "commune": commune} | value | {"file": origin.file, "line": origin.line}
            JsonLines(sys.stdout).line(line)
        else:
            click.echo(str(origin))
