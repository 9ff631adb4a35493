"""Addresses of web pages and origins, as people may write them: https, and nothing that a browser reads otherwise."""

from __future__ import annotations

import re
from typing import Annotated
from urllib.parse import SplitResult, urlsplit

from pydantic import BeforeValidator, WithJsonSchema

HOST = re.compile(r"(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)+(?:[a-z]{2,}|xn--[a-z0-9-]+)")
PATTERN = "^https://[a-z0-9.-]+(:[0-9]+)?"
HTTPS = 443


def origin_of(url: str) -> str:
    """`https://host`, with the port where it is not 443: what browsers tell sites apart by (RFC 6454)."""
    parts = urlsplit(url)
    port = "" if parts.port in {None, HTTPS} else f":{parts.port}"
    return f"{parts.scheme}://{parts.hostname}{port}"


def with_port(origin: str) -> str:
    """`https://host:443`: as browsers' policies name an origin, for without a port they take any."""
    return origin if origin.count(":") > 1 else f"{origin}:{HTTPS}"


def _url(written: object) -> object:
    text = written if isinstance(written, str) else ""
    parts = _https(text, "https://dichvucong.gialai.gov.vn/dang-nhap")
    if parts.fragment.startswith(":~:"):
        raise ValueError(f"'{text}' leads to a piece of a page (#:~:); take that off")
    return text


def _origin(written: object) -> object:
    text = written if isinstance(written, str) else ""
    parts = _https(text, "https://ky.gialai.gov.vn")
    if parts.path.strip("/") or parts.query or parts.fragment:
        raise ValueError(f"'{text}' is a page, not an origin; did you mean '{origin_of(text)}'?")
    return origin_of(text)


def _https(text: str, example: str) -> SplitResult:
    """The parts of a link. Raises ValueError with what is allowed."""
    try:
        parts = urlsplit(text)
        odd = parts.port == 0
    except ValueError:
        raise ValueError(f"'{text}' is no link like {example}") from None
    if parts.scheme == "http":
        raise ValueError(f"'{text}' goes over the line in clear; allowed: https, like {example}")
    if "@" in parts.netloc:
        raise ValueError(f"a link has no account in it (what stands before the @); allowed: one like {example}")
    if "*" in (parts.hostname or ""):
        raise ValueError(f"'{text}' stands for sites that nobody looked at; name each origin by itself, without '*'")
    host = parts.hostname or ""
    plain = parts.netloc in {host, f"{host}:{parts.port}"} and HOST.fullmatch(host) and not odd
    if parts.scheme != "https" or not plain or any(sign.isspace() or sign in "\\\"'<>`" for sign in text):
        raise ValueError(f"'{text}' is no link like {example}")
    return parts


def _json(description: str) -> WithJsonSchema:
    return WithJsonSchema({"type": "string", "description": description, "pattern": PATTERN})


Url = Annotated[str, BeforeValidator(_url), _json("a page, https://…")]
Origin = Annotated[str, BeforeValidator(_origin), _json("an origin, https://host or https://host:port")]
