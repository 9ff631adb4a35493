"""Options of the role `network`."""

from __future__ import annotations

from ipaddress import IPv4Address
from typing import Annotated

from pydantic import Field, StrictInt, StringConstraints

from deploy.inventory.role import Options as BaseOptions

_LABEL = r"[a-z0-9_]([a-z0-9-]{0,61}[a-z0-9])?"
Name = Annotated[str, StringConstraints(pattern=rf"^{_LABEL}(\.{_LABEL})*$", max_length=253)]
"""A DNS name in lower case, without the dot at the end."""


class Options(BaseOptions):
    """Inputs of `network`."""

    block_list: tuple[Name, ...] = Field(
        default=(),
        description="Names that nobody in the commune can resolve, each with all names below it.",
    )
    names: dict[Name, IPv4Address] = Field(
        default_factory=dict,
        description="Further names and their addresses. A name without a dot is in the commune's own domain; one "
        "with a dot is taken as it is, and goes before what the Internet says of it.",
    )
    dnssec: bool = Field(
        default=True,
        description="Whether answers are validated. Off only where the province's resolvers strip signatures.",
    )
    insecure_domains: tuple[Name, ...] = Field(
        default=(),
        description="Domains that exist only on the government network and are not signed: not validated.",
    )
    lease_hours: int = Field(
        default=12,
        ge=1,
        le=168,
        description="Hours for which an address is leased to a machine. Half of it is how long a machine may keep "
        "an address that the inventory has changed.",
    )
    guest_lease_minutes: int = Field(
        default=60,
        ge=10,
        le=1440,
        description="Minutes for which an address is leased to a guest.",
    )
    line_probes: tuple[IPv4Address, ...] = Field(
        default=(),
        description="DNS servers that are asked through each line whether it works, where there are several lines. "
        "Default: the province's resolvers, else three of the root servers.",
    )
    line_return_seconds: StrictInt = Field(
        default=60,
        ge=5,
        le=3600,
        description="Seconds that a line which was dead has to answer without a gap before it is used again.",
    )
    log_refused: bool = Field(
        default=True,
        description="Whether packets refused between zones are written to the kernel's log, at most ten a minute.",
    )
