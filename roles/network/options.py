"""Options of the role `network`."""

from __future__ import annotations

from deploy.inventory.role import Options as BaseOptions


class Options(BaseOptions):
    """Inputs of `network`."""
