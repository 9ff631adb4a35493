"""The page of Decree 30/2020/ND-CP (annex I) as LibreOffice's template for a new document."""

from __future__ import annotations

import io
import zipfile

from deploy.runner.context import Context
from deploy.runner.render import render
from roles.desktop.options import Options

FOLDER = "/usr/local/share/lienxa/libreoffice"
TEMPLATE = f"{FOLDER}/nghi-dinh-30.ott"
MIMETYPE = "application/vnd.oasis.opendocument.text-template"
PARTS = ("META-INF/manifest.xml", "content.xml", "styles.xml")


def template(ctx: Context[Options]) -> bytes:
    """The template as a packed OpenDocument file: the same bytes each time, so that a second run changes nothing."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        _add(archive, "mimetype", MIMETYPE)
        for part in PARTS:
            _add(archive, part, render(ctx, f"{ctx.role.name}{FOLDER}/{part}.j2", {"mimetype": MIMETYPE}))
    return packed.getvalue()


def _add(archive: zipfile.ZipFile, name: str, text: str) -> None:
    archive.writestr(zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)), text)
