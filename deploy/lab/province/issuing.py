"""Certificates as the province's authority issues them: its own two generations, servers, services and officials.

Shaped like those of the government's public key infrastructure: a root, an issuing authority below it, RSA,
revocation list and OCSP named in each certificate.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import AuthorityInformationAccessOID, ExtendedKeyUsageOID, NameOID

GENERATIONS = ("g1", "g2")
"""The old root ends soon; officials' certificates are of the new one."""
OLD_ROOT_DAYS = 20
"""So soon that whoever warns of an end warns of this one."""
AUTHORITY_DAYS = 3650
SERVICE_DAYS = 825
PERSON_DAYS = 1095
_AUTHORITY_BITS, _BITS = 3072, 2048

Extension = tuple[x509.ExtensionType, bool]
"""And whether it is critical."""


@dataclass(frozen=True)
class Holder:
    """A key and the certificate that belongs to it."""

    key: rsa.RSAPrivateKey
    certificate: x509.Certificate

    @property
    def pem(self) -> str:
        """Key and certificate, PEM in this order."""
        return key_pem(self.key) + certificate_pem(self.certificate)


@dataclass(frozen=True)
class Wanted:
    """What a certificate is to say; its issuer is asked for it."""

    subject: x509.Name
    extensions: Sequence[Extension]
    starts: datetime
    ends: datetime


def make_authorities(domain: str) -> dict[str, str]:
    """Of both generations a root `root-g1` and the issuing authority `ca-g1` below it, each key and certificate, PEM.

    Also `root-g1.crl`: the root's own revocation list, PEM, as long in force as the root.
    """
    made = {}
    for generation in GENERATIONS:
        root = _root(generation)
        wanted = Wanted(
            name(f"Lienxa Lab CA {generation.upper()}"),
            (*authority(0), *_points(domain, f"root-{generation}")),
            _recently(),
            min(root.certificate.not_valid_after_utc, _recently() + timedelta(days=AUTHORITY_DAYS)),
        )
        made[f"root-{generation}"] = root.pem
        made[f"ca-{generation}"] = issue(root, wanted, bits=_AUTHORITY_BITS).pem
        made[f"root-{generation}.crl"] = revocation_list(root, {}, root.certificate.not_valid_after_utc)
    return made


def load(pem: str) -> Holder:
    """The holder whose key and certificate the text has."""
    key = load_pem_private_key(pem.encode(), None)
    assert isinstance(key, rsa.RSAPrivateKey)
    return Holder(key, x509.load_pem_x509_certificate(pem[pem.index("-----BEGIN CERT") :].encode()))


def issue(issuer: Holder, wanted: Wanted, *, bits: int = _BITS) -> Holder:
    """A new key with a certificate of the issuer's."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=bits)
    return Holder(key, _sign(issuer.key, issuer.certificate.subject, key, wanted))


def self_signed(wanted: Wanted, *, bits: int = _BITS) -> Holder:
    """A new key with a certificate that nobody else vouches for."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=bits)
    return Holder(key, _sign(key, wanted.subject, key, wanted))


def name(common: str, *further: tuple[x509.ObjectIdentifier, str]) -> x509.Name:
    """A name in Vietnam: country, `further` in their order, and the common name last."""
    parts = ((NameOID.COUNTRY_NAME, "VN"), *further, (NameOID.COMMON_NAME, common))
    return x509.Name([x509.NameAttribute(kind, value) for kind, value in parts])


def authority(path_length: int | None) -> tuple[Extension, ...]:
    """Extensions of an authority."""
    return (
        (x509.BasicConstraints(ca=True, path_length=path_length), True),
        (usage("key_cert_sign", "crl_sign"), True),
    )


def service(domain: str, purpose: x509.ObjectIdentifier, names: Sequence[str] = ()) -> tuple[Extension, ...]:
    """Extensions of a server with these host names, a time stamper or an OCSP responder."""
    alone = purpose == ExtendedKeyUsageOID.TIME_STAMPING
    host_names: tuple[Extension, ...] = (
        ((x509.SubjectAlternativeName([x509.DNSName(one) for one in names]), False),) if names else ()
    )
    responder: tuple[Extension, ...] = (
        ((x509.OCSPNoCheck(), False),) if purpose == ExtendedKeyUsageOID.OCSP_SIGNING else ()
    )
    return (
        (x509.BasicConstraints(ca=False, path_length=None), True),
        (usage("digital_signature"), True),
        # RFC 3161 wants it critical, and nothing beside it.
        (x509.ExtendedKeyUsage([purpose]), alone),
        *host_names,
        *responder,
        *_points(domain, "ca-g2", ocsp=not responder),
    )


def person(domain: str, issuer: str, email: str, *, signs: bool = True) -> tuple[Extension, ...]:
    """Extensions of an official's certificate; without `signs` it is for other things than log-in and signature."""
    usages = ("digital_signature", "content_commitment") if signs else ("key_encipherment",)
    purposes = (
        [ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.EMAIL_PROTECTION]
        if signs
        else [ExtendedKeyUsageOID.SERVER_AUTH]
    )
    return (
        (x509.BasicConstraints(ca=False, path_length=None), True),
        (usage(*usages), True),
        (x509.ExtendedKeyUsage(purposes), False),
        (x509.SubjectAlternativeName([x509.RFC822Name(email)]), False),
        *_points(domain, issuer, ocsp=issuer == "ca-g2"),
    )


def usage(*allowed: str) -> x509.KeyUsage:
    """The extension that allows exactly these uses of the key, by their names in `cryptography`."""
    every = (
        "digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement",
        "key_cert_sign", "crl_sign", "encipher_only", "decipher_only",
    )  # fmt: skip
    return x509.KeyUsage(**{one: one in allowed for one in every})


def revocation_list(issuer: Holder, revoked: dict[int, datetime], until: datetime) -> str:
    """The issuer's list, made now and in force `until`; serial numbers with when they were revoked. PEM."""
    now = datetime.now(UTC)
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(issuer.certificate.subject)
        .last_update(now - timedelta(minutes=1))
        .next_update(until)
        .add_extension(x509.CRLNumber(int(now.timestamp())), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.key.public_key()), critical=False)
    )
    for serial, at in revoked.items():
        entry = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(at)
        builder = builder.add_revoked_certificate(entry.build())
    return builder.sign(issuer.key, hashes.SHA256()).public_bytes(Encoding.PEM).decode("ascii")


def key_pem(key: rsa.RSAPrivateKey) -> str:
    """The private key, unencrypted."""
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode("ascii")


def certificate_pem(certificate: x509.Certificate) -> str:
    """The certificate alone."""
    return certificate.public_bytes(Encoding.PEM).decode("ascii")


def _root(generation: str) -> Holder:
    starts, days = _recently(), AUTHORITY_DAYS
    if generation == GENERATIONS[0]:
        days = OLD_ROOT_DAYS
        starts -= timedelta(days=AUTHORITY_DAYS)
    subject = name(f"Lienxa Lab Root CA {generation.upper()}")
    wanted = Wanted(subject, authority(1), starts, _recently() + timedelta(days=days))
    return self_signed(wanted, bits=_AUTHORITY_BITS)


def _points(domain: str, issuer: str, *, ocsp: bool = False) -> tuple[Extension, ...]:
    """Where the issuer's certificate, its revocation list and its OCSP responder are found."""
    around = f"http://ca.{domain}/{issuer}"
    access = [x509.AccessDescription(AuthorityInformationAccessOID.CA_ISSUERS, _url(f"{around}.crt"))]
    if ocsp:
        access.insert(0, x509.AccessDescription(AuthorityInformationAccessOID.OCSP, _url(f"http://ocsp.{domain}/")))
    point = x509.DistributionPoint([_url(f"{around}.crl")], None, None, None)
    return (
        (x509.AuthorityInformationAccess(access), False),
        (x509.CRLDistributionPoints([point]), False),
    )


def _url(text: str) -> x509.UniformResourceIdentifier:
    return x509.UniformResourceIdentifier(text)


def _recently() -> datetime:
    """A machine whose clock is a little behind believes in it at once."""
    return datetime.now(UTC).replace(microsecond=0) - timedelta(hours=1)


def _sign(signer: rsa.RSAPrivateKey, issuer: x509.Name, key: rsa.RSAPrivateKey, wanted: Wanted) -> x509.Certificate:
    builder = (
        x509.CertificateBuilder()
        .subject_name(wanted.subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(wanted.starts)
        .not_valid_after(wanted.ends)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False)
    )
    for extension, critical in wanted.extensions:
        builder = builder.add_extension(extension, critical=critical)
    return builder.sign(signer, hashes.SHA256())
