"""Run in a container: a gateway between outside and a server, with the rendered rules, and packets through it.

Arguments: the gateway's address in the server's zone, that zone's prefix length, the server's address, the commune's
prefix, the file of rules.
"""

import subprocess
import sys
from contextlib import ExitStack

GATEWAY, LENGTH, SERVER, PREFIX, RULES = sys.argv[1:]
PUBLIC, STRANGER = "203.0.113.10", "203.0.113.1"
# Whoever connects is told by which address he is known.
LISTEN = """
import socket
server = socket.create_server(("", 25))
while True:
    channel, address = server.accept()
    channel.sendall(address[0].encode())
    channel.close()
"""
ASK = """
import socket, sys, time
for _ in range(50):
    try:
        print(socket.create_connection((sys.argv[1], 25), 1).recv(99).decode())
        break
    except ConnectionRefusedError:
        time.sleep(0.1)
    except OSError:
        print("no answer")
        break
"""


def run(words: str) -> None:
    subprocess.run(words.split(), check=True)


def wire(stack: ExitStack) -> None:
    for name in ("outside", "behind"):
        run(f"ip netns add {name}")
        stack.callback(run, f"ip netns delete {name}")
    run("ip link add wan0 type veth peer name far netns outside")
    run("ip link add lan0.10 type veth peer name eth0 netns behind")
    for place, device, address in (
        ("", "wan0", f"{PUBLIC}/24"),
        ("", "lan0.10", f"{GATEWAY}/{LENGTH}"),
        ("-n outside ", "far", f"{STRANGER}/24"),
        ("-n behind ", "eth0", f"{SERVER}/{LENGTH}"),
    ):
        run(f"ip {place}address add {address} dev {device}")
        run(f"ip {place}link set {device} up")
    run(f"ip -n behind route add default via {GATEWAY}")
    run(f"ip -n outside route add {PREFIX} via {PUBLIC}")
    # Of /proc/sys only net.* is this namespace's own.
    run("mount --bind /proc/sys/net /proc/sys/net")
    stack.callback(run, "umount /proc/sys/net")
    run("mount -o remount,rw,bind /proc/sys/net")
    run("sysctl -qw net.ipv4.ip_forward=1")


def inside(name: str, program: str, *words: str) -> list[str]:
    return ["ip", "netns", "exec", name, "python3", "-c", program, *words]


with ExitStack() as stack:
    wire(stack)
    run(f"nft -f {RULES}")
    for name in ("outside", "behind"):
        stack.callback(subprocess.Popen(inside(name, LISTEN)).kill)
    for source, target, expected in (
        ("outside", PUBLIC, STRANGER),
        ("outside", SERVER, "no answer"),
        ("behind", STRANGER, PUBLIC),
    ):
        said = subprocess.run(inside(source, ASK, target), capture_output=True, text=True, timeout=20, check=False)
        assert said.stdout.strip() == expected, (source, target, said.stdout, said.stderr)
