"""The province, for tests and for whoever looks: each command prints one JSON value.

Officials' certificates, right or wrong in one way, for a token:
    province issue KIND --name NAME [--email ADDRESS] [--office TEXT]
    province kinds
    province revoke SERIAL
    province register
What came to the portal, accepted or refused and why, and who asked what of its web servers:
    province dossiers [--official NAME] [--count N] [--seconds N]
    province visits [--host NAME]
What goes wrong on purpose, until `none` is asked for:
    province fault portal|crl|ocsp|tsa none|away|slow        province fault portal expired|wrong-name|untrusted
A signature as an official's program makes it: the PDF on stdin, the signed one on stdout (no JSON):
    province sign --identity FILE [--no-stamp]              FILE: what `issue` printed
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from deploy.lab.province.dossiers import Book
from deploy.lab.province.faults import set_fault
from deploy.lab.province.officials import KINDS, Person, issue_for
from deploy.lab.province.register import Register
from deploy.lab.province.settings import KEYS, STATE, read_settings

VISITS = Path("/var/log/nginx/province.jsonl")


def main() -> None:
    """Do what the command line says."""
    asked = _parser().parse_args()
    sys.stdout.write(json.dumps(_answer(asked), ensure_ascii=False) + "\n")


def _parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(
        prog="province", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    verbs = made.add_subparsers(dest="verb", required=True)
    issued = verbs.add_parser("issue")
    issued.add_argument("kind", choices=KINDS)
    issued.add_argument("--name", required=True)
    issued.add_argument("--email", default="canbo@example.vn")
    issued.add_argument("--office", default="Ủy ban nhân dân xã Mẫu")
    verbs.add_parser("kinds")
    verbs.add_parser("revoke").add_argument("serial")
    verbs.add_parser("register")
    dossiers = verbs.add_parser("dossiers")
    dossiers.add_argument("--official", help="who was logged in")
    dossiers.add_argument("--count", type=int, default=0, help="wait for so many")
    dossiers.add_argument("--seconds", type=float, default=30)
    verbs.add_parser("visits").add_argument("--host")
    fault = verbs.add_parser("fault")
    fault.add_argument("service")
    fault.add_argument("mode")
    return made


def _answer(asked: argparse.Namespace) -> object:
    answers: dict[str, Callable[[argparse.Namespace], object]] = {
        "issue": _issue,
        "kinds": lambda _: {name: kind.about for name, kind in KINDS.items()},
        "revoke": _revoke,
        "register": lambda _: [asdict(entry) for entry in Register(STATE).entries().values()],
        "dossiers": _dossiers,
        "visits": _visits,
        "fault": _fault,
    }
    return answers[asked.verb](asked)


def _issue(asked: argparse.Namespace) -> object:
    official = Person(name=asked.name, email=asked.email, office=asked.office)
    return asdict(issue_for(official, asked.kind, read_settings(), KEYS, Register(STATE)))


def _revoke(asked: argparse.Namespace) -> object:
    try:
        return asdict(Register(STATE).revoke(asked.serial))
    except KeyError as error:
        raise SystemExit(f"no certificate {asked.serial} was issued here; `province register` lists them") from error


def _dossiers(asked: argparse.Namespace) -> object:
    deadline = time.monotonic() + asked.seconds
    while True:
        entries = Book(STATE / "dossiers").entries()
        found = [asdict(one) for one in entries if asked.official in (None, one.official)]
        if len(found) >= asked.count or time.monotonic() > deadline:
            return found
        time.sleep(0.3)


def _visits(asked: argparse.Namespace) -> object:
    lines = VISITS.read_text(encoding="utf-8").splitlines() if VISITS.exists() else []
    visits = [json.loads(line) for line in lines]
    return [visit for visit in visits if asked.host in (None, visit["host"])]


def _fault(asked: argparse.Namespace) -> object:
    set_fault(asked.service, asked.mode, read_settings(), STATE, KEYS)
    return {asked.service: asked.mode}


if __name__ == "__main__":
    main()
