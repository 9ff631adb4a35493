"""In place of packaging.requirements: see the package."""

from __future__ import annotations


class Requirement:
    """Never made here."""
