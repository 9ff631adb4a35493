"""`lienxa dns`: what the province has to publish."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from deploy.cli.options import commune_argument, commune_folder, inventories_option, json_option, lab_option
from deploy.cli.troubles import troubles
from deploy.errors import UserError
from deploy.inventory.dkim import dkim_keys
from deploy.inventory.mail_dns import Section, UnknownAddressError, outside_records
from deploy.inventory.site import Site
from deploy.report.json_lines import JsonLines
from deploy.target import open_target

TTL = 3600


@click.command()
@commune_argument()
@lab_option
@json_option
@inventories_option
def dns(commune: str, lab: bool, as_json: bool, inventories: Path) -> None:
    """Print the records that the province has to publish of the commune, as a piece of its zone.

    Where mail goes (MX), who may send it (SPF, DMARC), what it is signed with (DKIM, every selector). What would
    lead to a port that is closed from outside stands there as a comment. Inside the commune the gateway answers by
    itself. DKIM keys are secrets, so your own key is needed for their public halves.
    """
    commune_folder(inventories, commune)
    with troubles():
        target = open_target(inventories, commune, lab=lab)
        try:
            sections = outside_records(target.site, dkim_keys(target.site, target.secrets()))
        except UnknownAddressError as error:
            source = target.inventory.commune(commune).source
            raise UserError(f"{source.file}:{source.key_line(('uplinks',))}: {error}") from error
    if as_json:
        _print_lines(commune, sections)
    else:
        click.echo(zone_snippet(target.site, sections), nl=False)


def zone_snippet(site: Site, sections: tuple[Section, ...]) -> str:
    """The records in the form of a zone file (RFC 1035)."""
    head = f"; {site.commune.name}: for the zone {site.domain}. or the one above it. Written by lienxa dns.\n"
    if not sections:
        whose = "the province's own" if site.mail else "not in its inventory"
        return f"{head}; Nothing to publish: the commune's mail is {whose}.\n"
    return head + "".join(_lines(section) for section in sections)


def _lines(section: Section) -> str:
    closed = "" if section.reachable else " Closed from outside today: publish these when that changes."
    mark = "" if _for_the_province(section) else "; "
    records = (f"{mark}{one.name}. {TTL} IN {one.type} {one.data}\n" for one in section.records)
    return f"\n; {section.about}{closed}\n" + "".join(records)


def _for_the_province(section: Section) -> bool:
    return section.reachable and section.by == "province"


def _print_lines(commune: str, sections: tuple[Section, ...]) -> None:
    lines = JsonLines(sys.stdout)
    for section in sections:
        for one in section.records:
            record = {"name": one.name, "ttl": TTL, "type": one.type, "data": one.data}
            more = {"about": section.about, "publish": section.reachable, "by": section.by}
            lines.line({"event": "record", "commune": commune} | record | more)
    count = sum(len(section.records) for section in sections if _for_the_province(section))
    lines.line({"event": "summary", "verb": "dns", "commune": commune, "publish": count})
