"""The one-stop portal, in Vietnamese: start page, log-in by certificate, a dossier with a signed PDF, receipt."""

from __future__ import annotations

import io
import urllib.parse
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from functools import cached_property
from pathlib import Path
from typing import Any

import segno
from cryptography import x509
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from multipart import parse_form_data

from deploy.lab.province.dossiers import Book
from deploy.lab.province.officials import common_name
from deploy.lab.province.register import Register
from deploy.lab.province.settings import Settings
from deploy.lab.province.signatures import Verdict, judge

PROCEDURES = (
    "Chứng thực bản sao từ bản chính",
    "Đăng ký khai sinh",
    "Xác nhận tình trạng hôn nhân",
    "Đăng ký hộ kinh doanh",
)
# As nginx says it after `FAILED:`, in OpenSSL's words.
_REFUSED = {
    "NONE": "Trình duyệt không gửi chứng thư số. Hãy cắm thiết bị ký số, mở lại trình duyệt rồi đăng nhập lại.",
    "expired": "Chứng thư số của bạn đã hết hạn.",
    "not yet valid": "Chứng thư số của bạn chưa có hiệu lực.",
    "unsuitable": "Chứng thư số của bạn không được dùng để đăng nhập.",
    "revoked": "Chứng thư số của bạn đã bị thu hồi.",
}
_VIETNAM = timezone(timedelta(hours=7))
_NOT_TRUSTED = "Chứng thư số của bạn không do tổ chức được tin cậy cấp."


@dataclass(frozen=True)
class Answer:
    """What a browser is sent."""

    body: bytes
    status: str = "200 OK"
    kind: str = "text/html; charset=utf-8"
    location: str = ""


@dataclass(frozen=True)
class Portal:
    """The site, over its folders."""

    settings: Settings
    keys: Path
    state: Path
    pages: Path

    def public(self, path: str, environ: dict[str, Any]) -> Answer:
        """On port 443: who comes is not asked who he is."""
        if path == "/":
            return self._page("start", procedures=PROCEDURES)
        if path == "/tra-cuu":
            asked = urllib.parse.parse_qs(environ.get("QUERY_STRING", "")).get("ma", [""])[0].strip()
            return self._page("state", code=asked, dossier=self.book.find(asked))
        if path.startswith("/ho-so/"):
            code = path.removeprefix("/ho-so/")
            found = self.book.find(code)
            return self._page("state", "200 OK" if found else "404 Not Found", code=code, dossier=found)
        return self._message("404 Not Found", "Không tìm thấy trang này.")

    def personal(self, path: str, environ: dict[str, Any]) -> Answer:
        """On the log-in port: nginx lets nobody come here without a certificate of the authority's."""
        if path == "/tu-choi":
            return self._refused(environ.get("HTTP_X_CLIENT_VERIFY", ""))
        certificate = x509.load_pem_x509_certificate(
            urllib.parse.unquote(environ["HTTP_X_CLIENT_CERTIFICATE"]).encode()
        )
        entry = Register(self.state).find(certificate.serial_number)
        if entry is None or entry.revoked:
            return self._refused("revoked")
        owner = common_name(certificate)
        if path == "/dang-nhap":
            return self._page("form", owner=owner, issuer=_issuer(certificate), procedures=PROCEDURES)
        if path == "/nop-ho-so" and environ["REQUEST_METHOD"] == "POST":
            return self._handed_in(owner, environ)
        if path.startswith("/bien-nhan/"):
            return self._receipt(path.removeprefix("/bien-nhan/"), owner)
        return self._message("404 Not Found", "Không tìm thấy trang này.")

    @cached_property
    def book(self) -> Book:
        """Its dossiers."""
        return Book(self.state / "dossiers")

    def _handed_in(self, owner: str, environ: dict[str, Any]) -> Answer:
        form, files = parse_form_data(environ)
        citizen, procedure, upload = form.get("nguoi-nop", "").strip(), form.get("thu-tuc", ""), files.get("tep")
        data = upload.file.read() if upload else b""
        if not citizen or procedure not in PROCEDURES or not data:
            return self._message("400 Bad Request", "Hãy điền đủ người nộp, thủ tục và chọn tệp PDF.")
        verdict = judge(data, [self._certificate("root-g2")], [self._certificate("ca-g2")])
        entered = self.book.enter(
            {
                "citizen": citizen, "procedure": procedure, "file": upload.filename or "", "official": owner,
                "signer": verdict.signer, "signed_at": verdict.signed_at,
                "reason": verdict.reason, "why": verdict.why,
            },
            data, accepted=verdict.accepted, province=self.settings.code, portal=self.settings.portal,
        )  # fmt: skip
        if not verdict.accepted:
            return self._not_accepted(verdict)
        return Answer(b"", "303 See Other", location=f"{self.settings.login}/bien-nhan/{entered.code}")

    def _receipt(self, asked: str, owner: str) -> Answer:
        code = asked.removesuffix(".png")
        found = self.book.find(code)
        if found is None:
            return self._message("404 Not Found", f"Không có hồ sơ {code}.")
        if asked.endswith(".png"):
            picture = io.BytesIO()
            segno.make(found.link, error="m", micro=False).save(picture, kind="png", scale=6)
            return Answer(picture.getvalue(), kind="image/png")
        return self._page("receipt", dossier=found, owner=owner, stamped=_local(found.signed_at))

    def _refused(self, verified: str) -> Answer:
        why = next((text for word, text in _REFUSED.items() if word in verified), _NOT_TRUSTED)
        return self._message("403 Forbidden", why)

    def _not_accepted(self, verdict: Verdict) -> Answer:
        return self._message("422 Unprocessable Content", verdict.why, title="Hồ sơ không được tiếp nhận")

    def _message(self, status: str, text: str, title: str = "Không thực hiện được") -> Answer:
        return self._page("message", status, title=title, text=text)

    def _page(self, name: str, status: str = "200 OK", **values: object) -> Answer:
        text = self._template(name)(settings=self.settings, **values)
        return Answer(text.encode(), status)

    def _template(self, name: str) -> Callable[..., str]:
        return self._environment.get_template(f"{name}.html.j2").render

    @cached_property
    def _environment(self) -> Environment:
        return Environment(loader=FileSystemLoader(self.pages), autoescape=True, undefined=StrictUndefined)

    def _certificate(self, name: str) -> str:
        return (self.keys / f"{name}.crt").read_text()


def _local(moment: str) -> str:
    """An ISO 8601 time as one reads it in Vietnam."""
    return f"{datetime.fromisoformat(moment).astimezone(_VIETNAM):%d/%m/%Y %H:%M:%S}"


def _issuer(certificate: x509.Certificate) -> str:
    found = certificate.issuer.get_attributes_for_oid(x509.NameOID.COMMON_NAME)
    return str(found[0].value) if found else ""
