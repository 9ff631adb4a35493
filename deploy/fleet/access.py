"""How the laptop reaches one commune's machines: in the field from the inventory, in a rehearsal from the lab."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Access:
    """Everything OpenSSH has to be told. Machines in `behind` are reached through the gateway as jump host."""

    user: str
    known_hosts: Path
    gateway: str
    hosts: Mapping[str, str]
    """SSH host (name or address) by machine name."""
    behind: frozenset[str] = frozenset()
    identity: Path | None = None
    """None: whatever the engineer's own SSH configuration and agent offer."""
    proxy_command: str | None = None
    """OpenSSH ProxyCommand for machines that are reached directly (the lab enters its namespace with it)."""
    ports: Mapping[str, int] = field(default_factory=dict)
    """SSH port by machine name where it is not 22."""
    commune: str = ""
    """The commune's slug, for the next step that an error names."""
