"""Proves the role `video_client`: who may see and hear, that the service answers, the sound, and a room's lobby."""

from __future__ import annotations

import http
import json
import os
import subprocess
import tempfile
import time
import urllib.request
from urllib.parse import urlsplit

import pytest
from testinfra.host import Host

from deploy.inventory.site import Site, SiteMachine, SiteMeetingService, SiteSipService
from deploy.inventory.urls import HTTPS
from deploy.runner.checking import each
from deploy.runner.observe import knock
from roles.video_client import lobby, sip, tasks
from roles.video_client.chromium import LOBBY, lobby_policies, policies
from roles.video_client.options import Options

SOUND_SECONDS = 10
REGISTERED_SECONDS = 20
"""A telephone that has just been started needs a few."""
NODES = ("lienxa.microphone", "lienxa.loudspeaker")


def _service(site: Site, machine: SiteMachine, options: Options) -> list[SiteMeetingService]:
    return [site.upstream.meeting] if site.upstream.meeting else []


def _echo_room(site: Site, machine: SiteMachine, options: Options) -> list[str]:
    return [service.echo for service in _service(site, machine, options) if service.echo]


def _service_with_echo(site: Site, machine: SiteMachine, options: Options) -> list[SiteMeetingService]:
    return _service(site, machine, options) if options.echo_cancellation else []


def _sip(site: Site, machine: SiteMachine, options: Options) -> list[tuple[SiteSipService, str]]:
    service = sip.service_of(site, machine)
    return [(service, machine.sip)] if service and machine.sip else []


def _service_of_a_lobby(site: Site, machine: SiteMachine, options: Options) -> list[SiteMeetingService]:
    return _service(site, machine, options) if lobby.wanted(site, machine, options) else []


@pytest.mark.next_step("On {machine}: `chromium` opened at chrome://policy says what it read; apply video_client.")
@each(_service)
def test_only_the_service_sees_and_hears(
    host: Host, site: Site, machine: SiteMachine, options: Options, service: SiteMeetingService
) -> None:
    """Chromium on {machine} gives camera, microphone and screen to {service.title} and to nobody else."""
    wanted = policies(service, lobby=lobby.wanted(site, machine, options))
    assert json.loads(host.file(tasks.POLICY).content_string) == wanted
    assert service.url in host.file(tasks.JOIN).content_string


@pytest.mark.next_step("Is the line up? `lienxa doctor` with --topic network; then ask the service's operator.")
@each(_service)
def test_service_answers(service: SiteMeetingService) -> None:
    """{service.url} answers {machine}, with a certificate that is believed."""
    parts = urlsplit(service.url)
    knocked = knock(parts.hostname or "", parts.port or HTTPS)
    assert knocked.outcome == "good", f"{knocked.outcome} {knocked.reason}"


@pytest.mark.needs("video_client.test_service_answers")
@pytest.mark.next_step("Is upstream.meeting.echo what the service's operator says? Open {echo} in a browser.")
@each(_echo_room)
def test_echo_room_answers(echo: str) -> None:
    """{echo} is there, so that a call can be tried from {machine}."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(echo, timeout=10) as answer:
        assert answer.status == http.HTTPStatus.OK


@pytest.mark.needs("package:pipewire-bin", "package:libspa-0.2-modules")
@pytest.mark.next_step("On {machine}, as who signs in: `systemctl --user status pipewire`; apply video_client.")
@each(_service_with_echo)
def test_echo_is_taken_out(service: SiteMeetingService) -> None:
    """PipeWire on {machine} offers a microphone and a loudspeaker without echo for {service.title}."""
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "HOME": folder, "XDG_RUNTIME_DIR": folder, "PIPEWIRE_RUNTIME_DIR": folder}
        # One of its own, beside those of who is signed in, with the machine's configuration.
        server = subprocess.Popen(["pipewire"], env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            shown = _nodes(environment)
        finally:
            server.terminate()
            server.wait(SOUND_SECONDS)
    assert [node for node in NODES if node not in shown] == []


@pytest.mark.next_step("On {machine}: `systemctl status lienxa-lobby lightdm`; apply video_client.")
@each(_service_of_a_lobby)
def test_room_starts_into_its_lobby(
    host: Host, site: Site, machine: SiteMachine, options: Options, service: SiteMeetingService
) -> None:
    """Whoever comes into {machine} finds its lobby, which leads to {service.title} and nowhere else."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(f"{LOBBY}/", timeout=5) as answer:
        page = answer.read().decode()
    assert f"Phòng họp {site.commune.name}" in page
    assert [meeting.title for meeting in lobby.meetings(site, machine) if meeting.at not in page] == []
    assert json.loads(host.file(lobby.POLICY).content_string) == lobby_policies(service)
    assert f"autologin-user={lobby.USER}" in host.file(lobby.GREETER).content_string
    assert host.user(lobby.USER).exists
    assert host.service(f"{lobby.NIGHT}.timer").is_running


@pytest.mark.next_step(
    "Refused: ask the province for the password of {account}, `lienxa secrets set {site.commune.slug} "
    "video_client.sip_{account}`, apply video_client. No answer: `lienxa doctor` with --topic network. On {machine}: "
    "`journalctl -u lienxa-sip -n 30`."
)
@each(_sip)
def test_room_is_registered(host: Host, service: SiteSipService, account: str) -> None:
    """{machine} is registered as {account} at {service.registrar}: {service.title} can call it."""
    said = host.run("lienxa-sip status")
    until = time.monotonic() + REGISTERED_SECONDS
    while said.rc and time.monotonic() < until:
        time.sleep(0.5)
        said = host.run("lienxa-sip status")
    assert not said.rc, f"{said.stdout or said.stderr}{_why(host)}"


def _why(host: Host) -> str:
    """What the telephone says itself: `Register: 401 Unauthorized`."""
    lines = host.run(f"journalctl -u {sip.SERVICE} -n 50 -o cat").stdout.splitlines()
    return next((line for line in reversed(lines) if "reg: sip:" in line), "")


def _nodes(environment: dict[str, str]) -> str:
    """What PipeWire tells of its nodes, once ours are among them or time is up."""
    until = time.monotonic() + SOUND_SECONDS
    while True:
        ask = ["pw-cli", "ls", "Node"]
        asked = subprocess.run(ask, env=environment, capture_output=True, text=True, check=False, timeout=20)
        if all(node in asked.stdout for node in NODES) or time.monotonic() > until:
            return asked.stdout
        time.sleep(0.1)
