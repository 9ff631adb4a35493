"""Whether a PDF is signed as the portal wants it: PAdES with a time stamp, whole, by an official whom the authority
vouches for now."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Sequence
from dataclasses import dataclass

from asn1crypto import pem
from asn1crypto import x509 as asn1
from pyhanko.pdf_utils.misc import PdfError
from pyhanko.pdf_utils.reader import PdfFileReader
from pyhanko.sign.diff_analysis import ModificationLevel
from pyhanko.sign.validation import async_validate_pdf_signature
from pyhanko.sign.validation.pdf_embedded import EmbeddedPdfSignature
from pyhanko.sign.validation.status import PdfSignatureStatus, SignatureCoverageLevel
from pyhanko_certvalidator import ValidationContext

PADES = "/ETSI.CAdES.detached"
REASONS = {
    "not-pdf": "Tệp không phải là PDF hoặc đã hỏng.",
    "locked": "Tệp PDF có mật khẩu nên không đọc được.",
    "unsigned": "Tệp PDF chưa được ký số.",
    "not-pades": "Chữ ký số không theo chuẩn PAdES.",
    "altered": "Nội dung tệp đã bị thay đổi sau khi ký số.",
    "no-timestamp": "Chữ ký số không có dấu thời gian.",
    "bad-timestamp": "Dấu thời gian của chữ ký số không hợp lệ.",
    "revoked": "Chứng thư số của người ký đã bị thu hồi.",
    "out-of-dates": "Chứng thư số của người ký đã hết hạn hoặc chưa có hiệu lực.",
    "usage": "Chứng thư số của người ký không được dùng để ký số.",
    "untrusted": "Chứng thư số của người ký không do tổ chức được tin cậy cấp.",
    "unchecked": "Không kiểm tra được tình trạng thu hồi của chứng thư số. Vui lòng thử lại sau.",
}
"""Why a file is refused, in the words that the official reads."""
# By the names of ETSI EN 319 102-1, as pyHanko gives them.
_INDICATIONS = {
    "REVOKED_NO_POE": "revoked",
    "REVOKED_CA_NO_POE": "revoked",
    "OUT_OF_BOUNDS_NO_POE": "out-of-dates",
    "OUT_OF_BOUNDS_NOT_REVOKED": "out-of-dates",
    "CHAIN_CONSTRAINTS_FAILURE": "usage",
    "NO_CERTIFICATE_CHAIN_FOUND": "untrusted",
    "NO_SIGNING_CERTIFICATE_FOUND": "untrusted",
}


@dataclass(frozen=True)
class Verdict:
    """What was found."""

    reason: str = ""
    """A key of REASONS; empty when the file is accepted."""
    signer: str = ""
    serial: str = ""
    """Hexadecimal."""
    signed_at: str = ""
    """By the time stamp, ISO 8601."""

    @property
    def accepted(self) -> bool:
        """Whether the portal takes the file."""
        return not self.reason

    @property
    def why(self) -> str:
        """Why not, in Vietnamese."""
        return REASONS.get(self.reason, "")


def judge(data: bytes, roots: Sequence[str], further: Sequence[str]) -> Verdict:
    """Look at every signature of the PDF; `roots` are believed, `further` may stand between (both PEM).

    Asks the authority, over the network, for revocations.
    """
    try:
        reader = PdfFileReader(io.BytesIO(data))
        if reader.encrypted:
            return Verdict("locked")
        signatures = list(reader.embedded_regular_signatures)
    except (PdfError, ValueError):
        return Verdict("not-pdf")
    verdict = Verdict("unsigned")
    for index, signature in enumerate(signatures):
        verdict = _judge(signature, roots, further, last=index == len(signatures) - 1)
        if not verdict.accepted:
            break
    return verdict


def _judge(signature: EmbeddedPdfSignature, roots: Sequence[str], further: Sequence[str], *, last: bool) -> Verdict:
    if signature.sig_object.get("/SubFilter") != PADES:
        return Verdict("not-pades")

    def context() -> ValidationContext:
        return ValidationContext(
            trust_roots=_certificates(roots),
            other_certs=_certificates(further),
            allow_fetching=True,
            revocation_mode="require",
        )

    try:
        status = asyncio.run(async_validate_pdf_signature(signature, context(), context()))
    except (PdfError, ValueError):
        return Verdict("altered")
    stamp = status.timestamp_validity
    subject = status.signing_cert.subject.native
    return Verdict(
        reason=_reason(status, last=last),
        signer=str(subject.get("common_name", "")),
        serial=f"{status.signing_cert.serial_number:X}",
        signed_at=stamp.timestamp.isoformat() if stamp else "",
    )


def _reason(status: PdfSignatureStatus, *, last: bool) -> str:
    stamp = status.timestamp_validity
    # After an earlier signature others may sign; after the last one only proofs may be added.
    allowed = ModificationLevel.LTA_UPDATES if last else ModificationLevel.FORM_FILLING
    level = status.modification_level
    # The last one covers the file to its end; what comes after an earlier one has to be told apart.
    whole = status.coverage == SignatureCoverageLevel.ENTIRE_FILE or level not in (None, ModificationLevel.NONE)
    if not (status.intact and status.valid and whole) or level is None or level > allowed:
        return "altered"
    if status.trust_problem_indic is not None:
        return _INDICATIONS.get(status.trust_problem_indic.name, "unchecked")
    if not status.trusted:
        return "untrusted"
    if stamp is None:
        return "no-timestamp"
    return "" if stamp.intact and stamp.valid and stamp.trusted else "bad-timestamp"


def _certificates(texts: Sequence[str]) -> list[asn1.Certificate]:
    return [asn1.Certificate.load(pem.unarmor(text.encode())[2]) for text in texts]
