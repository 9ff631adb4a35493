"""One QR code (ISO/IEC 18004) for a link or a document's code, as a picture that is as large as asked for."""

from __future__ import annotations

import io
import unicodedata
from dataclasses import dataclass
from typing import Literal

import segno

from deploy.errors import UserError

Level = Literal["L", "M", "Q", "H"]
"""How much of it may be dirty or torn and still be read: about 7, 15, 25 or 30 per cent."""
SMALLEST_MODULE = 0.25
"""Side of a code's smallest square in mm below which an office's printer and a telephone's camera fail."""
PNG_DOTS = 600
"""Dots per inch that a PNG has at least."""
INCH = 25.4


@dataclass(frozen=True)
class Code:
    """A QR code that has a size on paper."""

    symbol: segno.QRCode
    size: float
    """Side in mm, quiet zone included."""
    quiet: int
    """Width of the empty border in modules; the standard asks for 4."""

    @property
    def modules(self) -> int:
        """Squares on a side, quiet zone included."""
        return int(self.symbol.symbol_size(border=self.quiet)[0])

    @property
    def level(self) -> str:
        """The error correction that it has: what was asked for, or more where that costs no room."""
        return str(self.symbol.error)

    @property
    def version(self) -> int:
        """1 to 40: how large the standard calls it."""
        return int(self.symbol.version)

    def png(self) -> bytes:
        """Black on white, each module a whole number of dots, its size on paper written in it."""
        scale = -(-round(self.size / INCH * PNG_DOTS) // self.modules)
        dots = round(scale * self.modules / self.size * INCH)
        return self._drawn("png", scale=scale, dpi=dots)

    def svg(self) -> bytes:
        """The same as lines, in mm, on white."""
        return self._drawn("svg", scale=self.size / self.modules, unit="mm", light="white", xmldecl=False)

    def pdf(self) -> bytes:
        """The same as a page of exactly its size."""
        return self._drawn("pdf", scale=self.size / INCH * 72 / self.modules, light="white", compresslevel=9)

    def _drawn(self, kind: str, **how: object) -> bytes:
        stream = io.BytesIO()
        self.symbol.save(stream, kind=kind, border=self.quiet, **how)
        return stream.getvalue()


def make_code(text: str, *, size: float = 25, level: Level = "M", quiet: int = 4) -> Code:
    """A code for a text, in UTF-8. Raises UserError where the text cannot be one, or not at that size.

    `size` is in mm, quiet zone included; `level` is the least error correction; `quiet` is in modules.
    """
    _refuse_unreadable(text)
    try:
        symbol = segno.make_qr(unicodedata.normalize("NFC", text), error=level, encoding="utf-8")
    except segno.DataOverflowError:
        message = (
            f"the text is {len(text.encode())} bytes long, more than a QR code with error correction {level} holds"
        )
        raise UserError(f"{message}; make it a link to the rest, or take a lower level") from None
    code = Code(symbol, size, quiet)
    least = code.modules * SMALLEST_MODULE
    if size < least:
        message = f"at {size:g} mm the code's {code.modules} squares a side are too small to be read once printed"
        raise UserError(f"{message}; make it {least:.0f} mm or more, or the text shorter")
    return code


def _refuse_unreadable(text: str) -> None:
    if not text.strip():
        raise UserError("there is no text for the code; give a link, or a document's code")
    if text != text.strip():
        raise UserError("the text begins or ends with a space, and would lead elsewhere; take the space out")
    odd = next((sign for sign in text if unicodedata.category(sign) in {"Cc", "Cf", "Cs", "Zl", "Zp"}), None)
    if odd is not None:
        raise UserError(f"the text has a sign in it that nobody sees (U+{ord(odd):04X}); take it out")
