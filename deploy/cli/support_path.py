"""`lienxa support-path`: what the province has to add."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from deploy.cli.options import commune_argument, commune_folder, inventories_option, json_option, lab_option
from deploy.cli.troubles import troubles
from deploy.errors import UserError
from deploy.inventory.support_path import KEY, ROLE, address
from deploy.inventory.wireguard import public_key
from deploy.report.json_lines import JsonLines
from deploy.target import Target, open_target


@click.command("support-path")
@commune_argument()
@lab_option
@json_option
@inventories_option
def support_path(commune: str, lab: bool, as_json: bool, inventories: Path) -> None:
    """Print the peer that the province has to add to its end of the support path, in the form of wg(8).

    By it the province's engineers come in where the commune has no public address. The gateway's key is a secret, so
    your own key is needed for its public half.
    """
    commune_folder(inventories, commune)
    with troubles():
        target = open_target(inventories, commune, lab=lab)
        peer = peer_of(target)
    if as_json:
        lines = JsonLines(sys.stdout)
        lines.line({"event": "peer", "commune": commune} | peer)
        lines.line({"event": "summary", "verb": "support-path", "commune": commune})
    else:
        click.echo(f"# {target.site.commune.name} ({commune}). Written by lienxa support-path.")
        click.echo(f"[Peer]\nPublicKey = {peer['public_key']}\nAllowedIPs = {peer['allowed_ips']}")


def peer_of(target: Target) -> dict[str, str]:
    """Public key and address of the gateway's end. Raises UserError where there is no support path."""
    site, province = target.site, target.inventory.source
    if site.upstream.support_path is None:
        at = f"{province.file}:{province.key_line(('upstream',))}"
        raise UserError(f"{at}: there is no support path; write the province's end below upstream.support_path")
    private = target.secrets()(site.gateway.name, ROLE, KEY)
    return {"public_key": public_key(private), "allowed_ips": f"{address(site)}/32"}
