"""Arguments and options that several verbs share, and what they offer to shell completion."""

from __future__ import annotations

import os
from collections.abc import Callable
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import click

from deploy.cli.duration import Duration
from deploy.errors import UserError

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]


def _complete_commune(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:
    folder = Path(ctx.params.get("inventories") or os.environ.get("LIENXA_INVENTORIES") or "inventories")
    return sorted(file.parent.name for file in folder.glob(f"{incomplete}*/commune.yaml"))


def commune_argument(*, required: bool = True) -> Decorator:
    """The commune's slug, which is its folder's name."""
    return click.argument("commune", required=required, shell_complete=_complete_commune)


inventories_option = click.option(
    "--inventories",
    type=click.Path(file_okay=False, path_type=Path),
    envvar="LIENXA_INVENTORIES",
    default=Path("inventories"),
    show_default=True,
    show_envvar=True,
    metavar="DIR",
    help="Folder with province.yaml and one folder per commune.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="One JSON object a line (docs/json.md).")
lab_option = click.option("--lab", is_flag=True, help="The lab's containers instead of the commune's machines.")
machine_option = click.option(
    "--machine", "-m", "machines", multiple=True, metavar="NAME", help="Only this machine; may be given again."
)
role_option = click.option(
    "--role", "-r", "roles", multiple=True, metavar="NAME", help="Only this role; may be given again."
)
deadline_option = click.option(
    "--deadline",
    type=Duration(),
    metavar="TIME",
    help="Give up on a machine after this time: 90s, 20m, 1h. Without it, a machine that was heard of is waited for.",
)
yes_option = click.option("--yes", "-y", is_flag=True, help="Do not ask.")


def inventories_folder(folder: Path) -> Path:
    """The folder, looked at before anything is read from it."""
    if folder.is_dir():
        return folder
    raise UserError(
        f"{folder}: there is no such folder of inventories.\n"
        f"Give it with --inventories DIR or LIENXA_INVENTORIES, or begin one: lienxa new NAME --province PROVINCE"
    )


def commune_folder(inventories: Path, commune: str) -> Path:
    """The commune's folder; UserError that lists what there is."""
    folder = inventories_folder(inventories)
    there = sorted(file.parent.name for file in folder.glob("*/commune.yaml"))
    if commune not in there:
        close = get_close_matches(commune, there, n=1)
        meant = f" Did you mean {close[0]}?" if close else ""
        raise UserError(f"{folder}: there is no commune {commune!r}; there is: {listed(there)}.{meant}")
    return folder / commune


def listed(names: list[str], most: int = 10) -> str:
    """`a, b and 133 more`."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return (", ".join(names[:most]) or "none") + more


def known(given: tuple[str, ...], allowed: tuple[str, ...], what: str, where: str) -> tuple[str, ...]:
    """The given names, without repetitions; UserError that lists what there is."""
    for name in given:
        if name not in allowed:
            raise UserError(f"{where}: there is no {what} {name!r}; there is: {', '.join(allowed) or 'none'}.")
    return tuple(dict.fromkeys(given))
