"""What can be wrong with signing: from the service and the token to the certificate and those who vouch for it."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from deploy.inventory.site import Site, SiteAuthority
from deploy.runner.diagnosis import Found, Patient
from roles.signing import doctor_causes as causes
from roles.signing import doctor_looks as looks
from roles.signing.doctor_looks import Certificate, Seen, Token
from roles.signing.options import Options

TOPIC = "signing"
LONG = 5.0
"""Seconds that people wait for patiently."""
SOON = timedelta(days=30)
FOR_SIGNING = frozenset({"Digital Signature", "Non Repudiation"})

VENDORS: Mapping[str, str] = {
    "0529": "SafeNet",
    "08e6": "Gemalto",
    "096e": "Feitian",
    "163c": "Watchdata",
    "1ea8": "Longmai",
    "25dd": "Bit4id",
    "2ccf": "Hypersecu",
}
"""Makers of tokens, by the first half of the USB id."""


def diagnose(patient: Patient[Options]) -> Iterator[Found]:
    """What is wrong."""
    yield from judged(patient, looks.look(patient))


def judged(patient: Patient[Options], seen: Seen) -> Iterator[Found]:
    """The first thing that keeps a token from being used; then what is wrong with what stands on it. Pure."""
    if not seen.service:
        yield causes.SERVICE_DOWN.found()
        return
    yield from (causes.ANCHOR_NOT_HERE.found(authority=name) for name in seen.anchors_missing)
    modules = list(_modules(seen))
    yield from modules
    if not seen.tokens and not modules:
        yield from _no_token(patient, seen)
    for token in seen.tokens:
        yield from _token(patient, seen, token)
    if patient.connected:
        yield from _services(seen)


def _modules(seen: Seen) -> Iterator[Found]:
    for module in seen.modules:
        match module.state:
            case "gone":
                yield causes.MODULE_GONE.found(module=module.name)
            case "foreign":
                yield causes.MODULE_FOREIGN.found(module=module.name, theirs=module.architecture, ours=seen.processor)
            case "unregistered":
                yield causes.MODULE_UNREGISTERED.found(module=module.name, file=module.file)
            case "good":
                pass


def _no_token(patient: Patient[Options], seen: Seen) -> Iterator[Found]:
    """That nothing is plugged in is a fault only to who asks why it does not sign."""
    known = {usb for module in patient.site.modules for usb in module.usb}
    for usb in seen.usb:
        maker = VENDORS.get(usb.partition(":")[0])
        if maker and usb not in known and not seen.readers:
            yield causes.MODULE_MISSING.found(vendor=maker, usb=usb)
            return
    if TOPIC not in patient.asked:
        return
    if seen.readers:
        yield causes.NO_TOKEN.found(reader=seen.readers[0])
    else:
        yield causes.NO_READER.found()


def _token(patient: Patient[Options], seen: Seen, token: Token) -> Iterator[Found]:
    if token.pin == "locked":
        yield causes.PIN_LOCKED.found(token=token.label)
    elif token.pin == "last try":
        yield causes.PIN_LAST_TRY.found(token=token.label)
    own = [one for one in token.certificates if not one.authority]
    if not own:
        yield causes.NO_CERTIFICATE.found(token=token.label)
    wrong = [list(_certificate(patient, seen, one)) for one in own]
    # One that is good is enough: an old one may stay beside its renewal.
    if wrong and all(wrong):
        yield wrong[0][0]
    elif own:
        yield from _ending(seen.now, max(own, key=lambda one: one.ends))


def _certificate(patient: Patient[Options], seen: Seen, one: Certificate) -> Iterator[Found]:
    owner = {"owner": one.owner}
    clock_wrong = "network.clock_wrong" in patient.ill
    if one.ends < seen.now and not clock_wrong:
        yield causes.EXPIRED.found(date=_day(one.ends), **owner)
    if one.begins > seen.now and not clock_wrong:
        yield causes.NOT_YET.found(date=_day(one.begins), **owner)
    if one.revoked:
        yield causes.REVOKED.found(issuer=one.issuer, **owner)
    if one.usage and not one.usage & FOR_SIGNING:
        yield causes.WRONG_USAGE.found(usage=", ".join(sorted(one.usage)), **owner)
    people = _people(patient.site, patient.machine.name)
    if people and _folded(one.owner) not in {_folded(name) for name in people}:
        yield causes.OTHER_PERSON.found(people=", ".join(people), **owner)
    yield from _vouched(patient.site.authorities, seen.now, one)


def _ending(now: datetime, last: Certificate) -> Iterator[Found]:
    if now <= last.ends < now + SOON:
        yield causes.ENDS_SOON.found(owner=last.owner, date=_day(last.ends), days=(last.ends - now).days)


def _vouched(authorities: tuple[SiteAuthority, ...], now: datetime, one: Certificate) -> Iterator[Found]:
    chain = _chain(authorities, one)
    if chain.broken_at is not None:
        cause = causes.ANCHOR_MISSING if chain.known else causes.CHAIN_INCOMPLETE
        name = "root" if chain.known else "issuer"
        yield cause.found(owner=one.owner, **{name: chain.broken_at})
    for authority in chain.known:
        if authority.ends < now:
            yield causes.ANCHOR_ENDED.found(authority=authority.name, date=_day(authority.ends), owner=one.owner)


@dataclass(frozen=True)
class _Chain:
    known: tuple[SiteAuthority, ...]
    """Who vouches, from the issuer up."""
    broken_at: str | None
    """Name of who is not known; None where a root was reached."""


def _chain(authorities: tuple[SiteAuthority, ...], one: Certificate) -> _Chain:
    """By names, as the inventory was compared already: it has nobody whose signer it has not."""
    if one.trusted:
        found = tuple(authority for authority in authorities if authority.name in {one.issuer, *one.above})
        return _Chain(found, None)
    above = [one.issuer, *one.above]
    known = tuple(authority for name in above for authority in authorities if authority.name == name)
    missing = next((name for name in above if name not in {authority.name for authority in authorities}), above[-1])
    return _Chain(known, missing)


def _services(seen: Seen) -> Iterator[Found]:
    away: dict[Literal["revocation", "time stamps"], object] = {}
    for one in seen.services:
        if one.seconds is None:
            if one.what not in away:
                cause = causes.REVOCATION_AWAY if one.what == "revocation" else causes.STAMPS_AWAY
                yield cause.found(url=one.url)
            away[one.what] = one
        elif one.seconds > LONG:
            yield causes.SLOW.found(url=one.url, seconds=f"{one.seconds:.0f}")


def _people(site: Site, machine: str) -> tuple[str, ...]:
    """Who signs in there; nobody is expected in particular where the inventory does not say."""
    return tuple(person.name for person in site.people if machine in person.machines)


def _folded(name: str) -> str:
    """A name as two systems may write it: with accents put together otherwise, in capitals."""
    return unicodedata.normalize("NFC", " ".join(name.split())).casefold()


def _day(moment: datetime) -> str:
    return f"{moment:%d/%m/%Y}"
