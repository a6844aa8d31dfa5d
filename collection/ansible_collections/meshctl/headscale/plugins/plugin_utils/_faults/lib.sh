# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# Functions for the scripts of faults.

# node_id NAME: the id that the control server has given to a node.
node_id() {
    headscale nodes list -o json | python3 -ISc '
import json, sys
print(next(node["id"] for node in json.load(sys.stdin) or [] if node["given_name"] == sys.argv[1]))' "$1"
}

# background NAME COMMAND...: run a command that outlives this script; `ended NAME` ends it.
background() {
    name=$1
    shift
    setsid "$@" </dev/null >"/run/fault-$name.log" 2>&1 &
    echo $! > "/run/fault-$name.pid"
}

# ended NAME: end what `background` started, with all that it started.
ended() {
    [ -e "/run/fault-$1.pid" ] || return 0
    kill -s KILL -- "-$(cat "/run/fault-$1.pid")" 2>/dev/null || true
    rm -f "/run/fault-$1.pid" "/run/fault-$1.log"
}

# again_and_again NAME COMMAND: repeat a command that something else undoes; `ended NAME` ends it.
again_and_again() {
    background "$1" sh -c "while sleep 0.2; do $2; done"
}

# approved NAME PREFIXES: the server approves these routes of a node, and no others, whatever a
# story approves; `ended approver` ends it.
approved() {
    id=$(node_id "$1")
    again_and_again approver "headscale nodes approve-routes -i $id -r '$2' >/dev/null 2>&1"
}

# policy_with KEY VALUE: the server's policy also has this key; `policy_before` brings it back.
policy_with() {
    [ -e /root/policy-before-fault ] || headscale policy get > /root/policy-before-fault
    python3 -ISc '
import json, sys
print(json.dumps({**json.load(open("/root/policy-before-fault")), sys.argv[1]: json.loads(sys.argv[2])}))' "$1" "$2" > /root/policy-fault
    headscale policy set -f /root/policy-fault >/dev/null
    rm -f /root/policy-fault
}

# keep FILE: copy a file aside, once; `restore FILE` brings it back as it was.
keep() {
    [ -e "$1.before-fault" ] || cp -p "$1" "$1.before-fault"
}

restore() {
    if [ -e "$1.before-fault" ]; then
        # In its place, not by rename: some of these are what another program has open or watches.
        cat "$1.before-fault" > "$1"
        rm -f "$1.before-fault"
    fi
}

# again SERVICE: restart a service and wait until it runs.
again() {
    s6-svc -wR -T 15000 -r "/etc/service/$1" 2>/dev/null || s6-svc -wr -T 15000 -r "/etc/service/$1"
}

# pid_of SERVICE: the process that the supervisor keeps.
pid_of() {
    s6-svstat -o pid "/etc/service/$1"
}

# rule NAME RULESET: nftables rules in a separate table; `unruled NAME` removes them.
rule() {
    printf 'table %s {}\ndelete table %s\ntable %s {\n%s\n}\n' "$1" "$1" "$1" "$2" | nft -f -
}

unruled() {
    nft delete table $1 2>/dev/null || true
}

# flapping ON OFF TABLE RULES: packets pass for ON seconds, then these rules hold for OFF seconds, and so on; `steady TABLE` ends it.
flapping() {
    background flap sh -c 'while sleep "$0"; do
        printf "table %s {\n chain drops { %s }\n}\n" "$2" "$3" | nft -f -
        sleep "$1"
        nft delete table $2
    done' "$@"
}

steady() {
    ended flap
    unruled "$1"
}

# policy RULES: the server's policy has these access rules, and all else that it had; `policy_before` brings it back.
policy() {
    [ -e /root/policy-before-fault ] || headscale policy get > /root/policy-before-fault 2>/dev/null ||
        printf '{"acls": [{"action": "accept", "src": ["*"], "dst": ["*:*"]}]}' > /root/policy-before-fault
    python3 -ISc '
import json, sys
print(json.dumps({**json.load(open("/root/policy-before-fault")), "acls": json.loads(sys.argv[1])}))' "$1" > /root/policy-fault
    headscale policy set -f /root/policy-fault >/dev/null
    rm -f /root/policy-fault
}

# policy_of DOCUMENT: the server has this policy; `policy_before` brings back what it had.
policy_of() {
    [ -e /root/policy-before-fault ] || headscale policy get > /root/policy-before-fault
    printf '%s' "$1" > /root/policy-fault
    headscale policy set -f /root/policy-fault >/dev/null
    rm -f /root/policy-fault
}

# policy_file DOCUMENT: the server reads its policy from /etc/headscale/policy-fault.hujson, which is this.
policy_file() {
    printf '%s' "$1" > /etc/headscale/policy-fault.hujson
    keep /etc/headscale/config.yaml
    sed -i '/^policy:/,/^[^ ]/{s|mode: .*|mode: file|;s|path: .*|path: /etc/headscale/policy-fault.hujson|}' /etc/headscale/config.yaml
    grep -q policy-fault.hujson /etc/headscale/config.yaml ||
        sed -i 's|^\( *\)mode: file|\1mode: file\n\1path: /etc/headscale/policy-fault.hujson|' /etc/headscale/config.yaml
    again headscale
    until headscale health >/dev/null 2>&1; do sleep 0.2; done
}

policy_before() {
    [ -e /root/policy-before-fault ] || return 0
    headscale policy set -f /root/policy-before-fault >/dev/null
    rm -f /root/policy-before-fault
}

# reflow: a router forgets all flows (ctnetlink's "delete", for none in particular). What it has let through or masqueraded once, it
# would go on treating so.
reflow() {
    python3 -ISc '
import os, socket, struct, sys
line = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 12)
line.settimeout(5)
line.send(struct.pack("=LHHLLBBH", 20, 0x102, 5, 1, 0, 0, 0, 0))
(code,) = struct.unpack("=i", line.recv(4096)[16:20])
if code:
    sys.exit("the flows cannot be forgotten: " + os.strerror(-code))'
}

# readdress ADDRESS...: a router's WAN side has these addresses; it masquerades behind the first.
readdress() {
    routes=$(ip route show dev wan | grep -v 'proto kernel')
    ip address flush dev wan scope global
    for address in "$@"; do ip address add "$address" dev wan; done
    routed
}

routed() {
    printf '%s\n' "$routes" | while read -r route; do
        [ -z "$route" ] || ip route replace $route dev wan
    done
}

# overwritten TEXT: /etc/resolv.conf is this, however often tailscaled repairs it; `resolver_before` ends that.
overwritten() {
    [ -e /root/resolv-before-fault ] || cp /etc/resolv.pre-tailscale-backup.conf /root/resolv-before-fault
    printf "$1" > /root/resolv-fault
    background overwriter sh -c '
        while sleep 0.1; do
            cmp -s /root/resolv-fault /etc/resolv.conf || cat /root/resolv-fault > /etc/resolv.conf
        done'
    until cmp -s /root/resolv-fault /etc/resolv.conf; do sleep 0.1; done
}

resolver_before() {
    ended overwriter
    [ -e /root/resolv-before-fault ] || return 0
    # tailscaled must not take what the fault wrote for what this host had before it.
    tailscale set --accept-dns=false
    cat /root/resolv-before-fault > /etc/resolv.conf
    tailscale set --accept-dns=true
    until grep -q 100.100.100.100 /etc/resolv.conf; do sleep 0.1; done
    rm -f /root/resolv-before-fault /root/resolv-fault
}

# stub [NAME IPV4 IPV6]...: a resolver on 127.0.0.1 (or $STUB, below the command $STUB_IN) that knows these names, and nothing else,
# and hangs after $STUB_ANSWERS answers; `ended stub` ends it.
stub() {
    background stub ${STUB_IN:-} env STUB="${STUB:-127.0.0.1}" STUB_ANSWERS="${STUB_ANSWERS:--1}" python3 -ISc '
import os, socket, struct, sys
given = sys.argv[1:]
known = {name.lower(): addresses for name, *addresses in zip(given[::3], given[1::3], given[2::3])}
line = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
line.bind((os.environ["STUB"], 53))
left = int(os.environ["STUB_ANSWERS"])
while True:
    asked, who = line.recvfrom(4096)
    if not left:
        continue
    left -= 1
    labels, at = [], 12
    while asked[at]:
        labels.append(asked[at + 1 : at + 1 + asked[at]].decode().lower())
        at += asked[at] + 1
    question, (kind,) = asked[12 : at + 5], struct.unpack("!H", asked[at + 1 : at + 3])
    found = known.get(".".join(labels))
    answers = b""
    for address in filter(None, found or []):
        family, number = (socket.AF_INET6, 28) if ":" in address else (socket.AF_INET, 1)
        data = socket.inet_pton(family, address)
        answers += struct.pack("!HHHIH", 0xC00C, kind, 1, 60, len(data)) + data if kind == number else b""
    head = struct.pack("!2sHHHHH", asked[:2], 0x8180 if found else 0x8183, 1, bool(answers), 0, 0)
    line.sendto(head + question + answers, who)
' "$@"
}

# delay PORT MS: hold back every frame of a line, both ways; `undelay PORT` lays the line as it was. For the fabric.
delay() {
    bridge=$(master_of "$1")
    ip link add fault-near type veth peer name fault-far
    ip link set "$1" nomaster
    ip link set fault-far master "$bridge" up
    ip link set fault-near up
    printf '%s\n' "$bridge" > /run/fault-bridge
    for port in "$1" fault-near fault-far; do single "$port"; done
    background delay python3 -IS "$FAULT_DELAY" "$1" fault-near "$2"
}

undelay() {
    ended delay
    ip link del fault-near 2>/dev/null || true
    if [ -e /run/fault-bridge ]; then ip link set "$1" master "$(cat /run/fault-bridge)" up; fi
    rm -f /run/fault-bridge /run/fault-single-fault-*
    gathered "$1"
}

# single INTERFACE: the kernel sends no packet that represents several (GSO), which another than the one at its end would take
# for a large one; `gathered INTERFACE` lets it again.
single() {
    [ -e "/run/fault-single-$1" ] || ip -d -j link show "$1" | python3 -ISc '
import json, sys
print(json.load(sys.stdin)[0]["gso_max_segs"])' > "/run/fault-single-$1"
    ip link set dev "$1" gso_max_segs 1
}

gathered() {
    [ -e "/run/fault-single-$1" ] || return 0
    ip link set dev "$1" gso_max_segs "$(cat "/run/fault-single-$1")"
    rm -f "/run/fault-single-$1"
}

# unhandle TABLE CHAIN...: delete the rules that a fault has inserted before a router's own: those with `fault` in their comment.
unhandle() {
    table=$1
    shift
    for chain in "$@"; do
        nft -a list chain inet "$table" "$chain" | sed -n 's/.*comment "fault".*# handle \([0-9]*\)$/\1/p' |
            while read -r handle; do nft delete rule inet "$table" "$chain" handle "$handle"; done
    done
    reflow
}

# rerule: a router has the rules again that /run/fault-router.nft keeps.
rerule() {
    [ -e /run/fault-router.nft ] || return 0
    { printf 'table inet router {}\ndelete table inet router\n'; cat /run/fault-router.nft; } | nft -f -
    rm -f /run/fault-router.nft
    reflow
}

# master_of PORT: the bridge that a port of the fabric belongs to.
master_of() {
    ip -j link show "$1" | python3 -ISc 'import json, sys; print(json.load(sys.stdin)[0]["master"])'
}

# ipv6_off SCOPE: the physical line (`eth0`) or every line (`all`) has no IPv6; `ipv6_on SCOPE` brings it back, with the addresses,
# neighbours and routes that the lab gave this host.
ipv6_off() {
    [ -e /run/fault-ipv6 ] || {
        ip -6 -o address show dev eth0 scope global | sed -n 's/.* inet6 \([^ ]*\) .*/address replace \1 dev eth0 nodad/p'
        ip -6 neigh show dev eth0 nud permanent | sed -n 's/^\([^ ]*\) .*lladdr \([^ ]*\) .*/neigh replace \1 lladdr \2 dev eth0 nud permanent/p'
        ip -6 route show default dev eth0 | sed -n 's/^default via \([^ ]*\) .*/route replace default via \1 dev eth0/p'
    } > /run/fault-ipv6
    sysctl -qw "net.ipv6.conf.$1.disable_ipv6=1"
}

ipv6_on() {
    sysctl -qw "net.ipv6.conf.$1.disable_ipv6=0"
    [ -e /run/fault-ipv6 ] || return 0
    ip -batch /run/fault-ipv6
    rm -f /run/fault-ipv6
}

# neighbour KNOWN ADDRESS INTERFACE: a host on the same line, whose one address is known, also has this one.
neighbour() {
    line=$(ip neigh show "$1" dev "$3" | sed -n 's/.*lladdr \([^ ]*\).*/\1/p')
    ip neigh replace "$2" dev "$3" lladdr "$line" nud permanent
}

# in_clear MESH PHYSICAL OWN: what goes to a neighbour's IPv6 mesh address goes straight to that neighbour, from this host's own
# one; `as_before MESH` ends that.
in_clear() {
    ip -6 rule add pref 100 to "$1" lookup 77
    ip -6 route add "$1" dev eth0 src "$3" table 77
    neighbour "$2" "$1" eth0
}

as_before() {
    ip -6 rule del pref 100 2>/dev/null || true
    ip -6 route flush table 77 2>/dev/null || true
    ip -6 neigh del "$1" dev eth0 2>/dev/null || true
}

# listens DIRECTIVES, answers DIRECTIVES: what the service's nginx uses instead of its configured directives.
listens() {
    keep /etc/mesh-service.conf
    sed -i "s|^ *listen .*|        $1|" /etc/mesh-service.conf
    again mesh-service
    sleep 0.5
}

answers() {
    keep /etc/mesh-service.conf
    sed -i "s|location / .*|location / { $1 }|" /etc/mesh-service.conf
    again mesh-service
    until served; do sleep 0.1; done
}

# served [ADDRESS]: whether anything answers on port 80 there, or of the service on the mesh.
served() {
    python3 -ISc 'import http.client, sys
line = http.client.HTTPConnection(sys.argv[1], 80, timeout=2)
line.request("GET", "/")
line.getresponse()' "${1:-$A_MESH4}" 2>/dev/null
}

# configured NEW OLD: the server's configuration has NEW in place of OLD, and is read.
configured() {
    keep /etc/headscale/config.yaml
    sed -i "s|$2|$1|" /etc/headscale/config.yaml
    again headscale
    until headscale health >/dev/null 2>&1; do sleep 0.2; done
}

# machine_pid NAME: the process 1 of a machine, as the controller sees it. For the controller.
machine_pid() {
    python3 -ISc 'import json, sys; print(json.load(open(sys.argv[1]))["machines"][sys.argv[2]][0])' "$LAB_DIR/record.json" "$1"
}
