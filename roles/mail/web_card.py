"""What the web side of the mail machine adds to the card of the role `mail`."""

from __future__ import annotations

from deploy.inventory.role import INSIDE, Port, Secret, Unit
from deploy.inventory.site import WEBMAIL

PACKAGES = (
    "nginx",
    "php-cli",
    "php-fpm",
    "php-intl",
    "php-zip",
    "roundcube-core",
    "roundcube-plugins",
    "roundcube-sqlite3",
)
UNITS = (
    Unit("lienxa-webmail", "runs webmail and what answers phones and Outlook"),
    Unit("nginx", "speaks HTTPS"),
)
PORTS = (
    Port(443, "tcp", INSIDE, WEBMAIL, unit="nginx"),
    Port(80, "tcp", INSIDE, "autoconfiguration in clear, and the way to webmail", unit="nginx"),
)
SECRETS = (Secret("webmail_key", "Key with which webmail keeps passwords while people are logged in", length=32),)
