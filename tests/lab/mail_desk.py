"""What people's programs do with mail: runs on a machine of the lab, told on standard input, prints JSON.

Standard library only, and by the machine's own trust: a server that a desk does not believe in fails here too.
"""

from __future__ import annotations

import base64
import contextlib
import email
import email.policy
import email.utils
import hashlib
import imaplib
import json
import random
import re
import smtplib
import ssl
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from email.message import EmailMessage
from typing import Any

SECONDS = 60
OLD_TLS = {"1.0": ssl.TLSVersion.TLSv1, "1.1": ssl.TLSVersion.TLSv1_1}


def send(asked: dict[str, Any]) -> dict[str, Any]:
    """Hand over one mail; what the server said, in the end."""
    try:
        with _submission(asked) as server:
            refused = server.send_message(_letter(asked), asked.get("envelope", asked["user"]), asked["to"])
    except smtplib.SMTPRecipientsRefused as error:
        refused = error.recipients
    except smtplib.SMTPResponseException as error:
        text = error.smtp_error.decode() if isinstance(error.smtp_error, bytes) else error.smtp_error
        return {"code": error.smtp_code, "text": text}
    for code, text in refused.values():
        return {"code": code, "text": text.decode()}
    return {"code": 250, "text": ""}


def many(asked: dict[str, Any]) -> list[str]:
    """Hand over many small mails, several at a time, while the server goes away and comes back; which were taken."""
    taken: list[str] = []
    numbers = iter(range(asked["count"]))
    lock = threading.Lock()

    def work() -> None:
        server = None
        while True:
            with lock:
                number = next(numbers, None)
            if number is None:
                break
            token = f"{asked['token']}-{number}"
            letter = _letter(asked | {"subject": token, "body": f"Thư số {number}."})
            for _ in range(200):
                try:
                    server = server or _connected(asked)
                    server.send_message(letter, asked["user"], asked["to"])
                except (OSError, smtplib.SMTPException):
                    # The same mail once more, as a mail program does; under another token, so that each counts once.
                    with contextlib.suppress(Exception):
                        server.close()  # type: ignore[union-attr]
                    server = None
                    time.sleep(0.5)
                    token += "+"
                    letter.replace_header("Subject", token)
                    letter.replace_header("Message-ID", email.utils.make_msgid(domain="kiem.tra"))
                else:
                    taken.append(token)
                    break

    with ThreadPoolExecutor(asked["at_once"]) as pool:
        for done in [pool.submit(work) for _ in range(asked["at_once"])]:
            done.result()
    return taken


def find(asked: dict[str, Any]) -> list[dict[str, Any]]:
    """What a search finds in a folder, waited for until there are so many."""
    with _mailbox(asked) as box:
        deadline = time.monotonic() + asked.get("seconds", SECONDS)
        while True:
            numbers = _search(box, asked)
            if len(numbers) >= asked.get("count", 1) or time.monotonic() > deadline:
                break
            time.sleep(0.5)
        return [_read(box, number) for number in numbers]


def subjects(asked: dict[str, Any]) -> list[str]:
    """Of all mails in the inbox that have this in their subject."""
    with _mailbox(asked) as box:
        numbers = _search(box, asked | {"where": "SUBJECT"})
        if not numbers:
            return []
        _, told = box.fetch(b",".join(numbers), "(BODY.PEEK[HEADER.FIELDS (SUBJECT)])")
    read = (email.message_from_bytes(one[1], policy=email.policy.default) for one in told if isinstance(one, tuple))
    return [str(message["Subject"]) for message in read]


def tries(asked: dict[str, Any]) -> list[str]:
    """What each of so many log-ins came to: `in`, `refused` or `no answer`."""
    return [_try(asked) for _ in range(asked["count"])]


def tls(asked: dict[str, Any]) -> dict[str, str]:
    """What becomes of old TLS at each port, and of a log-in without any."""
    found = {}
    for version, old in OLD_TLS.items():
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        context.set_ciphers("ALL:@SECLEVEL=0")
        context.minimum_version = context.maximum_version = old
        for name, connect in _ways(asked["host"], context).items():
            found[f"{name}, TLS {version}"] = _outcome(connect)
    with smtplib.SMTP(asked["host"], 587, timeout=SECONDS) as server:
        server.ehlo()
        found["587 in clear"] = "offered" if server.has_extn("auth") else "no log-in"
        found["587 in clear, all the same"] = str(server.docmd("AUTH", "PLAIN AG1hdQBtYXU=")[0])
    found["143"] = _outcome(lambda: imaplib.IMAP4(asked["host"], 143, timeout=5))
    return found


def _ways(host: str, context: ssl.SSLContext) -> dict[str, Any]:
    def starttls() -> None:
        with smtplib.SMTP(host, 587, timeout=SECONDS) as server:
            server.starttls(context=context)

    return {
        "993": lambda: imaplib.IMAP4_SSL(host, ssl_context=context, timeout=SECONDS),
        "465": lambda: smtplib.SMTP_SSL(host, context=context, timeout=SECONDS),
        "587": starttls,
    }


def _outcome(connect: Any) -> str:
    try:
        connect()
    except ssl.SSLError:
        return "refused"
    except OSError as error:
        return type(error).__name__
    return "taken"


def _try(asked: dict[str, Any]) -> str:
    try:
        with _mailbox(asked | {"timeout": 6}):
            return "in"
    except imaplib.IMAP4.error:
        return "refused"
    except OSError:
        return "no answer"


def _connected(asked: dict[str, Any]) -> smtplib.SMTP:
    if asked.get("port", 465) == 465:
        server: smtplib.SMTP = smtplib.SMTP_SSL(asked["host"], timeout=SECONDS, context=ssl.create_default_context())
    else:
        server = smtplib.SMTP(asked["host"], asked["port"], timeout=SECONDS)
        server.starttls(context=ssl.create_default_context())
    if asked["user"] and asked["password"]:
        server.login(asked["user"], asked["password"])
    return server


@contextlib.contextmanager
def _submission(asked: dict[str, Any]) -> Iterator[smtplib.SMTP]:
    server = _connected(asked)
    try:
        yield server
    finally:
        server.close()


@contextlib.contextmanager
def _mailbox(asked: dict[str, Any]) -> Iterator[imaplib.IMAP4_SSL]:
    timeout = asked.get("timeout", SECONDS)
    box = imaplib.IMAP4_SSL(asked["host"], ssl_context=ssl.create_default_context(), timeout=timeout)
    try:
        box.login(asked["user"], asked["password"])
        yield box
    finally:
        box.shutdown()


def _letter(asked: dict[str, Any]) -> EmailMessage:
    letter = EmailMessage()
    letter["From"] = email.utils.formataddr((asked.get("name", ""), asked.get("shown", asked["user"])))
    letter["To"] = ", ".join(asked["to"])
    letter["Subject"] = asked["subject"]
    letter["Date"] = email.utils.localtime()
    letter["Message-ID"] = email.utils.make_msgid(domain="kiem.tra")
    letter.set_content(asked.get("body", "Kính gửi.") + "\n")
    if size := asked.get("size"):
        content = random.Random(asked["subject"]).randbytes(int(size * 2**20))
        letter.add_attachment(content, maintype="application", subtype="pdf", filename=asked["file"])
    return letter


def _search(box: imaplib.IMAP4_SSL, asked: dict[str, Any]) -> list[bytes]:
    box.select(f'"{_on_the_line(asked.get("folder", "INBOX"))}"', readonly=True)
    box.literal = asked["words"].encode()
    status, told = box.search("UTF-8", asked.get("where", "TEXT"))
    assert status == "OK", told
    return list(told[0].split())


def _on_the_line(folder: str) -> str:
    """IMAP's own UTF-7 (RFC 3501, section 5.1.3)."""

    def coded(found: re.Match[str]) -> str:
        text = base64.b64encode(found[0].encode("utf-16be")).decode()
        return f"&{text.rstrip('=').replace('/', ',')}-"

    return re.sub(r"[^ -~]+", coded, folder.replace("&", "&-"))


def _read(box: imaplib.IMAP4_SSL, number: bytes) -> dict[str, Any]:
    _, told = box.fetch(number.decode(), "(BODY.PEEK[])")
    message = email.message_from_bytes(told[0][1], policy=email.policy.default)  # type: ignore[index, arg-type]
    body = message.get_body(("plain", "html"))
    parts = [(part.get_filename(), part.get_payload(decode=True)) for part in message.iter_attachments()]
    return {
        "subject": str(message["Subject"]),
        "from": [(one.display_name, one.addr_spec) for one in message["From"].addresses],
        "body": body.get_content() if body else "",
        "files": [(name, len(content), hashlib.sha256(content).hexdigest()) for name, content in parts],
        "headers": {name: str(value) for name, value in message.items()},
    }


VERBS = {"send": send, "many": many, "find": find, "subjects": subjects, "tries": tries, "tls": tls}

if __name__ == "__main__":
    given = json.loads(sys.stdin.read())
    sys.stdout.write(json.dumps(VERBS[given["do"]](given), ensure_ascii=False))
