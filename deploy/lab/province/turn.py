"""Passwords for the meetings' TURN server that are good for a while (draft-uberti-behave-turn-rest-00)."""

from __future__ import annotations

import base64
import hashlib
import hmac
from typing import Any

from deploy.lab.province.settings import Settings

SECONDS = 3600
"""How long a password is good for."""


def ice_servers(settings: Settings, secret: str, now: float) -> dict[str, list[dict[str, Any]]]:
    """What a page gives to RTCPeerConnection. `secret`: what the TURN server knows too; `now`: seconds since 1970."""
    user = f"{int(now) + SECONDS}:hop"
    password = base64.b64encode(hmac.digest(secret.encode(), user.encode(), hashlib.sha1)).decode()
    urls = [f"turn:{settings.turn}:3478?transport=udp", f"turns:{settings.turn}:443?transport=tcp"]
    return {"iceServers": [{"urls": urls, "username": user, "credential": password}]}
