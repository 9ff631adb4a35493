"""Knocking at a server of TLS, with real sockets on loopback: how far one comes, and why no further."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.inventory.certificates import make_authority, make_certificate
from deploy.runner import observe
from deploy.runner.observe import Knock, knock


@pytest.fixture
def stranger(tmp_path: Path) -> Iterator[int]:
    """Port of a server whose certificate is by an authority that nobody here knows."""
    pem = tmp_path / "server.pem"
    pem.write_text(make_certificate(("localhost",), make_authority(("localhost",))))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=_serve_once, args=(server, context), daemon=True)
        thread.start()
        yield server.getsockname()[1]
    thread.join(10)


def _serve_once(server: socket.socket, context: ssl.SSLContext) -> None:
    plain, _ = server.accept()
    with plain:
        try:
            context.wrap_socket(plain, server_side=True).close()
        except OSError:
            return


def test_who_is_not_known_is_not_believed(stranger: int) -> None:
    found = knock("localhost", stranger)
    assert found.outcome == "not believed"
    assert "self-signed" in found.reason or "issuer" in found.reason


def test_where_nobody_listens_it_is_closed() -> None:
    with socket.create_server(("127.0.0.1", 0)) as gone:
        port = gone.getsockname()[1]
    assert knock("127.0.0.1", port, seconds=2) == Knock("closed")


def test_a_name_that_cannot_be_has_no_address() -> None:
    assert knock("khong-co.invalid", 443, seconds=2) == Knock("no name")


def test_a_firewall_on_the_way_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object, **__: object) -> socket.socket:
        raise OSError(113, "No route to host")

    monkeypatch.setattr(observe.socket, "create_connection", refused)
    assert knock("portal.vn", 443) == Knock("blocked")
