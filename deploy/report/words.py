"""Sentences that console and plain output share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def closing(line: Mapping[str, Any]) -> str:
    """The summary as one sentence for people."""
    parts = [count(line["machines"], "machine")]
    if line["verb"] == "verify":
        parts += [count(line["checks"], "check"), f"{line['passed']} passed", f"{line['failed']} failed"]
        parts += [f"{line['skipped']} skipped"]
    else:
        changed = "would change" if line["verb"] == "plan" else "changed"
        parts += [count(line["operations"], "operation"), f"{line['changed']} {changed}", f"{line['failed']} failed"]
    parts += [f"{line[key]} {word}" for key, word in _RARE.items() if line[key]]
    return f"{line['commune']}: {', '.join(parts)}, in {duration(line['seconds'])}."


_RARE = {"unreachable": "out of reach", "held_back": "held back"}


def count(number: int, noun: str) -> str:
    """`1 machine`, `5 machines`."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def duration(seconds: float) -> str:
    """`0.3 s`, `42 s`, `3 min 05 s`."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s"
