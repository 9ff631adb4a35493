"""What is refused of rooms with SIP although every field on its own is right; the room systems of the site."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from deploy.inventory.meeting_rules import media_of
from deploy.inventory.models import SipServiceWritten
from deploy.inventory.problems import Problem
from deploy.inventory.role import Kind
from deploy.inventory.site import SiteSipService
from deploy.inventory.yaml_source import Source

if TYPE_CHECKING:
    from deploy.inventory.rules import Draft

MEDIA = ("upstream", "sip", "media")


def sip_service_of(written: SipServiceWritten | None) -> SiteSipService | None:
    """The province's room systems, their ports in order; None where it has none."""
    if written is None:
        return None
    return SiteSipService(
        title=written.title,
        registrar=written.registrar,
        transport=written.transport,
        port=written.port,
        media=media_of(written.media),
        srtp=written.srtp,
    )


def sip_in_clear(written: SipServiceWritten) -> str:
    """What is said of keys and passwords that others can read; empty where there is nothing to say."""
    if written.transport == "tls":
        return ""
    keys = "who calls whom" if written.srtp == "off" else "the keys of encrypted calls (SRTP)"
    return f"upstream.sip speaks {written.transport}: everybody on the way can read {keys} (transport: tls)"


def check_sip(drafts: Iterable[Draft], province: Source) -> Iterator[Problem]:
    """An account wants somebody who knows it and a lobby where it rings, and it is one room's."""
    # As written, so that a mistake within the service is not told a second time here.
    upstream = province.data.get("upstream")
    missing = _not_offered(upstream if isinstance(upstream, dict) else {})
    owners: dict[str, str] = {}
    for draft in drafts:
        for name, machine in draft.file.machines.items():
            if machine.sip is None or machine.kind is not Kind.ROOM:
                continue
            if wrong := missing or _taken(machine.sip, owners):
                yield draft.problem(("machines", name, "sip"), f"machine {name}: {wrong}")
            owners.setdefault(machine.sip, f"{name} in {draft.slug}")


def _not_offered(upstream: Mapping[str, Any]) -> str:
    if not upstream.get("sip"):
        return "it has a SIP account, but province.yaml names no registrar; write upstream.sip, or take 'sip' out"
    if not upstream.get("meeting"):
        return "a SIP call rings in the room's lobby, and without upstream.meeting in province.yaml there is none"
    return ""


def _taken(account: str, owners: dict[str, str]) -> str:
    if account not in owners:
        return ""
    return f"the SIP account '{account}' is that of {owners[account]} already; a call would ring in either"
