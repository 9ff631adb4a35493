"""What the web side of the mail machine adds to the card of the role `mail`."""

from __future__ import annotations

from deploy.inventory.role import INSIDE, Port, Secret, Unit
from deploy.inventory.site import WEBMAIL

PACKAGES: tuple[str, ...] = ()
UNITS: tuple[Unit, ...] = ()
PORTS = (
    Port(443, "tcp", INSIDE, WEBMAIL, unit="nginx"),
    Port(80, "tcp", INSIDE, "autoconfiguration in clear, and the way to webmail", unit="nginx"),
)
SECRETS: tuple[Secret, ...] = ()
