"""`lienxa trust` and `adopt`: the first contact with machines."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import click

from deploy.cli.options import (
    commune_argument,
    commune_folder,
    inventories_option,
    known,
    lab_option,
    machine_option,
    yes_option,
)
from deploy.cli.troubles import troubles
from deploy.fleet import trust as host_keys
from deploy.fleet.adopt import FirstContact
from deploy.fleet.adopt import adopt as take_over
from deploy.fleet.package_cache import ensure_cache
from deploy.fleet.trust import Found
from deploy.report.exit_codes import DONE, UNREACHABLE
from deploy.report.words import count
from deploy.target import open_target


@click.command()
@commune_argument()
@machine_option
@click.option(
    "--replace", multiple=True, metavar="MACHINE", help="Take its new key: it was installed anew or replaced."
)
@yes_option
@lab_option
@inventories_option
def trust(
    commune: str, machines: tuple[str, ...], replace: tuple[str, ...], yes: bool, lab: bool, inventories: Path
) -> None:
    """Show the machines' SSH host keys and record them with the commune; from then on nothing else is accepted.

    Compare each fingerprint with what the machine itself says on its console:
    ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub. Then commit the commune's known_hosts.
    """
    commune_folder(inventories, commune)
    with troubles():
        target = open_target(inventories, commune, lab=lab)
        wanted = known((*machines, *replace), target.managed, "machine", commune)
        found = host_keys.scan(target.access, wanted or None, replace)
        for each in found.values():
            click.echo(_sentence(each, replace))
        new = {name: each for name, each in found.items() if each.new and not each.is_known}
        refused = [each for each in new.values() if each.has_changed and each.machine not in replace]
        if new and not refused and not yes:
            click.confirm(f"Record {count(len(new), 'key')} in {target.access.known_hosts}?", abort=True, err=True)
        if new:
            host_keys.record(target.access, found, replace)
            click.echo(f"{target.access.known_hosts}: {count(len(new), 'key')} recorded; commit it.")
    click.get_current_context().exit(_code(found))


@click.command()
@commune_argument()
@click.argument("machine")
@click.option(
    "--user", metavar="USER", default="root", show_default=True, help="The account that the installer made."
)
@click.option("--key", is_flag=True, help="One of your keys is already there: ask for no password.")
@click.option("--su", is_flag=True, help="The account has no sudo: ask for root's password as well.")
@lab_option
@inventories_option
def adopt(commune: str, machine: str, user: str, key: bool, su: bool, lab: bool, inventories: Path) -> None:
    """Take over a machine as Debian's installer leaves it: make the support account, then refuse passwords.

    Its host key has to be on record first: lienxa trust COMMUNE. Passwords are asked for, never given as arguments.
    """
    commune_folder(inventories, commune)
    with troubles():
        target = open_target(inventories, commune, lab=lab)
        known((machine,), target.managed, "machine", commune)
        first = FirstContact(
            user,
            None if key else _password(f"Password of {user} on {machine}"),
            _password(f"Password of root on {machine}") if su else None,
        )
        take_over(target.access, machine, first, target.site.support, package_port=ensure_cache() if su else None)
    click.echo(f"{machine} is ours: {target.site.support.user} logs in with a key, and no password is accepted.")
    click.echo(f"Next: lienxa apply {commune}{' --lab' if lab else ''} --machine {machine}")


def _password(question: str) -> str:
    answer: str = click.prompt(question, hide_input=True, err=True)
    return answer


def _sentence(found: Found, replace: tuple[str, ...]) -> str:
    if found.new is None:
        return found.problem
    if found.is_known:
        return f"{found.machine}: {found.new} (on record)"
    if found.has_changed and found.machine not in replace:
        return f"{found.machine}: {found.new} (CHANGED)"
    return f"{found.machine}: {found.new} ({'replaces the one on record' if found.has_changed else 'new'})"


def _code(found: Mapping[str, Found]) -> int:
    return DONE if all(each.new for each in found.values()) else UNREACHABLE
