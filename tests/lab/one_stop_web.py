"""Web sites for a test of browsers, and a signing helper: runs in the container, writes down who asked for what.

    one_stop_web.py LOG ADDRESS=CERTIFICATE…

Each address has a certificate of its own on 443; every page of theirs tries what portals may and others may not. The
helper listens on every address of the machine, as careless ones do.
"""

import json
import os
import ssl
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

HELPER_PORT = 8987
PDF = b"%PDF-1.4\n1 0 obj<</Type/Catalog>>endobj\ntrailer<</Root 1 0 R>>\n%%EOF\n"
HEAD = '<!DOCTYPE html><html lang="vi"><meta charset="utf-8"><title>Trang thử</title>'
SAY = "const say = (what, how) => fetch(`/noi?${what}=${encodeURIComponent(how)}`);"
TRIES = """<script>
say("popup", window.open("/cua-so", "_blank", "width=300,height=200") ? "opened" : "blocked");
fetch("http://127.0.0.1:8987/ky").then(() => say("helper", "reached"), () => say("helper", "refused"));
navigator.permissions.query({name: "clipboard-read"}).then(one => say("clipboard", one.state));
</script>"""
REMEMBERS = """<script>
say("citizen", localStorage.citizen || "nobody");
localStorage.citizen = "known";
</script>"""
PAGES = {"/": TRIES, "/tra-cuu": REMEMBERS}
OWN = os.environ.get("START_PAGE", "")
"""A file: what every site shows first, instead."""
LOG = Path(sys.argv[1])


def note(what: object) -> None:
    with LOG.open("a", encoding="utf-8") as log:
        log.write(json.dumps(what) + "\n")


class Pages(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        note([self.headers["Host"], self.path])
        pdf = self.path.endswith(".pdf")
        page = PAGES.get(self.path, "")
        own = Path(OWN).read_bytes() if OWN and self.path == "/" else b""
        body = own or (PDF if pdf else f"{HEAD}<script>{SAY}</script>{page}".encode())
        self.send_response(200)
        self.send_header("Content-Type", "application/pdf" if pdf else "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Access-Control-Allow-Origin", self.headers["Origin"] or "*")
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *words: object) -> None:
        """Nothing beside the log."""


def serve(address: str, port: int, certificate: str) -> None:
    server = ThreadingHTTPServer((address, port), Pages)
    if certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    threading.Thread(target=server.serve_forever).start()


serve("0.0.0.0", HELPER_PORT, "")
for each in sys.argv[2:]:
    serve(each.partition("=")[0], 443, each.partition("=")[2])
note("ready")
