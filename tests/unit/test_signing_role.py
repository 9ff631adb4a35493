"""What the role `signing` tells programs, and what its operations do."""

from __future__ import annotations

import base64
import json
import ssl
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from made_authorities import Authority
from sample_site import sample_site

from deploy.inventory.site import Site, SiteAuthority, SiteModule
from deploy.inventory.token_policies import authority_file, chromium_policies, mozilla_policies
from deploy.runner import handed
from deploy.runner.context import Context
from deploy.runner.operations import files, system
from deploy.runner.operations.files import FilesFact
from deploy.runner.operations.system import AnchorsFact
from deploy.runner.render import render
from deploy.site import ROLES
from roles.mail_client import tasks as mail_client
from roles.signing import tasks

MODULE = SiteModule(name="bit4id", file="bit4id.so", sha256="ab" * 32, architecture="x86_64", usb=("096e:0807",))


def authority(made: Authority, *, root: bool) -> SiteAuthority:
    now = datetime.now(UTC)
    pem = made.pem.decode()
    return SiteAuthority(name="Gốc", sha256=made.fingerprint, pem=pem, begins=now, ends=now, root=root)


@pytest.fixture(scope="module")
def site() -> Site:
    """The sample commune, whose office machine has the role."""
    root = Authority("Gốc Ký Số Tỉnh G2")
    both = (authority(root, root=True), authority(root.issuing("Cấp Phát Ký Số G2"), root=False))
    plain = sample_site()
    machines = tuple(
        one.model_copy(update={"roles": (*one.roles, "signing")}) if one.name == "vp01" else one
        for one in plain.machines
    )
    return plain.model_copy(update={"authorities": both, "modules": (MODULE,), "machines": machines})


def context(site: Site) -> Context:
    return Context(site=site, machine=site.machine("vp01"), options=tasks.Options(), role=ROLES["signing"])


def test_chromium_is_told_whom_to_believe_in_and_who_issues(site: Site) -> None:
    told = chromium_policies(site)
    root, issuing = (ssl.PEM_cert_to_DER_cert(one.pem) for one in site.authorities)
    assert [base64.b64decode(one) for one in told["CACertificates"]] == [root]  # type: ignore[attr-defined]
    assert [base64.b64decode(one) for one in told["CAHintCertificates"]] == [issuing]  # type: ignore[attr-defined]


def test_firefox_and_thunderbird_are_told_only_where_the_role_is(site: Site) -> None:
    here = mozilla_policies(site, site.machine("vp01"))
    assert here["Certificates"] == {"Install": [authority_file(one) for one in site.authorities]}
    assert here["SecurityDevices"] == {"Add": {"p11-kit": "libp11-kit.so.0"}}
    assert mozilla_policies(site, site.machine("srv1")) == {}
    bare = site.model_copy(update={"authorities": ()})
    assert "Certificates" not in mozilla_policies(bare, site.machine("vp01"))


def test_thunderbird_believes_in_the_commune_s_authority_and_the_province_s(site: Site) -> None:
    told = mail_client.policies(site, site.machine("vp01"), mail_client.Options())["policies"]
    assert isinstance(told, dict)
    assert told["Certificates"]["Install"] == [authority_file(one) for one in site.authorities]
    assert "SecurityDevices" in told


def test_tokens_without_ccid_are_for_who_sits_there(site: Site) -> None:
    rules = render(context(site), f"signing{tasks.READERS}.j2")
    lines = [line for line in rules.splitlines() if not line.startswith("#")]
    assert len(lines) == len(tasks.TOKEN_SUBSYSTEMS)
    assert all('"096e"' in line and '"0807"' in line and line.endswith('TAG+="uaccess"') for line in lines)
    assert 'MODE="0666"' not in rules


def test_install_begins_with_nothing_where_the_kit_lacks_a_module(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[Any] = []
    monkeypatch.setattr(tasks, "packages", begun.append)
    with pytest.raises(handed.NotHandedError, match=r"bit4id\.so did not come with the kit"):
        tasks.install(context(site))
    assert begun == []


@pytest.mark.parametrize(("architecture", "ok"), [("x86_64", "x86_64"), ("aarch64", "aarch64")])
def test_a_module_for_another_processor_is_refused(architecture: str, ok: str, tmp_path: Path) -> None:
    uname, ldd = tmp_path / "uname", tmp_path / "ldd"
    uname.write_text(f"#!/bin/sh\necho {ok}\n")
    ldd.write_text('#!/bin/sh\ncat "$1"\n')
    for program in (uname, ldd):
        program.chmod(0o755)
    module = MODULE.model_copy(update={"architecture": architecture})

    def said(content: str, module: SiteModule) -> tuple[int, str]:
        (tmp_path / "new").write_text(content)
        command = tasks.check_module(module).replace("{}", str(tmp_path / "new"))
        done = subprocess.run(["sh", "-c", command], env={"PATH": f"{tmp_path}:/usr/bin:/bin"}, capture_output=True)
        return done.returncode, done.stdout.decode()

    assert said("libc.so.6 => /lib/libc.so.6", module)[0] == 0
    assert said("libpcsclite.so.1 => not found", module) == (1, "libpcsclite.so.1 => not found\n")
    other = module.model_copy(update={"architecture": {"x86_64": "aarch64", "aarch64": "x86_64"}[architecture]})
    assert said("", other) == (1, "this machine's processor is another than the module's\n")


def test_files_that_are_not_wanted_any_more_go(said: dict[type, Any]) -> None:
    said[FilesFact] = FilesFact().process(["/etc/p/lienxa-b.module", "/etc/p/lienxa-a.module"])
    commands: Iterator[Any] = files._no_others._inner(
        folder="/etc/p", pattern="lienxa-*.module", keep=("/etc/p/lienxa-a.module",), mark=""
    )
    assert [str(one) for one in commands] == ["rm -f -- /etc/p/lienxa-b.module"]


@pytest.mark.parametrize(("output", "commands"), [(["current"], 0), ([], 1)])
def test_authorities_are_gathered_only_where_something_changed(
    said: dict[type, Any], output: list[str], commands: int
) -> None:
    said[AnchorsFact] = AnchorsFact().process(output)
    assert len(list(system._trust_anchors._inner())) == commands


def test_firefox_s_file_is_json_that_it_reads(site: Site) -> None:
    assert json.loads(tasks._json({"policies": mozilla_policies(site, site.machine("vp01"))}))["policies"]
