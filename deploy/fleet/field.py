"""How a commune's real machines are reached: by what its inventory says."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from deploy.fleet.access import Access
from deploy.inventory.resolve import SshHost
from deploy.inventory.site import Site


def field_access(site: Site, ssh: Mapping[str, SshHost], known_hosts: Path) -> Access:
    """The gateway and machines with an `ssh:` of their own (here by name) directly, the rest through the gateway."""
    hosts = {machine.name: str(machine.address) for machine in site.machines if machine.managed}
    hosts |= {name: there.host for name, there in ssh.items() if name in hosts}
    gateway = site.gateway.name
    return Access(
        user=site.support.user,
        known_hosts=known_hosts,
        gateway=gateway,
        hosts=hosts,
        behind=frozenset(hosts) - {gateway} - set(ssh),
        ports={name: there.port for name, there in ssh.items() if name in hosts and there.port is not None},
        commune=site.commune.slug,
    )
