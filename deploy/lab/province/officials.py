"""Officials' certificates, as they should be and as a doctor has to find them: each kind wrong in one way."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.x509.oid import NameOID

from deploy.lab.province.issuing import (
    PERSON_DAYS,
    Holder,
    Wanted,
    authority,
    certificate_pem,
    issue,
    key_pem,
    load,
    name,
    person,
    self_signed,
)
from deploy.lab.province.register import Entry, Register, serial_text
from deploy.lab.province.settings import Settings


@dataclass(frozen=True)
class Kind:
    """A way of being right or wrong."""

    about: str
    starts: timedelta = timedelta(hours=-1)
    ends: timedelta = timedelta(days=PERSON_DAYS)
    issuer: str = "ca-g2"
    signs: bool = True
    revoked: bool = False


KINDS = {
    "good": Kind("as it should be"),
    "ending": Kind("ends in five days", timedelta(days=-PERSON_DAYS), timedelta(days=5)),
    "expired": Kind("ended ten days ago", timedelta(days=-PERSON_DAYS), timedelta(days=-10)),
    "future": Kind("begins in ten days", timedelta(days=10)),
    "revoked": Kind("was taken back right after it was issued", revoked=True),
    "usage": Kind("is for a server: neither log-in nor signature", signs=False),
    "old": Kind("of the old generation, whose root ends soon", ends=timedelta(days=15), issuer="ca-g1"),
    "stranger": Kind("looks the same, by an authority that nobody knows", issuer="stranger"),
    "unlisted": Kind("by an issuing authority of which no inventory has heard", issuer="unlisted"),
}
_FOREIGN = {
    # The very name of the real one: only its key tells them apart.
    "stranger": "Lienxa Lab CA G2",
    "unlisted": "Lienxa Lab CA G9",
}
"""Common names of issuers that are not the province's."""


@dataclass(frozen=True)
class Identity:
    """What a token is given."""

    serial: str
    subject: str
    issuer: str
    """Common name."""
    key: str
    """PEM, unencrypted: made for a lab, and of no use outside it."""
    certificate: str
    chain: str
    """Certificates of the issuing authority and of its root, PEM in this order."""


@dataclass(frozen=True)
class Person:
    """Who the certificate is for. Somebody else's is one for another name."""

    name: str
    email: str
    office: str
    uid: str = "CCCD:000000000000"
    """As the government's certificates have it: a citizen's number, here of nobody."""


def issue_for(official: Person, kind: str, settings: Settings, keys: Path, register: Register) -> Identity:
    """A new key and certificate, written into the register (a foreign one is not: nobody has it there)."""
    how = KINDS[kind]
    now = datetime.now(UTC).replace(microsecond=0)
    subject = name(
        official.name,
        (NameOID.STATE_OR_PROVINCE_NAME, settings.name),
        (NameOID.ORGANIZATION_NAME, official.office),
        (NameOID.USER_ID, official.uid),
    )
    extensions = person(settings.domain, how.issuer, official.email, signs=how.signs)
    issuer, chain = _issuer(how.issuer, keys)
    made = issue(issuer, Wanted(subject, extensions, now + how.starts, now + how.ends))
    serial = serial_text(made.certificate.serial_number)
    if how.issuer not in _FOREIGN:
        ends = made.certificate.not_valid_after_utc.isoformat()
        register.add(Entry(serial, how.issuer, official.name, kind, ends))
    if how.revoked:
        register.revoke(serial)
    return Identity(
        serial=serial,
        subject=made.certificate.subject.rfc4514_string(),
        issuer=common_name(issuer.certificate),
        key=key_pem(made.key),
        certificate=certificate_pem(made.certificate),
        chain=chain,
    )


def common_name(certificate: x509.Certificate) -> str:
    """Whose it is."""
    found = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return str(found[0].value) if found else certificate.subject.rfc4514_string()


def _issuer(which: str, keys: Path) -> tuple[Holder, str]:
    """The authority and its certificate chain, PEM."""
    if which in _FOREIGN:
        now = datetime.now(UTC)
        wanted = Wanted(name(_FOREIGN[which]), authority(0), now - timedelta(days=1), now + timedelta(days=3650))
        made = self_signed(wanted)
        return made, certificate_pem(made.certificate)
    root = which.replace("ca-", "root-")
    issuer = load((keys / f"{which}.pem").read_text())
    return issuer, certificate_pem(issuer.certificate) + (keys / f"{root}.crt").read_text()
