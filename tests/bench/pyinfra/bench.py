"""The 57 tasks as a plain pyinfra deploy; data from the same file as lienxa's role."""

import sys
from pathlib import Path

from pyinfra.context import config
from pyinfra.operations import apt, files, server, systemd

sys.path.insert(0, str(Path(__file__).parent))
from wanted import DIRECTORIES, FILES, LINES, PACKAGES, SERVICES, SYSCTLS, USERS

config.SUDO = True

for package in PACKAGES:
    apt.packages(name=f"Package {package}", packages=[package], update=True, cache_time=21600)
for user, uid in USERS.items():
    server.user(name=f"User {user}", user=user, uid=uid, shell="/bin/bash", create_home=True)
for path in DIRECTORIES:
    files.directory(name=f"Directory {path}", path=path, user="root", group="root", mode="755")
for path, template in FILES.items():
    files.template(
        name=f"File {path}",
        src=str(Path(__file__).parent / "templates" / template),
        dest=path,
        user="root",
        group="root",
        mode="644",
        jinja_env_kwargs={"trim_blocks": True, "lstrip_blocks": True},
        path=path,
        greeting="xin chao",
    )
for key, value in LINES.items():
    files.line(name=f"Line {key}", path="/etc/bench.lines", line=f"^{key}=.*$", replace=f"{key}={value}")
for key, number in SYSCTLS.items():
    server.sysctl(name=f"Sysctl {key}", key=key, value=number, persist=True, persist_file="/etc/sysctl.d/bench.conf")
for service in SERVICES:
    systemd.service(name=f"Service {service}", service=service, running=True, enabled=True)
