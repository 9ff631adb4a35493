"""Keys of WireGuard: X25519 (RFC 7748), 32 bytes in base64 as wg(8) writes them."""

from __future__ import annotations

import base64

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey


def make_key() -> str:
    """A new private key."""
    return base64.b64encode(X25519PrivateKey.generate().private_bytes_raw()).decode()


def public_key(private: str) -> str:
    """The public half of a private key."""
    key = X25519PrivateKey.from_private_bytes(base64.b64decode(private))
    return base64.b64encode(key.public_key().public_bytes_raw()).decode()
