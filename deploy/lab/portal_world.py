"""`tinh` as the province's one-stop portal and authority: HTTPS with client certificates, revocation, time stamps.

`/usr/lib/lienxa-lab/province` on tinh is what tests ask: it issues certificates for tokens, tells what the portal
took and refused, and makes a service fall away. What runs there is `deploy.lab.province`.
"""

from __future__ import annotations

from importlib.resources import files as resources
from ipaddress import IPv4Address

from deploy.inventory.certificates import anchor_of
from deploy.inventory.mail_dns import Record
from deploy.inventory.site import Site
from deploy.lab.boot import File, with_values
from deploy.lab.keys import province_authorities
from deploy.lab.meeting_world import MEDIA, MEETING, meeting_addresses, meeting_files, meeting_records
from deploy.lab.province.settings import FOREIGN, KEYS, Settings
from deploy.lab.rehearsal import PORTAL

REVOCATION = IPv4Address("198.51.100.3")
"""`ca.<province>`: the authority's certificates and its revocation lists."""
STATUS = IPv4Address("198.51.100.4")
"""`ocsp.<province>`"""
TIME_STAMPS = IPv4Address("198.51.100.5")
"""`tsa.<province>`"""
FOREIGN_SITE = IPv4Address("198.51.100.6")
"""`foreign.example.vn`"""
COMMAND = "/usr/lib/lienxa-lab/province"
MODULES = "/usr/lib/lienxa-lab/modules"


def settings(site: Site) -> Settings:
    """The province of this commune."""
    services = {"portal": PORTAL, "crl": REVOCATION, "ocsp": STATUS, "tsa": TIME_STAMPS}
    return Settings(
        domain=site.domain.split(".", 1)[1],
        name=site.commune.province,
        code="".join(part[0] for part in site.commune.province_slug.split("-")).upper(),
        addresses={name: str(address) for name, address in services.items()},
        registrar=site.upstream.sip.registrar if site.upstream.sip else "",
    )


def portal_addresses() -> tuple[IPv4Address, ...]:
    """What tinh answers to for the province's services."""
    return (PORTAL, REVOCATION, STATUS, TIME_STAMPS, FOREIGN_SITE, *meeting_addresses())


def portal_records(site: Site) -> tuple[Record, ...]:
    """The names of the province's services."""
    ours = settings(site)
    names = {
        ours.portal: PORTAL,
        f"ca.{ours.domain}": REVOCATION,
        f"ocsp.{ours.domain}": STATUS,
        f"tsa.{ours.domain}": TIME_STAMPS,
        FOREIGN: FOREIGN_SITE,
        **dict.fromkeys(ours.bad_hosts.values(), PORTAL),
    }
    portal = (Record(name, "A", str(address)) for name, address in names.items())
    return (*portal, *meeting_records(ours))


def portal_files(site: Site) -> tuple[File, ...]:
    """What makes tinh the province's portal and authority."""
    ours = resources("deploy.lab") / "files" / "portal"
    pages = (page for page in (ours / "pages").iterdir() if page.name.endswith(".j2"))
    modules = (module for module in resources("deploy.lab.province").iterdir() if module.name.endswith(".py"))
    return (
        *_keys(site),
        *(File(f"/usr/lib/lienxa-lab/pages/{page.name}", page.read_text()) for page in pages),
        *(File(f"{MODULES}/deploy/lab/province/{module.name}", module.read_text()) for module in modules),
        File(f"{KEYS}/settings.json", settings(site).to_json()),
        File(f"{KEYS}/tsa.cnf", (ours / "tsa.cnf").read_text()),
        # nginx may listen where no address is yet, or no longer is.
        File("/etc/sysctl.d/10-portal.conf", "net.ipv4.ip_nonlocal_bind = 1\n"),
        File("/etc/nginx/conf.d/province.conf", _filled_in((ours / "nginx.conf").read_text(), site)),
        File("/etc/systemd/system/lienxa-province.service", (ours / "province.service").read_text()),
        File("/var/lib/lienxa-lab/first-boot.d/tinh-portal", (ours / "first-boot").read_text(), 0o755),
        File(COMMAND, (ours / "province").read_text(), 0o755),
        *meeting_files(site, settings(site)),
    )


def _keys(site: Site) -> tuple[File, ...]:
    """The issuing authorities with their keys, which sign on tinh; of the roots what everybody may have."""
    made = province_authorities(site.commune.slug, settings(site).domain)
    given = []
    for name, text in made.items():
        if name.endswith(".crl"):
            given.append(File(f"{KEYS}/{name}", text))
        elif name.startswith("root-"):
            given.append(File(f"{KEYS}/{name}.crt", anchor_of(text)))
        else:
            given.append(File(f"{KEYS}/{name}.pem", text, 0o600))
    return tuple(given)


def _filled_in(text: str, site: Site) -> str:
    ours = settings(site)
    values = {f"@{name.upper()}@": address for name, address in ours.addresses.items()}
    values |= {
        "@DOMAIN@": ours.domain,
        "@FOREIGN@": str(FOREIGN_SITE),
        "@MEETING@": str(MEETING),
        "@MEDIA@": str(MEDIA),
    }
    return with_values(text, values)
