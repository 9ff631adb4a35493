"""`lienxa qr`: a QR code for a link or a document's code, as a picture or on a page of a PDF."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from deploy.cli.options import json_option
from deploy.errors import UserError
from deploy.inventory.atomic import write_atomically
from deploy.report.json_lines import JsonLines

if TYPE_CHECKING:
    from deploy.qr.code import Code

KINDS = (".png", ".svg", ".pdf")


class Corner(click.ParamType[tuple[float, float]]):
    """Two lengths in mm: from the left edge and from the upper one."""

    name = "LEFT,TOP"

    def convert(
        self,
        value: object,
        param: click.Parameter | None,
        ctx: click.Context | None,
    ) -> tuple[float, float]:
        """`165,10`, or an error that says so."""
        if isinstance(value, tuple):
            return value
        try:
            left, top = (float(part) for part in str(value).split(","))
        except ValueError:
            self.fail(f"'{value}' is no place; allowed: two lengths in mm, like 165,10", param, ctx)
        if not (0 <= left <= 2000 and 0 <= top <= 2000):  # also false for nan
            self.fail(f"'{value}' is on no page", param, ctx)
        return left, top


@click.command()
@click.argument("text")
@click.argument("output", type=click.Path(dir_okay=False, path_type=Path))
@click.option(
    "--on",
    "document",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="PDF",
    help="Put it on this document.",
)
@click.option("--page", type=click.IntRange(min=1), default=1, show_default=True, help="On which page of it.")
@click.option(
    "--at",
    type=Corner(),
    default=(10.0, 10.0),
    show_default="10,10",
    help="Where: mm from the page's left and upper edge to the code's.",
)
@click.option(
    "--size",
    type=click.FloatRange(5, 500),
    default=25,
    show_default=True,
    metavar="MM",
    help="Its side on paper in mm, quiet zone included.",
)
@click.option(
    "--level",
    type=click.Choice(["L", "M", "Q", "H"], case_sensitive=False),
    default="M",
    show_default=True,
    help="Least error correction: how much may be dirty and still be read (7, 15, 25, 30 %).",
)
@click.option(
    "--quiet",
    type=click.IntRange(0, 20),
    default=4,
    show_default=True,
    metavar="MODULES",
    help="Width of the quiet zone; the standard asks for 4.",
)
@click.option("--force", "-f", is_flag=True, help="Replace OUTPUT where it is there already.")
@json_option
def qr(
    text: str,
    output: Path,
    document: Path | None,
    page: int,
    at: tuple[float, float],
    size: float,
    level: str,
    quiet: int,
    force: bool,
    as_json: bool,
) -> None:
    """Make a QR code for a link or a document's code: TEXT.

    OUTPUT ends in .png or .svg; with --on in .pdf, and is that document with the code on it. A signed document is
    refused: the code comes first, then the signature.
    """
    _refuse(output, document, force=force)
    from deploy.qr.code import make_code  # noqa: PLC0415 slow to import; a mistake above is said without it

    code = make_code(text, size=size, level=level.upper(), quiet=quiet)  # type: ignore[arg-type]
    content = _drawn(code, output) if document is None else _on(document, code, page, at)
    try:
        write_atomically(output, content)
    except OSError as error:
        raise UserError(f"{output}: {error.strerror}") from error
    _say(code, output, page if document else None, as_json=as_json)


def _refuse(output: Path, document: Path | None, *, force: bool) -> None:
    if output.suffix.lower() not in KINDS:
        raise UserError(f"{output}: its name does not say what it is to be; allowed: {', '.join(KINDS)}")
    if output.suffix.lower() == ".pdf" and document is None:
        raise UserError(f"{output}: a PDF needs one that the code is put on: --on PDF")
    if output.suffix.lower() != ".pdf" and document is not None:
        raise UserError(f"{output}: with --on it becomes a PDF; give it a name that ends in .pdf")
    if not output.parent.is_dir():
        raise UserError(f"{output.parent}: there is no such folder")
    if output.is_dir() or (output.exists() and not force):
        raise UserError(f"{output} is there already; take another name, or --force to replace it")


def _drawn(code: Code, output: Path) -> bytes:
    return code.svg() if output.suffix.lower() == ".svg" else code.png()


def _on(document: Path, code: Code, page: int, at: tuple[float, float]) -> bytes:
    from deploy.qr.stamp import Place, stamped  # noqa: PLC0415 slow to import

    return stamped(document, code, Place(page, *at))


def _say(code: Code, output: Path, page: int | None, *, as_json: bool) -> None:
    if as_json:
        about = {"version": code.version, "level": code.level, "modules": code.modules, "size": code.size}
        JsonLines(sys.stdout).line({"event": "qr", "file": str(output), "page": page} | about)
        return
    where = f", page {page}" if page else ""
    click.echo(
        f"{output}{where}: QR code of {code.size:g} mm, {code.modules} squares a side, correction {code.level}."
    )
