"""`tinh` as the province's service for meetings by video: Janus behind nginx, coturn, and lines as slow as written.

Media comes to an address of the service's own, by the UDP ports of the inventory; where UDP is blocked on the way it
goes by TURN over TLS. Janus is not in Debian 13: the image has a root of Debian 12 with it, see `image`.
"""

from __future__ import annotations

from importlib.resources import files as resources
from ipaddress import IPv4Address

from deploy.inventory.mail_dns import Record
from deploy.inventory.site import PortRange, Site
from deploy.lab.boot import File, with_values
from deploy.lab.image import JANUS
from deploy.lab.province.settings import Settings
from deploy.lab.rehearsal import INTERNET, TRANSFERS

MEETING = IPv4Address("198.51.100.7")
"""`hop.<province>`: its pages."""
TURN = IPv4Address("198.51.100.8")
"""`turn.<province>`: TURN by UDP 3478 and by TLS on 443."""
MEDIA = IPv4Address("198.51.100.14")
"""Where Janus is, in a network namespace of its own: libnice sends by the interface that has its address, whatever
the routes say, and takes none of the loopback's."""
MEDIA_ROUTER = IPv4Address("198.51.100.13")
"""Tinh's end of the cable to it, a network of four addresses."""
_MEDIA = PortRange(first=10000, last=20000)
_FEWEST_PORTS = 100


def meeting_addresses() -> tuple[IPv4Address, ...]:
    """What tinh itself answers to for the service."""
    return (MEETING, TURN)


def meeting_records(settings: Settings) -> tuple[Record, ...]:
    """The names of the service."""
    return (Record(settings.meeting, "A", str(MEETING)), Record(settings.turn, "A", str(TURN)))


def meeting_files(site: Site, settings: Settings) -> tuple[File, ...]:
    """What makes tinh the province's service for meetings."""
    ours = resources("deploy.lab") / "files" / "meeting"
    media = _media(site)
    values = {
        "@DOMAIN@": settings.domain,
        "@MEDIA@": str(MEDIA),
        "@ROUTER@": str(MEDIA_ROUTER),
        "@TURN@": str(TURN),
        "@PORTS@": f"{media.first}-{media.last}",
        "@ROOT@": JANUS,
        "@TRANSFERS@": f"{INTERNET} {TRANSFERS}",
    }

    def filled_in(name: str) -> str:
        return with_values((ours / name).read_text(), values)

    return (
        File("/usr/lib/lienxa-lab/meeting/index.html", filled_in("index.html")),
        File("/etc/lienxa-janus/janus.jcfg", filled_in("janus.jcfg")),
        File("/etc/lienxa-janus/janus.transport.websockets.jcfg", filled_in("janus.transport.websockets.jcfg")),
        File("/etc/lienxa-janus/janus.plugin.videoroom.jcfg", filled_in("janus.plugin.videoroom.jcfg")),
        File("/usr/lib/lienxa-lab/media-network", filled_in("media-network"), 0o755),
        File("/etc/systemd/system/lienxa-media.service", filled_in("media.service")),
        File("/etc/systemd/system/lienxa-janus.service", filled_in("janus.service")),
        File("/etc/turnserver.conf", filled_in("turnserver.conf")),
        File("/etc/systemd/system/coturn.service.d/lienxa-lab.conf", _LOW_PORT),
        File("/usr/lib/lienxa-lab/transfers", filled_in("transfers"), 0o755),
        File("/etc/systemd/system/lienxa-transfers.service", filled_in("transfers.service")),
        File("/usr/lib/lienxa-lab/carrier", filled_in("carrier"), 0o755),
        File("/etc/lienxa-carrier", _lines(site)),
        File("/etc/systemd/system/lienxa-carrier.service", filled_in("carrier.service")),
        File("/var/lib/lienxa-lab/first-boot.d/tinh-video", filled_in("first-boot"), 0o755),
    )


def _media(site: Site) -> PortRange:
    """The widest range of the service's ports: each stream takes one of them."""
    known = site.upstream.meeting.media if site.upstream.meeting else ()
    wide = [ports for ports in known if ports.last - ports.first >= _FEWEST_PORTS]
    return max(wide, key=lambda ports: ports.last - ports.first, default=_MEDIA)


def _lines(site: Site) -> str:
    """A line for each whose rate is known: tinh's interface, and bit/s up and down as the commune sees it."""
    known = ((index, uplink) for index, uplink in enumerate(site.uplinks) if uplink.up and uplink.down)
    return "".join(f"up{index} {uplink.up} {uplink.down}\n" for index, uplink in known)


_LOW_PORT = "[Service]\nAmbientCapabilities=CAP_NET_BIND_SERVICE\n"
