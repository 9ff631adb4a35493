"""The web server behind nginx: portal, revocation list and OCSP, time stamps, passwords for TURN, a foreign site."""

from __future__ import annotations

import base64
import binascii
import fcntl
import json
import os
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from deploy.lab.province import revocation
from deploy.lab.province.faults import hold
from deploy.lab.province.portal import Answer, Portal
from deploy.lab.province.register import Register
from deploy.lab.province.settings import KEYS, SERVICE_PORT, STATE, read_settings
from deploy.lab.province.turn import ice_servers

PAGES = Path("/usr/lib/lienxa-lab/pages")
NOT_FOUND = Answer(b"not found\n", "404 Not Found", "text/plain")
_FOREIGN_PAGE = """\
<!doctype html><meta charset="utf-8"><title>Trang lạ</title>
<h1>Trang lạ</h1><p id="certificate">{}</p>
<script>
document.title += window.open("/popup", "_blank", "width=300,height=200") ? ": mở được" : ": bị chặn";
</script>
"""


def serve() -> None:
    """Answer until the process ends."""
    portal = Portal(read_settings(), KEYS, STATE, PAGES)

    def application(environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        answer = respond(portal, environ)
        headers = [("Content-Type", answer.kind), ("Content-Length", str(len(answer.body)))]
        if answer.location:
            headers.append(("Location", answer.location))
        start(answer.status, headers)
        return [answer.body]

    # pyHanko asks this very server while it looks at a signature: one thread would wait for itself.
    server = make_server("127.0.0.1", SERVICE_PORT, application, _Threaded, _Quiet)
    _tell_systemd()
    server.serve_forever()


def respond(portal: Portal, environ: dict[str, Any]) -> Answer:
    """The answer to a request. nginx puts the service's name before the path."""
    # WSGI gives the bytes of a path as Latin-1.
    given = environ["PATH_INFO"].encode("latin-1").decode("utf-8", "replace")
    service, _, path = given.lstrip("/").partition("/")
    services: dict[str, Callable[[], Answer]] = {
        "portal": lambda: portal.public(f"/{path}", environ),
        "login": lambda: portal.personal(f"/{path}", environ),
        "crl": lambda: _published(portal, path),
        "ocsp": lambda: _status(portal, path, environ),
        "tsa": lambda: _stamp(portal.state, _body(environ)),
        "turn": lambda: _turn(portal),
        "foreign": lambda: _foreign(path, environ),
    }
    if service not in services:
        return NOT_FOUND
    hold("portal" if service == "login" else service, portal.state)
    return services[service]()


def _tell_systemd() -> None:
    """That we answer from now on (sd_notify): pyHanko takes seconds to load, and nginx waits for us."""
    if address := os.environ.get("NOTIFY_SOCKET"):
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notice:
            notice.sendto(b"READY=1", address)


def _published(portal: Portal, path: str) -> Answer:
    """Certificates and lists of the authority's own, DER."""
    name, _, kind = path.rpartition(".")
    if kind == "crt" and (portal.keys / f"{name}.crt").exists() and name.startswith(("ca-", "root-")):
        certificate = x509.load_pem_x509_certificate((portal.keys / f"{name}.crt").read_bytes())
        return Answer(certificate.public_bytes(Encoding.DER), kind="application/pkix-cert")
    if kind == "crl" and name in ("ca-g1", "ca-g2"):
        body = revocation.current_list(name, portal.keys, Register(portal.state))
        return Answer(body, kind="application/pkix-crl")
    if kind == "crl" and name in ("root-g1", "root-g2"):
        listed = x509.load_pem_x509_crl((portal.keys / path).read_bytes())
        return Answer(listed.public_bytes(Encoding.DER), kind="application/pkix-crl")
    return NOT_FOUND


def _status(portal: Portal, path: str, environ: dict[str, Any]) -> Answer:
    """OCSP by POST, and by GET with the request in the path (RFC 6960, appendix A)."""
    if environ["REQUEST_METHOD"] == "POST":
        asked = _body(environ)
    else:
        try:
            asked = base64.b64decode(path)
        except binascii.Error:
            asked = b""
    body = revocation.answer(asked, portal.keys, Register(portal.state))
    return Answer(body, kind="application/ocsp-response")


def _stamp(state: Path, asked: bytes) -> Answer:
    """A time stamp by OpenSSL (RFC 3161), one at a time: it counts them in a file."""
    with (state / "tsa.lock").open("w") as lock, tempfile.NamedTemporaryFile(dir=state) as query:
        fcntl.flock(lock, fcntl.LOCK_EX)
        query.write(asked)
        query.flush()
        command = ["openssl", "ts", "-reply", "-config", str(KEYS / "tsa.cnf"), "-queryfile", query.name]
        done = subprocess.run(command, capture_output=True, check=False)
    if done.returncode != 0 or not done.stdout:
        return Answer(done.stderr, "400 Bad Request", "text/plain")
    return Answer(done.stdout, kind="application/timestamp-reply")


def _turn(portal: Portal) -> Answer:
    """How a meeting's page reaches TURN, JSON."""
    secret = (portal.keys / "turn.secret").read_text().strip()
    told = ice_servers(portal.settings, secret, time.time())
    return Answer(json.dumps(told).encode(), kind="application/json")


def _foreign(path: str, environ: dict[str, Any]) -> Answer:
    if path == "popup":
        return Answer("<!doctype html><meta charset=utf-8><title>Cửa sổ lạ</title>".encode())
    shown = environ.get("HTTP_X_CLIENT_SERIAL") or "none"
    return Answer(_FOREIGN_PAGE.format(shown).encode())


def _body(environ: dict[str, Any]) -> bytes:
    body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    assert isinstance(body, bytes)
    return body


class _Threaded(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class _Quiet(WSGIRequestHandler):
    def log_message(self, *_: object) -> None:
        """nginx keeps the log."""


if __name__ == "__main__":
    serve()
