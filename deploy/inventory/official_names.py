"""Official names and codes of provinces, communes and wards (in force since July 2025).

The names come from the package `vietnam-provinces`. Only its JSON file is read, and only when asked for:
importing the package itself builds thousands of enum members that nobody here needs.
"""

from __future__ import annotations

import difflib
import functools
import json
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TypeVar

from deploy.errors import UserError


@dataclass(frozen=True)
class OfficialProvince:
    """A province or a city under the central government."""

    name: str
    """Without the type: `Gia Lai`, `Hà Nội`."""
    full_name: str
    """`Tỉnh Gia Lai`, `Thành phố Hà Nội`."""
    code: int
    slug: str


@dataclass(frozen=True)
class OfficialCommune:
    """A commune (xã), ward (phường) or special zone (đặc khu)."""

    name: str
    """With its type: `Xã Ia Grai`."""
    code: str
    """Five digits, as the statistics office writes it."""
    slug: str
    """Unique within the province: `ia-grai`; with the type or the code where another commune would have the same."""
    province: OfficialProvince

    @property
    def bare_name(self) -> str:
        """Without its type: `Ia Grai`."""
        return _split_type(self.name)[1]


def find_province(name: str) -> OfficialProvince:
    """The province of that name, slug or code. Raises UserError with what may have been meant."""
    provinces = list(_country())
    found = [one for one in provinces if name.strip() == str(one.code)] or _best(name, provinces, _names_of_province)
    if len(found) == 1:
        return found[0]
    raise UserError(_unknown("province", name, [one.name for one in provinces], "Vietnam has 34 since July 2025"))


def find_commune(name: str, province: OfficialProvince) -> OfficialCommune:
    """The commune of that name, slug or code in the province.

    Diacritics, case and the type (Xã, Phường, Đặc khu) may be left out as long as only one commune is meant.
    Raises UserError: with the candidates and their codes if there are several, with near misses if there is none.
    """
    communes = communes_of(province)
    found = [one for one in communes if name.strip() in {one.code, one.slug}] or _best(
        name, communes, _names_of_commune
    )
    if len(found) == 1:
        return found[0]
    if found:
        raise UserError(_ambiguous(name, found))
    elsewhere = [one for one in _everywhere() if _loose(name) in {_loose(one.name), _loose(one.bare_name)}]
    hint = f"{province.name} has {len(communes)}"
    if elsewhere:
        hint += "; elsewhere: " + ", ".join(f"{one.name} in {one.province.name}" for one in elsewhere[:5])
    raise UserError(_unknown(f"commune of {province.name}", name, [one.name for one in communes], hint))


def communes_of(province: OfficialProvince) -> tuple[OfficialCommune, ...]:
    """All communes, wards and special zones of the province, in official order."""
    return _country()[province]


def slug_of(name: str) -> str:
    """A DNS label from a name: `Xã Ea H’leo` gives `xa-ea-hleo`."""
    return _loose(name).replace(" ", "-")


_T = TypeVar("_T", OfficialProvince, OfficialCommune)
_TYPES = ("Thành phố", "Đặc khu", "Phường", "Tỉnh", "Xã", "TP.", "TP")
_TONES = {"\u0300", "\u0301", "\u0303", "\u0309", "\u0323"}
_APOSTROPHES = str.maketrans("", "", "'’‘ʼ`")


@functools.cache
def _country() -> dict[OfficialProvince, tuple[OfficialCommune, ...]]:
    spec = find_spec("vietnam_provinces")
    if spec is None or not spec.submodule_search_locations:
        raise UserError("the package vietnam-provinces is not installed; run: make .venv")
    path = Path(spec.submodule_search_locations[0]) / "data" / "nested-divisions.json"
    country = {}
    for entry in json.loads(path.read_text(encoding="utf-8")):
        full_name = entry["name"] if _split_type(entry["name"])[0] else f"Tỉnh {entry['name']}"
        bare = _split_type(full_name)[1]
        province = OfficialProvince(bare, full_name, entry["code"], slug_of(bare))
        country[province] = _with_slugs(province, [(ward["name"], f"{ward['code']:05}") for ward in entry["wards"]])
    return country


def _everywhere() -> Iterable[OfficialCommune]:
    return (commune for communes in _country().values() for commune in communes)


def _with_slugs(province: OfficialProvince, wards: Sequence[tuple[str, str]]) -> tuple[OfficialCommune, ...]:
    short = Counter(slug_of(_split_type(name)[1]) for name, _ in wards)
    typed = Counter(slug_of(name) for name, _ in wards)

    def slug(name: str, code: str) -> str:
        bare = slug_of(_split_type(name)[1])
        if short[bare] == 1:
            return bare
        return slug_of(name) if typed[slug_of(name)] == 1 else f"{bare}-{code}"

    return tuple(OfficialCommune(name, code, slug(name, code), province) for name, code in wards)


def _split_type(name: str) -> tuple[str, str]:
    """The type in front of a name ("" if none) and the rest; with and without diacritics."""
    words = name.split()
    for kind in _TYPES:
        count = len(kind.split())
        if len(words) > count and _loose(" ".join(words[:count])) == _loose(kind):
            return " ".join(words[:count]), " ".join(words[count:])
    return "", " ".join(words)


def _names_of_province(province: OfficialProvince) -> tuple[str, ...]:
    return (province.full_name, f"TP {province.name}", province.name)


def _names_of_commune(commune: OfficialCommune) -> tuple[str, ...]:
    return (commune.name, commune.bare_name)


def _best(name: str, things: Sequence[_T], names_of: Callable[[_T], tuple[str, ...]]) -> list[_T]:
    """What is written exactly so, else what is written so but for diacritics."""
    for key in (_exact, _loose):
        if found := [thing for thing in things if key(name) in {key(one) for one in names_of(thing)}]:
            return found
    return []


@functools.cache
def _exact(name: str) -> str:
    """For comparing with diacritics: without case, and with each word's tone at its end, so that hoà is hòa."""
    words = unicodedata.normalize("NFD", name.casefold().translate(_APOSTROPHES)).split()
    return " ".join(
        "".join(char for char in word if char not in _TONES) + "".join(char for char in word if char in _TONES)
        for word in words
    )


@functools.cache
def _loose(name: str) -> str:
    """For comparing without diacritics: lower case, ASCII letters and digits, single spaces."""
    plain = name.casefold().replace("đ", "d").translate(_APOSTROPHES)
    letters = "".join(char for char in unicodedata.normalize("NFD", plain) if not unicodedata.combining(char))
    return " ".join(re.findall(r"[a-z0-9]+", letters))


def _ambiguous(name: str, found: Sequence[OfficialCommune]) -> str:
    listed = "\n".join(f"  {one.code}  {one.name}" for one in sorted(found, key=lambda one: one.code))
    province = found[0].province.name
    return f'"{name}" may mean {len(found)} communes of {province}:\n{listed}\ngive the code instead of the name'


def _unknown(what: str, name: str, allowed: Sequence[str], hint: str) -> str:
    names = {_loose(_split_type(one)[1]): one for one in allowed}
    near = difflib.get_close_matches(_loose(_split_type(name)[1]), names, n=3, cutoff=0.7)
    meant = f"; did you mean {' or '.join(names[one] for one in near)}?" if near else ""
    return f'no {what} is named "{name}"{meant} ({hint})'
