"""Meetings by video at the desks and in the rooms, through the province's service.

"Vào họp" stands in the menu, in the panel and on the desktop. Chromium is told by policy that the service's pages
have camera, microphone and screen without a question, and that nobody else's have. Sound goes through PipeWire with
echo cancellation, at the levels of the inventory. A room starts into its lobby: today's meetings, one large button,
and whether camera, microphone, loudspeaker and line are well; nobody has to sign in, and no line has to be there.
A room with an account at the province's room systems (SIP) rings too, and is answered on its screen.
"""

from __future__ import annotations

from deploy.inventory.role import Role, Secret
from deploy.inventory.site import Site
from roles.video_client.options import Options

SIP_PACKAGES = ("baresip-core", "baresip-ffmpeg", "baresip-x11", "pipewire-alsa", "python3-tk")
"""Of a room that has a SIP account: the telephone, H.264, its window, its sound, and what its bell is drawn with."""


def secrets(options: Options, site: Site) -> tuple[Secret, ...]:
    """The password of each room's SIP account, which the province has given; no other machine's order holds it."""
    if site.upstream.sip is None:
        return ()
    return tuple(
        Secret(
            f"sip_{machine.sip}",
            f"Password of {machine.sip} at {site.upstream.sip.registrar}",
            generated=False,
            machines=frozenset({machine.name}),
        )
        for machine in site.machines
        if machine.sip
    )


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
    secrets=secrets,
)
