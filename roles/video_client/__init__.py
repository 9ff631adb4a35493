"""Meetings by video at the desks and in the rooms, through the province's service.

"Vào họp" stands in the menu, in the panel and on the desktop. Chromium is told by policy that the service's pages
have camera, microphone and screen without a question, and that nobody else's have. Sound goes through PipeWire with
echo cancellation, at the levels of the inventory. A room starts into its lobby: today's meetings, one large button,
and whether camera, microphone, loudspeaker and line are well; nobody has to sign in, and no line has to be there.
"""

from __future__ import annotations

from deploy.inventory.role import Role
from roles.video_client.options import Options

ROLE = Role(
    name="video_client",
    summary="Meetings by video: the service as a program, camera and sound set up, a room's lobby.",
    options=Options,
    packages=(
        "ca-certificates",
        "chromium",
        "chromium-l10n",
        "libspa-0.2-modules",
        "openssl",
        "pipewire-bin",
        "pipewire-pulse",
        "pulseaudio-utils",
        "v4l-utils",
        "va-driver-all",
        "wireplumber",
        "xdg-user-dirs",
    ),
    needs=("base", "desktop"),
)
