"""Applies the role `signing`."""

from __future__ import annotations

import json

from deploy.inventory.site import SiteModule
from deploy.inventory.token_policies import (
    FIREFOX_OWNER,
    TOKENS,
    chromium_policies,
    mozilla_policies,
)
from deploy.runner.context import Context
from deploy.runner.handed import handed
from deploy.runner.operations import absent, no_others, packages, place, retire_units, units
from deploy.runner.operations.authorities import authorities
from deploy.runner.operations.checkers import CHECK_JSON, CHECK_SHELL
from deploy.runner.operations.system import plugged_in_again
from roles.signing.options import Options

MODULES = "/usr/local/lib/lienxa/pkcs11"
REGISTERED = "/etc/pkcs11/modules"
OPENSC = f"{REGISTERED}/opensc-pkcs11.module"
"""Beside the package's own file of that name, and over it."""
WHO_MAY = "/etc/polkit-1/rules.d/40-lienxa-signing.rules"
READERS = "/etc/udev/rules.d/70-lienxa-signing.rules"
"""Before 73-seat-late.rules, which gives what is tagged to who sits there."""
STORE = "/usr/local/lib/lienxa/token-store"
CHROMIUM_START = "/etc/chromium.d/lienxa-signing"
CHROMIUM_POLICIES = "/etc/chromium/policies/managed/lienxa-signing.json"
FIREFOX_POLICIES = "/etc/firefox/policies/policies.json"
LOGIN = "/etc/profile.d/lienxa-signing.sh"
DESKTOP = "/etc/X11/Xsession.d/60lienxa-signing"
SOCKET = "/etc/systemd/system/pcscd.socket.d/lienxa.conf"
SEAT_PATH = "/etc/systemd/system/lienxa-reader-seat.path"
SEAT_SERVICE = "/etc/systemd/system/lienxa-reader-seat.service"
SEAT_SCRIPT = "/usr/local/lib/lienxa/reader-seat"
SEAT_VALUES = {
    "seat": "/run/systemd/seats/seat0",
    "socket": "/run/pcscd/pcscd.comm",
    "seat_script": SEAT_SCRIPT,
}
TOKEN_SUBSYSTEMS = ("usb", "hidraw", "scsi_generic")

_ANOTHER_PROCESSOR = "this machine's processor is another than the module's"


def install(ctx: Context[Options]) -> None:
    """Packages, once it is sure that the kit has every module as the inventory has it."""
    for module in ctx.site.modules:
        handed(module.sha256, module.file)
    packages(ctx)


def configure(ctx: Context[Options]) -> None:
    """Whom to believe in, the modules, who may use a reader, and what programs are told of it."""
    authorities(ctx, ctx.site.authorities)
    _modules(ctx)
    _who_may(ctx)
    _programs(ctx)


def activate(ctx: Context[Options]) -> None:
    """The socket, and who may use it; pcscd itself is started by who asks for a reader."""
    units(ctx, files=[SOCKET, SEAT_PATH, SEAT_SERVICE])


def retire(ctx: Context[Options]) -> None:
    """Unregister everything. Packages stay, and so do people's own stores, which then lead to nothing."""
    authorities(ctx, ())
    no_others(REGISTERED, "lienxa-*.module", ())
    no_others(MODULES, "*.so", ())
    for path in (OPENSC, STORE, CHROMIUM_START, CHROMIUM_POLICIES, LOGIN, DESKTOP, READERS, WHO_MAY):
        absent(path)
    if FIREFOX_OWNER not in ctx.machine.roles:
        absent(FIREFOX_POLICIES)
    retire_units(ctx)
    for path in (SOCKET, SEAT_PATH, SEAT_SERVICE, SEAT_SCRIPT):
        absent(path)


def module_file(module: SiteModule) -> str:
    """Where a vendor's module is on the machine."""
    return f"{MODULES}/{module.name}.so"


def check_module(module: SiteModule) -> str:
    """The shell command that says whether this machine can load it; `{}` stands for the file."""
    return (
        f'{{ [ "$(uname -m)" = {module.architecture} ] || {{ echo "{_ANOTHER_PROCESSOR}"; exit 1; }}; }} && '
        "! ldd {} | grep 'not found'"
    )


def _modules(ctx: Context[Options]) -> None:
    registrations = []
    for module in ctx.site.modules:
        place(ctx, module_file(module), content=handed(module.sha256, module.file), validate=check_module(module))
        registrations.append(f"{REGISTERED}/lienxa-{module.name}.module")
        values = {"module": module, "file": module_file(module)}
        place(ctx, registrations[-1], template=f"signing{REGISTERED}/lienxa-vendor.module.j2", values=values)
    # What is not registered is not loaded any more: only then may the file go.
    no_others(REGISTERED, "lienxa-*.module", registrations)
    no_others(MODULES, "*.so", [module_file(module) for module in ctx.site.modules])
    if ctx.options.opensc:
        absent(OPENSC)
    else:
        place(ctx, OPENSC)


def _who_may(ctx: Context[Options]) -> None:
    place(ctx, WHO_MAY)
    rules = place(ctx, READERS)
    plugged_in_again(*TOKEN_SUBSYSTEMS, _if=rules.did_change)
    place(ctx, SEAT_SCRIPT, mode="0755", values=SEAT_VALUES, validate=CHECK_SHELL)
    for path in (SOCKET, SEAT_PATH, SEAT_SERVICE):
        place(ctx, path, values=SEAT_VALUES)


def _programs(ctx: Context[Options]) -> None:
    values = {"tokens": TOKENS}
    place(ctx, STORE, mode="0755", values=values, validate=CHECK_SHELL)
    for path in (CHROMIUM_START, LOGIN, DESKTOP):
        place(ctx, path, values={"store": STORE, "login": LOGIN}, validate=CHECK_SHELL)
    place(ctx, CHROMIUM_POLICIES, content=_json(chromium_policies(ctx.site)), validate=CHECK_JSON)
    if FIREFOX_OWNER not in ctx.machine.roles:
        policies = {"policies": mozilla_policies(ctx.site, ctx.machine)}
        place(ctx, FIREFOX_POLICIES, content=_json(policies), validate=CHECK_JSON)


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, indent=2) + "\n"
