"""Keys and certificates made up as secrets: the commune's authority, its servers' certificates, DKIM keys."""

from __future__ import annotations

import base64
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

AUTHORITY_DAYS = 3650
CERTIFICATE_DAYS = 825
"""The longest that Apple's programs believe in."""
DKIM_BITS = 2048


def make_authority(domains: tuple[str, ...]) -> str:
    """A key and its certificate, PEM: it vouches for names in `domains` and for no others."""
    key = _new_key()
    name = _name(f"lienxa: {domains[0]}")
    names = [x509.DNSName(domain) for domain in domains]
    builder = (
        _builder(name, name, key, AUTHORITY_DAYS)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs=True), critical=True)
        .add_extension(x509.NameConstraints(permitted_subtrees=names, excluded_subtrees=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )
    return _pem(key) + _pem_of(builder.sign(key, hashes.SHA256()))


def make_certificate(names: tuple[str, ...], authority: str) -> str:
    """A key, a certificate for these host names, and the authority's, PEM in this order."""
    signer = load_pem_private_key(authority.encode(), None)
    assert isinstance(signer, ec.EllipticCurvePrivateKey)
    anchor = x509.load_pem_x509_certificate(anchor_of(authority).encode())
    key = _new_key()
    # A subject is at most 64 characters long; names are looked for in the extension.
    builder = (
        _builder(_name(names[0][:64]), anchor.subject, key, CERTIFICATE_DAYS)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name) for name in names]), critical=False)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(_usage(signs=False), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False)
    )
    return _pem(key) + _pem_of(builder.sign(signer, hashes.SHA256())) + _pem_of(anchor)


def make_dkim_key() -> str:
    """An RSA key, PEM. Every verifier knows RSA; not every one knows Ed25519."""
    return _pem(rsa.generate_private_key(public_exponent=65537, key_size=DKIM_BITS))


def dkim_public_key(private: str) -> str:
    """What stands after `p=` in the DNS."""
    public = load_pem_private_key(private.encode(), None).public_key()
    return base64.b64encode(public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).decode("ascii")


def anchor_of(authority: str) -> str:
    """The authority's certificate without its key, PEM."""
    return authority[authority.index("-----BEGIN CERTIFICATE-----") :]


def expires(certificate: str) -> datetime:
    """When the first certificate of a PEM text ends."""
    return x509.load_pem_x509_certificate(anchor_of(certificate).encode()).not_valid_after_utc


def is_due(certificate: str, names: tuple[str, ...], within: timedelta) -> bool:
    """Whether it ends that soon, or is for other names."""
    held = x509.load_pem_x509_certificate(anchor_of(certificate).encode())
    found = held.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return (
        set(found.get_values_for_type(x509.DNSName)) != set(names)
        or expires(certificate) - datetime.now(UTC) < within
    )


def _new_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, days: int
) -> x509.CertificateBuilder:
    # A machine whose clock is a little behind believes in it at once.
    now = datetime.now(UTC) - timedelta(hours=1)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now)
        .not_valid_after(now + timedelta(days=days))
    )


def _usage(*, signs: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs,
        crl_sign=signs,
        encipher_only=False,
        decipher_only=False,
    )


def _pem(key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey) -> str:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode("ascii")


def _pem_of(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(Encoding.PEM).decode("ascii")
