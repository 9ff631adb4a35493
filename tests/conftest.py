"""Which tests stay together when several are run at a time: those of a lab, and those that tell one story."""

from __future__ import annotations

import pytest
from hypothesis import settings

# A test never fails on a clock: machines are busy.
settings.register_profile("lienxa", deadline=None)
settings.load_profile("lienxa")

SHARED_LABS = frozenset({"commune", "model_lab", "small_lab"})
ALONE = ("unit",)
"""Folders whose tests have nothing in common."""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A group per shared lab, and per module for all that runs on real machines."""
    labs = {item.path: lab for item in items for lab in SHARED_LABS.intersection(getattr(item, "fixturenames", ()))}
    for item in items:
        if item.path.parent.name not in ALONE:
            item.add_marker(pytest.mark.xdist_group(labs.get(item.path, item.path.stem)))
