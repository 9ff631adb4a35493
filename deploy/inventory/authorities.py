"""Reads the certificates of the province's authorities, and refuses what is none. Only on the laptop."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from deploy.inventory.models import TrustAnchorWritten
from deploy.inventory.sentences import Place
from deploy.inventory.signing import WrongFileError, read_file
from deploy.inventory.site import SiteAuthority

_PEM = b"-----BEGIN CERTIFICATE-----"


@dataclass(frozen=True)
class _Anchor:
    number: int
    written: TrustAnchorWritten
    certificate: x509.Certificate

    @property
    def root(self) -> bool:
        return self.certificate.issuer == self.certificate.subject


def read_authorities(
    folder: Path, written: Sequence[TrustAnchorWritten]
) -> tuple[tuple[SiteAuthority, ...], tuple[tuple[Place, str], ...]]:
    """The authorities, and what is wrong: places below `upstream.trust_anchors` with sentences."""
    anchors: list[_Anchor] = []
    wrong: list[tuple[Place, str]] = []
    for number, one in enumerate(written):
        try:
            anchors.append(_Anchor(number, one, _certificate(folder, one)))
        except WrongFileError as error:
            key = "sha256" if "SHA-256" in str(error) else "file"
            wrong.append(((number, key), f"upstream.trust_anchors[{number}].{key}: {error}"))
    wrong += _together(anchors, whole=len(anchors) == len(written))
    return tuple(_site_authority(one.certificate, one.written.revocation) for one in anchors), tuple(wrong)


def authority_of(pem: str) -> SiteAuthority:
    """The authority whose certificate this is."""
    return _site_authority(x509.load_pem_x509_certificate(pem.encode("ascii")), ())


def _certificate(folder: Path, written: TrustAnchorWritten) -> x509.Certificate:
    content = read_file(folder, written.file)
    found = _loaded(written.file, content)
    fingerprint = found.fingerprint(hashes.SHA256()).hex()
    if fingerprint != written.sha256:
        raise WrongFileError(
            f"the certificate in {written.file} has SHA-256 {fingerprint}; ask the authority which is right, by "
            "another way than the file came"
        )
    if not _may_sign(found):
        raise WrongFileError(f"{written.file} is the certificate of {_name(found)}, which is no authority (CA)")
    return found


def _loaded(file: str, content: bytes) -> x509.Certificate:
    try:
        found = (
            x509.load_pem_x509_certificates(content) if _PEM in content else [x509.load_der_x509_certificate(content)]
        )
    except ValueError:
        raise WrongFileError(f"{file} holds no certificate, neither PEM nor DER") from None
    if len(found) > 1:
        raise WrongFileError(f"{file} holds {len(found)} certificates; write each into a file of its own")
    return found[0]


def _may_sign(certificate: x509.Certificate) -> bool:
    """RFC 5280, section 4.2.1.9 and 4.2.1.3."""
    try:
        constraints = certificate.extensions.get_extension_for_class(x509.BasicConstraints).value
        usage = certificate.extensions.get_extension_for_class(x509.KeyUsage).value
    except x509.ExtensionNotFound as missing:
        return missing.oid == x509.KeyUsage.oid and constraints.ca
    return constraints.ca and usage.key_cert_sign


def _together(anchors: Sequence[_Anchor], *, whole: bool) -> Iterator[tuple[Place, str]]:
    """What is there twice, and what was signed by nobody here."""
    seen: dict[str, int] = {}
    for one in anchors:
        at = f"upstream.trust_anchors[{one.number}].file: {one.written.file}"
        if one.written.sha256 in seen:
            message = f"{at} is the certificate of upstream.trust_anchors[{seen[one.written.sha256]}] again"
            yield (one.number, "file"), message
        seen.setdefault(one.written.sha256, one.number)
        if any(_signed(one.certificate, by.certificate) for by in anchors):
            continue
        if one.root:
            yield (one.number, "file"), f"{at} has a signature that is not its own; the file is damaged or a forgery"
        elif whole:
            issuer = _text(one.certificate.issuer)
            yield (
                (one.number, "file"),
                f"{at} was signed by {issuer}, which is not here; put its certificate here too",
            )


def _signed(certificate: x509.Certificate, by: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(by)
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
        return False
    return True


def _site_authority(certificate: x509.Certificate, revocation: tuple[str, ...]) -> SiteAuthority:
    return SiteAuthority(
        name=_name(certificate),
        sha256=certificate.fingerprint(hashes.SHA256()).hex(),
        pem=certificate.public_bytes(Encoding.PEM).decode("ascii"),
        begins=certificate.not_valid_before_utc,
        ends=certificate.not_valid_after_utc,
        root=certificate.issuer == certificate.subject,
        revocation=tuple(dict.fromkeys((*_lists(certificate), *revocation))),
    )


def _lists(certificate: x509.Certificate) -> Iterator[str]:
    """Web addresses of lists on which this certificate would stand if it were revoked."""
    try:
        points = certificate.extensions.get_extension_for_class(x509.CRLDistributionPoints).value
    except x509.ExtensionNotFound:
        return
    for point in points:
        for name in point.full_name or ():
            if isinstance(name, x509.UniformResourceIdentifier) and name.value.startswith(("http://", "https://")):
                yield name.value


def _name(certificate: x509.Certificate) -> str:
    return _text(certificate.subject)


def _text(name: x509.Name) -> str:
    common = name.get_attributes_for_oid(NameOID.COMMON_NAME)
    return str(common[0].value) if common else name.rfc4514_string()
