"""Stands in for gevent on the machine, where pyinfra has one host and waits for nothing beside it.

The real one, with greenlet and zope.interface, is a third of what crosses the line to a fresh machine and a tenth of
all that a run imports.
"""

from __future__ import annotations

from collections.abc import Callable


class Ran:
    """A greenlet that has ended."""

    def __init__(self, result: object) -> None:
        self._result = result

    def get(self) -> object:
        """What the function returned."""
        return self._result


def spawn(function: Callable[..., object], *arguments: object, **named: object) -> Ran:
    """Run the function, here and now; what it raises is raised here."""
    return Ran(function(*arguments, **named))
