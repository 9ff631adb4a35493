"""What is wrong in an inventory, where, and what to do about it."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass

from deploy.errors import UserError


@dataclass(frozen=True, order=True)
class Problem:
    """One mistake in one file. `line` counts from 1."""

    file: str
    line: int
    message: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.message}"


class BadInventory(UserError):  # noqa: N818 - the name says whose mistake it is
    """All that is wrong in all files at once, in the order of files and lines."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems: tuple[Problem, ...] = tuple(sorted(set(problems)))
        super().__init__("\n".join(str(problem) for problem in self.problems))


def allowed(written: str, names: Iterable[str]) -> str:
    """`; allowed: a, b; did you mean 'b'?` for a name that is none of these."""
    known = list(names)
    if not known:
        return "; there is none"
    close = difflib.get_close_matches(written.lower(), known, n=1, cutoff=0.6)
    return f"; allowed: {', '.join(known)}" + (f"; did you mean '{close[0]}'?" if close else "")
