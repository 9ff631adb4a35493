"""`lienxa qr`: what it makes is read back by another library, from paper as a printer would have it."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import zxingcpp
from click.testing import CliRunner, Result
from PIL import Image
from pypdf import PdfReader, PdfWriter, Transformation
from pypdf.generic import ArrayObject, DictionaryObject, NameObject, RectangleObject, TextStringObject

from deploy.cli import lienxa
from deploy.cli.guard import guarded
from deploy.errors import UserError
from deploy.qr.code import make_code

LINK = "https://dichvucong.gialai.gov.vn/tra-cuu?hoso=H21.31-260001-0042"
WORDS = "Hồ sơ số 42/GPXD, Ủy ban nhân dân xã Mẫu"
MM = 72 / 25.4
DPI = 200


def made(*arguments: str) -> Result:
    return CliRunner().invoke(lienxa, ["qr", *arguments])


def seen(picture: bytes) -> list[tuple[str, int, int]]:
    """Text, and left and upper edge in dots, of each code on a picture."""
    found = zxingcpp.read_barcodes(Image.open(io.BytesIO(picture)).convert("L"))
    return [(one.text, one.position.top_left.x, one.position.top_left.y) for one in found]


def printed(pdf: Path, page: int) -> bytes:
    """The page as a printer of 200 dots per inch would have it."""
    asked = ["pdftoppm", "-png", "-r", str(DPI), "-f", str(page), "-l", str(page), str(pdf)]
    return subprocess.run(asked, check=True, capture_output=True).stdout


@pytest.fixture
def document(tmp_path: Path) -> Path:
    """Two pages of A4, upright."""
    return written(tmp_path / "giấy.pdf", blank(2))


def blank(pages: int, wide: float = 210, high: float = 297) -> PdfWriter:
    writer = PdfWriter()
    for _ in range(pages):
        writer.add_blank_page(wide * MM, high * MM)
    return writer


def written(file: Path, writer: PdfWriter) -> Path:
    with file.open("wb") as stream:
        writer.write(stream)
    return file


@pytest.mark.parametrize("text", [LINK, WORDS, "000.00.31.H21-260001-0042"])
def test_png_reads_back(tmp_path: Path, text: str) -> None:
    file = tmp_path / "mã.png"
    result = made(text, str(file), "--size", "30")
    assert result.exit_code == 0, result.output
    assert [one[0] for one in seen(file.read_bytes())] == [text]


def test_png_has_its_size_on_paper(tmp_path: Path) -> None:
    file = tmp_path / "ma.png"
    assert made(LINK, str(file), "--size", "30").exit_code == 0
    picture = Image.open(file)
    assert picture.width / picture.info["dpi"][0] * 25.4 == pytest.approx(30, abs=0.1)
    assert picture.info["dpi"][0] >= 600


def test_svg_reads_back_at_its_size(tmp_path: Path) -> None:
    file = tmp_path / "ma.svg"
    assert made(WORDS, str(file), "--size", "40").exit_code == 0
    drawn = subprocess.run(
        ["rsvg-convert", "--dpi-x=254", "--dpi-y=254", file], check=True, capture_output=True
    ).stdout
    assert [one[0] for one in seen(drawn)] == [WORDS]
    assert Image.open(io.BytesIO(drawn)).size == (400, 400)


@pytest.mark.parametrize("turned", [0, 90, 180, 270])
@pytest.mark.parametrize("corner", [(0, 0), (7, 12)])
def test_on_a_page_it_is_where_it_was_asked_for(tmp_path: Path, turned: int, corner: tuple[int, int]) -> None:
    writer = blank(2)
    page = writer.pages[1]
    page.add_transformation(Transformation().translate(*corner))
    page.mediabox = page.cropbox = RectangleObject((*corner, corner[0] + 210 * MM, corner[1] + 297 * MM))
    page.rotate(turned)
    given = written(tmp_path / "giay.pdf", writer)
    file = tmp_path / "ra.pdf"
    result = made(
        LINK, str(file), "--on", str(given), "--page", "2", "--at", "150,20", "--size", "35", "--quiet", "0"
    )
    assert result.exit_code == 0, result.output
    assert seen(printed(file, 1)) == []
    ((text, left, top),) = seen(printed(file, 2))
    assert text == LINK
    assert (left, top) == pytest.approx((150 / 25.4 * DPI, 20 / 25.4 * DPI), abs=4)


def test_what_the_document_had_stays(tmp_path: Path, document: Path) -> None:
    writer = PdfWriter(clone_from=document)
    writer.add_metadata({"/Title": WORDS})
    writer.add_outline_item("Mục lục", 1)
    written(document, writer)
    assert made(LINK, str(tmp_path / "ra.pdf"), "--on", str(document)).exit_code == 0
    after = PdfReader(tmp_path / "ra.pdf")
    assert after.metadata is not None
    assert (after.metadata.title, len(after.outline), len(after.pages)) == (WORDS, 1, 2)


def test_level_and_quiet_zone(tmp_path: Path) -> None:
    least, most = (make_code(LINK, size=50, level=level, quiet=quiet) for level, quiet in (("L", 4), ("H", 6)))
    assert most.level == "H"
    assert most.version > least.version
    picture = Image.open(io.BytesIO(most.png())).convert("L")
    dots = picture.width // most.modules
    dark = picture.point(lambda value: 255 - value).getbbox()
    assert dark is not None
    assert dark[:2] == (6 * dots, 6 * dots)


def test_json(tmp_path: Path) -> None:
    file = tmp_path / "ma.png"
    told = json.loads(made(LINK, str(file), "--json").output)
    assert (told["event"], told["file"], told["page"], told["size"]) == ("qr", str(file), None, 25)
    assert told["modules"] == 17 + 4 * told["version"] + 8


def _encrypted(file: Path) -> Path:
    writer = PdfWriter(clone_from=file)
    writer.encrypt("mat-khau", algorithm="RC4-128")
    return written(file, writer)


def _signed(file: Path) -> Path:
    writer = PdfWriter(clone_from=file)
    value = writer._add_object(DictionaryObject({NameObject("/Type"): NameObject("/Sig")}))
    field = {"/FT": NameObject("/Sig"), "/T": TextStringObject("chữ ký"), "/V": value}
    kept = writer._add_object(DictionaryObject({NameObject(key): one for key, one in field.items()}))
    form = DictionaryObject({NameObject("/Fields"): ArrayObject([kept])})
    writer._root_object[NameObject("/AcroForm")] = form
    return written(file, writer)


def _broken(file: Path) -> Path:
    file.write_bytes(b"%PDF-1.7\nkh\xc3\xb4ng ph\xe1\xba\xa3i PDF")
    return file


def _missing(file: Path) -> Path:
    file.unlink()
    return file


@pytest.mark.parametrize(
    ("spoil", "more", "words"),
    [
        (None, ("--page", "3"), "there is no page 3; it has 2"),
        (None, ("--at", "200,10"), r"a code of 25 mm at 200,10 does not fit on page 1 \(210 x 297 mm\)"),
        (_encrypted, (), "is encrypted; save it without a password first"),
        (_signed, (), "is signed, and a code on it would break the signature; put the code on it, then sign"),
        (_broken, (), "is no PDF that can be read"),
        (_missing, (), "No such file"),
    ],
)
def test_refused_documents(tmp_path: Path, document: Path, spoil: object, more: tuple[str, ...], words: str) -> None:
    if callable(spoil):
        spoil(document)
    result = made(LINK, str(tmp_path / "ra.pdf"), "--on", str(document), *more)
    with pytest.raises(UserError, match=words):
        raise result.exception or AssertionError(result.output)
    assert not (tmp_path / "ra.pdf").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("Đ" * 1500, "ma.png"), "the text is 3000 bytes long, more than a QR code with error correction M holds"),
        ((LINK * 3, "ma.png", "--size", "10"), "too small to be read once printed; make it"),
        ((" ", "ma.png"), "there is no text for the code"),
        ((f"{LINK} ", "ma.png"), "begins or ends with a space"),
        (("a\u200bb", "ma.png"), r"a sign in it that nobody sees \(U\+200B\)"),
        ((LINK, "ma.gif"), "allowed: .png, .svg, .pdf"),
        ((LINK, "ma.pdf"), "--on PDF"),
        ((LINK, "ma.png", "--on", "giay.pdf"), "a name that ends in .pdf"),
        ((LINK, "khong/ma.png"), "khong: there is no such folder"),
        ((LINK, "co.png"), "co.png is there already; take another name, or --force"),
    ],
)
def test_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], words: str) -> None:
    monkeypatch.chdir(tmp_path)
    Path("co.png").write_text("cũ")
    with pytest.raises(UserError, match=words):
        raise made(*arguments).exception or AssertionError
    assert [file.name for file in tmp_path.iterdir()] == ["co.png"]
    assert Path("co.png").read_text() == "cũ"


def test_force_replaces_also_the_document_itself(document: Path) -> None:
    assert made(LINK, str(document), "--on", str(document), "--force").exit_code == 0
    assert [one[0] for one in seen(printed(document, 1))] == [LINK]


@pytest.mark.parametrize("place", ["10", "a,b", "nan,1", "-1,2"])
def test_a_place_that_is_none(tmp_path: Path, place: str) -> None:
    assert made(LINK, str(tmp_path / "ra.pdf"), "--on", "x.pdf", f"--at={place}").exit_code == 2


def test_a_mistake_ends_with_2_and_a_sentence(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "deploy.cli", "qr", "Đ" * 1500, str(tmp_path / "ma.png")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1
    assert "Traceback" not in done.stderr


def test_a_full_disk_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "ma.png"
    file.write_text("cũ")

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    monkeypatch.setattr(sys, "argv", ["lienxa", "qr", LINK, str(file), "--force"])
    assert guarded(lienxa) == 2
    assert [one.name for one in tmp_path.iterdir()] == ["ma.png"]
    assert file.read_text() == "cũ"


def test_other_verbs_do_without_its_libraries() -> None:
    modules = "deploy.cli.inventory, deploy.cli.runs, deploy.cli.qr"
    asked = f"import sys; import {modules}; print({{'segno', 'pypdf'}} & {{*sys.modules}})"
    done = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
