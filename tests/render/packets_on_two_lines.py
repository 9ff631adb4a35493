"""Run in a container: a desk, a gateway with the rendered rules and watcher, two carriers, and who is far.

A call (UDP) goes from the desk to the far side and back all the time; the first line answers late. Then the first
carrier goes dumb somewhere beyond its first router, so that no cable is out; later it is there again. Arguments: the
gateway's address in the desk's zone with its length; the desk's; the gateway's interface there; the file of rules;
the watcher's settings; the watcher. Prints JSON: for how long the call was interrupted by the one and the other, and
by which lines it and new ones went.
"""

import json
import shutil
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path

GATEWAY, DESK, ZONE, RULES, SETTINGS, WATCHER = sys.argv[1:]
FAR, CALL_PORT = "198.51.100.9", 3478
LONGEST_WAIT = 60

# Answers DNS as a root server does (only the header is looked at), by the first line as late as where large transfers
# fill it; and calls with the address that they come from.
FAR_SIDE = """
import select, socket, time
LATE = 1.6
names = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
names.bind(("198.51.100.9", 53))
call = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
call.bind(("198.51.100.9", 3478))
held = []
print("ready", flush=True)
while True:
    wait = max(0, held[0][0] - time.monotonic()) if held else None
    for channel in select.select([names, call], [], [], wait)[0]:
        data, sender = channel.recvfrom(2000)
        if channel is names:
            late = LATE if sender[0] == "203.0.113.10" else 0
            held.append((time.monotonic() + late, data[:2] + bytes([0x84, 0]) + data[4:], sender))
            held.sort()
        else:
            channel.sendto(data + sender[0].encode(), sender)
    while held and held[0][0] <= time.monotonic():
        names.sendto(*held.pop(0)[1:])
"""
# Twenty packets a second by one socket for the time asked; `[when sent, by which address it came out]` of each as one
# line of JSON, null for the address where it did not come back.
CALL = """
import json, socket, struct, sys, threading, time
call = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
call.connect((sys.argv[1], int(sys.argv[2])))
call.settimeout(0.2)
end, sent, come = time.time() + float(sys.argv[3]), [], {}
def listen():
    while time.time() < end + 1:
        try:
            data = call.recv(2000)
        except OSError:
            continue
        come[struct.unpack("!d", data[:8])[0]] = data[8:].decode()
listener = threading.Thread(target=listen)
listener.start()
while time.time() < end:
    sent.append(time.time())
    try:
        call.send(struct.pack("!d", sent[-1]))
    except OSError:
        pass
    time.sleep(0.05)
listener.join()
print(json.dumps([[one, come.get(one)] for one in sent]))
"""


def run(words: str) -> None:
    subprocess.run(words.split(), check=True)


def wire(stack: ExitStack) -> None:
    for name in ("desk", "first", "second", "far"):
        run(f"ip netns add {name}")
        stack.callback(run, f"ip netns delete {name}")
    run(f"ip link add {ZONE} type veth peer name eth0 netns desk")
    interfaces = [("", ZONE, GATEWAY), ("-n desk ", "eth0", DESK)]
    for number, carrier in enumerate(("first", "second")):
        run(f"ip link add wan{number} type veth peer name near netns {carrier}")
        run(f"ip -n {carrier} link add away type veth peer name of-{carrier} netns far")
        interfaces += [
            ("", f"wan{number}", f"203.0.113.{64 * number + 10}/26"),
            (f"-n {carrier} ", "near", f"203.0.113.{64 * number + 1}/26"),
            (f"-n {carrier} ", "away", f"192.0.2.{64 * number + 1}/26"),
            ("-n far ", f"of-{carrier}", f"192.0.2.{64 * number + 2}/26"),
        ]
    for place, device, address in interfaces:
        run(f"ip {place}address add {address} dev {device}")
        run(f"ip {place}link set {device} up")
    run(f"ip -n far address add {FAR}/32 dev lo")
    run("ip -n far link set lo up")
    run(f"ip -n desk route add default via {GATEWAY.partition('/')[0]}")
    for number, carrier in enumerate(("first", "second")):
        # As systemd-networkd has them from the rendered files.
        run(f"ip route add default via 203.0.113.{64 * number + 1} dev wan{number} table {1000 + number}")
        run(f"ip -n {carrier} route add {FAR}/32 via 192.0.2.{64 * number + 2}")
        run(f"ip -n far route add 203.0.113.{64 * number}/26 via 192.0.2.{64 * number + 1}")
    # Of /proc/sys only net.* is this namespace's own.
    run("mount --bind /proc/sys/net /proc/sys/net")
    stack.callback(run, "umount /proc/sys/net")
    run("mount -o remount,rw,bind /proc/sys/net")
    run("sysctl -qw net.ipv4.ip_forward=1 net.ipv4.conf.all.rp_filter=2")
    for carrier in ("first", "second", "far"):
        run(f"ip netns exec {carrier} sysctl -qw net.ipv4.ip_forward=1 net.ipv4.conf.all.rp_filter=0")


def started(stack: ExitStack, command: list[str]) -> subprocess.Popen[str]:
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    stack.callback(process.wait)
    stack.callback(process.kill)
    return process


def in_(place: str, program: str, *arguments: object) -> list[str]:
    return ["ip", "netns", "exec", place, "python3", "-c", program, *map(str, arguments)]


def until_in_use(state: Path, name: str) -> float:
    """Wait until the watcher says so; when that was."""
    until = time.time() + LONGEST_WAIT
    while time.time() < until:
        if state.exists() and json.loads(state.read_text())["in_use"] == name:
            return time.time()
        time.sleep(0.05)
    raise SystemExit(f"{name} was never taken: {state.read_text() if state.exists() else 'nothing is watched'}")


def longest_gap(packets: list[tuple[float, str | None]], begin: float, end: float) -> float:
    """Seconds in which what was sent between two moments did not come back. Who is slow to send makes no gap."""
    longest, since = 0.0, None
    for sent, address in packets:
        if begin <= sent <= end:
            since = None if address else since or sent
            longest = max(longest, sent - since if since else 0.0)
    return longest


def by(packets: list[tuple[float, str | None]], begin: float, end: float) -> list[str]:
    return sorted({address for sent, address in packets if address and begin <= sent <= end})


with ExitStack() as stack:
    wire(stack)
    run(f"nft -f {RULES}")
    Path("/etc/lienxa").mkdir(exist_ok=True)
    shutil.copy(SETTINGS, "/etc/lienxa/lines.json")
    settings = json.loads(Path(SETTINGS).read_text())
    state = Path(settings["state"])
    state.unlink(missing_ok=True)
    far = started(stack, in_("far", FAR_SIDE))
    assert far.stdout
    assert far.stdout.readline() == "ready\n"
    started(stack, ["python3", WATCHER])
    until_in_use(state, "fibre")
    begun = time.time()
    call = started(stack, in_("desk", CALL, FAR, CALL_PORT, 25 + settings["return_seconds"]))
    # Longer than a line may be silent: one whose answers are late is none that is dead.
    time.sleep(6)
    dumb = time.time()
    run("ip -n first link set away down")
    moved = until_in_use(state, "leased")
    time.sleep(2)
    again = time.time()
    run("ip -n first link set away up")
    run(f"ip -n first route replace {FAR}/32 via 192.0.2.2")
    run("ip -n far route replace 203.0.113.0/26 via 192.0.2.1")
    back = until_in_use(state, "fibre")
    new = json.loads(subprocess.check_output(in_("desk", CALL, FAR, CALL_PORT, 2), text=True))
    packets = json.loads(call.communicate(timeout=LONGEST_WAIT)[0])
    ended = packets[-1][0] - 1
    result = {
        "interrupted": longest_gap(packets, dumb, again),
        "moved_after": moved - dumb,
        "returned_after": back - again,
        "interrupted_by_return": longest_gap(packets, again, ended),
        "before": by(packets, begun, dumb),
        "after": by(packets, moved + 1, ended),
        "new": by(new, 0, time.time()),
    }
    sys.stdout.write(json.dumps(result))
