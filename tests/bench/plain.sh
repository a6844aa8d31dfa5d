#!/bin/bash
# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# The yardstick of bench.py: what `meshctl run us1 us2 us3 us4 --down` does, as a plain script. It builds the same lab (two
# NAT routers, a relay with DERP and a resolver, headscale, three clients, a spare and three hosts outside the mesh), makes
# the checks of US1 to US4 with the usual tools, waits by polling, prints passed and failed, and takes everything down.
# Checks follow each other, as in most such scripts; what only waits (bursts of pings, ports that drop packets) runs side by
# side, and pairs are watched in the background.
#
#   HEADSCALE=… TAILSCALE=… TAILSCALED=… DERPER=… tests/bench/plain.sh
#
# It knows nothing of meshctl. All of it lives in namespaces of its own: when it ends, however it ends, nothing is left.
set -u -o pipefail

if [ "${1:-}" != --inside ]; then
    for program in HEADSCALE TAILSCALE TAILSCALED DERPER; do
        [ -x "${!program:-}" ] || { echo "$program is '${!program:-}': set it to the path of the program" >&2; exit 2; }
    done
    for program in curl dig dnsmasq jq nft nginx openssl ping socat tcpdump; do
        [ -n "$(command -v "$program")" ] || { echo "$program is not installed" >&2; exit 2; }
    done
    exec unshare --net --mount --pid --fork --kill-child --mount-proc /bin/bash "$0" --inside
fi

CLIENTS="client-node-1 client-node-2 client-node-3"
SERVER=headscale-server
CANARY=client-node-1
SPARE=client-node-4
LAN="printer nas web"
# Ports where nothing of the mesh may answer.
PORTS="22 53 80 123 443 445 3389 8080"
# The ports of a node's listeners: each returns what it gets.
ECHO=7001
BULK=1000000
DOMAIN=mesh.internal
declare -A ADDRESS=(
    [headscale-server]=192.168.1.5 [client-node-1]=192.168.1.10
    [client-node-2]=10.0.0.10 [client-node-3]=10.0.0.11 [client-node-4]=10.0.0.12
    [printer]=192.168.1.20 [nas]=10.0.0.20 [web]=203.0.113.80 [relay]=203.0.113.10
)
declare -A PORT=([client-node-1]=41641 [client-node-2]=41642 [client-node-3]=41643 [client-node-4]=41644)
declare -A NODE_PID DAEMON ID V4 V6 WATCH SINCE

passed=0
failed=0

# --- small tools ------------------------------------------------------------------------------------------------------

# check NAME COMMAND…: count whether the command succeeds.
check() {
    local name=$1
    shift
    if "$@" >"$WORK/check.log" 2>&1; then
        passed=$((passed + 1))
        echo "ok    $name"
    else
        failed=$((failed + 1))
        echo "FAIL  $name: $(tail -n 1 "$WORK/check.log")"
    fi
}

# until_true SECONDS COMMAND…: try until it succeeds or the time is up.
until_true() {
    local end=$((${EPOCHREALTIME/./} + $1 * 1000000))
    shift
    until "$@"; do
        [ "${EPOCHREALTIME/./}" -lt "$end" ] || return 1
        sleep 0.1
    done
}

not() { ! "$@"; }

# says PATTERN COMMAND…: whatever its exit status, its output has it.
says() { { "${@:2}" 2>&1 || true; } | grep -E -- "$1"; }

# on NODE COMMAND…: run a command on a node.
on() { nsenter --target "${NODE_PID[$1]}" --net --mount -- "${@:2}"; }

# start NODE COMMAND…: the same, for what stays: `start … &`, and $! is the command itself.
start() { exec nsenter --target "${NODE_PID[$1]}" --net --mount -- "${@:2}"; }

ts() { on "$1" "$TAILSCALE" --socket="$WORK/$1/tailscaled.sock" "${@:2}"; }

subnet_of() { case ${ADDRESS[$1]} in 192.168.1.*) echo a ;; 10.0.0.*) echo b ;; *) echo wan ;; esac; }

router_of() { case $(subnet_of "$1") in a) echo 203.0.113.2 ;; b) echo 203.0.113.3 ;; esac; }

others() { local node; for node in $CLIENTS; do [ "$node" = "$1" ] || echo "$node"; done; }

elsewhere() {
    local node
    for node in $CLIENTS; do [ "$(subnet_of "$node")" = "$(subnet_of "$1")" ] || echo "$node"; done
}

# --- the lab ----------------------------------------------------------------------------------------------------------

certificates() {
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj "/CN=plain lab CA" \
        -addext basicConstraints=critical,CA:true -keyout "$WORK/ca.key" -out "$WORK/ca.pem"
    local name
    for name in headscale.lab.test relay.lab.test; do
        openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "/CN=$name" \
            -keyout "$WORK/$name.key" -out "$WORK/$name.csr"
        openssl x509 -req -in "$WORK/$name.csr" -CA "$WORK/ca.pem" -CAkey "$WORK/ca.key" -CAcreateserial -days 2 \
            -extfile <(echo "subjectAltName=DNS:$name") -out "$WORK/$name.crt"
    done
} 2>>"$WORK/lab.log"

# machine NAME: a network namespace, and a mount namespace with an /etc of its own.
machine() {
    ip netns add "$1"
    mkdir -p "$WORK/$1/etc" "$WORK/$1/work" "$WORK/$1/state"
    nsenter --net="/run/netns/$1" unshare --mount /bin/sh -c '
        mount -t overlay -o "lowerdir=/etc,upperdir=$1/etc,workdir=$1/work" etc /etc
        mount -t sysfs sysfs /sys
        rm -f /etc/resolv.conf && printf "# lab\nnameserver 203.0.113.10\n" > /etc/resolv.conf
        printf "127.0.0.1 localhost\n" > /etc/hosts
        printf "hosts: files dns\n" > /etc/nsswitch.conf
        : > "$1/ready"
        exec sleep infinity' machine "$WORK/$1" &
    NODE_PID[$1]=$!
    until_true 10 test -e "$WORK/$1/ready"
    ip -n "$1" link set lo up
}

# cable MACHINE INTERFACE BRIDGE ADDRESS/LENGTH
cable() {
    ip link add "$1-$2" type veth peer name "$2" netns "$1" 2>/dev/null ||
        { ip link add "${1: -8}-$2" type veth peer name "$2" netns "$1"; set -- "${1: -8}" "$2" "$3" "$4" "$1"; }
    ip link set "$1-$2" master "$3" up
    ip -n "${5:-$1}" addr add "$4" dev "$2"
    ip -n "${5:-$1}" link set "$2" up
}

# router NAME WAN_ADDRESS LAN_CIDR GATEWAY HIDDEN_CIDR DNAT
router() {
    machine "$1"
    cable "$1" wan br-wan "$2/24"
    cable "$1" lan "br-$1" "$4/24"
    on "$1" sysctl -qw net.ipv4.ip_forward=1 net.ipv4.icmp_ratelimit=0
    ip -n "$1" route add default dev wan
    on "$1" nft -f - <<RULES
table inet router {
  chain input { type filter hook input priority filter; policy accept;
    iifname "wan" ct state established,related accept
    iifname "wan" drop
  }
  chain forward { type filter hook forward priority filter; policy drop;
    ct state established,related accept
    ct status dnat accept
    iifname "lan" ip daddr $5 reject with icmp net-unreachable
    iifname "lan" ip daddr != { 203.0.113.0/24, $3 } reject with icmp net-unreachable
    iifname "lan" accept
  }
  chain output { type filter hook output priority filter; policy accept;
    oifname "wan" ip daddr != { 203.0.113.0/24, $3 } reject with icmp net-unreachable
  }
  chain prerouting { type nat hook prerouting priority dstnat; policy accept;
    $6
  }
  chain postrouting { type nat hook postrouting priority srcnat; policy accept;
    oifname "wan" ip saddr $3 masquerade
    oifname "lan" ip saddr $3 ct status dnat masquerade
  }
}
RULES
}

build_lab() {
    local node
    for node in br-wan br-a br-b; do ip link add "$node" type bridge forward_delay 0 stp_state 0; ip link set "$node" up; done
    router a 203.0.113.2 192.168.1.0/24 192.168.1.1 10.0.0.0/24 \
        "ip daddr 203.0.113.2 tcp dport 443 dnat ip to 192.168.1.5:443"
    router b 203.0.113.3 10.0.0.0/24 10.0.0.1 192.168.1.0/24 ""
    machine relay
    cable relay eth0 br-wan 203.0.113.10/24
    for node in $SERVER $CLIENTS $SPARE $LAN; do
        machine "$node"
        cable "$node" eth0 "br-$(subnet_of "$node")" "${ADDRESS[$node]}/24"
        [ "$(subnet_of "$node")" = wan ] || ip -n "$node" route add default via "${ADDRESS[$node]%.*}.1"
    done
}

# --- the mesh ---------------------------------------------------------------------------------------------------------

start_relay() {
    cat > "$WORK/resolver.conf" <<CONF
user=root
group=root
no-resolv
no-hosts
pid-file=
host-record=headscale.lab.test,203.0.113.2
host-record=relay.lab.test,203.0.113.10
host-record=outside.lab.test,203.0.113.10
local=/#/
CONF
    mkdir -p "$WORK/derper"
    cp "$WORK/relay.lab.test.crt" "$WORK/relay.lab.test.key" "$WORK/derper/"
    start relay dnsmasq --keep-in-foreground --conf-file="$WORK/resolver.conf" >>"$WORK/lab.log" 2>&1 &
    start relay "$DERPER" -c="$WORK/derper.json" -hostname=relay.lab.test -certmode=manual -certdir="$WORK/derper" \
        -a=:443 -http-port=-1 -stun >>"$WORK/lab.log" 2>&1 &
}

start_server() {
    mkdir -p "$WORK/hs"
    cat > "$WORK/derp.yaml" <<CONF
regions:
  900:
    regionid: 900
    regioncode: lab
    regionname: Lab
    nodes: [{name: 900a, regionid: 900, hostname: relay.lab.test, ipv4: 203.0.113.10, derpport: 443, stunport: 3478}]
CONF
    cat > "$WORK/hs/config.yaml" <<CONF
server_url: https://headscale.lab.test
listen_addr: 0.0.0.0:443
metrics_listen_addr: 127.0.0.1:9090
grpc_listen_addr: 127.0.0.1:50443
tls_cert_path: $WORK/headscale.lab.test.crt
tls_key_path: $WORK/headscale.lab.test.key
noise: {private_key_path: $WORK/hs/noise.key}
prefixes: {v4: 100.64.0.0/10, v6: "fd7a:115c:a1e0::/48", allocation: sequential}
derp: {server: {enabled: false}, urls: [], paths: [$WORK/derp.yaml], auto_update_enabled: false}
disable_check_updates: true
database: {type: sqlite, sqlite: {path: $WORK/hs/db.sqlite, write_ahead_log: true}}
policy: {mode: database}
dns: {magic_dns: true, base_domain: $DOMAIN, override_local_dns: true, nameservers: {global: [203.0.113.10]}}
unix_socket: $WORK/hs/headscale.sock
unix_socket_permission: "0770"
logtail: {enabled: false}
log: {level: info}
CONF
    start $SERVER "$HEADSCALE" --config "$WORK/hs/config.yaml" serve >>"$WORK/headscale.log" 2>&1 &
    until_true 20 hs users list >/dev/null 2>&1
    hs users create default >/dev/null
    API_KEY=$(hs apikeys create --expiration 90d)
    hs policy set --file <(echo '{"acls": [{"action": "accept", "src": ["*"], "dst": ["*:*"]}],
        "nodeAttrs": [{"target": ["*"], "attr": ["magicdns-aaaa"]}]}') >>"$WORK/lab.log"
    AUTH_KEY=$(hs preauthkeys create --user 1 --reusable --expiration 24h)
}

hs() { on $SERVER "$HEADSCALE" --config "$WORK/hs/config.yaml" "$@"; }

# api METHOD PATH: headscale's HTTP API.
api() {
    on $SERVER curl -sS --fail --max-time 5 --cacert "$WORK/ca.pem" -X "$1" -H "Authorization: Bearer $API_KEY" \
        "https://headscale.lab.test/api/v1/$2"
}

start_daemon() {
    start "$1" env SSL_CERT_FILE="$WORK/ca.pem" TS_NO_LOGS_NO_SUPPORT=true TS_DISABLE_PORTMAPPER=1 \
        TS_DEBUG_FIREWALL_MODE=nftables "$TAILSCALED" --statedir="$WORK/$1/state" \
        --socket="$WORK/$1/tailscaled.sock" --port="${PORT[$1]}" --tun=tailscale0 >>"$WORK/$1/tailscaled.log" 2>&1 &
    DAEMON[$1]=$!
    until_true 20 test -S "$WORK/$1/tailscaled.sock"
}

stop_daemon() {
    kill "$2" "${DAEMON[$1]}"
    wait "${DAEMON[$1]}"
    rm -f "$WORK/$1/tailscaled.sock"
} 2>/dev/null

join() {
    ts "$1" up --reset --login-server=https://headscale.lab.test --auth-key="$AUTH_KEY" --hostname="$1" \
        --accept-dns=true --timeout=30s "${@:2}"
}

# who_is NODE: remember its id and addresses.
who_is() {
    local said
    said=$(ts "$1" status --json | jq -r '[.Self.ID, .TailscaleIPs[0], .TailscaleIPs[1]] | @tsv')
    read -r "ID[$1]" "V4[$1]" "V6[$1]" <<< "$said"
}

start_service() {
    cat > "$WORK/nginx.conf" <<CONF
user root;
worker_processes 1;
daemon off;
pid $WORK/nginx.pid;
error_log stderr;
events {}
http { access_log off; default_type text/plain;
  server { listen ${V4[$CANARY]}:80; location / { return 200 "plain: $CANARY serves this over the mesh\n"; } } }
CONF
    # The address comes with tailscaled: wait for it.
    start $CANARY /bin/sh -c 'until ip -o addr show to "$1" | grep .; do sleep 0.2; done; exec nginx -c "$2"' \
        service "${V4[$CANARY]}" "$WORK/nginx.conf" >>"$WORK/lab.log" 2>&1 &
    SERVICE=$!
    until_true 20 on $CANARY curl -s -o /dev/null "http://${V4[$CANARY]}/"
}

# start_web HOST: a web server outside the mesh, which tells its client's address.
start_web() {
    cat > "$WORK/$1/nginx.conf" <<CONF
user root;
worker_processes 1;
daemon off;
pid $WORK/$1/nginx.pid;
error_log stderr;
events {}
http { access_log off; default_type text/plain; server { listen 80; location / { return 200 "\$remote_addr\n"; } } }
CONF
    start "$1" nginx -c "$WORK/$1/nginx.conf" >>"$WORK/lab.log" 2>&1 &
}

build_mesh() {
    local node
    for node in $LAN; do start_web "$node"; done
    start_relay
    start_server
    for node in $CLIENTS; do start_daemon "$node"; join "$node" >>"$WORK/lab.log" 2>&1; who_is "$node"; done
    start_service
}

# --- looking ----------------------------------------------------------------------------------------------------------

# registered NODE ONLINE: the server has it under its id, not expired, and holds it online or offline.
registered() {
    api GET node | jq -e --arg id "${ID[$1]}" --argjson online "$2" '.nodes[] | select(.id == $id)
        | .online == $online and (.ipAddresses | length) == 2
          and (.expiry == null or (.expiry | startswith("0001")) or .expiry > (now | todate))'
}

unique() { api GET node | jq -e --arg name "$1" '[.nodes[] | select(.name == $name)] | length == 1'; }

registered_all() {
    local node
    for node in "$@"; do
        check "server: $node registered and online" until_true 30 registered "$node" true
        check "server: $node registered once" until_true 30 unique "$node"
    done
}

is_itself() {
    ts "$1" status --json | jq -e --arg id "${ID[$1]}" --arg v4 "${V4[$1]}" --arg v6 "${V6[$1]}" \
        '.BackendState == "Running" and .Self.Online and .Self.ID == $id and .TailscaleIPs == [$v4, $v6]'
}

# sees NODE PEER ONLINE
sees() {
    ts "$1" status --json | jq -e --arg v4 "${V4[$2]}" --arg v6 "${V6[$2]}" --argjson online "$3" \
        '[.Peer[] | select(.TailscaleIPs == [$v4, $v6] and .Online == $online)] | length == 1'
}

pings() { on "$1" ping -n -q -c 3 -i 0.1 -W 1 "$2" | tee "$WORK/ping.$1" | grep ' 3 received'; }

silent() { says ' 0 received' on "$1" ping -n -q -c 2 -i 0.2 -W 1 "$2"; }

# fast NODE PEER: the average of the last pings is below 50 ms.
fast() { awk -F/ '/^rtt/ { found = 1; exit !($5 < 50) } END { if (!found) exit 1 }' "$WORK/ping.$1"; }

reaches() {
    check "$1 -> $2: ipv4" until_true 20 pings "$1" "${V4[$2]}"
    check "$1 -> $2: latency" fast "$1"
    check "$1 -> $2: ipv6" until_true 20 pings "$1" "${V6[$2]}"
}

# burst NODE LABEL SIZE PEER…: 20 pings of a size to every peer in both families, all at the same time.
burst() {
    local node=$1 label=$2 size=$3 peer address
    local -a running=()
    shift 3
    for peer in "$@"; do
        for address in "${V4[$peer]}" "${V6[$peer]}"; do
            on "$node" ping -n -q -c 20 -i 0.05 -W 1 -s "$size" "$address" >"$WORK/$label.$node.$peer.$address" 2>&1 &
            running+=($!)
        done
    done
    wait "${running[@]}"
}

# answered LABEL NODE PEER LEAST: at least so many of the 40 pings of a burst were answered, some of each family.
answered() {
    awk -v least="$4" '/received/ { total += $4; if ($4 == 0) silent = 1 } END { print total " of 40"; exit !(total >= least && !silent) }' \
        "$WORK/$1.$2.$3.${V4[$3]}" "$WORK/$1.$2.$3.${V6[$3]}"
}

# steady_pairs NODE PEER…: the path to each peer keeps its packets, also large ones. A bad burst is repeated once.
steady_pairs() {
    local node=$1 peer
    shift
    burst "$node" loss 56 "$@"
    for peer in "$@"; do answered loss "$node" "$peer" 38 >>"$WORK/lab.log" || burst "$node" loss 56 "$peer"; done
    burst "$node" large 1232 "$@"
    for peer in "$@"; do
        check "$node -> $peer: loss" answered loss "$node" "$peer" 38
        check "$node -> $peer: large" answered large "$node" "$peer" 2
    done
}

# endpoint NODE PEER: the physical endpoint that the peer answers from.
endpoint() { ts "$1" ping --c 10 --timeout 2s --until-direct "${V4[$2]}" | sed -n 's/.* via \([0-9.:]*\) in .*/\1/p' | tail -n 1; }

direct() {
    local found
    found=$(endpoint "$1" "$2")
    echo "via $found"
    [ "${found%:*}" = "${ADDRESS[$2]}" ] || [ "${found%:*}" = "$(router_of "$2")" ]
}

# --- connections ------------------------------------------------------------------------------------------------------

# serve NODE: listeners that say who asks and return what they get.
serve() {
    start "$1" socat "TCP4-LISTEN:$ECHO,bind=${V4[$1]},reuseaddr,fork" 'SYSTEM:echo \$SOCAT_PEERADDR; exec cat' 2>>"$WORK/lab.log" &
    LISTENERS+=($!)
    start "$1" socat "TCP6-LISTEN:$ECHO,bind=[${V6[$1]}],reuseaddr,fork" 'SYSTEM:echo \$SOCAT_PEERADDR; exec cat' 2>>"$WORK/lab.log" &
    LISTENERS+=($!)
    start "$1" socat "UDP4-RECVFROM:$ECHO,bind=${V4[$1]},fork" EXEC:cat 2>>"$WORK/lab.log" &
    LISTENERS+=($!)
    start "$1" socat "UDP6-RECVFROM:$ECHO,bind=[${V6[$1]}],fork" EXEC:cat 2>>"$WORK/lab.log" &
    LISTENERS+=($!)
    until_true 5 listening "$1"
}

listening() { [ "$(on "$1" ss -Htuln "sport = :$ECHO" | wc -l)" -ge 4 ]; }

end_listeners() { kill "${LISTENERS[@]}" 2>/dev/null; wait "${LISTENERS[@]}" 2>/dev/null; LISTENERS=(); }

# seen_as NODE FAMILY: the node's mesh address as socat writes it.
seen_as() {
    case $2 in
        4) echo "${V4[$1]}" ;;
        6) printf '[%s:%04x]\n' fd7a:115c:a1e0:0000:0000:0000:0000 "0x${V6[$1]##*:}" ;;
    esac
}

# at PEER FAMILY: its address, as socat takes it.
at() { case $2 in 4) echo "${V4[$1]}" ;; 6) echo "[${V6[$1]}]" ;; esac; }

# tcp_answers NODE PEER FAMILY: a new connection; the reply is whole and was asked from the node's mesh address.
tcp_answers() {
    local token=token-$RANDOM$RANDOM
    [ "$(on "$1" socat -t 3 - "TCP$3:$(at "$2" "$3"):$ECHO,connect-timeout=3" <<< "$token")" = "$(seen_as "$1" "$3")"$'\n'"$token" ]
}

# udp_answers NODE PEER FAMILY: datagrams of 64 and of 1200 bytes return.
udp_answers() {
    local size
    for size in 64 1200; do
        head -c "$size" "$WORK/blob" | on "$1" socat -t 1 -T 1 -b 2048 - "UDP$3:$(at "$2" "$3"):$ECHO" | cmp - <(head -c "$size" "$WORK/blob") || return
    done
}

# transfers NODE PEER FAMILY: a megabyte goes there and returns whole, at a megabit per second or more.
transfers() {
    timeout 16 nsenter --target "${NODE_PID[$1]}" --net --mount -- \
        socat -t 10 - "TCP$3:$(at "$2" "$3"):$ECHO,connect-timeout=3" <"$WORK/blob" | tail -n +2 | cmp - "$WORK/blob"
}

exchanges() {
    local family
    for family in 4 6; do
        check "$1 -> $2: TCP over IPv$family" until_true 15 tcp_answers "$1" "$2" $family
        check "$1 -> $2: UDP over IPv$family" until_true 15 udp_answers "$1" "$2" $family
        check "$1 -> $2: a megabyte each way over IPv$family" until_true 15 transfers "$1" "$2" $family
    done
}

# watch NODE PEER…: ping it ten times a second from now on, and keep a TCP connection open that is used three times a second.
watch() {
    local node=$1 peer address name
    shift
    for peer in "$@"; do
        for address in "${V4[$peer]}" "${V6[$peer]}"; do
            name=$node.$peer.$address
            start "$node" ping -n -D -i 0.1 "$address" >"$WORK/steady.$name" 2>&1 &
            WATCH[ping.$name]=$!
            start "$node" bash -c 'exec 3<>"/dev/tcp/$1/$2" 4<> <(:); read -r -t 3 -u 3 || exit 1
                while echo "$EPOCHREALTIME" >&3 && read -r -t 3 -u 3; do echo "$REPLY"; read -r -t 0.3 -u 4; done; exit 1' \
                stream "$address" $ECHO >"$WORK/stream.$name" 2>&1 &
            WATCH[stream.$name]=$!
            SINCE[$name]=${EPOCHREALTIME/./}
        done
    done
}

# kept NAME: no five pings in a row were lost.
kept() {
    awk 'match($0, /icmp_seq=[0-9]+/) { seq = substr($0, RSTART + 9, RLENGTH - 9); if (seq - last > 5) { print last, seq; bad = 1 } last = seq }
        END { exit bad || last + 0 < 50 }' "$WORK/steady.$1"
}

# open NAME: the connection stands, was never silent for three seconds, and was used until now.
open() { kill -0 "${WATCH[stream.$1]}" && [ "$(wc -l < "$WORK/stream.$1")" -ge 10 ]; }

# steady NODE PEER…: judge what was watched, ten seconds at least, and end it.
steady() {
    local node=$1 peer address name
    shift
    for peer in "$@"; do
        for address in "${V4[$peer]}" "${V6[$peer]}"; do
            name=$node.$peer.$address
            until_true 10 watched_enough "$name"
            kill -INT "${WATCH[ping.$name]}"
            wait "${WATCH[ping.$name]}"
            check "$node -> $peer: $address stayed reachable" kept "$name"
            check "$node -> $peer: a connection to $address stayed open" open "$name"
            kill "${WATCH[stream.$name]}" 2>/dev/null
            wait "${WATCH[stream.$name]}" 2>/dev/null
        done
    done
}

watched_enough() { [ $((${EPOCHREALTIME/./} - SINCE[$1])) -ge 10000000 ]; }

# --- US1 --------------------------------------------------------------------------------------------------------------

rejoined() {
    check "$1: $CANARY is back as itself" until_true 30 is_itself $CANARY
    local peer
    for peer in $(others $CANARY); do
        check "$1: $CANARY -> $peer" until_true 30 both_families $CANARY "$peer"
    done
    registered_all $CLIENTS
}

both_families() { pings "$1" "${V4[$2]}" && pings "$1" "${V6[$2]}"; }

both_silent() { silent "$1" "${V4[$2]}" && silent "$1" "${V6[$2]}"; }

us1() {
    local node peer
    registered_all $CLIENTS
    for node in $CLIENTS; do
        check "$node: connected" until_true 30 is_itself "$node"
        for peer in $(others "$node"); do check "$node sees $peer" until_true 30 sees "$node" "$peer" true; done
    done
    for node in $CLIENTS; do serve "$node"; done
    for node in $CLIENTS; do for peer in $(others "$node"); do reaches "$node" "$peer"; done; done
    for node in $CLIENTS; do watch "$node" $(others "$node"); done
    for node in $CLIENTS; do steady_pairs "$node" $(others "$node"); done
    for node in $CLIENTS; do
        for peer in $(others "$node"); do check "$node -> $peer: direct" until_true 30 direct "$node" "$peer"; done
    done
    for node in $CLIENTS; do for peer in $(others "$node"); do exchanges "$node" "$peer"; done; done
    steady $CANARY $(others $CANARY)
    for node in $(others $CANARY); do steady "$node" $CANARY; done

    ts $CANARY down
    check "down: the server sees it go" until_true 30 registered $CANARY false
    check "down: registered once" unique $CANARY
    for node in $(others $CANARY); do
        check "down: $node connected" is_itself "$node"
        for peer in $(others "$node"); do
            check "down: $node sees $peer" until_true 30 sees "$node" "$peer" "$([ "$peer" = $CANARY ] && echo false || echo true)"
        done
    done
    ts $CANARY up
    rejoined down

    ip link set "${CANARY: -8}-eth0" down
    for node in $(others $CANARY); do check "link: $node does not reach it" until_true 30 both_silent "$node" $CANARY; done
    ip link set "${CANARY: -8}-eth0" up
    rejoined link

    stop_daemon $CANARY -KILL
    start_daemon $CANARY
    rejoined killed

    steady client-node-2 client-node-3
    steady client-node-3 client-node-2
    end_listeners
}

# --- US2 --------------------------------------------------------------------------------------------------------------

# addressed NODE: its address, and none of the other subnet.
addressed() {
    on "$1" ip -j -4 addr show | jq -e --arg address "${ADDRESS[$1]}" --arg other "$([ "$(subnet_of "$1")" = a ] && echo 10.0.0. || echo 192.168.1.)" \
        '[.[] | select(.ifname != "lo" and .ifname != "tailscale0") | .addr_info[]] as $all
         | any($all[]; .local == $address and .prefixlen == 24) and all($all[]; .local | startswith($other) | not)'
}

gatewayed() {
    on "$1" ip -j -4 route show | jq -e --arg gateway "${ADDRESS[$1]%.*}.1" --arg other "$([ "$(subnet_of "$1")" = a ] && echo 10.0.0. || echo 192.168.1.)" \
        'any(.[]; .dst == "default" and .gateway == $gateway) and all(.[]; .dst | startswith($other) | not)'
}

direct_packets() {
    ts "$1" metrics | awk '/^tailscaled_outbound_packets_total.*path="direct/ { total += $2 } END { print total + 0 }'
}

# capture NODE INTERFACE FILE [FILTER]: start tcpdump and wait until it captures.
capture() {
    start "$1" tcpdump --immediate-mode -Z root -U -n -i "$2" -w "$3" ${4:+"$4"} 2>"$3.log" &
    TCPDUMP+=($!)
    until_true 5 grep -qs "listening on" "$3.log"
}

end_capture() { sleep 0.1; kill -INT "${TCPDUMP[@]}"; wait "${TCPDUMP[@]}"; TCPDUMP=(); }

encrypted() {
    local node=$1 marker=meshctlmarker-$RANDOM hex peer address before after
    local -A via=()
    hex=$(printf %s "${marker:0:16}" | od -An -tx1 | tr -d ' \n')
    for peer in $(elsewhere "$node"); do via[$peer]=$(endpoint "$node" "$peer"); done
    before=$(direct_packets "$node")
    capture "$node" eth0 "$WORK/eth0.pcap"
    capture "$node" tailscale0 "$WORK/mesh.pcap"
    for peer in $(elsewhere "$node"); do
        for address in "${V4[$peer]}" "${V6[$peer]}"; do on "$node" ping -n -q -c 3 -i 0.1 -W 1 -p "$hex" "$address"; done >"$WORK/marked.$peer"
        # What needs no answer: a datagram, and a connection to a port where nothing listens.
        echo "$marker" | on "$node" socat -u - "UDP4:${V4[$peer]}:9"
        echo "$marker" | on "$node" socat -u - "TCP4:${V4[$peer]}:9,connect-timeout=1" 2>/dev/null
    done
    end_capture
    after=$(direct_packets "$node")
    for peer in $(elsewhere "$node"); do
        check "$node -> $peer: encrypted, on that path" carried "$peer" "${via[$peer]}" "${marker:0:16}"
    done
    check "$node: counters" test $((after - before)) -ge $((6 * ${#via[@]}))

    before=$(link_bytes "$node")
    capture "$node" eth0 "$WORK/bulk.pcap" 'tcp or net 100.64.0.0/10 or ip6 net fd7a:115c:a1e0::/48'
    for peer in $(elsewhere "$node"); do transfers "$node" "$peer" 4 || echo "no transfer to $peer" >>"$WORK/lab.log"; done
    end_capture
    after=$(link_bytes "$node")
    check "$node: a transfer leaves encrypted" transfer_hidden $((after - before)) $((2 * BULK * ${#via[@]}))
}

# carried PEER ENDPOINT MARKER: all answered, in clear on the mesh interface only, and as UDP to that endpoint.
carried() {
    [ "$(grep -c ' 3 received' "$WORK/marked.$1")" = 2 ] && [ "${2%:*}" != "" ] &&
        grep -aq "$3" "$WORK/mesh.pcap" && ! grep -aq "$3" "$WORK/eth0.pcap" &&
        [ "$(tcpdump -n -r "$WORK/eth0.pcap" "udp and dst host ${2%:*} and dst port ${2#*:}" 2>/dev/null | wc -l)" -ge 6 ]
}

# link_bytes NODE: what its physical link has carried, both ways.
link_bytes() { on "$1" ip -j -s link show eth0 | jq '.[0].stats64 | .rx.bytes + .tx.bytes'; }

# transfer_hidden CARRIED LEAST: nothing of it was captured in clear, and the link carried at least as much.
transfer_hidden() {
    echo "$1 bytes of $2"
    [ "$1" -ge "$2" ] && [ "$(tcpdump -n -r "$WORK/bulk.pcap" 'net 100.64.0.0/10 or ip6 net fd7a:115c:a1e0::/48' 2>/dev/null | wc -l)" = 0 ] &&
        ! tcpdump -n -A -r "$WORK/bulk.pcap" 2>/dev/null | grep -qF "$(head -c 12 "$WORK/blob")"
}

ping_refused() { says 'From .* Unreachable' on "$1" ping -n -c 1 -W 1 "$2"; }

# knock NODE ADDRESS PROTOCOL PORT…: try all ports at the same time, ask each for a page, and show what comes back.
knock() {
    local node=$1 address=$2 protocol=$3 port
    local -a running=()
    [[ $address != *:* ]] || address="[$address]"
    shift 3
    for port in "$@"; do
        case $protocol in
            tcp) set -- "TCP:$address:$port,connect-timeout=1" ;;
            udp) set -- "UDP:$address:$port,ip-recverr" ;;
        esac
        { printf 'GET / HTTP/1.0\r\n\r\n' | on "$node" socat -d -d -t 1 -T 1 - "$1" 2>&1 | sed "s/^/$port: /"; } &
        running+=($!)
    done
    wait "${running[@]}"
}

# walled NODE ADDRESS PROTOCOL: no port answers or resets, and a router says that there is no way.
walled() {
    local said
    said=$(knock "$1" "$2" "$3" $PORTS)
    echo "$said"
    ! grep -aEq 'successfully connected|Connection refused|HTTP/' <<< "$(answers_in "$3" "$said")" &&
        grep -aEq 'Network is unreachable|No route to host|Host is unreachable' <<< "$said"
}

# answers_in PROTOCOL TEXT: a datagram's socket is connected at once, which says nothing.
answers_in() { if [ "$1" = udp ]; then grep -a -v 'successfully connected' <<< "$2"; else echo "$2"; fi; }

# dropped NODE PEER PROTOCOL PORT…: nothing on the peer's router answers, while the peer answers over the mesh.
dropped() {
    local said
    said=$(knock "$1" "$(router_of "$2")" "${@:3}")
    echo "$said"
    ! grep -aEq 'successfully connected|Connection refused|HTTP/' <<< "$(answers_in "$3" "$said")" && pings "$1" "${V4[$2]}"
}

# protocols_refused NODE ADDRESS: SCTP, GRE, ESP and tunnels get no answer, and a router says that there is no way.
protocols_refused() {
    local number
    local -a running=()
    capture "$1" eth0 "$WORK/protocols.pcap" "src host $2 or icmp[icmptype] == icmp-unreach"
    for number in 132 47 50 4 41; do
        head -c 64 "$WORK/blob" | on "$1" socat -u - "IP4-SENDTO:$2:$number" &
        running+=($!)
    done
    wait "${running[@]}"
    # Some protocols are dropped without a word: a quarter of a second is long for a refusal.
    sleep 0.25
    end_capture
    [ "$(tcpdump -n -r "$WORK/protocols.pcap" "src host $2" 2>/dev/null | wc -l)" = 0 ] &&
        tcpdump -n -r "$WORK/protocols.pcap" 2>/dev/null | grep -E "ICMP (net|host) $2 unreachable"
}

# hidden_from NODE: the hosts in the other subnet.
hidden_from() {
    local node
    for node in $SERVER $CLIENTS; do [ "$(subnet_of "$node")" = "$(subnet_of "$1")" ] || echo "$node"; done
}

# but PORT: all ports except one.
but() { local port; for port in $PORTS; do [ "$port" = "$1" ] || echo "$port"; done; }

isolated() {
    local node=$1 peer
    for peer in $(hidden_from "$node"); do
        check "$node: $peer refused, ICMP" until_true 6 ping_refused "$node" "${ADDRESS[$peer]}"
        check "$node: $peer refused, TCP" until_true 6 walled "$node" "${ADDRESS[$peer]}" tcp
        check "$node: $peer refused, UDP" until_true 6 walled "$node" "${ADDRESS[$peer]}" udp
        check "$node: $peer refused, other protocols" until_true 6 protocols_refused "$node" "${ADDRESS[$peer]}"
    done
    [ "$node" != $SERVER ] || return 0
    peer=$(elsewhere "$node" | head -n 1)
    # The server's port is published at its router.
    check "$node: the router of $peer drops TCP" until_true 6 dropped "$node" "$peer" tcp $([ "$(subnet_of "$peer")" = a ] && but 443 || but none)
    check "$node: the router of $peer drops UDP" until_true 6 dropped "$node" "$peer" udp $PORTS
}

us2() {
    local node peer
    registered_all $CLIENTS
    for node in $SERVER $CLIENTS; do
        check "$node: address" addressed "$node"
        check "$node: gateway" gatewayed "$node"
    done
    for node in $CLIENTS; do for peer in $(elsewhere "$node"); do reaches "$node" "$peer"; done; done
    for node in $CLIENTS; do steady_pairs "$node" $(elsewhere "$node"); done
    for node in $CLIENTS; do
        for peer in $(elsewhere "$node"); do check "$node -> $peer: direct" until_true 30 direct "$node" "$peer"; done
    done
    for node in $CLIENTS; do serve "$node"; done
    for node in $CLIENTS; do encrypted "$node"; done
    end_listeners
    for node in $SERVER $CLIENTS; do isolated "$node"; done
}

# --- US3 --------------------------------------------------------------------------------------------------------------

listens() { [ "$(on $CANARY ss -Htln 'sport = :80' | awk '{ print $4 }')" = "${V4[$CANARY]}:80" ]; }

serves() {
    [ "$(on "$1" curl -sS --max-time 3 -w '%{http_code} %{remote_ip}' "$2")" = \
        "$(printf 'plain: %s serves this over the mesh\n200 %s' $CANARY "${V4[$CANARY]}")" ]
}

# refuses NODE WORDS: the physical address does not answer, and says so.
refuses() {
    says "$2" on "$1" curl -v -sS --max-time 3 "http://${ADDRESS[$CANARY]}/"
}

# unanswered NODE ADDRESS: no page, however it ends.
unanswered() { not on "$1" curl -sS --max-time 1 "http://$2/"; }

# places NODE: where the service's page must not be, as name and addresses: other nodes, neighbours, the other router.
places() {
    local host
    for host in $SERVER $CLIENTS $LAN relay; do
        [ "$host" != "$1" ] || continue
        set -- "$1" "$host"
        [ "$1" = $SERVER ] || [ -z "${V4[$host]:-}" ] || set -- "$@" "${V4[$host]}" "${V6[$host]}"
        case $(subnet_of "$host") in "$(subnet_of "$1")" | wan) set -- "$@" "${ADDRESS[$host]}" ;; esac
        [ $# -le 2 ] || echo "${@:2}"
    done
    case $(subnet_of "$1") in a) echo "router-b 203.0.113.3" ;; b) echo "router-a 203.0.113.2" ;; esac
}

# page_absent NODE PROTOCOL SKIPPED_PORT ADDRESS…: no port returns the service's page.
page_absent() {
    local address
    local -a running=()
    for address in "${@:4}"; do
        knock "$1" "$address" "$2" $(but "$3") >"$WORK/knock.$address" &
        running+=($!)
    done
    wait "${running[@]}"
    for address in "${@:4}"; do ! grep -aF "serves this over the mesh" "$WORK/knock.$address" || return; done
}

page_private() {
    local node host addresses skipped
    for node in $SERVER $CLIENTS; do
        [ "$node" = $SERVER ] || [ "$node" = $CANARY ] || on "$node" curl -s --max-time 3 "http://${V4[$CANARY]}/" | grep -q 'serves this' ||
            { check "$node: the service itself" false; continue; }
        while read -r host addresses; do
            # The service's own port, and the router's ports that lead to its network, are tested elsewhere.
            case $host in $CANARY | router-a) skipped=80 ;; *) skipped=none ;; esac
            check "$node: the page is not on $host, TCP" page_absent "$node" tcp $skipped $addresses
            check "$node: the page is not on $host, UDP" page_absent "$node" udp none $addresses
        done < <(places "$node")
    done
}

service_answers() {
    local node url
    check "service listens on the mesh address only" until_true 10 listens
    for node in $(others $CANARY); do
        for url in "${V4[$CANARY]}" "$CANARY.$DOMAIN" "$CANARY"; do
            check "$node gets http://$url/" until_true 15 serves "$node" "http://$url/"
        done
    done
    check "$SERVER: refused" until_true 15 refuses $SERVER 'Connection refused'
    check "$CANARY: refused" until_true 15 refuses $CANARY 'Connection refused'
    for node in $(elsewhere $CANARY); do
        check "$node: unreachable" until_true 15 refuses "$node" 'Network is unreachable|No route to host'
        check "$node: not through the router" unanswered "$node" "$(router_of $CANARY)"
    done
    check "$SERVER is not in the mesh" unanswered $SERVER "${V4[$CANARY]}"
}

us3() {
    registered_all $CLIENTS
    local node
    service_answers
    page_private
    for node in $(others $CANARY); do serve "$node"; done
    watch client-node-2 client-node-3
    watch client-node-3 client-node-2
    stop_daemon $CANARY -TERM
    start_daemon $CANARY
    kill $SERVICE
    wait $SERVICE 2>/dev/null
    start_service
    service_answers
    steady client-node-2 client-node-3
    steady client-node-3 client-node-2
    end_listeners
}

# --- US4 --------------------------------------------------------------------------------------------------------------

# within_a_second COMMAND…
within_a_second() {
    local began=${EPOCHREALTIME/./}
    "$@" && [ $((${EPOCHREALTIME/./} - began)) -lt 1000000 ]
}

# leads NODE NAME ADDRESSES: as every program resolves it.
leads() { [ "$(on "$1" getent ahosts "$2" | awk '{ print $1 }' | sort -u | xargs)" = "$3" ]; }

unknown() {
    not on "$1" getent ahosts "$2" && on "$1" dig +time=1 +tries=2 @100.100.100.100 "$2" A | grep 'status: NXDOMAIN'
}

# answers NODE NAME IPV4 IPV6: tailscaled's own resolver.
answers() {
    [ "$(on "$1" dig +short +time=1 @100.100.100.100 "$2" A)" = "$3" ] &&
        [ "$(on "$1" dig +short +time=1 @100.100.100.100 "$2" AAAA)" = "$4" ]
}

answers_tcp() { [ "$(on "$1" dig +short +tcp +time=1 @100.100.100.100 "$2" A)" = "$3" ]; }

reverses() {
    [ "$(on "$1" dig +short +time=1 @100.100.100.100 -x "$2")" = "$4." ] &&
        [ "$(on "$1" dig +short +time=1 @100.100.100.100 -x "$3")" = "$4." ]
}

# resolves NODE PEER…
resolves() {
    local node=$1 peer
    shift
    capture "$node" any "$WORK/dns.pcap" 'port 53'
    for peer in "$@"; do
        check "$node: $peer.$DOMAIN" until_true 30 within_a_second leads "$node" "$peer.$DOMAIN" "${V4[$peer]} ${V6[$peer]}"
        check "$node: $peer" until_true 30 within_a_second leads "$node" "$peer" "${V4[$peer]} ${V6[$peer]}"
    done
    end_capture
    check "$node: 100.100.100.100 was asked" asked_100 "$node"
    check "$node: no name of the mesh in /etc/hosts" not on "$node" grep -F -e ".$DOMAIN" -e client-node /etc/hosts
    for peer in "$@"; do
        check "$node: $peer, over TCP" until_true 30 within_a_second answers_tcp "$node" "$peer.$DOMAIN" "${V4[$peer]}"
        check "$node: $peer, A and AAAA" until_true 30 within_a_second answers "$node" "$peer.$DOMAIN" "${V4[$peer]}" "${V6[$peer]}"
        check "$node: $peer, reverse" until_true 30 within_a_second reverses "$node" "${V4[$peer]}" "${V6[$peer]}" "$peer.$DOMAIN"
    done
}

# asked_100 NODE: the system's resolver is 100.100.100.100, on the wire as well: nobody else was asked, and it answered.
asked_100() {
    on "$1" grep -qx 'nameserver 100.100.100.100' /etc/resolv.conf || return 1
    local asked
    asked=$(tcpdump -n -r "$WORK/dns.pcap" 'dst port 53 and not net 127.0.0.0/8' 2>/dev/null |
        grep -F ".$DOMAIN" | sed 's/.* > \([0-9.]*\): .*/\1/' | sort -u)
    [ "$asked" = 100.100.100.100.53 ] &&
        [ "$(tcpdump -n -r "$WORK/dns.pcap" 'src host 100.100.100.100 and src port 53' 2>/dev/null | wc -l)" -gt 0 ]
}

spare_joins() {
    start_daemon $SPARE
    join $SPARE "$@" >>"$WORK/lab.log" 2>&1
    until_true 30 running $SPARE
    who_is $SPARE
}

running() { ts "$1" status --json | jq -e '.BackendState == "Running" and .Self.Online' >/dev/null; }

# names_are WHAT PRESENT ABSENT: on every client.
names_are() {
    local node
    for node in $CLIENTS; do
        [ -z "$2" ] || check "$1: $node finds $2" until_true 30 leads "$node" "$2.$DOMAIN" "${V4[$SPARE]} ${V6[$SPARE]}"
        [ -z "$3" ] || check "$1: $node does not find $3" until_true 30 unknown "$node" "$3.$DOMAIN"
    done
}

us4() {
    local node
    registered_all $CLIENTS
    for node in $CLIENTS; do
        resolves "$node" $(others "$node")
        check "$node: unknown name" until_true 30 unknown "$node" "no-such-node.$DOMAIN"
        check "$node: name outside the mesh" until_true 30 leads "$node" outside.lab.test 203.0.113.10
    done

    spare_joins
    registered_all $CLIENTS $SPARE
    names_are joined $SPARE ""
    resolves $SPARE $CLIENTS
    for node in $CLIENTS; do reaches $SPARE "$node"; done
    steady_pairs $SPARE $CLIENTS

    ts $SPARE set --hostname=$SPARE-renamed
    names_are renamed $SPARE-renamed $SPARE

    api POST "node/${ID[$SPARE]}/rename/$SPARE-by-admin" >/dev/null
    names_are renamed-by-admin $SPARE-by-admin $SPARE-renamed

    api DELETE "node/${ID[$SPARE]}" >/dev/null
    names_are removed "" $SPARE-by-admin
    for node in $CLIENTS; do
        check "removed: $node does not reach it, ipv4" until_true 30 silent "$node" "${V4[$SPARE]}"
        check "removed: $node does not reach it, ipv6" until_true 30 silent "$node" "${V6[$SPARE]}"
    done
    for node in $CLIENTS; do check "removed: it does not reach $node" until_true 30 both_silent $SPARE "$node"; done

    join $SPARE --force-reauth >>"$WORK/lab.log" 2>&1
    until_true 30 new_id
    who_is $SPARE
    registered_all $CLIENTS $SPARE
    names_are rejoined $SPARE $SPARE-by-admin

    api DELETE "node/${ID[$SPARE]}" >/dev/null
    stop_daemon $SPARE -TERM
    rm -rf "$WORK/$SPARE/state"
}

new_id() { running $SPARE && [ "$(ts $SPARE status --json | jq -r .Self.ID)" != "${ID[$SPARE]}" ]; }

# --- all of it --------------------------------------------------------------------------------------------------------

stage() {
    local began=${EPOCHREALTIME/./}
    "$1"
    printf '# %s %d ms\n' "$1" $(((${EPOCHREALTIME/./} - began) / 1000))
}

mount -t tmpfs -o mode=755 run /run
mkdir -p /run/netns /run/lock
WORK=/run/lab
mkdir -p "$WORK"
TCPDUMP=()
LISTENERS=()
# Text, so that it can be found in a capture.
base64 -w 0 /dev/urandom | head -c $BULK > "$WORK/blob"
ip link set lo up

stage certificates
stage build_lab
stage build_mesh
stage us1
stage us2
stage us3
stage us4

echo "$passed passed, $failed failed"
# The end of this process, the first of its namespace, ends every other one; the kernel takes the rest down.
[ "$failed" -eq 0 ]
