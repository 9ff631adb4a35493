"""Stands in for typeguard on the machine: pyinfra checks an operation's global arguments with it, and mypy has ours.

The real one brings unittest.mock and asyncio with it, a tenth of all that a run imports.
"""

from __future__ import annotations


class TypeCheckError(Exception):
    """Never raised here."""


def check_type(value: object, expected: object) -> object:
    """Believe it."""
    return value
