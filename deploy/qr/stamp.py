"""Puts a QR code on a page of a PDF; all else of the document stays as it is."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pypdf import PageObject, PdfReader, PdfWriter, Transformation
from pypdf.errors import PyPdfError
from pypdf.generic import ArrayObject, DictionaryObject

from deploy.errors import UserError
from deploy.qr.code import INCH, Code

POINTS = 72 / INCH
"""PDF's units in a mm."""


@dataclass(frozen=True)
class Place:
    """Where on a document the code is to be: its upper left corner, as a person measures on the paper."""

    page: int
    """From 1."""
    left: float
    """mm from the left edge of the page as it is seen, turned pages too."""
    top: float
    """mm from the upper edge."""


def stamped(file: Path, code: Code, place: Place) -> bytes:
    """The PDF with the code on it. Raises UserError: no PDF, encrypted, signed, no such page, no room there."""
    with _readable(file):
        reader = PdfReader(io.BytesIO(file.read_bytes()), strict=False)
        _refuse_locked(file, reader)
        writer = PdfWriter(clone_from=reader)
        if not 1 <= place.page <= len(writer.pages):
            raise UserError(f"{file}: there is no page {place.page}; it has {len(writer.pages)}")
        page = writer.pages[place.page - 1]
        drawing = PdfReader(io.BytesIO(code.pdf())).pages[0]
        page.merge_transformed_page(drawing, _way(file, page, code, place), expand=False)
        stream = io.BytesIO()
        writer.write(stream)
    return stream.getvalue()


@contextmanager
def _readable(file: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UserError(f"{file}: {error.strerror}") from error
    except (PyPdfError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        # A damaged PDF comes out of pypdf as any of these.
        raise UserError(
            f"{file} is no PDF that can be read ({error}); export it once more from where it was made"
        ) from None


def _refuse_locked(file: Path, reader: PdfReader) -> None:
    if reader.is_encrypted:
        raise UserError(f"{file} is encrypted; save it without a password first")
    if any(_is_signature(field) for field in _fields(reader)):
        raise UserError(
            f"{file} is signed, and a code on it would break the signature; put the code on it, then sign"
        )


def _fields(reader: PdfReader) -> list[DictionaryObject]:
    form = reader.trailer["/Root"].get_object().get("/AcroForm", DictionaryObject()).get_object()  # type: ignore[union-attr]
    left, found = [form.get("/Fields", ArrayObject())], []
    while left:
        for one in left.pop().get_object():
            field = one.get_object()
            found.append(field)
            if "/Kids" in field and len(found) < 100_000:
                left.append(field["/Kids"])
    return found


def _is_signature(field: DictionaryObject) -> bool:
    return field.get("/FT") == "/Sig" and "/V" in field


def _way(file: Path, page: PageObject, code: Code, place: Place) -> Transformation:
    """From the drawing's own corner to the place on the page, however that is turned."""
    box, unit = page.cropbox, float(page.get("/UserUnit", 1))
    wide, high = float(box.width), float(box.height)
    turned = page.rotation % 360
    seen_wide, seen_high = (high, wide) if turned in {90, 270} else (wide, high)
    side, left, top = (millimetres * POINTS / unit for millimetres in (code.size, place.left, place.top))
    if left + side > seen_wide + 0.5 or top + side > seen_high + 0.5:
        paper = f"{seen_wide * unit / POINTS:.0f} x {seen_high * unit / POINTS:.0f} mm"
        asked = f"a code of {code.size:g} mm at {place.left:g},{place.top:g}"
        raise UserError(f"{file}: {asked} does not fit on page {place.page} ({paper})")
    upright = Transformation().scale(1 / unit).translate(left, seen_high - top - side)
    turn = {
        0: (1, 0, 0, 1, 0, 0),
        90: (0, 1, -1, 0, wide, 0),
        180: (-1, 0, 0, -1, wide, high),
        270: (0, -1, 1, 0, 0, high),
    }[turned]
    return upright.transform(Transformation(turn)).translate(float(box.left), float(box.bottom))
