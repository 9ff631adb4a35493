"""What is refused in `upstream.portals` although every field on its own is right; and the portals of the site."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from deploy.inventory.models import PortalWritten
from deploy.inventory.problems import Problem
from deploy.inventory.site import SiteBookmark, SitePortal
from deploy.inventory.urls import origin_of
from deploy.inventory.yaml_source import Source, Steps

PORTALS = ("upstream", "portals")


def portals_of(written: Mapping[str, PortalWritten]) -> tuple[SitePortal, ...]:
    """The province's portals, in the order in which they are written."""
    return tuple(
        SitePortal(
            name=name,
            title=portal.title,
            url=portal.url,
            start=portal.start,
            bookmarks=tuple(SiteBookmark(title=one.title, url=one.url) for one in portal.bookmarks),
            origins=(origin_of(portal.url), *portal.origins),
            issuers=portal.issuers,
            helper_ports=portal.helper_ports,
            may=portal.may,
        )
        for name, portal in written.items()
    )


def check_portals(portals: Mapping[str, PortalWritten], source: Source) -> Iterator[Problem]:
    """All that is wrong between portals, and within one."""
    yield from _starts(portals, source)
    yield from _origins(portals, source)
    for name, portal in portals.items():
        yield from _twice(source, (*PORTALS, name, "helper_ports"), [str(port) for port in portal.helper_ports])
        yield from _twice(source, (*PORTALS, name, "issuers"), portal.issuers)
        yield from _twice(source, (*PORTALS, name, "may"), portal.may)


def _starts(portals: Mapping[str, PortalWritten], source: Source) -> Iterator[Problem]:
    first, *others = [name for name, portal in portals.items() if portal.start] or [""]
    for name in others:
        place = (*PORTALS, name, "start")
        message = f"upstream.portals: {first} is the start page already; one of {first} and {name} can be"
        yield source.problem(place, message)


def _origins(portals: Mapping[str, PortalWritten], source: Source) -> Iterator[Problem]:
    """An origin of two portals would be given what only one of them may."""
    owners: dict[str, str] = {}
    for name, portal in portals.items():
        named: list[tuple[Steps, str]] = [((*PORTALS, name, "url"), origin_of(portal.url))]
        named += [((*PORTALS, name, "origins", number), origin) for number, origin in enumerate(portal.origins)]
        for place, origin in named:
            owner = owners.setdefault(origin, name)
            if owner != name:
                yield source.problem(place, f"{origin} belongs to the portal {owner} already; make them one portal")
            elif [one for _, one in named].index(origin) != named.index((place, origin)):
                yield source.problem(place, f"{origin} is the portal's own already; take it out")


def _twice(source: Source, place: Steps, values: tuple[str, ...] | list[str]) -> Iterator[Problem]:
    where = ".".join(str(step) for step in place)
    for number, value in enumerate(values):
        if value in values[:number]:
            yield source.problem((*place, number), f"{where}: '{value}' stands there twice; take one out")
