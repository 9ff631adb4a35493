"""Options of the role `firewall`."""

from __future__ import annotations

from deploy.inventory.role import Options as BaseOptions


class Options(BaseOptions):
    """Inputs of `firewall`."""
