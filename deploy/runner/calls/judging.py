"""Whether a call is good: its figures against limits, each with where the limit comes from."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

from deploy.journal import Call, CallPath, CallWay, Verdict

Grade = Literal["good", "bearable", "bad"]

BEGIN_SECONDS = 5.0
"""Within which sound and picture have to flow both ways; ours."""
ROUND_TRIP_GOOD_MS, ROUND_TRIP_MOST_MS = 300.0, 800.0
"""Twice the one-way times of ITU-T G.114: up to 150 ms most people notice nothing, 400 ms is the limit."""
LOST_MOST_PERCENT = 1.0
"""ITU-T G.1010, appendix I: a videophone bears 1 % of packets lost (a voice alone 3 %)."""
JITTER_MOST_MS = 50.0
"""ITU-T Y.1541, classes 0 and 1: what buffers of calls make good."""
FRAMES_FEWEST = 10.0
"""Frames a second below which nobody takes it for motion; ours."""
FROZEN_MOST_PERCENT = 5.0
"""Of the time; ours."""

_LOOK_AT_LINE = (
    "Who fills the line? `lienxa verify {commune} --role network{lab}` says whether calls go first; is what "
    "commune.yaml has as its rate (up, down) what it really gives?"
)
_BUSY = (
    "Is the machine itself too busy (`top` on {machine})? Close what else runs there; then `lienxa doctor {commune} "
    "--machine {machine}{lab}`."
)


@dataclass(frozen=True)
class Judged:
    """One figure against its limit."""

    id: str
    sentence: str
    """What is so where it is good, with places for `{machine}`."""
    grade: Grade
    detail: str
    next_step: str


def judge(call: Call) -> Iterator[Judged]:
    """Every figure of it."""
    yield _beginning(call)
    yield _way_it_goes(call.path)
    yield _round_trip(call.round_trip_ms, call.round_trip_slow_ms)
    for name, words, one in (("up", "from {machine}", call.up), ("down", "to {machine}", call.down)):
        yield from _one_way(name, words, one, call.seconds)


def verdict(grades: Iterable[Grade]) -> Verdict:
    """The worst of them."""
    all_ = set(grades)
    return "bad" if "bad" in all_ else "bearable" if "bearable" in all_ else "good"


def _beginning(call: Call) -> Judged:
    begun, opened = call.begun_seconds, call.page_seconds
    return Judged(
        "call.begins",
        "Sound and picture of {machine} flow both ways at once.",
        "good" if begun <= BEGIN_SECONDS else "bad",
        f"{begun:.1f} s after joining, at most {BEGIN_SECONDS:.0f} (ours); {opened:.1f} s after the page opened",
        _BUSY,
    )


def _way_it_goes(path: CallPath) -> Judged:
    direct = path.protocol == "udp"
    how = f"{path.local} to {path.remote} by {path.protocol.upper()}"
    why = "" if direct else "; UDP does not get through, so that one lost packet holds up all behind it"
    return Judged(
        "call.path",
        "The call finds its way to the service.",
        "good" if direct else "bearable",
        f"{how}{why}",
        "",
    )


def _round_trip(usual: float, slow: float) -> Judged:
    good, most = ROUND_TRIP_GOOD_MS, ROUND_TRIP_MOST_MS
    grade: Grade = "good" if slow <= good else "bearable" if slow <= most else "bad"
    detail = f"{usual:.0f} ms, the slowest twentieth {slow:.0f} ms; good up to {good:.0f}, at most {most:.0f}"
    return Judged(
        "call.round_trip",
        "Who is spoken to can answer at once.",
        grade,
        f"{detail} (ITU-T G.114, both ways)",
        _LOOK_AT_LINE,
    )


def _one_way(name: str, words: str, way: CallWay, seconds: float) -> Iterator[Judged]:
    sent = f"{way.lost_percent:g} % of {way.packets} packets lost at {way.kilobits:.0f} kbit/s"
    yield Judged(
        f"call.loss_{name}",
        f"Hardly a packet {words} is lost.",
        "good" if way.lost_percent <= LOST_MOST_PERCENT else "bad",
        f"{sent}; at most {LOST_MOST_PERCENT:g} % (ITU-T G.1010, videophone)",
        _LOOK_AT_LINE,
    )
    yield Judged(
        f"call.jitter_{name}",
        f"Packets {words} come evenly.",
        "good" if way.jitter_ms <= JITTER_MOST_MS else "bad",
        f"jitter {way.jitter_ms:g} ms; at most {JITTER_MOST_MS:.0f} (ITU-T Y.1541, classes 0 and 1)",
        _LOOK_AT_LINE,
    )
    frozen = 100 * way.frozen_seconds / max(seconds, 1e-9)
    moves = way.frames_per_second >= FRAMES_FEWEST and frozen <= FROZEN_MOST_PERCENT
    yield Judged(
        f"call.picture_{name}",
        f"The picture {words} moves.",
        "good" if moves else "bad",
        f"{way.frames_per_second:g} frames a second, frozen {way.frozen_seconds:g} s in {way.freezes} times; "
        f"at least {FRAMES_FEWEST:.0f} frames, at most {FROZEN_MOST_PERCENT:.0f} % of the time (ours)",
        _BUSY,
    )
