"""How long the laptop waits for a machine, and how it spreads its tries."""

from __future__ import annotations

import random
from dataclasses import dataclass

_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 15.0
_FIRST_HELLO, _LONGEST_HELLO = 15.0, 60.0


@dataclass(frozen=True)
class Patience:
    """How long a machine may be silent before the laptop gives up on it. Seconds."""

    first: float = 30
    """Until it answers for the first time: it may be starting."""
    lost: float = 2 * 3600
    """After the line dropped."""
    deadline: float | None = None
    """For all of a machine's work, from its first try on; where it is given, it counts instead of the others."""
    seed: int | None = None
    """For tests: the same seed, the same pauses."""

    def ends(self, begun: float, heard: float | None) -> float:
        """Until when to try: `begun` is when its work began, `heard` when it last said something, if it ever did."""
        if self.deadline is not None:
            return begun + self.deadline
        return begun + self.first if heard is None else heard + self.lost


APPLYING = Patience(first=150)
"""For `apply`: a machine behind a gateway that has just begun to lease gets its address only when it asks again, and
DHCP clients leave up to 64 s between two tries (RFC 2131, section 4.1)."""


class Backoff:
    """Pauses between two tries: longer each time, never the same for two machines."""

    def __init__(self, machine: str, seed: int | None = None) -> None:
        self._random = random.Random(None if seed is None else f"{seed} {machine}")  # noqa: S311 (hides nothing)
        self._tries = 0

    def reached(self) -> None:
        """It has answered: the next pause is a short one again."""
        self._tries = 0

    def pause(self) -> float:
        """How long to wait now. Seconds."""
        longest = min(_FIRST_PAUSE * 2.0**self._tries, _LONGEST_PAUSE)
        self._tries = min(self._tries + 1, 10)
        return longest * self._random.uniform(0.5, 1.5)

    @property
    def hello(self) -> float:
        """How long an answer to the first word may take: OpenSSH watches a line only once it has logged in.

        Longer after each try in vain, so that a line that is only slow is not cut for ever.
        """
        return float(min(_FIRST_HELLO * 1.5**self._tries, _LONGEST_HELLO))
