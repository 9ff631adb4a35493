"""What the fleet and the lab may raise, as the sentence and exit code that a person gets."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any

import click

from deploy.errors import LabError
from deploy.fleet.adopt import AdoptError
from deploy.fleet.conversation import RefusedError
from deploy.fleet.kit import KitError
from deploy.fleet.links import LinkError, Trouble
from deploy.fleet.mailboxes import MailboxError
from deploy.fleet.package_cache import CacheError
from deploy.fleet.trust import TrustError
from deploy.report.exit_codes import FAILED, UNREACHABLE


class Stopped(click.ClickException):
    """Work could not be done; the sentence goes to standard error as it is."""

    exit_code = FAILED

    def show(self, file: IO[Any] | None = None) -> None:
        """Without click's `Error: ` before it."""
        click.echo(self.message, err=True)


class OutOfReach(Stopped):
    """The same where something was out of reach to the end."""

    exit_code = UNREACHABLE


@contextmanager
def troubles() -> Iterator[None]:
    """Turn what can go wrong outside of us into a sentence and an exit code."""
    try:
        yield
    except (AdoptError, KitError, CacheError, LabError, MailboxError, RefusedError, TrustError) as error:
        raise Stopped(str(error)) from error
    except LinkError as error:
        raise (OutOfReach if error.trouble is Trouble.UNREACHABLE else Stopped)(str(error)) from error
