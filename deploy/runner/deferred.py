"""Leaves modules unloaded that somebody imports and does not use here."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType


@contextmanager
def deferred(*names: str) -> Iterator[None]:
    """Until the end of the block, importing these gives an empty class for whatever is asked of them.

    Whoever imports them later gets the real ones. A module that is there already stays as it is.
    """
    absent = [name for name in names if name not in sys.modules]
    for name in absent:
        stand_in = ModuleType(name)
        stand_in.__getattr__ = _empty_class  # type: ignore[method-assign]
        sys.modules[name] = stand_in
    try:
        yield
    finally:
        for name in absent:
            del sys.modules[name]


def _empty_class(name: str) -> type:
    if name.startswith("__"):  # what the import system itself looks for
        raise AttributeError(name)
    return type(name, (), {})
