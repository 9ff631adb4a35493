"""The first boot of tinh: the authority issues what its own services and the web servers need."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from cryptography.x509.oid import ExtendedKeyUsageOID

from deploy.lab.province.issuing import (
    SERVICE_DAYS,
    Extension,
    Holder,
    Wanted,
    certificate_pem,
    issue,
    load,
    name,
    self_signed,
    service,
)
from deploy.lab.province.register import Entry, Register, serial_text
from deploy.lab.province.settings import FOREIGN, KEYS, STATE, read_settings


def found() -> None:
    """Make all that is missing; of the roots only the certificates are here."""
    settings = read_settings()
    issuer = load((KEYS / "ca-g2.pem").read_text())
    register = Register(STATE)
    now = datetime.now(UTC).replace(microsecond=0)

    def made(
        common: str, extensions: Sequence[Extension], first: int = 0, last: int = SERVICE_DAYS, *, own: bool = False
    ) -> Holder:
        starts = now + timedelta(days=first, hours=-1)
        wanted = Wanted(name(common), extensions, starts, now + timedelta(days=last))
        return self_signed(wanted) if own else issue(issuer, wanted)

    def server(*hosts: str) -> tuple[Extension, ...]:
        return service(settings.domain, ExtendedKeyUsageOID.SERVER_AUTH, hosts)

    ocsp, stamping = ExtendedKeyUsageOID.OCSP_SIGNING, ExtendedKeyUsageOID.TIME_STAMPING
    bad = settings.bad_hosts
    holders = {
        "ocsp": made("Lienxa Lab OCSP G2", service(settings.domain, ocsp)),
        "tsa": made("Lienxa Lab TSA G2", service(settings.domain, stamping)),
        "portal": made(settings.portal, server(settings.portal)),
        "foreign": made(FOREIGN, server(FOREIGN)),
        "meeting": made(settings.meeting, server(settings.meeting)),
        "turn": made(settings.turn, server(settings.turn)),
    }
    if settings.registrar:
        holders["sip"] = made(settings.registrar, server(settings.registrar))
    # Each also for the portal's name: it is served with them when it is to go wrong in that one way.
    holders |= {
        "expired": made(bad["expired"], server(bad["expired"], settings.portal), -400, -2),
        "wrong-name": made("khac.example.vn", server("khac.example.vn")),
        "untrusted": made(bad["untrusted"], server(bad["untrusted"], settings.portal), own=True),
    }
    chain = certificate_pem(issuer.certificate)
    for kind, holder in holders.items():
        path = KEYS / f"{kind}.pem"
        path.touch(0o600)
        path.write_text(holder.pem + ("" if kind == "untrusted" else chain))
        if kind != "untrusted":
            serial = serial_text(holder.certificate.serial_number)
            ends = holder.certificate.not_valid_after_utc.isoformat()
            register.add(Entry(serial, "ca-g2", kind, "service", ends))
    (KEYS / "served.pem").symlink_to("portal.pem")


if __name__ == "__main__":
    found()
