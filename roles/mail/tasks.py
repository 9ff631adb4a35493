"""Applies the role `mail`."""

from __future__ import annotations

from deploy.runner.context import Context
from deploy.runner.operations import packages, retire_units
from roles.mail import web
from roles.mail.options import Options

CERTIFICATE = "/etc/lienxa/mail/certificate.pem"
"""The machine's certificate and its authority's, for every daemon that speaks TLS."""
KEY = "/etc/lienxa/mail/key.pem"
"""Its private key; root's alone: daemons read it before they give up root."""


def install(ctx: Context[Options]) -> None:
    """Packages."""
    packages(ctx)
    web.install(ctx)


def configure(ctx: Context[Options]) -> None:
    """Files."""
    web.configure(ctx)


def activate(ctx: Context[Options]) -> None:
    """Daemons."""
    web.activate(ctx)


def retire(ctx: Context[Options]) -> None:
    """Mail that was kept stays."""
    web.retire(ctx)
    retire_units(ctx)
