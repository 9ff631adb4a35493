"""`new`: official names, free prefixes, and folders that `check` accepts as they are."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from ipaddress import IPv4Network
from itertools import pairwise
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from deploy.errors import UserError
from deploy.inventory.identity import create_identity
from deploy.inventory.loading import load
from deploy.inventory.new import new_commune
from deploy.inventory.official_names import (
    OfficialCommune,
    communes_of,
    find_commune,
    find_province,
    slug_of,
)
from deploy.inventory.resolve import resolve
from deploy.inventory.secrets import generate_missing, wanted_secrets
from deploy.inventory.secrets_check import check_secrets
from deploy.site import CATALOG

CODES = (1, 4, 8, 11, 12, 14, 15, 19, 20, 22, 24, 25, 31, 33, 37, 38, 40, 42, 44, 46, 48, 51, 52, 56, 66, 68, 75, 79)
PROVINCES = tuple(map(str, (*CODES, 80, 82, 86, 91, 92, 96)))
GIA_LAI = find_province("Gia Lai")


@pytest.fixture
def inventories(tmp_path: Path) -> Path:
    """A folder with one commune, which has the supernet's first prefix."""
    folder = tmp_path / "inventories"
    new_commune(folder, "Ia Grai", province="Gia Lai")
    return folder


# Official names


def test_the_country_is_whole_and_slugs_are_unique_labels() -> None:
    provinces = [find_province(code) for code in PROVINCES]
    assert len({province.slug for province in provinces}) == 34
    communes = {province: communes_of(province) for province in provinces}
    assert sum(map(len, communes.values())) == 3321
    assert len(communes[GIA_LAI]) == 135
    for row in communes.values():
        slugs = Counter(commune.slug for commune in row)
        assert max(slugs.values()) == 1
        assert all(slug == slug_of(slug) and len(slug) <= 63 for slug in slugs)


@pytest.mark.parametrize("name", ["Gia Lai", "gia lai", "Tỉnh Gia Lai", "tinh gia-lai", "GIA LAI", "52", "gia-lai"])
def test_a_province_by_any_of_its_spellings(name: str) -> None:
    assert find_province(name) is GIA_LAI


@pytest.mark.parametrize("name", ["Hà Nội", "TP Hà Nội", "TP. hà nội", "thanh pho ha noi", "ha-noi"])
def test_a_city_by_any_of_its_spellings(name: str) -> None:
    assert find_province(name).full_name == "Thành phố Hà Nội"


def test_an_unknown_province_is_answered_with_the_near_one() -> None:
    with pytest.raises(UserError, match='no province is named "Gia Lay"; did you mean Gia Lai'):
        find_province("Gia Lay")


@given(commune=st.sampled_from(communes_of(GIA_LAI)), data=st.data())
def test_a_commune_by_any_of_its_spellings(commune: OfficialCommune, data: st.DataObject) -> None:
    spelling = data.draw(
        st.sampled_from([commune.name, commune.bare_name, commune.slug, slug_of(commune.name), commune.code])
    )
    case = data.draw(st.sampled_from([str, str.upper, str.lower]))
    assert find_commune(f" {case(spelling)} ", GIA_LAI) == commune


def test_tone_marks_may_stand_on_either_vowel() -> None:
    khanh_hoa = find_province("Khánh Hoà")
    assert khanh_hoa.name == "Khánh Hòa"


@pytest.mark.parametrize(
    ("province", "name", "slug"),
    [
        ("Đồng Tháp", "Mỹ Tho", "phuong-my-tho"),
        ("Đồng Tháp", "mỹ thọ", "xa-my-tho"),
        ("Đồng Tháp", "xa my tho", "xa-my-tho"),
        ("Thái Nguyên", "Văn Lăng", "van-lang-05665"),
        ("Thái Nguyên", "02143", "van-lang-02143"),
        ("Thái Nguyên", "van-lang-02143", "van-lang-02143"),
        ("Đắk Lắk", "Ea H'leo", "ea-hleo"),
        ("Lâm Đồng", "Xuân Hương Đà Lạt", "xuan-huong-da-lat"),
    ],
)
def test_names_that_are_alike_stay_apart(province: str, name: str, slug: str) -> None:
    assert find_commune(name, find_province(province)).slug == slug


def test_an_ambiguous_name_lists_the_candidates_with_their_codes() -> None:
    with pytest.raises(UserError) as caught:
        find_commune("van lang", find_province("Thái Nguyên"))
    assert str(caught.value).splitlines() == [
        '"van lang" may mean 2 communes of Thái Nguyên:',
        "  02143  Xã Văn Lang",
        "  05665  Xã Văn Lăng",
        "give the code instead of the name",
    ]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("Ia Gray", 'no commune of Gia Lai is named "Ia Gray"; did you mean Xã Ia Grai or '),
        ("Phường Ia Grai", "did you mean Xã Ia Grai"),
        ("Hoàn Kiếm", r"\(Gia Lai has 135; elsewhere: Phường Hoàn Kiếm in Hà Nội\)"),
        ("", 'no commune of Gia Lai is named ""'),
        ("../x", "no commune of Gia Lai"),
    ],
)
def test_an_unknown_commune_is_answered_with_what_may_be_meant(name: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        find_commune(name, GIA_LAI)


# Folders


def test_a_first_commune_brings_its_province(tmp_path: Path) -> None:
    made = new_commune(tmp_path / "inventories", "xa ia grai", province="gia lai")
    assert [str(path.relative_to(tmp_path)) for path in made.written] == [
        "inventories/province.yaml", "inventories/ia-grai/commune.yaml",
    ]  # fmt: skip
    site = resolve(load(tmp_path / "inventories", CATALOG), "ia-grai").site
    assert (site.commune.name, site.commune.code, site.commune.province) == ("Xã Ia Grai", "23764", "Gia Lai")
    assert (site.domain, site.prefix) == ("ia-grai.gialai.gov.vn", IPv4Network("10.52.0.0/22"))
    assert [machine.kind.value for machine in site.machines] == [
        "gateway", "server", "office", "counter", "room", "unmanaged",
    ]  # fmt: skip


@pytest.mark.parametrize("code", PROVINCES)
def test_every_province_can_begin(tmp_path: Path, code: str) -> None:
    province = find_province(code)
    new_commune(tmp_path, communes_of(province)[0].code, province=code)
    assert load(tmp_path, CATALOG).province.province.slug == province.slug


def test_all_communes_of_gia_lai_can_be_made_and_none_overlap(tmp_path: Path) -> None:
    for commune in communes_of(GIA_LAI):
        new_commune(tmp_path, commune.name, province="Gia Lai")
    inventory = load(tmp_path, CATALOG)
    sites = [resolve(inventory, slug).site for slug in inventory.communes]
    assert len(sites) == 135
    prefixes = sorted(site.prefix for site in sites)
    assert not any(first.overlaps(second) for first, second in pairwise(prefixes))
    assert IPv4Network("10.52.252.0/22") not in prefixes
    macs = Counter(machine.mac for site in sites for machine in site.machines if machine.mac)
    assert set(macs.values()) == {1}
    assert all(int(mac[:2], 16) & 3 == 2 for mac in macs), "locally administered, of one machine"


def test_the_longest_prefix_that_is_allowed_has_room(inventories: Path) -> None:
    new_commune(inventories, "Pleiku", prefix="10.99.0.128/25")
    assert resolve(load(inventories, CATALOG), "pleiku").site.prefix == IPv4Network("10.99.0.128/25")


def test_the_next_free_prefix_fills_gaps_and_shuns_what_is_fixed_elsewhere(inventories: Path) -> None:
    assert new_commune(inventories, "Pleiku").prefix == IPv4Network("10.52.4.0/22")
    text = (inventories / "pleiku" / "commune.yaml").read_text()
    (inventories / "pleiku" / "commune.yaml").write_text(
        text.replace("prefix: 10.52.4.0/22", "prefix:   # assigned\n    '10.52.16.0/20'")
        + "zones: {a: {network: 10.52.32.0/24}, b: {network: 10.52.9.0/24}}\n"
    )
    made = [new_commune(inventories, name).prefix for name in ("Quy Nhơn", "Kbang", "Chư Prông")]
    assert list(map(str, made)) == ["10.52.4.0/22", "10.52.12.0/22", "10.52.36.0/22"]


def test_what_stands_in_a_comment_takes_no_prefix(inventories: Path) -> None:
    with (inventories / "ia-grai" / "commune.yaml").open("a") as file:
        file.write("# prefix: 10.52.4.0/22\n")
    assert new_commune(inventories, "Pleiku").prefix == IPv4Network("10.52.4.0/22")


@given(
    length=st.integers(17, 24),
    taken=st.lists(st.tuples(st.integers(0, 255), st.integers(0, 255), st.integers(14, 28)), max_size=6),
)
def test_a_free_prefix_overlaps_nothing_and_is_the_first(
    tmp_path_factory: pytest.TempPathFactory, length: int, taken: list[tuple[int, int, int]]
) -> None:
    folder = tmp_path_factory.mktemp("inventories")
    supernet = IPv4Network("10.52.0.0/15")
    reserved = [IPv4Network((f"10.{52 + second % 2}.{third}.0", bits), strict=False) for second, third, bits in taken]
    _write_province(folder, f"supernet: {supernet}\ncommune_prefix: {length}\nreserved: {list(map(str, reserved))}")
    free = [one for one in supernet.subnets(new_prefix=length) if not any(map(one.overlaps, reserved))]
    if free:
        assert new_commune(folder, "Pleiku").prefix == free[0]
    else:
        with pytest.raises(UserError, match=f"has no free /{length} left"):
            new_commune(folder, "Pleiku")


def _write_province(folder: Path, rest: str) -> None:
    head = "province: {name: Gia Lai, slug: gia-lai, code: 52, domain: gialai.gov.vn}\n"
    (folder / "province.yaml").write_text(f"{head}{rest}\n")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"name": "Ia Grai"}, r"ia-grai: is there already, and is kept"),
        ({"name": "Pleiku", "prefix": "10.52.2.0/23"}, r"overlaps 10.52.0.0/22 in .*ia-grai/commune.yaml"),
        ({"name": "Pleiku", "prefix": "10.52.252.0/24"}, r"overlaps 10.52.252.0/22 in .*province.yaml"),
        ({"name": "Pleiku", "prefix": "10.52.4.1/22"}, "is no IPv4 network like 10.52.4.0/22: .*host bits"),
        ({"name": "Pleiku", "prefix": "fd00::/48"}, "is no IPv4 network"),
        ({"name": "Pleiku", "prefix": "10.52.4.0/28"}, "allowed are lengths from /8 to /25"),
        ({"name": "Pleiku", "province": "Hà Nội"}, "this folder is Gia Lai's; for Hà Nội give a folder of its own"),
        ({"name": "Pleiku", "province": "Hà Nọi 2"}, "no province is named"),
        ({"name": "Pleikuu"}, "did you mean Phường Pleiku"),
        ({"name": "Pleiku", "recipients": ["age1x"]}, '"age1x" is no recipient'),
    ],
)
def test_what_is_refused_leaves_nothing_behind(inventories: Path, arguments: dict[str, str], message: str) -> None:
    before = sorted(inventories.rglob("*"))
    with pytest.raises(UserError, match=message):
        new_commune(inventories, **arguments)
    assert sorted(inventories.rglob("*")) == before


def test_a_folder_without_province_asks_for_it(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"province.yaml: is not there, so say which province it is: --province"):
        new_commune(tmp_path / "inventories", "Ia Grai")
    assert list(tmp_path.iterdir()) == []


def test_a_neighbour_that_cannot_be_read_stops_it(inventories: Path) -> None:
    path = inventories / "ia-grai" / "commune.yaml"
    path.write_text("commune:\n")
    with pytest.raises(UserError, match="no prefix can be read there"):
        new_commune(inventories, "Pleiku")
    path.write_text("prefix: 10.52.0.300/22\n")
    with pytest.raises(UserError, match=r"'10.52.0.300/22' is no IPv4 network"):
        new_commune(inventories, "Pleiku")


def test_a_province_file_that_is_wrong_is_said_with_its_line(inventories: Path) -> None:
    with (inventories / "province.yaml").open("a") as file:
        file.write("suport: {}\n")
    with pytest.raises(UserError, match=r"province.yaml:\d+: unknown key 'suport'"):
        new_commune(inventories, "Pleiku")


def test_a_file_in_the_folders_place(tmp_path: Path) -> None:
    (tmp_path / "inventories").touch()
    with pytest.raises(UserError, match="inventories"):
        new_commune(tmp_path / "inventories", "Ia Grai", province="Gia Lai")


def test_two_at_once_get_two_prefixes(inventories: Path) -> None:
    names = [commune.code for commune in communes_of(GIA_LAI)[:12]]
    with ThreadPoolExecutor(6) as pool:
        made = list(pool.map(lambda name: new_commune(inventories, name), names))
    assert len({one.prefix for one in made}) == 12


def test_text_of_a_real_commune_is_what_yaml_says(tmp_path: Path) -> None:
    """Names with apostrophes and dashes, in every file that is written."""
    province = find_province("Đắk Lắk")
    commune = find_commune("Ea H’leo", province)
    folder = new_commune(tmp_path, commune.name, province=province.name).folder
    assert yaml.safe_load((folder / "commune.yaml").read_text())["commune"]["name"] == commune.name


# Secrets


def test_with_recipients_the_commune_is_ready_for_its_secrets(tmp_path: Path) -> None:
    keys = create_identity(tmp_path / "identity.txt")
    folder = tmp_path / "inventories"
    made = new_commune(folder, "Ia Grai", province="Gia Lai", recipients=keys.recipients)
    resolved = resolve(load(folder, CATALOG), "ia-grai")
    assert check_secrets(resolved, CATALOG, folder, keys)
    wanted = wanted_secrets(resolved.site, resolved.options, CATALOG)
    assert generate_missing(made.folder / "secrets.yaml", wanted) == ("base.console_password",)
    assert check_secrets(resolved, CATALOG, folder, keys) == ()
