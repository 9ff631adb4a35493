"""An official at webmail, in a real Chromium: runs inside a container, told on standard input, prints JSON."""

from __future__ import annotations

import base64
import json
import re
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import WebDriverWait

SECONDS = 25
TEXT = "Kính gửi: Bà Trần Thị Ví Dụ. Đề nghị xử lý: ngữ nghĩa, ẩn, ưỡn, ợ, ỷ, Đ."
POLICY = Path("/etc/chromium/policies/managed/lienxa-test.json")
WIDTH, HEIGHT = 1280, 800
ENGLISH = re.compile(r"\b(the|search|options?|list|mark|selected|message|recipients?|senders?|dark)\b", re.IGNORECASE)
"""Words that give away a label that nobody translated."""


class Official:
    """A Chromium of somebody's own."""

    def __init__(self, told: dict[str, str]) -> None:
        self.told = told
        options = webdriver.ChromeOptions()
        profile = tempfile.mkdtemp(prefix="chromium-")
        for argument in (
            "--headless=new",
            "--no-sandbox",
            f"--window-size={WIDTH},{HEIGHT}",
            "--lang=vi",
            f"--user-data-dir={profile}",
        ):
            options.add_argument(argument)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        self.browser = webdriver.Chrome(options=options, service=Service("/usr/bin/chromedriver"))
        self.refused: list[str] = []

    def all(self, selector: str) -> list[WebElement]:
        return [one for one in self.browser.find_elements(By.CSS_SELECTOR, selector) if one.is_displayed()]

    def until(self, found: Callable[[], object]) -> object:
        return WebDriverWait(self.browser, SECONDS, ignored_exceptions=[Exception]).until(lambda _: found())

    def click(self, selector: str) -> None:
        self.until(lambda: self.all(selector) and (self.all(selector)[0].click() or True))

    def open(self, path: str) -> None:
        self._note()
        self.browser.get(f"https://{self.told['host']}/{path}")

    def log_in(self, address: str, password: str) -> None:
        self.open("")
        self.browser.find_element(By.ID, "rcmloginuser").send_keys(address)
        self.browser.find_element(By.ID, "rcmloginpwd").send_keys(password)
        self.click("#rcmloginsubmit")
        self.until(lambda: self.all("#mailboxlist li"))

    def english(self) -> list[str]:
        words = [line for line in self.browser.find_element(By.TAG_NAME, "body").text.splitlines() if "@" not in line]
        return sorted({line for line in words if ENGLISH.search(line)})

    def end(self) -> None:
        self._note()
        self.browser.quit()

    def _note(self) -> None:
        for entry in self.browser.get_log("browser"):
            if "Content Security Policy" in entry["message"] or "EvalError" in entry["message"]:
                self.refused.append(entry["message"])


def write(official: Official, seen: dict[str, object]) -> None:
    told = official.told
    official.open("?_task=mail&_action=compose")
    official.until(lambda: official.all("#composebody_ifr"))
    official.click(".recipient-input input")
    official.all(".recipient-input input")[0].send_keys("tran thi")
    official.until(lambda: official.all("#rcmKSearchpane li"))
    seen["found_by_bare_letters"] = [one.text for one in official.all("#rcmKSearchpane li")]
    official.click("#rcmKSearchpane li")
    official.all("#compose-subject")[0].send_keys(told["subject"])
    seen["from"] = [one.text for one in official.browser.find_elements(By.CSS_SELECTOR, "#_from option")]
    official.browser.switch_to.frame("composebody_ifr")
    official.until(lambda: "@" in official.browser.find_element(By.ID, "tinymce").text)
    seen["signature"] = official.browser.find_element(By.ID, "tinymce").text.strip()
    official.browser.execute_script(
        "const line = document.createElement('p'); line.textContent = arguments[0]; document.body.prepend(line)", TEXT
    )
    official.browser.switch_to.default_content()
    file = Path(tempfile.mkdtemp()) / told["attachment"]
    file.write_text("đính kèm\n", encoding="utf-8")
    official.browser.find_element(By.CSS_SELECTOR, "input[type=file]").send_keys(str(file))
    official.until(lambda: any(told["attachment"] in one.text for one in official.all("#attachment-list li")))
    seen["english"] = [*seen.get("english", []), *official.english()]  # type: ignore[misc]
    official.click(".send")
    official.until(lambda: "compose" not in official.browser.current_url)


def read(official: Official) -> dict[str, object]:
    told = official.told

    def there() -> list[WebElement]:
        official.click("a.refresh")
        return [one for one in official.all("#messagelist tbody tr") if told["subject"] in one.text]

    official.until(there)
    uid = official.browser.execute_script("return rcmail.message_list.get_first_row()")
    official.open(f"?_task=mail&_mbox=INBOX&_uid={uid}&_action=show")
    official.until(lambda: official.all("#message-htmlpart1, .message-htmlpart, .message-part"))
    official.until(lambda: not official.all("#messagestack .loading"))
    official.browser.save_screenshot("/root/webmail.png")
    body = official.browser.find_element(By.ID, "messagebody").text
    return {
        "subject": official.browser.find_element(By.CSS_SELECTOR, "#message-header .subject").text.splitlines()[0],
        "from": official.browser.find_element(By.CSS_SELECTOR, "#message-header .adr").text,
        "attachments": [one.text.splitlines()[0] for one in official.all("#attachment-list li .attachment-name")],
        "diacritics": TEXT in body,
    }


def main() -> None:
    told = json.loads(sys.stdin.read())
    der = base64.b64encode(base64.b64decode("".join(told["anchor"].split("-----")[2].split()))).decode()
    POLICY.parent.mkdir(parents=True, exist_ok=True)
    POLICY.write_text(json.dumps({"CACertificates": [der]}), encoding="utf-8")
    seen: dict[str, object] = {}
    refused: list[str] = []
    writer = Official(told)
    try:
        writer.log_in(told["address"], told["password"])
        seen["english"] = writer.english()
        write(writer, seen)
    finally:
        writer.end()
        refused += writer.refused
    reader = Official(told)
    try:
        reader.log_in(told["to"], told["to_password"])
        seen["arrived"] = read(reader)
    finally:
        reader.end()
        refused += reader.refused
    seen["refused_by_policy"] = refused
    sys.stdout.write(json.dumps(seen, ensure_ascii=False))


if __name__ == "__main__":
    main()
