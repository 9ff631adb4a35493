"""What the 57 tasks want, as data: 10 directories, 20 files, 10 lines, 5 users, 5 sysctls, 5 services, 2 packages."""

from __future__ import annotations

DIRECTORIES = ("/etc/bench", "/srv/bench", *(f"/srv/bench/d{number}" for number in range(1, 9)))
FILES = {f"/etc/bench/f{number}.conf": "one.conf.j2" if number == 1 else "common.conf.j2" for number in range(1, 21)}
LINES = {f"key{number}": f"value{number}" for number in range(1, 11)}
USERS = {f"bench{number}": 2000 + number for number in range(1, 6)}
SYSCTLS = {
    "net.ipv4.conf.all.log_martians": 1,
    "net.ipv4.conf.default.log_martians": 1,
    "net.ipv4.conf.all.send_redirects": 0,
    "net.ipv4.conf.default.send_redirects": 0,
    "net.ipv4.conf.default.accept_redirects": 0,
}
"""Of the machine's own network only."""
SERVICES = tuple(f"bench-{number}.service" for number in range(1, 6))
PACKAGES = ("lienxa-bench-a", "lienxa-bench-b")
