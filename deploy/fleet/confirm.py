"""The laptop's side of the guard: come in over a new connection, and say that what was changed may stay."""

from __future__ import annotations

import time

from deploy.fleet.conversation import Conversation, RefusedError, limited
from deploy.fleet.links import LinkError, Links
from deploy.journal import GuardEvent

_LEAST, _GREETINGS = 40.0, 10.0
_PAUSE = 0.5


def guard_seconds(greeting: float) -> float:
    """How long a machine should wait for the confirmation, where the last new connection took `greeting` seconds.

    The least is for SSH, which needs 15 s to notice that the old connection is dead if it was the change that cut it.
    """
    return max(_LEAST, _GREETINGS * greeting)


def confirm(links: Links, machine: str, event: GuardEvent) -> None:
    """Come in as a person would, as long as the machine waits for it; at a gateway also to a machine behind it.

    Where that does not work, the old connection (or the next one) will tell what the machine did about it.
    """
    end = time.monotonic() + event.seconds
    while (left := end - time.monotonic()) > 0:
        try:
            if event.witness in links.access.behind:
                links.pass_through(event.witness, left)
            with Conversation(links, machine) as talk, limited(talk, left):
                talk.ask({"do": "confirm", "guard": event.guard})
        except (LinkError, RefusedError):
            time.sleep(min(_PAUSE, left))
        else:
            return
