"""From what a page told second by second to the figures of a call."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from statistics import median
from typing import Any

from deploy.journal import CallPath, CallWay

Sample = dict[str, Any]
"""What `watch.js` reads: totals of all connections until then."""


def way(samples: Sequence[Sample], name: str) -> CallWay:
    """What became of media that way, `up` or `down`, between the first sample and the last."""
    first, last = samples[0], samples[-1]
    seconds = max(last["at"] - first["at"], 1e-9)

    def grown(key: str) -> float:
        # Totals fall where a service gave up one connection for another.
        return float(sum(max(0.0, after[name][key] - before[name][key]) for before, after in pairwise(samples)))

    lost = grown("lost")
    # What was lost on the way up had been sent; what was lost on the way down never came.
    all_packets = grown("packets") + (lost if name == "down" else 0)
    stalls = _stalls(samples, name) if any(sample[name]["frames"] for sample in samples) else []
    return CallWay(
        kilobits=round(grown("bytes") * 8 / 1000 / seconds, 1),
        packets=round(all_packets),
        lost_percent=round(100 * lost / all_packets, 2) if all_packets else 100.0,
        jitter_ms=round(median(_jitter(samples, name)) * 1000, 1),
        frames_per_second=round(grown("frames") / seconds, 1),
        freezes=max(len(stalls), round(grown("freezes")) if name == "down" else 0),
        frozen_seconds=round(max(sum(stalls), grown("frozen") if name == "down" else 0.0), 1),
    )


def round_trips(samples: Sequence[Sample]) -> tuple[float, float]:
    """The usual round trip and the slowest twentieth's, in ms; of ICE's own questions, each counted once."""
    seen: list[float] = []
    before: list[Any] = []
    for sample in samples:
        seen += [seconds * 1000 for number, seconds in sample["trips"] if [number, seconds] not in before]
        before = sample["trips"]
    if not seen:
        return 0.0, 0.0
    ordered = sorted(seen)
    return round(median(ordered), 1), round(ordered[min(len(ordered) - 1, len(ordered) * 19 // 20)], 1)


def path(samples: Sequence[Sample]) -> CallPath:
    """Which way the call goes in the end."""
    told = next((sample["path"] for sample in reversed(samples) if sample["path"]), None)
    return CallPath.model_validate(told or {"local": "", "remote": "", "protocol": ""})


def _jitter(samples: Sequence[Sample], name: str) -> list[float]:
    """In s, of sound where there is some: packets of a picture come in bursts, whatever the line does."""
    told = [pair for sample in samples for pair in sample[name]["jitter"]]
    sound = [seconds for kind, seconds in told if kind == "audio"]
    return sound or [seconds for _, seconds in told] or [0.0]


def _stalls(samples: Sequence[Sample], name: str) -> list[float]:
    """How long each stretch without any new frame was, in s."""
    found: list[float] = []
    still = False
    for before, after in pairwise(samples):
        stands = after[name]["frames"] == before[name]["frames"]
        if stands and still:
            found[-1] += after["at"] - before["at"]
        elif stands:
            found.append(after["at"] - before["at"])
        still = stands
    return found
