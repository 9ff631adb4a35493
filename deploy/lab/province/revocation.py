"""What the authority answers to who asks whether a certificate is still in force: its list, and OCSP (RFC 6960)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp

from deploy.lab.province.issuing import Holder, load, revocation_list
from deploy.lab.province.register import Register

LIST_HOURS = 24
ANSWER_HOURS = 1


def current_list(issuer: str, keys: Path, register: Register) -> bytes:
    """The list of `ca-g1` or `ca-g2` as it is now, DER."""
    until = datetime.now(UTC) + timedelta(hours=LIST_HOURS)
    made = revocation_list(load((keys / f"{issuer}.pem").read_text()), register.revoked(issuer), until)
    return x509.load_pem_x509_crl(made.encode()).public_bytes(Encoding.DER)


def answer(request: bytes, keys: Path, register: Register) -> bytes:
    """The OCSP response to a request, both DER: for certificates of `ca-g2`, by the responder that it appointed."""
    try:
        asked = ocsp.load_der_ocsp_request(request)
    except ValueError:
        return _refusal(ocsp.OCSPResponseStatus.MALFORMED_REQUEST)
    issuer = x509.load_pem_x509_certificate((keys / "ca-g2.crt").read_bytes())
    if not _is_about(asked, issuer):
        return _refusal(ocsp.OCSPResponseStatus.UNAUTHORIZED)
    responder = load((keys / "ocsp.pem").read_text())
    status, revoked_at = _status(asked.serial_number, register)
    now = datetime.now(UTC)
    builder = (
        ocsp.OCSPResponseBuilder()
        .add_response_by_hash(
            issuer_name_hash=asked.issuer_name_hash,
            issuer_key_hash=asked.issuer_key_hash,
            serial_number=asked.serial_number,
            algorithm=asked.hash_algorithm,
            cert_status=status,
            this_update=now - timedelta(minutes=1),
            next_update=now + timedelta(hours=ANSWER_HOURS),
            revocation_time=revoked_at,
            revocation_reason=None,
        )
        .responder_id(ocsp.OCSPResponderEncoding.HASH, responder.certificate)
        .certificates([responder.certificate])
    )
    return _signed(builder, asked, responder)


def _status(serial: int, register: Register) -> tuple[ocsp.OCSPCertStatus, datetime | None]:
    entry = register.find(serial)
    if entry is None or entry.issuer != "ca-g2":
        return ocsp.OCSPCertStatus.UNKNOWN, None
    if entry.revoked:
        return ocsp.OCSPCertStatus.REVOKED, datetime.fromisoformat(entry.revoked)
    return ocsp.OCSPCertStatus.GOOD, None


def _signed(builder: ocsp.OCSPResponseBuilder, asked: ocsp.OCSPRequest, responder: Holder) -> bytes:
    for extension in asked.extensions:
        if isinstance(extension.value, x509.OCSPNonce):
            builder = builder.add_extension(extension.value, critical=False)
    return builder.sign(responder.key, hashes.SHA256()).public_bytes(Encoding.DER)


def _is_about(asked: ocsp.OCSPRequest, issuer: x509.Certificate) -> bool:
    """Whether the request means certificates of this issuer."""
    digest = hashes.Hash(asked.hash_algorithm)
    digest.update(issuer.subject.public_bytes())
    return digest.finalize() == asked.issuer_name_hash


def _refusal(status: ocsp.OCSPResponseStatus) -> bytes:
    return ocsp.OCSPResponseBuilder.build_unsuccessful(status).public_bytes(Encoding.DER)
