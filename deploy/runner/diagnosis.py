"""Diagnosis, made on the machine itself: what is wrong, why it matters and what to do, in English and Vietnamese.

For who writes `roles/<role>/doctor.py`
---------------------------------------
The module has a `TOPIC`, and `diagnose`, which yields what it finds::

    NO_LINK = Cause(
        "network.no_link",
        english=Words(what="No cable is plugged into {machine}.", why="…", do="…"),
        vietnamese=Words(what="Máy {machine} chưa cắm dây mạng.", why="…", do="…"),
        command="lienxa apply {commune} --machine {machine} --role base",
    )

    def diagnose(patient: Patient[Options]) -> Iterator[Found]:
        if not _has_carrier():
            yield NO_LINK.found()

- `{machine}` and `{commune}` are filled in, and what `found(…)` is given. A `command` gets `--lab` in a lab.
- Name the one thing that is to be mended. What only follows from something that was found already is not said:
  `patient.ill` has the ids of all causes found so far, roles come in the order in which they are applied.
- The topic `network` is looked at whatever is asked for: without it nothing else can be told.
- Look, change nothing, and be done in seconds. Keep looking (`_look() -> Seen`) apart from judging (`Seen -> Found`),
  so that every cause can be tested without a machine.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from importlib.util import find_spec
from typing import Any, Generic, Literal, Protocol, TypeVar, cast

from deploy.inventory.role import Options, Role
from deploy.inventory.site import Site, SiteMachine
from deploy.journal import Words
from deploy.order import Request
from deploy.runner.journal_writer import Counts

NETWORK = "network"

_Options = TypeVar("_Options", bound=Options)


@dataclass(frozen=True)
class Cause:
    """One thing that can be wrong, in words with places for `{machine}`, `{commune}` and values of its own."""

    id: str
    """`<topic>.<what>`"""
    english: Words
    vietnamese: Words
    command: str = ""
    """Which command of ours mends it; empty where none does."""
    warning: bool = False
    """It stops nobody from working yet."""

    def found(self, **values: object) -> Found:
        """It is so here."""
        return Found(self, {name: str(value) for name, value in values.items()})


@dataclass(frozen=True)
class Found:
    """A cause that was found, with what goes into its words."""

    cause: Cause
    values: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Patient(Generic[_Options]):
    """The machine that is looked at."""

    site: Site
    machine: SiteMachine
    options: _Options
    ill: frozenset[str] = frozenset()
    """Ids of the causes found so far."""
    asked: frozenset[str] = frozenset()
    """Topics that somebody asked about by name: what is no fault by itself (nothing is plugged in) may be theirs."""

    @property
    def connected(self) -> bool:
        """Whether nothing was found that keeps it from others."""
        return not any(cause.startswith(f"{NETWORK}.") for cause in self.ill)


class Doctor(Protocol):
    """A role's `doctor.py`."""

    TOPIC: str

    def diagnose(self, patient: Patient[Any]) -> Iterator[Found]:
        """What is wrong."""


class Journal(Protocol):
    """What diagnosis needs of the journal's writer."""

    def role_started(
        self, role: str, stage: Literal["apply", "retire", "check", "diagnose"], total: int | None = None
    ) -> None:
        """The run turns to a role."""

    def finding(
        self,
        topic: str,
        cause: str,
        severity: Literal["problem", "warning"],
        english: Words,
        vietnamese: Words,
        command: str,
    ) -> None:
        """Something is wrong."""


def run_diagnosis(
    request: Request,
    journal: Journal,
    cards: Mapping[str, Role],
    doctors: Callable[[str], Doctor | None] | None = None,
) -> Counts:
    """Ask the doctor of every role of the machine; each finding is in the journal as soon as it is made.

    `doctors`: a role's doctor, None for none; without it `roles/<role>/doctor.py`.
    """
    site, order = request.order.site, request.order
    machine = site.machine(order.machine)
    find = doctors or shipped_doctor
    made: list[Found] = []
    topics: list[str] = []
    for role in order.roles:
        doctor = find(role.name)
        if doctor is None or not _asked(doctor.TOPIC, request.topics):
            continue
        journal.role_started(role.name, "diagnose")
        topics.append(doctor.TOPIC)
        options = cards[role.name].options.model_validate(role.options)
        ill = frozenset(one.cause.id for one in made)
        for found in doctor.diagnose(Patient(site, machine, options, ill, frozenset(request.topics))):
            made.append(found)
            _tell(request, journal, doctor.TOPIC, found)
    problems = sum(not found.cause.warning for found in made)
    return Counts(failed=problems, findings=len(made), topics=tuple(dict.fromkeys(topics)))


def shipped_doctor(role: str) -> Doctor | None:
    """The doctor of a role in this kit, where it has one."""
    name = f"roles.{role}.doctor"
    return cast("Doctor", import_module(name)) if find_spec(name) else None


def _asked(topic: str, topics: tuple[str, ...]) -> bool:
    return not topics or topic in topics or topic == NETWORK


def _tell(request: Request, journal: Journal, topic: str, found: Found) -> None:
    cause = found.cause
    values = {"machine": request.order.machine, "commune": request.order.site.commune.slug, **found.values}
    lab = " --lab" if request.lab and cause.command.startswith("lienxa ") else ""
    journal.finding(
        topic,
        cause.id,
        "warning" if cause.warning else "problem",
        _filled(cause.english, values),
        _filled(cause.vietnamese, values),
        cause.command.format_map(values) + lab,
    )


def _filled(words: Words, values: Mapping[str, str]) -> Words:
    return Words(**{name: text.format_map(values) for name, text in words.model_dump().items()})
