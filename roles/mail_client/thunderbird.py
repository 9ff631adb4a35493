"""A Thunderbird without a screen and with a profile of its own, asked what it makes of a machine.

It is driven by Marionette, its own remote control, on a port of loopback that it picks itself; standard library
only. As a program it is given an address, a name and addresses of offices, and the password on standard input; it
prints what was found.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

USER = "nobody"
"""Whose Thunderbird it is: nobody's mail is where that one could find it."""
START_SECONDS = 25.0
SCRIPT_SECONDS = 60
_SETTINGS = 'user_pref("marionette.port", 0);\n'
_PORT_FILE = "MarionetteActivePort"
_COMMAND = ("thunderbird", "--headless", "--no-remote", "--marionette", "--remote-allow-system-access", "--profile")

_ASK = """
const [address, name, password, web, offices] = arguments;
const {MailServices} = ChromeUtils.importESModule("resource:///modules/MailServices.sys.mjs");
const setup = file => ChromeUtils.importESModule(`resource:///modules/accountcreation/${file}.sys.mjs`)[file];
const until = async found => {
  for (let turn = 0; turn < 100; turn++) {
    const value = found();
    if (value) return value;
    await new Promise(next => setTimeout(next, 100));
  }
  return null;
};
const search = setup("FindConfig").parallelAutoDiscovery(
  address.split("@")[1], address, new AbortController().signal, password);
let config, turn;
do { turn = await search.next(); config = turn.value; } while (!turn.done);
const server = one => ({host: one.hostname, port: one.port, user: one.username, tls: one.socketType === 3});
const told = {
  language: Services.locale.appLocaleAsBCP47,
  telemetry: Services.prefs.getBoolPref("datareporting.healthreport.uploadEnabled"),
  policies: Object.keys(Services.policies.getActivePolicies() ?? {}),
  found: Boolean(config),
};
if (web) {
  told.web = await fetch(web, {cache: "no-store"}).then(answer => answer.status, error => String(error));
}
if (config) {
  setup("AccountConfig").replaceVariables(config, name, address, password);
  told.imap = server(config.incoming);
  told.submission = server(config.outgoing);
  if (password) {
    const verifier = new (setup("ConfigVerifier"))(null, new AbortController().signal);
    told.loggedIn = await verifier.verifyConfig(config).then(() => true, error => String(error));
  }
  config.rememberPassword = Boolean(password);
  const account = await setup("CreateInBackend").createAccountInBackend(config);
  const identity = account.defaultIdentity;
  await until(() => identity.htmlSigText);
  told.signature = identity.htmlSigText;
  const addresses = () => account.identities.map(one => one.email).sort();
  await until(() => offices.every(one => addresses().includes(one)));
  told.writesAs = addresses();
  if (told.loggedIn === true) {
    const incoming = MailServices.accounts.getAccount(account.key).incomingServer;
    incoming.performExpand(null);
    const inbox = await until(() => incoming.rootFolder.getFolderWithFlags(Ci.nsMsgFolderFlags.Inbox));
    inbox.updateFolder(null);
    await until(() => [...inbox.messages].length);
    told.subjects = [...inbox.messages].map(mail => mail.mime2DecodedSubject);
  }
}
const ours = () => MailServices.ab.directories.filter(book => book.dirName.startsWith("Danh bạ "));
await until(() => ours().some(book => [...book.childCards].length));
told.books = ours().map(book => ({
  name: book.dirName,
  people: [...book.childCards].map(card => [card.displayName, card.primaryEmail]).sort(),
}));
return told;
"""


def ask(address: str, name: str, *, password: str = "", web: str = "", offices: Sequence[str] = ()) -> dict[str, Any]:
    """What a fresh Thunderbird on this machine makes of an address: see `_ASK` for the answers.

    With a password it logs in and reads the inbox; with `web` it opens that page and says with which status, or why
    not; it waits until one can write under the addresses of `offices`. Raises ThunderbirdError where Thunderbird does
    not start or does not answer.
    """
    with _profile() as profile, _running(profile) as remote:
        answer: dict[str, Any] = remote.run(_ASK, address, name, password, web, list(offices))
        return answer


class ThunderbirdError(RuntimeError):
    """It does not start, or does not answer as it did when this was written."""


class _Remote:
    """One connection of Marionette's: frames of `length:JSON`."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=SCRIPT_SECONDS + 10)
        self._file = self._socket.makefile("rb")
        self._last = 0
        self._read()

    def call(self, command: str, **values: object) -> Any:  # noqa: ANN401 - JSON of any shape
        self._last += 1
        frame = json.dumps([0, self._last, command, values]).encode()
        self._socket.sendall(b"%d:%s" % (len(frame), frame))
        _, _, error, result = self._read()
        if error:
            raise ThunderbirdError(f"Thunderbird refused {command}: {error['message']}")
        return result

    def run(self, script: str, *arguments: object) -> Any:  # noqa: ANN401 - JSON of any shape
        """What an asynchronous script gives, run with the program's own rights."""
        wrapped = (
            "const answer = arguments[arguments.length - 1];"
            f"(async function() {{ {script} }}).apply(null, arguments)"
            ".then(value => answer({value}), error => answer({error: `${error} ${error.stack}`}));"
        )
        limit = SCRIPT_SECONDS * 1000
        given = self.call("WebDriver:ExecuteAsyncScript", script=wrapped, args=list(arguments), scriptTimeout=limit)
        if "error" in given["value"]:
            raise ThunderbirdError(f"Thunderbird failed: {given['value']['error']}")
        return given["value"]["value"]

    def _read(self) -> Any:  # noqa: ANN401 - JSON of any shape
        length = b""
        while not length.endswith(b":"):
            byte = self._file.read(1)
            if not byte:
                raise ThunderbirdError("Thunderbird ended before it answered")
            length += byte
        return json.loads(self._file.read(int(length[:-1])))


@contextmanager
def _profile() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="lienxa-thunderbird-"))
    try:
        (folder / "user.js").write_text(_SETTINGS, encoding="utf-8")
        if os.geteuid() == 0:
            for path in (folder, folder / "user.js"):
                shutil.chown(path, USER)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _running(profile: Path) -> Iterator[_Remote]:
    (profile / _PORT_FILE).unlink(missing_ok=True)
    environment = {"HOME": str(profile), "LANG": "vi_VN.UTF-8", "PATH": os.environ.get("PATH", "/usr/bin:/bin")}
    process = subprocess.Popen(
        [*_COMMAND, str(profile)],
        env=environment,
        cwd=profile,
        user=USER if os.geteuid() == 0 else None,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        remote = _Remote(_port(profile, process))
        remote.call("WebDriver:NewSession", capabilities={})
        remote.call("Marionette:SetContext", value="chrome")
        yield remote
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _port(profile: Path, process: subprocess.Popen[bytes]) -> int:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise ThunderbirdError(f"Thunderbird did not start: it ended with {process.returncode}")
        written = profile / _PORT_FILE
        if written.exists() and (port := written.read_text(encoding="utf-8").strip()):
            return int(port)
        time.sleep(0.1)
    raise ThunderbirdError(f"Thunderbird did not start within {START_SECONDS:g} s")


if __name__ == "__main__":
    given = "" if sys.stdin.isatty() else sys.stdin.readline().rstrip("\n")
    sys.stdout.write(json.dumps(ask(*sys.argv[1:3], password=given, offices=sys.argv[3:]), ensure_ascii=False))
