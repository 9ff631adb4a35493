"""What a check came to, and the ledger that writes it to the journal, counts it and remembers what was red."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, Protocol

from deploy.order import Request
from deploy.runner.journal_writer import Counts

Status = Literal["passed", "failed", "skipped", "error"]


class Journal(Protocol):
    """What checking needs of the journal's writer."""

    def role_started(self, role: str, stage: Literal["apply", "retire", "check"], total: int | None = None) -> None:
        """The run turns to a role."""

    def check(
        self,
        role: str,
        check: str,
        sentence: str,
        status: Status,
        *,
        seconds: float,
        detail: str = "",
        next_step: str = "",
    ) -> None:
        """One check was made. `check` is its stable id."""


@dataclass(frozen=True)
class CheckResult:
    """One check that was made. `next_step` is dropped where there is nothing to do."""

    role: str
    id: str
    sentence: str
    status: Status
    detail: str = ""
    next_step: str = ""
    seconds: float = 0.0


class Ledger:
    """Takes results in the order in which they come."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._results = {"passed": 0, "failed": 0, "skipped": 0, "error": 0}
        self._causes: dict[str, str] = {}

    def role_started(self, role: str) -> None:
        """The checks that follow are this role's."""
        self._journal.role_started(role, "check")

    def add(self, result: CheckResult, needs: Iterable[str] = ()) -> None:
        """Write it down; as skipped, whatever it says itself, if one of the checks it needs is not green."""
        cause = self.cause(needs)
        if cause:
            result = CheckResult(result.role, result.id, result.sentence, "skipped", because(cause))
        self._results[result.status] += 1
        if result.status != "passed":
            self._remember(result.id, cause or result.sentence)
        self._journal.check(
            result.role,
            result.id,
            result.sentence,
            result.status,
            seconds=result.seconds,
            detail=result.detail,
            next_step=result.next_step if result.status in {"failed", "error"} else "",
        )

    def cause(self, needs: Iterable[str]) -> str | None:
        """The sentence of the first of these checks that is not green (or of what that one was skipped for)."""
        return next((self._causes[need] for need in map(plain_id, needs) if need in self._causes), None)

    @property
    def counts(self) -> Counts:
        """A check that broke counts as failed: nothing was shown."""
        return Counts(
            checks=sum(self._results.values()),
            failed=self._results["failed"] + self._results["error"],
            skipped=self._results["skipped"],
        )

    def _remember(self, check: str, cause: str) -> None:
        self._causes.setdefault(plain_id(check), cause)
        self._causes.setdefault(check.partition("[")[0], cause)


def because(sentence: str) -> str:
    """Why a dependent check was skipped."""
    return f"skipped because this is not so: {sentence}"


def plain_id(check: str) -> str:
    """`unit:unbound.service` and `unit:unbound` are the same unit."""
    return check.removesuffix(".service") if check.startswith("unit:") else check


def apply_again(request: Request, machine: str, role: str | None = None) -> str:
    """The command that puts a machine, or one of its roles, right again."""
    words = ["lienxa apply", request.order.site.commune.slug, "--machine", machine]
    words += ["--role", role] if role else []
    words += ["--lab"] if request.lab else []
    return f"`{' '.join(words)}`"
