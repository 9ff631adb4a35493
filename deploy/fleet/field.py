"""How a commune's real machines are reached: by what its inventory says."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from deploy.fleet.access import Access
from deploy.inventory.site import Site


def field_access(site: Site, ssh: Mapping[str, str], known_hosts: Path) -> Access:
    """The gateway and every machine with an `ssh:` of its own (`ssh`, by name) directly, the rest through the gateway."""
    hosts: dict[str, str] = {}
    ports: dict[str, int] = {}
    for machine in site.machines:
        if machine.managed:
            host, _, port = ssh.get(machine.name, str(machine.address)).partition(":")
            hosts[machine.name] = host
            if port:
                ports[machine.name] = int(port)
    gateway = site.gateway.name
    return Access(
        user=site.support.user,
        known_hosts=known_hosts,
        gateway=gateway,
        hosts=hosts,
        behind=frozenset(hosts) - {gateway} - set(ssh),
        ports=ports,
    )
