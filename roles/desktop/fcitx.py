"""What Fcitx makes of what is typed, asked of one of its own over D-Bus: no screen, no window, no account is needed.

Run as a program inside `dbus-run-session`, with Debian's own Python: it starts Fcitx with an empty home, so with the
machine's settings, types its first argument and prints what a program's text field would have got.
"""

from __future__ import annotations

import subprocess
import sys
import time

SERVICE = "org.fcitx.Fcitx5"
COMMIT = 0
SECONDS = 20.0


def main(text: str) -> None:
    """Type the text and a space; print what was committed."""
    daemon = subprocess.Popen(["fcitx5"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        sys.stdout.write(f"{_typed(f'{text} ')}\n")
    finally:
        daemon.terminate()
        daemon.wait(10)


def _typed(text: str) -> str:
    import dbus  # type: ignore[import-not-found]  # noqa: PLC0415 - Debian's, not the kit's

    bus = dbus.SessionBus()
    deadline = time.monotonic() + SECONDS
    while not bus.name_has_owner(SERVICE):
        if time.monotonic() > deadline:
            raise SystemExit("Fcitx did not begin")
        time.sleep(0.05)
    method = dbus.Interface(
        bus.get_object(SERVICE, "/org/freedesktop/portal/inputmethod"), "org.fcitx.Fcitx.InputMethod1"
    )
    path, _ = method.CreateInputContext(dbus.Array([("program", "lienxa")], signature="(ss)"))
    context = dbus.Interface(bus.get_object(SERVICE, path), "org.fcitx.Fcitx.InputContext1")
    context.FocusIn()
    committed = ""
    for sign in text:
        events, taken = context.ProcessKeyEventBatch(
            dbus.UInt32(ord(sign)), dbus.UInt32(0), dbus.UInt32(0), dbus.Boolean(False), dbus.UInt32(0)
        )
        committed += "".join(str(value) for kind, value in events if kind == COMMIT)
        committed += "" if taken else sign
    return committed.rstrip()


if __name__ == "__main__":
    main(sys.argv[1])
