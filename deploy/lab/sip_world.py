"""`tinh` as the province's room systems by SIP: who rooms register with (Kamailio), who hands sound and picture on
(rtpengine), and a telephone that says back what it hears. There where the province has such a service.
"""

from __future__ import annotations

from importlib.resources import files as resources
from ipaddress import IPv4Address

from deploy.inventory.mail_dns import Record
from deploy.inventory.role import Secret
from deploy.inventory.secrets import stand_in_secrets
from deploy.inventory.site import PortRange, Site, SiteSipService
from deploy.lab.boot import File, with_values
from deploy.lab.laptop import state_dir

SIP = IPv4Address("198.51.100.20")
"""The registrar, and where rooms send sound and picture to."""
ECHO = "thu"
"""Account of the telephone that says back what it hears."""
FOLDER = "/etc/lienxa-sip"
_ECHO_PORTS = "40000-40099"
"""Between the echo and who hands on: they never leave tinh."""
_PORTS = {"tls": 5061, "tcp": 5060, "udp": 5060}


def sip_addresses(site: Site) -> tuple[IPv4Address, ...]:
    """What tinh answers to for the service."""
    return (SIP,) if site.upstream.sip else ()


def sip_records(site: Site) -> tuple[Record, ...]:
    """Its name."""
    return (Record(site.upstream.sip.registrar, "A", str(SIP)),) if site.upstream.sip else ()


def sip_files(site: Site) -> tuple[File, ...]:
    """What makes tinh the service; nothing where the province has none."""
    service = site.upstream.sip
    if service is None:
        return ()
    ours = resources("deploy.lab") / "files" / "sip"
    passwords = _passwords(site)
    media = max(service.media, key=lambda ports: ports.last - ports.first)
    values = _values(service, media) | {"@ACCOUNTS@": "".join(_known(*one) for one in passwords.items())}

    def filled_in(name: str) -> str:
        return with_values((ours / name).read_text(), values)

    return (
        File(f"{FOLDER}/kamailio.cfg", filled_in("kamailio.cfg"), 0o600),
        File(f"{FOLDER}/tls.cfg", filled_in("tls.cfg")),
        File(f"{FOLDER}/rtpengine.conf", filled_in("rtpengine.conf")),
        File(f"{FOLDER}/echo/config", filled_in("echo-config")),
        File(f"{FOLDER}/echo/accounts", _echo(service, passwords[ECHO]), 0o600),
        *(
            File(f"/etc/systemd/system/lienxa-sip-{name}.service", filled_in(f"{name}.service"))
            for name in ("echo", "media", "registrar")
        ),
        File("/var/lib/lienxa-lab/first-boot.d/tinh-sip", filled_in("first-boot"), 0o755),
    )


def _passwords(site: Site) -> dict[str, str]:
    """By account: those that the rooms' orders hold, and the echo's own."""
    secret = stand_in_secrets(state_dir(site.commune.slug) / "secrets.json")
    accounts = (*(machine.sip for machine in site.machines if machine.sip), ECHO)
    return {account: secret("", "video_client", Secret(f"sip_{account}", "")) for account in accounts}


def _values(service: SiteSipService, media: PortRange) -> dict[str, str]:
    return {
        "@REGISTRAR@": service.registrar,
        "@TRANSPORT@": service.transport,
        "@PORT@": str(service.port or _PORTS[service.transport]),
        "@SIP@": str(SIP),
        "@FIRST@": str(media.first),
        "@LAST@": str(media.last),
        "@ECHO_PORTS@": _ECHO_PORTS,
        "@SRTP@": "module srtp.so\n" if service.srtp == "mandatory" else "",
    }


def _known(account: str, password: str) -> str:
    return f'    if ($fU == "{account}") $var(password) = "{password}";\n'


def _echo(service: SiteSipService, password: str) -> str:
    address = f"sip:{ECHO}@{service.location};transport={service.transport}"
    security = ";mediaenc=srtp-mand" if service.srtp == "mandatory" else ""
    return f"<{address}>;auth_pass={password};regint=60;answermode=auto{security}\n"
