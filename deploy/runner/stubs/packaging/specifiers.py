"""In place of packaging.specifiers: see the package."""

from __future__ import annotations


class SpecifierSet:
    """Never made here."""
