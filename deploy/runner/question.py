"""What a fact asks a machine."""

from __future__ import annotations

from collections.abc import Callable

from deploy.runner.pyinfra_api import StringCommand


class Question(StringCommand):
    """A shell command that changes nothing, and the same without a shell where the machine is the one we run on.

    A process costs a few milliseconds, reading a file a few hundredths of one, and a run asks about all its files.
    pyinfra's own connectors run the command. `here` gives what the command would print; where it raises OSError, the
    command is run, so that the error has the command's words.
    """

    def __init__(self, text: str, here: Callable[[], str]) -> None:
        super().__init__(text)
        self.here = here
