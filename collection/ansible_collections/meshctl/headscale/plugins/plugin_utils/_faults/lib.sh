# What every script of a fault can use. PRIVATE to the collection.

# node_id NAME: the id that the control server has given to a node.
node_id() {
    headscale nodes list -o json | python3 -c '
import json, sys
print(next(node["id"] for node in json.load(sys.stdin) or [] if node["given_name"] == sys.argv[1]))' "$1"
}

# background NAME COMMAND...: run a command that outlives this script; `ended NAME` ends it.
background() {
    name=$1
    shift
    setsid "$@" </dev/null >"/tmp/fault-$name.log" 2>&1 &
    echo $! > "/tmp/fault-$name.pid"
}

# ended NAME: end what `background` started, with all that it started.
ended() {
    [ -e "/tmp/fault-$1.pid" ] || return 0
    kill -KILL -- "-$(cat "/tmp/fault-$1.pid")" 2>/dev/null || true
    rm -f "/tmp/fault-$1.pid" "/tmp/fault-$1.log"
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

# rule NAME RULESET: nftables rules in a table of their own; `unruled NAME` takes them away.
rule() {
    printf 'table %s {}\ndelete table %s\ntable %s { %s }\n' "$1" "$1" "$1" "$2" | nft -f -
}

unruled() {
    nft delete table $1 2>/dev/null || true
}

# policy JSON: the server's policy; `no_policy` is the one that lets everybody reach everybody, as without any.
policy() {
    printf '%s\n' "$1" > /tmp/fault-policy.json
    headscale policy set -f /tmp/fault-policy.json >/dev/null
    rm -f /tmp/fault-policy.json
}

no_policy() {
    policy '{"acls": [{"action": "accept", "src": ["*"], "dst": ["*:*"]}]}'
}

# reflow: a router forgets the flows that it has translated: they go with the interface, and so do its routes.
reflow() {
    routes=$(ip route show dev wan | grep -v 'proto kernel')
    ip link set wan down
    ip link set wan up
    printf '%s\n' "$routes" | while read -r route; do
        [ -z "$route" ] || ip route replace $route dev wan
    done
}
