"""What is refused of meetings although every field on its own is right; the service and the meetings of the site."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, get_args

from deploy.inventory.models import CommuneFile, MeetingServiceWritten, MeetingWritten, Weekday
from deploy.inventory.problems import Problem, allowed
from deploy.inventory.role import Kind
from deploy.inventory.site import PortRange, SiteMeeting, SiteMeetingService
from deploy.inventory.urls import origin_of
from deploy.inventory.yaml_source import Source, Steps

if TYPE_CHECKING:
    from deploy.inventory.rules import Draft

SERVICE = ("upstream", "meeting")
_WEEKDAYS = get_args(Weekday)


def meeting_service_of(written: MeetingServiceWritten | None) -> SiteMeetingService | None:
    """The province's service for meetings, its ports in order; None where it has none."""
    if written is None:
        return None
    media = media_of(written.media)
    return SiteMeetingService(title=written.title, url=written.url, media=media, echo=written.echo)


def meetings_of(written: CommuneFile, service: MeetingServiceWritten | None) -> tuple[SiteMeeting, ...]:
    """The commune's meetings; () where the province has no service for them."""
    if service is None:
        return ()
    rooms = _rooms(written)
    return tuple(
        SiteMeeting(
            title=meeting.title,
            date=meeting.date,
            weekdays=tuple(sorted(_WEEKDAYS.index(day) + 1 for day in set(meeting.every))),
            at=meeting.at,
            minutes=meeting.minutes,
            url=meeting.url or service.url,
            machines=meeting.machines or rooms,
        )
        for meeting in written.meetings
    )


def check_meeting_service(written: MeetingServiceWritten | None, source: Source) -> Iterator[Problem]:
    """What is wrong within it: only its own pages may see and hear."""
    if written is None:
        return
    if written.echo and origin_of(written.echo) != origin_of(written.url):
        message = (
            f"upstream.meeting.echo: '{written.echo}' is not at {origin_of(written.url)}, the service for meetings"
        )
        yield source.problem((*SERVICE, "echo"), message)
    yield from check_media(written.media, (*SERVICE, "media"), source)


def media_of(written: Iterable[str]) -> tuple[PortRange, ...]:
    """Ports of a service, sorted."""
    return tuple(sorted(map(_range, written), key=lambda ports: ports.first))


def check_media(written: Sequence[str], at: Steps, source: Source) -> Iterator[Problem]:
    """What is wrong with a service's ports: one that stands there twice is a slip of the hand."""
    ranges = [(_range(text), number) for number, text in enumerate(written)]
    for (before, _), (ports, number) in pairwise(sorted(ranges, key=lambda one: (one[0].first, one[1]))):
        if ports.first <= before.last:
            message = f"{'.'.join(map(str, at))}: {ports} overlaps {before}; write each port once"
            yield source.problem((*at, number), message)


def check_meetings(draft: Draft) -> Iterator[Problem]:
    """When it is, and in which rooms."""
    for index, meeting in _listed(draft):
        yield from _when(draft, index, meeting)
        yield from _where(draft, index, meeting)


def check_meeting_links(draft: Draft, service: MeetingServiceWritten | None) -> Iterator[Problem]:
    """A room's camera is for the province's service and for nobody else."""
    own = origin_of(service.url) if service else ""
    for index, meeting in _listed(draft):
        if own and meeting.url and origin_of(meeting.url) != own:
            message = f"{meeting.title}: '{meeting.url}' is not at {own}, the service for meetings"
            yield draft.problem(("meetings", index, "url"), message)


def _listed(draft: Draft) -> Iterator[tuple[int, MeetingWritten]]:
    yield from zip(draft.listed("meetings"), draft.file.meetings, strict=True)


def _when(draft: Draft, index: int, meeting: MeetingWritten) -> Iterator[Problem]:
    if bool(meeting.date) == bool(meeting.every):
        stands = "both stand" if meeting.date else "neither stands"
        message = f"{meeting.title}: `date` or `every` says when it is; {stands} there"
        yield draft.problem(("meetings", index), message)


def _where(draft: Draft, index: int, meeting: MeetingWritten) -> Iterator[Problem]:
    rooms = _rooms(draft.file)
    for number, name in enumerate(meeting.machines):
        at = ("meetings", index, "machines", number)
        if name not in draft.names("machines"):
            yield draft.problem(at, f"{meeting.title}: there is no machine '{name}'{allowed(name, rooms)}")
        elif name in draft.file.machines and name not in rooms:
            message = f"{meeting.title}: {name} is of kind {draft.file.machines[name].kind}, not a room"
            yield draft.problem(at, f"{message}{allowed('', rooms)}")


def _rooms(written: CommuneFile) -> tuple[str, ...]:
    return tuple(name for name, machine in written.machines.items() if machine.kind is Kind.ROOM)


def _range(text: str) -> PortRange:
    first, _, last = text.partition("-")
    return PortRange(first=int(first), last=int(last or first))
