"""Labs for the tests, brought up once per run and taken down at its end."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from lab_site import make_site

from deploy import lab
from deploy.inventory.loading import load
from deploy.inventory.resolve import resolve
from deploy.inventory.site import Site
from deploy.site import CATALOG

INVENTORIES = Path(__file__).parents[2] / "inventories"


@pytest.fixture(scope="session")
def small_lab() -> Iterator[Site]:
    """A lab of five machines to which no role was applied; the site as it is in the lab."""
    site = make_site()
    lab.down(site.commune.slug)
    try:
        yield lab.up(site)
    finally:
        lab.down(site.commune.slug)


@pytest.fixture(scope="session")
def model_lab() -> Iterator[Site]:
    """The lab of the model commune, as its inventory says; left as it was found, up or down."""
    site = resolve(load(INVENTORIES, CATALOG), "xa-mau").site
    was_up = bool(lab.status(site.commune.slug))
    try:
        yield lab.up(site)
    finally:
        if not was_up:
            lab.down(site.commune.slug)
