"""The province's portals: what is written becomes what browsers are told."""

from __future__ import annotations

from pathlib import Path

import pytest

from deploy.inventory.loading import load
from deploy.inventory.resolve import resolve
from deploy.inventory.site import SitePortal
from deploy.inventory.urls import origin_of
from deploy.lab.rehearsal import rehearse
from deploy.site import CATALOG

PROVINCE = """\
province: {name: Gia Lai, slug: gia-lai, code: 52, domain: gialai.gov.vn}
supernet: 10.52.0.0/14
upstream:
  portals:
    tra-cuu: {title: Tra cứu hồ sơ, url: "https://tracuu.gialai.gov.vn/"}
    mot-cua:
      title: Một cửa điện tử
      url: https://motcua.gialai.gov.vn:8443/dang-nhap?ve=trang-chu
      start: true
      bookmarks: [{title: Hồ sơ chờ xử lý, url: "https://motcua.gialai.gov.vn:8443/cho"}]
      origins: ["https://ky.gialai.gov.vn:443/"]
      issuers: [CA Mẫu G2]
      helper_ports: [8987, 4433]
      may: [popups, local_network]
"""
MODEL = Path(__file__).parents[2] / "inventories"


@pytest.fixture
def portals(tmp_path: Path) -> tuple[SitePortal, ...]:
    (tmp_path / "province.yaml").write_text(PROVINCE, encoding="utf-8")
    (tmp_path / "xa-mau").mkdir()
    written = (MODEL / "xa-mau" / "commune.yaml").read_text(encoding="utf-8").replace(", sip: phong-hop-xa-mau", "")
    (tmp_path / "xa-mau" / "commune.yaml").write_text(written, encoding="utf-8")
    return resolve(load(tmp_path, CATALOG), "xa-mau").site.upstream.portals


def test_portals_stand_on_the_site(portals: tuple[SitePortal, ...]) -> None:
    look_up, counter = portals
    assert (look_up.name, look_up.start, look_up.may, look_up.helper_ports) == ("tra-cuu", False, (), ())
    assert counter.title == "Một cửa điện tử"
    assert counter.origins == ("https://motcua.gialai.gov.vn:8443", "https://ky.gialai.gov.vn")
    assert (counter.issuers, counter.helper_ports) == (("CA Mẫu G2",), (8987, 4433))
    assert counter.may == ("popups", "local_network")
    assert [one.title for one in counter.bookmarks] == ["Hồ sơ chờ xử lý"]


def test_a_lab_has_the_province_s_portals() -> None:
    site = resolve(load(MODEL, CATALOG), "xa-mau").site
    assert site.upstream.portals
    assert rehearse(site).upstream.portals == site.upstream.portals


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        ("https://a.vn/x?y#z", "https://a.vn"),
        ("https://a.vn:443/", "https://a.vn"),
        ("https://a.vn:8443", "https://a.vn:8443"),
    ],
)
def test_origin(url: str, origin: str) -> None:
    assert origin_of(url) == origin
