"""A shell script as a pyinfra command that can say what it does, what it changes, and why it failed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypedDict, Unpack

from deploy.runner.pyinfra_api import ConnectorArguments, StringCommand


class Arguments(TypedDict, total=False):
    """pyinfra's own arguments that our operations pass on."""

    name: str
    _if: Callable[[], bool] | list[Callable[[], bool]]
    _ignore_errors: bool
    _sudo: bool
    _timeout: int


@dataclass(frozen=True)
class Reason:
    """Why a command failed, and what to do about it."""

    message: str
    next_step: str = ""


def no_reason(output: str) -> Reason | None:
    """The answer where nothing is known but the output itself."""
    return None


class Script(StringCommand):
    """A shell script with what the journal says about it.

    `summary` stands in the journal instead of the script's text. `diff` is a unified diff, or empty where the
    content is secret. `explain` is given what a failed script printed.
    """

    def __init__(
        self,
        text: str,
        *,
        summary: str,
        diff: str = "",
        explain: Callable[[str], Reason | None] = no_reason,
        **arguments: Unpack[ConnectorArguments],
    ) -> None:
        super().__init__(text, **arguments)
        self.summary = summary
        self.diff = diff
        self.explain = explain
