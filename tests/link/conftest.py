"""A small commune in a lab of its own, for all tests over bad lines."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from commune import Commune, in_lab


@pytest.fixture(scope="session")
def commune(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Commune]:
    """A gateway and an office machine, to which nothing was applied."""
    folder = tmp_path_factory.mktemp("link")
    with in_lab(folder, f"xa-gio{os.getpid()}", keep=frozenset({"gw1", "srv1", "vp01"})) as made:
        yield made
