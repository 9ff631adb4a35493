"""Ways to lock oneself out of a machine, as data: what a careless role might do through ordinary operations."""

from __future__ import annotations

import base64
from dataclasses import dataclass, field

UPLINK = "/etc/systemd/network/10-uplink.network"
ZONE = "/etc/systemd/network/20-zone.network"
RULES = "/etc/nftables.conf"
SSHD = "/etc/ssh/sshd_config.d/00-lienxa.conf"
SUDOERS = "/etc/sudoers.d/lienxa"
TUNNEL = "/etc/wireguard/support0.conf"
STRANGERS_KEY = base64.b64encode(bytes(range(32))).decode()
RENEW = "systemctl restart systemd-networkd"
RELOAD = "systemctl reload ssh"
RENEW_TUNNEL = "systemctl restart wg-quick@support0"
LOAD = f"nft -f {RULES}"


@dataclass(frozen=True)
class Lockout:
    """What is placed, removed and run, in this order."""

    name: str
    place: dict[str, str] = field(default_factory=dict)
    remove: tuple[str, ...] = ()
    run: tuple[str, ...] = ()
    tells: str = ""
    """What the guard must name among the changes."""
    by_tunnel: bool = False
    """Whether the laptop comes by the support path, as from the province's network."""


def uplink(address: str = "10.9.0.2/24", gateway: str | None = "10.9.0.1", more: str = "") -> str:
    """The file of the interface that leads to the laptop."""
    way = f"Gateway={gateway}\n" if gateway else ""
    return f"[Match]\nName=wan0\n[Network]\nAddress={address}\n{way}{more}"


def rules(incoming: str = "policy accept", outgoing: str = "policy accept") -> str:
    """A whole ruleset."""
    chain = "chain {0} {{ type filter hook {0} priority filter; {1}; }}"
    chains = f"{chain.format('input', incoming)}\n {chain.format('output', outgoing)}"
    return f"flush ruleset\ntable inet lienxa {{\n {chains}\n}}\n"


def _sshd(name: str, text: str, after: str = RELOAD) -> Lockout:
    return Lockout(name, {SSHD: f"{text}\n"}, run=(after,), tells=SSHD)


LOCKOUTS = (
    # the firewall
    Lockout(
        "the firewall drops SSH",
        {RULES: rules("policy accept; tcp dport 22 drop")},
        run=(LOAD,),
        tells="nftables rules",
    ),
    Lockout(
        "the firewall lets in its own zone only", {RULES: rules("policy drop; iifname lan0 accept")}, run=(LOAD,)
    ),
    Lockout("the firewall drops answers", {RULES: rules(outgoing="policy drop")}, run=(LOAD,)),
    Lockout("the firewall drops what goes to the zone", {RULES: rules(outgoing="oifname lan0 drop")}, run=(LOAD,)),
    Lockout("rules that were loaded by hand", run=("nft insert rule inet lienxa input tcp dport 22 reject",)),
    # addresses and routes
    Lockout("another address", {UPLINK: uplink("10.9.7.2/24", "10.9.7.1")}, run=(RENEW,), tells="address wan0"),
    Lockout(
        "another netmask", {UPLINK: uplink("10.9.0.2/32")}, run=(RENEW, "ip address del 10.9.0.2/24 dev wan0 || :")
    ),
    Lockout("another gateway", {UPLINK: uplink(gateway="10.9.0.99")}, run=(RENEW,), tells="route"),
    Lockout(
        "no default route", {UPLINK: uplink(gateway=None)}, run=(RENEW, "ip route del default || :"), tells="route"
    ),
    Lockout("a route into nothing", run=("ip route add blackhole 10.8.0.0/16",), tells="route"),
    Lockout("a routing rule", run=("ip rule add pref 10 from all prohibit",), tells="routing rules"),
    Lockout(
        "an address of the zone's that covers the laptop's",
        {ZONE: "[Match]\nName=lan0\n[Network]\nAddress=10.8.0.7/16\n"},
        run=(RENEW,),
    ),
    # interfaces
    Lockout("networkd's file is gone", remove=(UPLINK,), run=(RENEW, "ip address flush dev wan0"), tells=UPLINK),
    Lockout(
        "networkd's file is for nothing",
        {UPLINK: "[Match]\nName=wan7\n[Netzwerk\n"},
        run=(RENEW, "ip address flush dev wan0"),
    ),
    Lockout(
        "the interface stays down",
        {UPLINK: uplink(more="[Link]\nActivationPolicy=always-down\n")},
        run=(RENEW, "ip link set wan0 down"),
        tells="link wan0",
    ),
    Lockout(
        "the interface goes into a bridge",
        {
            "/etc/systemd/network/05-br0.netdev": "[NetDev]\nName=br0\nKind=bridge\n",
            UPLINK: "[Match]\nName=wan0\n[Network]\nBridge=br0\n",
        },
        run=(RENEW, "ip address flush dev wan0"),
        tells="link br0",
    ),
    Lockout(
        "the zone's interface has the address of another",
        {ZONE: "[Match]\nName=lan0\n[Network]\nAddress=10.52.3.1/25\n"},
        run=(RENEW,),
        tells="address lan0",
    ),
    Lockout(
        "networkd is stopped for good",
        run=(
            "systemctl disable --now systemd-networkd.socket systemd-networkd 2>/dev/null",
            "systemctl mask systemd-networkd; ip address flush dev wan0",
        ),
    ),
    Lockout("packets too small for anything", run=("ip link set wan0 mtu 68",), tells="link wan0"),
    # the support path
    Lockout(
        "another key in the tunnel",
        run=(f"sed -i 's|^PrivateKey.*|PrivateKey = {STRANGERS_KEY}|' {TUNNEL}", RENEW_TUNNEL),
        tells=TUNNEL,
        by_tunnel=True,
    ),
    Lockout(
        "the tunnel leads elsewhere",
        run=(f"sed -i 's|^Endpoint.*|Endpoint = 10.9.0.77:51820|' {TUNNEL}", RENEW_TUNNEL),
        tells=TUNNEL,
        by_tunnel=True,
    ),
    Lockout(
        "the tunnel is closed",
        run=("systemctl disable --now wg-quick@support0 2>/dev/null",),
        tells="unit wg-quick@support0.service",
        by_tunnel=True,
    ),
    # sshd
    _sshd("sshd at another port", "Port 2222"),
    _sshd("sshd listens to itself", "ListenAddress 127.0.0.1", "systemctl restart ssh"),
    _sshd("sshd lets in somebody else", "AllowUsers nobody"),
    _sshd("sshd takes no key of ours", "PubkeyAcceptedAlgorithms rsa-sha2-512"),
    _sshd("sshd takes no keys", "PubkeyAuthentication no"),
    _sshd("sshd gives no session", "MaxSessions 0"),
    _sshd("sshd lets nobody through to the zone", "AllowTcpForwarding no"),
    _sshd("sshd cannot start", "Khong co gi", "systemctl restart ssh || :"),
    Lockout("sshd is off", run=("systemctl disable --now ssh",), tells="unit ssh.service"),
    Lockout(
        "other host keys",
        run=("rm /etc/ssh/ssh_host_*; ssh-keygen -q -A; systemctl restart ssh",),
        tells="/etc/ssh/ssh_host",
    ),
    # the support account
    Lockout("the key is gone", run=(": >~hotro/.ssh/authorized_keys",), tells="authorized_keys"),
    Lockout("anybody may write the keys", run=("chmod 0777 ~hotro/.ssh",), tells="/.ssh"),
    Lockout("sudoers is gone", remove=(SUDOERS,), tells=SUDOERS),
    Lockout("sudo asks for a password", {SUDOERS: "hotro ALL=(ALL) ALL\n"}, tells=SUDOERS),
    Lockout("the account has expired", run=("usermod -e 1 hotro",), tells="account hotro"),
    Lockout("the account has no shell", run=("usermod -s /usr/sbin/nologin hotro",), tells="account hotro"),
    Lockout("the account is deleted", run=("userdel -f -r hotro 2>/dev/null || :",), tells="account hotro"),
    Lockout("nobody may log in", {"/etc/nologin": "closed\n"}, tells="/etc/nologin"),
    Lockout("hosts.deny", {"/etc/hosts.deny": "ALL: ALL\n"}, tells="/etc/hosts.deny"),
)
