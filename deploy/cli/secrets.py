"""`lienxa secrets`: a commune's secrets, sealed value by value."""

from __future__ import annotations

import sys
from datetime import timedelta
from pathlib import Path

import click

from deploy.cli.options import commune_argument, commune_folder, inventories_option
from deploy.inventory.identity import configured_keys, create_identity, identity_path
from deploy.inventory.loading import load
from deploy.inventory.resolve import resolve
from deploy.inventory.secrets import generate_missing, rekey, renew_certificates, set_secret, show, wanted_secrets
from deploy.inventory.secrets_edit import edit
from deploy.report.words import count
from deploy.site import CATALOG

key_argument = click.argument("key", metavar="ROLE.NAME")


@click.group()
def secrets() -> None:
    """Set, change, show and generate a commune's secrets.

    They stand in its secrets.yaml, sealed with age for the recipients that the file names: value by value, so
    that git shows which one changed. Your own key is an age identity or an SSH key: LIENXA_IDENTITY, else
    ~/.config/lienxa/identity.txt.
    """


@secrets.command("set")
@commune_argument()
@key_argument
@inventories_option
def set_(commune: str, key: str, inventories: Path) -> None:
    """Seal a value; it is asked for without echo, or read from standard input.

    Needs no key of your own: anybody can seal for the file's recipients.
    """
    path = _path(inventories, commune)
    if sys.stdin.isatty():
        value = click.prompt(f"{commune}: {key}", hide_input=True, confirmation_prompt=True, err=True)
    else:
        value = sys.stdin.read().removesuffix("\n")
    set_secret(path, key, value)
    click.echo(f"{path}: {key} is set.")


@secrets.command("edit")
@commune_argument()
@inventories_option
def edit_(commune: str, inventories: Path) -> None:
    """Open all values in $EDITOR; what was changed is sealed again, and nothing else.

    The view in clear stays in memory and is gone when the editor ends.
    """
    path = _path(inventories, commune)
    done = edit(path, configured_keys())
    click.echo(f"{path}: {count(len(done.changed), 'value')} changed, {len(done.removed)} removed.")


@secrets.command("show")
@commune_argument()
@key_argument
@inventories_option
def show_(commune: str, key: str, inventories: Path) -> None:
    """Print a value in clear."""
    click.echo(show(_path(inventories, commune), key, configured_keys()))


@secrets.command("rekey")
@commune_argument()
@inventories_option
def rekey_(commune: str, inventories: Path) -> None:
    """Seal every value anew for the recipients that the file names now.

    One who is no longer a recipient has known the values: change those that still matter.
    """
    path = _path(inventories, commune)
    click.echo(f"{path}: {count(rekey(path, configured_keys()), 'value')} sealed anew.")


@secrets.command("generate")
@commune_argument()
@inventories_option
def generate_(commune: str, inventories: Path) -> None:
    """Make up every secret that the commune's roles ask for and that is not there yet."""
    path = _path(inventories, commune)
    resolved = resolve(load(inventories, CATALOG), commune)
    keys = configured_keys()
    wanted = wanted_secrets(resolved.site, resolved.options, CATALOG)
    made = generate_missing(path, wanted, keys.recipients if keys else (), keys)
    click.echo(f"{path}: {', '.join(made) if made else 'nothing was missing'}.")


@secrets.command("renew")
@commune_argument()
@click.option("--days", default=90, show_default=True, help="Make anew what ends within so many days.")
@inventories_option
def renew_(commune: str, days: int, inventories: Path) -> None:
    """Make certificates anew that end soon, or that are for other names than the inventory has by now.

    They are signed by the commune's own authority, so machines believe in them at once. Apply afterwards.
    """
    path = _path(inventories, commune)
    resolved = resolve(load(inventories, CATALOG), commune)
    wanted = wanted_secrets(resolved.site, resolved.options, CATALOG)
    made = renew_certificates(path, wanted, configured_keys(), timedelta(days=days))
    click.echo(f"{path}: {', '.join(made) if made else 'nothing was due'}.")


@secrets.command("identity")
def identity_() -> None:
    """Make an age identity of your own, or show the public key of the one you have."""
    keys = configured_keys() or create_identity(identity_path())
    click.echo(f"{keys.path}: keep it private, and a copy in a safe place. Its public key, for `recipients:`:")
    for recipient in keys.recipients:
        click.echo(recipient)


def _path(inventories: Path, commune: str) -> Path:
    return commune_folder(inventories, commune) / "secrets.yaml"
