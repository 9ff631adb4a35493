"""The web side of the role `mail`: webmail, autoconfiguration, MTA-STS policy. Its card is `web_card`."""

from __future__ import annotations

from deploy.runner.context import Context
from roles.mail.options import Options


def install(ctx: Context[Options]) -> None:
    """What the card's packages do not say."""


def configure(ctx: Context[Options]) -> None:
    """Files of the web side. The certificate is at `roles.mail.tasks.CERTIFICATE`."""


def activate(ctx: Context[Options]) -> None:
    """Its daemons."""


def retire(ctx: Context[Options]) -> None:
    """Mail that was kept is the mail server's; the web side keeps people's address books and settings."""
