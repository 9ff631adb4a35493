"""What Chromium is told by policy: whose pages have camera, microphone and screen; and of a room's lobby."""

from __future__ import annotations

from deploy.inventory.browser_policies import QUIET, STRICT
from deploy.inventory.site import SiteMeetingService
from deploy.inventory.urls import origin_of, with_port

LOBBY_PORT = 8093
LOBBY = f"http://127.0.0.1:{LOBBY_PORT}"
"""On the machine's own loopback: works without a line."""


def policies(service: SiteMeetingService, *, lobby: bool) -> dict[str, object]:
    """Of every machine: without a question for the service, and for nobody else at all."""
    origins = [with_port(origin_of(service.url)), *([LOBBY] if lobby else [])]
    return {
        "AudioCaptureAllowed": False,
        "AudioCaptureAllowedUrls": origins,
        "ScreenCaptureAllowed": False,
        "ScreenCaptureAllowedByOrigins": origins[:1],
        "VideoCaptureAllowed": False,
        "VideoCaptureAllowedUrls": origins,
    }


def lobby_policies(service: SiteMeetingService) -> dict[str, object]:
    """Of a room besides, where nobody signs in: the lobby and the service, and nothing is set up or kept there."""
    return {
        **QUIET,
        **STRICT,
        "DeveloperToolsAvailability": 2,
        "DownloadRestrictions": 3,
        "PasswordManagerEnabled": False,
        "PopupsAllowedForUrls": [LOBBY],
        "URLAllowlist": [LOBBY, with_port(origin_of(service.url))],
        "URLBlocklist": ["*"],
    }
