"""The tunnel by which the province's engineers come in: what is refused of it, and what the province has to add."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Address, collapse_addresses
from typing import TYPE_CHECKING

from deploy.inventory.models import SupportPathWritten
from deploy.inventory.problems import Problem
from deploy.inventory.role import Secret
from deploy.inventory.site import Site, SupportPath

if TYPE_CHECKING:
    from deploy.inventory.rules import Draft

ROLE = "support_path"
KEY = Secret("key", "Private key of the gateway's end of the support path", form="wireguard")


def support_path_of(written: SupportPathWritten | None) -> SupportPath | None:
    """The province's end; None where it has none."""
    if written is None:
        return None
    prefixes = tuple(sorted(collapse_addresses(written.prefixes)))
    return SupportPath(endpoint=written.endpoint, public_key=written.public_key, prefixes=prefixes)


def check_support_path(draft: Draft, written: SupportPathWritten | None) -> Iterator[Problem]:
    """Who comes in by the tunnel is told from the commune's own machines by the address."""
    for network in written.prefixes if written and draft.has_prefix else ():
        if draft.file.commune.prefix.overlaps(network):
            message = (
                f"prefix {draft.file.commune.prefix} overlaps {network}, from where province.yaml lets engineers in "
                "(upstream.support_path.prefixes)"
            )
            yield draft.problem(("commune", "prefix"), message)


def address(site: Site) -> IPv4Address:
    """By which address engineers meet the gateway in the tunnel: its own, which no other commune's has."""
    return site.gateway.address
