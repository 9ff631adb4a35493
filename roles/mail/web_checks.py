"""Proves the web side of the role `mail`; `checks` takes these up as its own.

What programs and phones find there is asked from the desks that use it (role `mail_client`).
"""

from __future__ import annotations

import http.client
import http.cookiejar
import re
import secrets
import ssl
import urllib.error
import urllib.parse
import urllib.request

import pytest
from testinfra.host import Host

from deploy.inventory.mail_dns import sts_policy
from deploy.inventory.site import WEBMAIL, Site, SiteMachine
from deploy.runner.checking import each
from roles.mail.options import Options

LOOK = "On {machine}: `systemctl status nginx lienxa-webmail`, `journalctl -t roundcube -n 50`."
TOKEN = re.compile(r'name="_token" value="([^"]+)"')
HEADERS = {
    "Strict-Transport-Security": "max-age=63072000",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "X-Frame-Options": "SAMEORIGIN",
}
HIDDEN = ("/config/config.inc.php", "/SQL/sqlite.initial.sql", "/installer/", "/plugins/lienxa/lienxa.php")
OLD = {"1.0": ssl.TLSVersion.TLSv1, "1.1": ssl.TLSVersion.TLSv1_1}


@pytest.mark.needs("unit:nginx", "unit:lienxa-webmail")
@pytest.mark.next_step(LOOK)
def test_webmail_greets_in_vietnamese(site: Site, machine: SiteMachine) -> None:
    """Webmail on {machine} asks in Vietnamese who is there."""
    status, headers, page = _ask(site, machine, "/")
    assert status == http.client.OK
    assert headers["Content-Language"] == "vi"
    assert "Đăng nhập" in page or "Tên đăng nhập" in page


@pytest.mark.needs("unit:nginx")
@pytest.mark.next_step("Apply mail again; another file in /etc/nginx/conf.d may have taken over the name.")
@pytest.mark.parametrize("header", HEADERS)
def test_webmail_says(site: Site, machine: SiteMachine, header: str) -> None:
    """Webmail on {machine} tells browsers {header}, once."""
    _, headers, _ = _ask(site, machine, "/")
    assert headers.get_all(header) == [HEADERS[header]]


@pytest.mark.needs("unit:nginx")
def test_webmail_keeps_strangers_scripts_out(site: Site, machine: SiteMachine) -> None:
    """Browsers that show webmail of {machine} load nothing from anywhere else."""
    _, headers, _ = _ask(site, machine, "/")
    rules = dict(rule.strip().partition(" ")[::2] for rule in headers["Content-Security-Policy"].split(";"))
    assert rules["default-src"] == "'none'"
    assert all(re.fullmatch(r"('[a-z-]+'|data:|blob:)( ('[a-z-]+'|data:|blob:))*", given) for given in rules.values())


@pytest.mark.needs("mail.test_webmail_greets_in_vietnamese")
@pytest.mark.next_step("On {machine}: `doveadm auth test` with a wrong password must fail too.")
def test_webmail_refuses_a_wrong_password(site: Site, machine: SiteMachine) -> None:
    """Webmail on {machine} lets nobody in with a wrong password."""
    assert site.mail is not None
    jar = urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar())
    browser = urllib.request.build_opener(
        urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=_trusting()), jar
    )
    url = f"https://{site.mail.host_names[0]}/"
    found = TOKEN.search(browser.open(url, timeout=15).read().decode())
    assert found
    nobody = f"lienxa-{secrets.token_hex(4)}@{site.mail.domain}"
    form = {"_task": "login", "_action": "login", "_token": found[1], "_user": nobody, "_pass": "sai"}
    with pytest.raises(urllib.error.HTTPError) as refused:
        browser.open(f"{url}?_task=login", data=urllib.parse.urlencode(form).encode(), timeout=20)
    assert refused.value.code == http.client.UNAUTHORIZED


@pytest.mark.needs("unit:nginx")
@pytest.mark.parametrize("path", HIDDEN)
def test_webmail_hides(site: Site, machine: SiteMachine, path: str) -> None:
    """Webmail on {machine} does not hand out {path}."""
    assert _ask(site, machine, path)[0] in {http.client.NOT_FOUND, http.client.FORBIDDEN}


@pytest.mark.needs("unit:nginx")
@pytest.mark.parametrize("version", OLD)
def test_web_refuses_old_tls(host: Host, site: Site, machine: SiteMachine, version: str) -> None:
    """The web server of {machine} refuses TLS {version}."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_ciphers("DEFAULT@SECLEVEL=0")
    context.minimum_version = context.maximum_version = OLD[version]
    with pytest.raises(ssl.SSLError, match=r"(?i)protocol.version"):
        _connection(site, machine, context).connect()


@pytest.mark.needs("unit:nginx")
@pytest.mark.next_step("Which file of nginx answers for the name? `nginx -T | grep server_name` on {machine}.")
@each(lambda site, machine, options: [site.mail.host_names[3]] if site.mail and site.mail.server else [])
def test_policy_for_senders(site: Site, machine: SiteMachine, options: Options, name: str) -> None:
    """Senders find at {name} how our mail is to be handed over (MTA-STS)."""
    assert site.mail is not None
    status, _, text = _ask(site, machine, "/.well-known/mta-sts.txt", name)
    assert (status, text) == (http.client.OK, sts_policy(site.mail))


def _ask(
    site: Site, machine: SiteMachine, path: str, name: str | None = None
) -> tuple[int, http.client.HTTPMessage, str]:
    assert site.mail is not None
    asked = name or site.mail.host_names[0]
    connection = _connection(site, machine, _trusting(), asked)
    try:
        connection.request("GET", path, headers={"Host": asked})
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read().decode()
    finally:
        connection.close()


def _trusting() -> ssl.SSLContext:
    """The machine's own trust, with the commune's authority in it."""
    return ssl.create_default_context()


class _Named(http.client.HTTPSConnection):
    """A connection to an address that speaks for a name: no resolver is needed on the machine itself."""

    def __init__(self, name: str, address: str, context: ssl.SSLContext) -> None:
        host, _, port = address.rpartition(":")
        super().__init__(host, int(port), timeout=15, context=context)
        self._name, self._trust = name, context

    def connect(self) -> None:
        http.client.HTTPConnection.connect(self)
        self.sock = self._trust.wrap_socket(self.sock, server_hostname=self._name)


def _connection(site: Site, machine: SiteMachine, context: ssl.SSLContext, name: str | None = None) -> _Named:
    assert site.mail is not None
    offered = site.service(WEBMAIL, machine)
    assert offered is not None
    return _Named(name or site.mail.host_names[0], offered[1], context)
