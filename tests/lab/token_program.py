"""What a vendor's signing program does, on a desk of the lab: PAdES with the province's time stamp, by a token's key.

Runs there as the official: `python3 token_program.py MODULE TIME-STAMP-URL <plain.pdf >signed.pdf`, the PIN in PIN.
The key stays on the token: `pkcs11-tool` has it sign.
"""

from __future__ import annotations

import io
import subprocess
import sys
from typing import Any

from asn1crypto import x509
from pyhanko.pdf_utils.incremental_writer import IncrementalPdfFileWriter
from pyhanko.sign import PdfSignatureMetadata, sign_pdf
from pyhanko.sign.fields import SigSeedSubFilter
from pyhanko.sign.signers import Signer
from pyhanko.sign.timestamps import HTTPTimeStamper
from pyhanko_certvalidator.registry import SimpleCertificateStore

KEY_BYTES = 256


class TokenSigner(Signer):
    """Signs by the key on the token."""

    def __init__(self, module: str) -> None:
        self._tool = ("pkcs11-tool", "--module", module, "--id", "01")
        own = x509.Certificate.load(self._asked("--read-object", "--type", "cert"))
        super().__init__(signing_cert=own, cert_registry=SimpleCertificateStore())

    async def async_sign_raw(self, data: bytes, digest_algorithm: str, dry_run: bool = False) -> bytes:
        """PKCS #1 v1.5; an attempt without consequences is as long."""
        if dry_run:
            return bytes(KEY_BYTES)
        mechanism = f"{digest_algorithm.upper()}-RSA-PKCS"
        return self._asked("--login", "--pin", "env:PIN", "--sign", "--mechanism", mechanism, given=data)

    def _asked(self, *words: str, given: bytes = b"") -> bytes:
        return subprocess.run([*self._tool, *words], input=given, check=True, capture_output=True).stdout


def main(module: str, stamper: str) -> None:
    """Sign what comes on standard input."""
    out = io.BytesIO()
    meta: Any = PdfSignatureMetadata(field_name="ChuKy1", subfilter=SigSeedSubFilter.PADES, md_algorithm="sha256")
    writer = IncrementalPdfFileWriter(io.BytesIO(sys.stdin.buffer.read()))
    sign_pdf(writer, meta, TokenSigner(module), timestamper=HTTPTimeStamper(stamper), output=out)
    sys.stdout.buffer.write(out.getvalue())


if __name__ == "__main__":
    main(*sys.argv[1:])
