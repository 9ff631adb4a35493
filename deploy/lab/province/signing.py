"""Sign a PDF as an official's program does, for tests that have no token: PAdES, with the province's time stamp."""

from __future__ import annotations

import argparse
import io
import json
import sys
from pathlib import Path
from typing import Any

from asn1crypto import keys, pem
from asn1crypto import x509 as asn1
from pyhanko.pdf_utils.incremental_writer import IncrementalPdfFileWriter
from pyhanko.sign import PdfSignatureMetadata, sign_pdf
from pyhanko.sign.fields import SigSeedSubFilter
from pyhanko.sign.signers import SimpleSigner
from pyhanko.sign.timestamps import HTTPTimeStamper
from pyhanko_certvalidator.registry import SimpleCertificateStore

from deploy.lab.province.settings import read_settings


def main() -> None:
    """Sign what comes on stdin."""
    parser = argparse.ArgumentParser(prog="province sign", description=__doc__)
    parser.add_argument("--identity", required=True, help="file with what `province issue` printed")
    parser.add_argument("--no-stamp", action="store_true", help="without a time stamp")
    asked = parser.parse_args()
    identity = json.loads(Path(asked.identity).read_text(encoding="utf-8"))
    stamper = "" if asked.no_stamp else f"http://tsa.{read_settings().domain}/"
    sys.stdout.buffer.write(sign(sys.stdin.buffer.read(), identity, stamper))


def sign(data: bytes, identity: dict[str, str], stamper: str = "") -> bytes:
    """The PDF with one more signature. `identity`: as issued; `stamper`: URL of the time-stamp service, or none."""
    store = SimpleCertificateStore()
    store.register_multiple(_certificates(identity["chain"]))
    (own,) = _certificates(identity["certificate"])
    key: Any = keys.PrivateKeyInfo.load(pem.unarmor(identity["key"].encode())[2])
    signer = SimpleSigner(signing_cert=own, signing_key=key, cert_registry=store)
    name = f"ChuKy{data.count(b'/ETSI.CAdES.detached') + 1}"
    meta = PdfSignatureMetadata(field_name=name, subfilter=SigSeedSubFilter.PADES, md_algorithm="sha256")
    out = io.BytesIO()
    writer = IncrementalPdfFileWriter(io.BytesIO(data))
    sign_pdf(writer, meta, signer, timestamper=HTTPTimeStamper(stamper) if stamper else None, output=out)
    return out.getvalue()


def _certificates(text: str) -> list[asn1.Certificate]:
    return [asn1.Certificate.load(der) for _, _, der in pem.unarmor(text.encode(), multiple=True)]


if __name__ == "__main__":
    main()
