"""Run in a container: a desk, a gateway with the rendered rules and queues, a provider's box, and a far side.

The box holds a second of packets each way, as the boxes of carriers do. A call (UDP) goes from the desk to the far
side and back while a large transfer (TCP) fills the line, once with the gateway's queues and once without.
Arguments: which way is filled, `up` or `down`; the line's rates up and down in bit/s; the gateway's address in the
desk's zone with its length; the desk's; the gateway's interface there; the file of rules; the file that shapes.
Prints JSON: what the call was like, and the marks that arrived.
"""

import json
import statistics
import subprocess
import sys
import time
from contextlib import ExitStack

WAY, UP, DOWN, GATEWAY, DESK, ZONE, RULES, SHAPE = sys.argv[1:]
PUBLIC, BOX, FAR = "203.0.113.10", "203.0.113.1", "198.51.100.9"
CALL_PORT, TRANSFER_PORT = 3478, 9999
CALL_SECONDS, LONGEST_WAIT, LONGEST_RUN = 4, 25, 90
TRANSFERS = 4
"""At a time, as browsers do."""

# Answers calls, and says with which mark they come; and is the other end of transfers, `u` or `d`.
FAR_SIDE = """
import socket, sys, threading
call = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
call.setsockopt(socket.IPPROTO_IP, socket.IP_RECVTOS, 1)
call.bind(("", int(sys.argv[1])))
def answer():
    while True:
        data, told, _, sender = call.recvmsg(2000, 100)
        tos = next((value[0] for level, kind, value in told if kind == socket.IP_TOS), 0)
        call.sendto(bytes([tos]) + data[1:], sender)
threading.Thread(target=answer, daemon=True).start()
server = socket.create_server(("", int(sys.argv[2])))
print("ready", flush=True)
def transfer(channel):
    try:
        if channel.recv(1) == b"d":
            while True:
                channel.sendall(bytes(65536))
        while channel.recv(65536):
            pass
    except OSError:
        pass
while True:
    threading.Thread(target=transfer, args=(server.accept()[0],), daemon=True).start()
"""
TRANSFER = """
import socket, sys, time
channel = socket.create_connection((sys.argv[1], int(sys.argv[2])))
way, end = sys.argv[3], time.monotonic() + float(sys.argv[4])
channel.sendall(way[:1].encode())
while time.monotonic() < end:
    channel.sendall(bytes(16384)) if way == "up" else channel.recv(65536)
"""
# 50 packets a second, as a call sends; `[round trip in s, mark]` or null, of each.
CALL = """
import json, socket, struct, sys, threading, time
call = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
call.connect((sys.argv[1], int(sys.argv[2])))
call.settimeout(0.2)
count, sent, come = int(float(sys.argv[3]) * 50), {}, {}
def listen():
    until = None
    while until is None or time.monotonic() < until:
        if until is None and len(sent) == count:
            until = time.monotonic() + 3
        try:
            data = call.recv(2000)
        except OSError:
            continue
        number = struct.unpack("!I", data[1:5])[0]
        come[number] = [time.monotonic() - sent[number], data[0]]
        if len(come) == count:
            return
listener = threading.Thread(target=listen)
listener.start()
begun = time.monotonic()
for number in range(count):
    time.sleep(max(0, begun + number / 50 - time.monotonic()))
    sent[number] = time.monotonic()
    call.send(bytes(1) + struct.pack("!I", number) + bytes(160))
listener.join()
print(json.dumps([come.get(number) for number in range(count)]))
"""


def run(words: str) -> None:
    subprocess.run(words.split(), check=True)


def wire(stack: ExitStack) -> None:
    for name in ("desk", "box", "far"):
        run(f"ip netns add {name}")
        stack.callback(run, f"ip netns delete {name}")
    run(f"ip link add {ZONE} type veth peer name eth0 netns desk")
    run("ip link add wan0 type veth peer name near netns box")
    run("ip -n box link add away type veth peer name eth0 netns far")
    for place, device, address in (
        ("", ZONE, GATEWAY),
        ("", "wan0", f"{PUBLIC}/24"),
        ("-n desk ", "eth0", DESK),
        ("-n box ", "near", f"{BOX}/24"),
        ("-n box ", "away", "198.51.100.1/24"),
        ("-n far ", "eth0", f"{FAR}/24"),
    ):
        run(f"ip {place}address add {address} dev {device}")
        run(f"ip {place}link set {device} up")
    run(f"ip -n desk route add default via {GATEWAY.partition('/')[0]}")
    run(f"ip route add default via {BOX}")
    run("ip -n far route add default via 198.51.100.1")
    # The carrier's box: the line's rate, and a second of packets.
    run(f"tc -n box qdisc add dev away root tbf rate {UP}bit burst 5000 limit {int(UP) // 8}")
    run(f"tc -n box qdisc add dev near root tbf rate {DOWN}bit burst 20000 limit {int(DOWN) // 8}")
    # Of /proc/sys only net.* is this namespace's own.
    run("mount --bind /proc/sys/net /proc/sys/net")
    stack.callback(run, "umount /proc/sys/net")
    run("mount -o remount,rw,bind /proc/sys/net")
    run("sysctl -qw net.ipv4.ip_forward=1")
    run("ip netns exec box sysctl -qw net.ipv4.ip_forward=1")
    for place in ("desk", "far"):
        # Who sends goes on until packets are lost (every kernel has Reno), and learns nothing from transfers before.
        run(f"ip netns exec {place} sysctl -qw net.ipv4.tcp_congestion_control=reno net.ipv4.tcp_no_metrics_save=1")
        # Room for a second of the line in each, as a transfer that has run for a while has.
        for setting in ("tcp_rmem", "tcp_wmem"):
            room = f"net.ipv4.{setting}=4096 2000000 6000000"
            subprocess.run(["ip", "netns", "exec", place, "sysctl", "-qw", room], check=True)


def started(stack: ExitStack, place: str, program: str, *arguments: object) -> subprocess.Popen[str]:
    command = ["ip", "netns", "exec", place, "python3", "-c", program, *map(str, arguments)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    stack.callback(process.wait)
    stack.callback(process.kill)
    return process


def provider() -> tuple[int, int]:
    """Bytes that the provider's box has let through on the filled way, and those that wait in it."""
    device = "away" if WAY == "up" else "near"
    shown = json.loads(subprocess.check_output(["tc", "-n", "box", "-s", "-j", "qdisc", "show", "dev", device]))
    queue = next(one for one in shown if one["kind"] == "tbf")
    return queue["bytes"], queue["backlog"]


def filled(shaped: bool) -> None:
    """Wait until the transfers have run for some seconds, and packets wait in the box; or where we keep the queue,
    do so no longer."""
    rate = int(UP if WAY == "up" else DOWN)
    before, _ = provider()
    until = time.monotonic() + LONGEST_WAIT
    while time.monotonic() < until:
        let_through, waiting = provider()
        settled = waiting < rate // 8 // 20 if shaped else waiting > rate // 8 // 3
        if let_through - before > 2 * rate // 8 and settled:
            return
        time.sleep(0.1)
    raise SystemExit(f"the line was not filled, or its box never emptied: {provider()}")


def call() -> list[list[float] | None]:
    command = ["ip", "netns", "exec", "desk", "python3", "-c", CALL, FAR, str(CALL_PORT), str(CALL_SECONDS)]
    return json.loads(subprocess.check_output(command, timeout=LONGEST_RUN))


def told(packets: list[list[float] | None]) -> dict[str, object]:
    come = [packet for packet in packets if packet]
    times = sorted(packet[0] for packet in come) or [99.0]
    return {
        "lost": 1 - len(come) / len(packets),
        "median": statistics.median(times),
        "slowest_twentieth": times[int(len(times) * 0.95)],
        "marks": sorted({packet[1] for packet in come}),
    }


def measured(shaped: bool) -> dict[str, object]:
    run(f"sh {SHAPE} {'all' if shaped else 'off'}")
    with ExitStack() as stack:
        for _ in range(TRANSFERS):
            started(stack, "desk", TRANSFER, FAR, TRANSFER_PORT, WAY, LONGEST_RUN)
        filled(shaped)
        return told(call())


with ExitStack() as stack:
    wire(stack)
    run(f"nft -f {RULES}")
    far = started(stack, "far", FAR_SIDE, CALL_PORT, TRANSFER_PORT)
    assert far.stdout
    assert far.stdout.readline() == "ready\n"
    result = {"quiet": told(call()), "ours": measured(True), "without": measured(False)}
    sys.stdout.write(json.dumps(result))
