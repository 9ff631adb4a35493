"""In place of packaging.markers: see the package."""

from __future__ import annotations


class Marker:
    """Never made here."""
