"""Of which province tinh is the stand-in, and under which names it is found."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

KEYS = Path("/etc/lienxa-province")
"""Keys with their certificates, one PEM file each; `settings.json`."""
STATE = Path("/var/lib/lienxa-province")
"""What happened: the authority's register, dossiers, faults."""
SERVICE_PORT = 8700
"""On tinh's loopback, behind nginx."""
LOGIN_PORT = 8443
"""Of the portal's name: there a certificate of the owner's is asked for, on 443 it is not."""
FOREIGN = "foreign.example.vn"
"""A site that is no business of the commune's: it opens a pop-up, and on LOGIN_PORT asks for a certificate."""


@dataclass(frozen=True)
class Settings:
    """The province of one commune."""

    domain: str
    """For example `gialai.gov.vn`."""
    name: str
    """As officials write it."""
    code: str
    """What its dossiers' codes begin with, for example `GL`."""
    addresses: dict[str, str]
    """Of each service that can be made to fall away: portal, crl, ocsp, tsa."""
    registrar: str = ""
    """Host name of the registrar of rooms (SIP); empty where there is none."""

    @property
    def portal(self) -> str:
        """Host name of the one-stop portal."""
        return f"portal.{self.domain}"

    @property
    def meeting(self) -> str:
        """Host name of the service for meetings by video."""
        return f"hop.{self.domain}"

    @property
    def turn(self) -> str:
        """Host name of the meetings' TURN server."""
        return f"turn.{self.domain}"

    @property
    def login(self) -> str:
        """Where one is logged in, without a slash at its end."""
        return f"https://{self.portal}:{LOGIN_PORT}"

    @property
    def bad_hosts(self) -> dict[str, str]:
        """Host names whose certificate is wrong, by what is wrong about it."""
        return {kind: f"{kind}.{self.domain}" for kind in ("expired", "wrong-name", "untrusted")}

    def to_json(self) -> str:
        """As it stands in `settings.json`."""
        return json.dumps(asdict(self), ensure_ascii=False, indent=1) + "\n"


def read_settings(folder: Path = KEYS) -> Settings:
    """The settings of this tinh."""
    return Settings(**json.loads((folder / "settings.json").read_text(encoding="utf-8")))
