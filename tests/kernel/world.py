"""Run on the machine in QEMU, as root: what stands around the gateway, in network namespaces, and what is seen there.

    desk office ─┐ VLAN 20            ┌ wan0 ─ first ─┐
                 switch ─ lan0 gateway┤               far (the province)
    desk counter ┘ VLAN 30            └ wan1 ─ second ┘

Each carrier holds packets back: 60 ms there and back, 1 % of them lost, 10 Mbit/s and a long queue each way. The
first word says what to do; prints one line of JSON.
"""

import contextlib
import json
import os
import socket
import statistics
import struct
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

FAR, CALL_PORT, TRANSFER_PORT = "198.51.100.9", 3478, 9999
LINES = {"first": ("wan0", 0), "second": ("wan1", 64)}
VLANS = {"office": 20, "counter": 30}
Found = dict[str, Any]
Packets = list[list[Any]]

STATE = Path("/run/lienxa/lines.json")
SHAPE = "/usr/local/lib/lienxa/shape"
TROUBLES = "delay 30ms loss 0.5% rate 10mbit limit 600"
"""Of each way: half of 60 ms and of 1 %; 600 packets are 0.7 s of the line. With more than a second the gateway
takes the line for dead, and the other one would be measured."""
TRANSFERS, CALL_SECONDS, LONGEST_WAIT = 32, 8, 120
EVERYTHING, OUTGOING = 0x0003, 4  # ETH_P_ALL, PACKET_OUTGOING (packet(7))
SOL_PACKET, PACKET_AUXDATA, TAGGED = 263, 8, 0x10

# Answers names as a root server does (only the header is looked at) and calls with mark and address that they came
# with; and is the other end of transfers, `u` or `d`.
FAR_SIDE = """
import select, socket, threading
def bound(port):
    made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    made.setsockopt(socket.IPPROTO_IP, socket.IP_RECVTOS, 1)
    made.bind(("198.51.100.9", port))
    return made
names, call = bound(53), bound(3478)
def answer():
    while True:
        for channel in select.select([names, call], [], [])[0]:
            data, told, _, sender = channel.recvmsg(2000, 100)
            mark = next((value[0] for level, kind, value in told if kind == socket.IP_TOS), 0)
            if channel is names:
                channel.sendto(data[:2] + bytes([0x84, 0]) + data[4:], sender)
            else:
                channel.sendto(data[:8] + bytes([mark]) + sender[0].encode(), sender)
threading.Thread(target=answer, daemon=True).start()
def transfer(channel):
    try:
        if channel.recv(1) == b"d":
            while True:
                channel.sendall(bytes(65536))
        while channel.recv(65536):
            pass
    except OSError:
        pass
server = socket.create_server(("198.51.100.9", 9999))
print("ready", flush=True)
while True:
    threading.Thread(target=transfer, args=(server.accept()[0],), daemon=True).start()
"""
TRANSFER = """
import socket, sys, time
way, count, end = sys.argv[1], int(sys.argv[2]), time.monotonic() + float(sys.argv[3])
import threading
def one():
    channel = socket.create_connection(("198.51.100.9", 9999))
    channel.sendall(way[:1].encode())
    while time.monotonic() < end:
        channel.sendall(bytes(16384)) if way == "up" else channel.recv(65536)
for _ in range(count):
    threading.Thread(target=one, daemon=True).start()
time.sleep(max(0, end - time.monotonic()))
"""
# Fifty packets a second by one socket, marked as sound (EF); `[when sent, round trip, mark, address]` of each, the
# last three null where it did not come back. SIGTERM ends it early.
CALL = """
import json, signal, socket, struct, sys, threading, time
call = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
call.setsockopt(socket.IPPROTO_IP, socket.IP_TOS, 0xB8)
call.connect(("198.51.100.9", 3478))
call.settimeout(0.2)
end, sent, come = time.monotonic() + float(sys.argv[1]), [], {}
def stop(*_):
    global end
    end = time.monotonic()
signal.signal(signal.SIGTERM, stop)
def listen():
    while time.monotonic() < end + 3:
        try:
            data = call.recv(2000)
        except OSError:
            continue
        when, = struct.unpack("!d", data[:8])
        come[when] = [time.monotonic() - when, data[8], data[9:].decode()]
listener = threading.Thread(target=listen)
listener.start()
begun, number = time.monotonic(), 0
while time.monotonic() < end:
    time.sleep(max(0, begun + number / 50 - time.monotonic()))
    number += 1
    sent.append(time.monotonic())
    try:
        call.send(struct.pack("!d", sent[-1]) + bytes(152))
    except OSError:
        pass
listener.join()
print(json.dumps([[one, *come.get(one, [None] * 3)] for one in sent]))
"""
LEASE = """#!/bin/sh
[ "$1" = bound ] || exit 0
ip address flush dev "$interface"
ip address add "$ip/$mask" dev "$interface"
ip route replace default via "$router"
echo "$ip $router" >"/run/lease-$interface-$(ip netns identify)"
"""


def run(words: str) -> None:
    subprocess.run(words.split(), check=True)


def output(words: str) -> str:
    return subprocess.run(words.split(), check=True, capture_output=True, text=True).stdout


def in_(place: str, program: str, *arguments: object) -> list[str]:
    return ["ip", "netns", "exec", place, "python3", "-c", program, *map(str, arguments)]


def started(stack: contextlib.ExitStack, command: list[str]) -> subprocess.Popen[str]:
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    stack.callback(process.wait)
    stack.callback(process.kill)
    return process


def until(condition: Callable[[], bool], what: str) -> None:
    end = time.monotonic() + LONGEST_WAIT
    while not condition():
        if time.monotonic() > end:
            raise SystemExit(f"waited in vain: {what}")
        time.sleep(0.1)


def wire(macs: dict[str, str]) -> Found:
    """All of it. macs: of the desks, by zone."""
    for place in ("switch", *VLANS, *LINES, "far"):
        run(f"ip netns add {place}")
        run(f"ip -n {place} link set lo up")
    wire_switch(macs)
    run(f"ip -n far address add {FAR}/32 dev lo")
    for line, (port, number) in LINES.items():
        run(f"ip link add {port} type veth peer name near netns {line}")
        run(f"ip -n {line} link add away type veth peer name of-{line} netns far")
        for place, device, address in (
            (line, "near", f"203.0.113.{number + 1}/26"),
            (line, "away", f"192.0.2.{number + 1}/26"),
            ("far", f"of-{line}", f"192.0.2.{number + 2}/26"),
        ):
            # What is a segment for the sender is a packet for a line.
            run(f"ip -n {place} link set {device} gso_max_segs 1 up")
            run(f"ip -n {place} address add {address} dev {device}")
        run(f"ip netns exec {line} sysctl -qw net.ipv4.ip_forward=1")
        routes(line)
        for device in ("near", "away"):
            run(f"tc -n {line} qdisc add dev {device} root netem {TROUBLES}")
    for place in ("office", "far"):
        run(f"ip netns exec {place} sysctl -qw net.ipv4.tcp_no_metrics_save=1")
    subprocess.Popen(
        ["systemd-run", "--quiet", "--collect", "--unit=far", *in_("far", FAR_SIDE)], stdin=subprocess.DEVNULL
    ).wait()
    return {}


def wire_switch(macs: dict[str, str]) -> None:
    run("ip link add lan0 type veth peer name trunk netns switch")
    run("ip -n switch link add br0 type bridge vlan_filtering 1 vlan_default_pvid 0")
    run("ip -n switch link set trunk master br0")
    for zone, vlan in VLANS.items():
        run(f"ip -n switch link add {zone} type veth peer name eth0 address {macs[zone]} netns {zone}")
        run(f"ip -n switch link set {zone} master br0 up")
        run(f"bridge -n switch vlan add dev {zone} vid {vlan} pvid untagged")
        run(f"bridge -n switch vlan add dev trunk vid {vlan}")
        run(f"ip -n {zone} link set eth0 gso_max_segs 1 up")
    run("ip -n switch link set trunk up")
    run("ip -n switch link set br0 up")


def routes(line: str) -> None:
    number = LINES[line][1]
    run(f"ip -n {line} route replace {FAR}/32 via 192.0.2.{number + 2}")
    run(f"ip -n far route replace 203.0.113.{number}/26 via 192.0.2.{number + 1}")


def lease(zone: str) -> Found:
    """What the desk of a zone is leased over its VLAN: its address and its router."""
    script = Path("/usr/local/sbin/take-lease")
    script.write_text(LEASE, encoding="ascii")
    script.chmod(0o755)
    run(f"ip netns exec {zone} udhcpc -i eth0 -n -q -t 20 -T 2 -s {script}")
    address, router = Path(f"/run/lease-eth0-{zone}").read_text(encoding="ascii").split()
    answered = subprocess.run(
        ["ip", "netns", "exec", zone, "ping", "-c", "3", "-W", "5", router], capture_output=True, check=False
    )
    return {"address": address, "router": router, "answers": answered.returncode == 0}


def seen(sender: str) -> Found:
    """Where frames of a zone's desk are seen while it asks for a lease anew: VLANs on the trunk, other desks."""
    mac = json.loads(output(f"ip -n {sender} -j link show eth0"))[0]["address"]
    listeners = {"trunk": Sniffer("switch", "trunk")}
    listeners |= {zone: Sniffer(zone, "eth0") for zone in VLANS if zone != sender}
    lease(sender)
    found = {where: one.vlans_of(mac) for where, one in listeners.items()}
    return {"trunk": found.pop("trunk"), "other_desks": sum(map(len, found.values()))}


class Sniffer:
    def __init__(self, place: str, device: str) -> None:
        before = os.open("/proc/self/ns/net", os.O_RDONLY)
        there = os.open(f"/run/netns/{place}", os.O_RDONLY)
        os.setns(there, 0)
        self.channel = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(EVERYTHING))
        self.channel.setsockopt(SOL_PACKET, PACKET_AUXDATA, 1)
        self.channel.bind((device, EVERYTHING))
        self.channel.setblocking(False)
        os.setns(before, 0)
        os.close(there)
        os.close(before)

    def vlans_of(self, mac: str) -> list[int]:
        """Tags of the frames from that address, 0 for none."""
        found = set()
        while True:
            try:
                frame, told, _, _ = self.channel.recvmsg(2000, 100)
            except BlockingIOError:
                return sorted(found)
            if frame[6:12] == bytes.fromhex(mac.replace(":", "")):
                found.add(tag(frame, told))


def tag(frame: bytes, told: list[tuple[int, int, bytes]]) -> int:
    if frame[12:14] == b"\x81\x00":
        return struct.unpack("!H", frame[14:16])[0] & 0xFFF
    for level, kind, data in told:
        if (level, kind) == (SOL_PACKET, PACKET_AUXDATA):
            status, _, _, _, _, tci, _ = struct.unpack("=IIIHHHH", data[:20])
            return tci & 0xFFF if status & TAGGED else 0
    return 0


def spoofed(sender: str, address: str) -> Found:
    """How many packets with another zone's address the gateway has thrown away when the sender's desk sends some."""
    before = dropped(VLANS[sender])
    run(f"ip -n {sender} address add {address}/32 dev eth0")
    subprocess.run(
        ["ip", "netns", "exec", sender, "ping", "-c", "3", "-i", "0.2", "-W", "1", "-I", address, FAR],
        capture_output=True,
        check=False,
    )
    run(f"ip -n {sender} address delete {address}/32 dev eth0")
    return {"thrown_away": dropped(VLANS[sender]) - before}


def dropped(vlan: int) -> int:
    rows = json.loads(output("nft -j list chain inet lienxa antispoofing"))["nftables"]
    ours = (row["rule"]["expr"] for row in rows if "rule" in row and f'"lan0.{vlan}"' in json.dumps(row))
    return sum(part["counter"]["packets"] for expr in ours for part in expr if "counter" in part)


def reached(zone: str, address: str) -> Found:
    """Whether the desk of a zone gets an answer from that address."""
    done = subprocess.run(
        ["ip", "netns", "exec", zone, "ping", "-c", "2", "-W", "2", address], capture_output=True, check=False
    )
    return {"answers": done.returncode == 0}


def told(packets: Packets) -> Found:
    come = [packet for packet in packets if packet[1] is not None]
    times = sorted(packet[1] for packet in come) or [99.0]
    return {
        "lost": 1 - len(come) / len(packets),
        "median": statistics.median(times),
        "slowest_twentieth": times[int(len(times) * 0.95)],
        "marks": sorted({packet[2] for packet in come}),
    }


def call(seconds: float = CALL_SECONDS) -> Packets:
    return json.loads(subprocess.check_output(in_("office", CALL, seconds), timeout=LONGEST_WAIT))


def carrier(way: str) -> tuple[int, int]:
    """Bytes that the first carrier has let through on that way, and packets that wait there."""
    device = "away" if way == "up" else "near"
    shown = json.loads(output(f"tc -n first -s -j qdisc show dev {device} root"))[0]
    return shown["bytes"], shown["qlen"]


def filled(way: str, *, shaped: bool) -> None:
    """Wait until the transfers fill the line: some seconds of it have gone, and unless we shape there is a queue."""
    before = carrier(way)[0]
    until(lambda: carrier(way)[0] - before > 4_000_000, f"the line {way} was not filled: {carrier(way)}")
    if not shaped:
        until(lambda: carrier(way)[1] > 250, f"nothing waits {way}: {carrier(way)}")


def shared(way: str) -> Found:
    """A call while the line is full on that way, with and without the gateway's shaping."""
    until(lambda: in_use() == "fibre", "the first line is not used")
    result = {"quiet": told(call())}
    for name, word in (("without", "off"), ("ours", "all")):
        run(f"{SHAPE} {word}")
        with contextlib.ExitStack() as stack:
            started(stack, in_("office", TRANSFER, way, TRANSFERS, 2 * LONGEST_WAIT))
            filled(way, shaped=name == "ours")
            before, at = carrier(way)[0], time.monotonic()
            result[name] = told(call())
            result[name]["mbit"] = (carrier(way)[0] - before) * 8 / (time.monotonic() - at) / 1e6
        until(lambda: carrier(way)[1] < 20, "the carrier's queue never emptied")
    return result


def in_use() -> str:
    return json.loads(STATE.read_text(encoding="utf-8"))["in_use"] if STATE.exists() else ""


def go_dumb(line: str) -> None:
    run(f"ip -n {line} link set away down")


def come_back(line: str) -> None:
    run(f"ip -n {line} link set away up")
    routes(line)


def failover(return_seconds: float) -> Found:
    """The first line goes dumb beyond its first router, comes back for a moment, and then for good."""
    until(lambda: in_use() == "fibre", "the first line was never used")
    with contextlib.ExitStack() as stack:
        at_work = started(stack, in_("office", CALL, 3 * LONGEST_WAIT))
        time.sleep(3)
        dumb = time.monotonic()
        go_dumb("first")
        until(lambda: in_use() == "backup", "the second line was never used")
        moved = time.monotonic()
        time.sleep(3)
        come_back("first")
        time.sleep(min(4, return_seconds / 2))
        stayed = in_use() == "backup"
        go_dumb("first")
        time.sleep(3)
        stayed = stayed and in_use() == "backup"
        again = time.monotonic()
        come_back("first")
        until(lambda: in_use() == "fibre", "the first line was never used again")
        back = time.monotonic()
        time.sleep(3)
        at_work.terminate()
        packets = json.loads(at_work.communicate(timeout=LONGEST_WAIT)[0])
    ended = packets[-1][0] - 1
    return {
        "interrupted": longest_gap(packets, dumb, again),
        "moved_after": moved - dumb,
        "stayed_while_it_flapped": stayed,
        "returned_after": back - again,
        "interrupted_by_return": longest_gap(packets, again, ended),
        "before": by(packets, 0, dumb),
        "after": by(packets, moved + 1, ended),
        "new": by(call(2), 0, time.monotonic()),
    }


def longest_gap(packets: Packets, begin: float, end: float) -> float:
    """Seconds in which what was sent between two moments did not come back. Who is slow to send makes no gap."""
    longest, since = 0.0, None
    for sent, trip, *_ in packets:
        if begin <= sent <= end:
            since = None if trip is not None else since or sent
            longest = max(longest, sent - since if since else 0.0)
    return longest


def by(packets: Packets, begin: float, end: float) -> list[str]:
    return sorted({address for sent, _, _, address in packets if address and begin <= sent <= end})


def tunnel(address: str, end: str, gateway: str) -> Found:
    """The province's end of the support path, as the file `end` says in the form of wg(8)."""
    run("ip -n far link add province0 type wireguard")
    run(f"ip netns exec far wg setconf province0 {end}")
    run(f"ip -n far address add {address} dev province0")
    run("ip -n far link set province0 up")
    run(f"ip -n far route add {gateway}/32 dev province0")
    begun = time.monotonic()
    until(lambda: handshake() > 0, "the gateway never called")
    return {"handshake_after": time.monotonic() - begun}


def handshake() -> int:
    shown = output("ip netns exec far wg show province0 latest-handshakes").split()
    return int(shown[1])


def open_to_engineers(gateway: str, *ports: int) -> Found:
    """Which of the gateway's TCP ports answer through the tunnel."""
    script = "import socket, sys; socket.create_connection((sys.argv[1], int(sys.argv[2])), 5)"
    answers = [
        subprocess.run(in_("far", script, gateway, port), capture_output=True, check=False).returncode == 0
        for port in ports
    ]
    return {"open": [port for port, answered in zip(ports, answers, strict=True) if answered]}


VERBS = {
    one.__name__: one for one in (wire, lease, seen, spoofed, reached, shared, failover, tunnel, open_to_engineers)
}

if __name__ == "__main__":
    words = [json.loads(word) for word in sys.argv[2:]]
    sys.stdout.write(json.dumps(VERBS[sys.argv[1]](*words)) + "\n")
