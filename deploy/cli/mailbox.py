"""`lienxa mailbox`: the end of mailboxes that nobody has any more."""

from __future__ import annotations

from pathlib import Path

import click

from deploy.cli.options import commune_argument, commune_folder, inventories_option, known, lab_option, listed
from deploy.cli.troubles import Stopped, troubles
from deploy.errors import UserError
from deploy.fleet.links import Links
from deploy.fleet.mailboxes import Kept, look
from deploy.fleet.mailboxes import delete as delete_kept
from deploy.fleet.origin import origin
from deploy.report.words import count
from deploy.target import Target, open_target


@click.group()
def mailbox() -> None:
    """End mailboxes that nobody has any more.

    Who leaves the inventory loses the log-in at the next apply; the mail is kept until it is deleted here.
    """


@mailbox.command("delete")
@commune_argument()
@click.argument("login")
@click.option(
    "--machine",
    "-m",
    metavar="NAME",
    help="Where it is kept, if the commune has another mail machine by now, or none.",
)
@lab_option
@inventories_option
def delete_(commune: str, login: str, machine: str | None, lab: bool, inventories: Path) -> None:
    """Delete a kept mailbox with all its mail, for good. Its login has to be typed once more.

    Only what is locked is deleted: take the person out of the inventory first, and apply.
    """
    commune_folder(inventories, commune)
    with troubles():
        target = open_target(inventories, commune, lab=lab)
        _refuse_known(target, login)
        at = _machine(target, machine)
        with Links(target.access) as links:
            kept = look(links, at, login)
            _refuse_unkept(at, login, kept)
            what = f"{at}: the mailbox {login} holds {count(kept.mails, 'mail')}, {kept.mebibytes} MiB."
            click.echo(f"{what} Deleted, nothing brings it back.", err=True)
            if click.prompt(f"Type {login} to delete it", err=True) != login:
                raise Stopped("That is another name. Nothing was deleted.")
            delete_kept(links, at, login, origin(target.inventories, commune).by)
    click.echo(f"{at}: the mailbox {login} is deleted.")


def _machine(target: Target, named: str | None) -> str:
    if named is not None:
        return known((named,), target.managed, "machine", target.commune)[0]
    server = target.site.mail.server if target.site.mail else None
    if server is None:
        raise UserError(f"{target.commune}: no machine has mailboxes today; say where they were kept: --machine NAME")
    return server


def _refuse_known(target: Target, login: str) -> None:
    boxes = target.site.mail.mailboxes if target.site.mail else ()
    box = next((box for box in boxes if box.login == login), None)
    if box is None:
        return
    commune = target.inventory.commune(target.commune)
    people = [person.login for person in commune.file.people]
    at = ("services", "mail", "shared", login) if box.shared else ("people", people.index(login))
    where = f"{commune.source.file}:{commune.source.line(at)}"
    raise UserError(f"{where}: {login} is {box.name}'s mailbox; take it out of the inventory and apply first")


def _refuse_unkept(machine: str, login: str, kept: Kept) -> None:
    if kept.is_open:
        raise UserError(f"{machine}: the mailbox {login} is not locked yet; lienxa apply locks it")
    if login not in kept.logins:
        raise UserError(f"{machine}: keeps no mailbox {login!r}; kept are: {listed(list(kept.logins))}")
