"""`--json`: one JSON object a line, stable, as docs/json.md describes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import IO, TYPE_CHECKING, Any

if TYPE_CHECKING:  # `check` writes lines too, and has no need of the journal's models
    from deploy.fleet.updates import Update


class JsonLines:
    """Writes every update as a line, at once, so that a reader can follow."""

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream

    def __call__(self, update: Update) -> None:
        """One line: the machine's state, and flat beside it the journal's event if one came."""
        self.line(update_line(update))

    def line(self, value: Mapping[str, Any]) -> None:
        """Any other object, as a line."""
        self._stream.write(json.dumps(value, ensure_ascii=False, separators=(", ", ": ")) + "\n")
        self._stream.flush()


def update_line(update: Update) -> dict[str, Any]:
    """`event` first; `state` where nothing came from the journal."""
    event = update.event.model_dump(mode="json") if update.event is not None else {}
    return (
        {"event": event.get("event", "state"), "machine": update.machine, "state": update.state.value}
        | ({"message": update.message} if update.message else {})
        | event
    )
