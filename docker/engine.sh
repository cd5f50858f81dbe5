#!/bin/sh
# Makes a Docker engine usable on a bare Debian host, such as a CI container.
#
#   docker/engine.sh         answers at once where an engine answers; else installs and starts one
#   docker/engine.sh stop    stops the engine this script started, and no other
#
# Only root can install and start an engine; anybody else is told what is missing.
set -eu

state=/var/run/outboxd-engine
pid_file=$state/dockerd.pid
log_file=$state/dockerd.log
packages="docker.io iptables"
start_deadline_s=60
stop_deadline_s=30

main() {
    case "${1:-start}" in
        start) start ;;
        stop) stop ;;
        *) fail "usage: docker/engine.sh [start|stop]" ;;
    esac
}

start() {
    if answers; then
        say "an engine answers already"
        return
    fi
    require_root
    mkdir -p "$state"
    # Two runs side by side must not start two engines on the same data.
    exec 9>"$state/lock"
    flock 9
    if answers; then return; fi
    install_engine
    # On a systemd machine the package has started its own service, which is the machine's, not ours.
    if [ -d /run/systemd/system ]; then
        systemctl start docker
        wait_for_answer "" || fail "the docker service does not answer, see: journalctl -u docker"
        return
    fi
    # overlay2 cannot be mounted on top of another overlay; vfs copies whole layers but works anywhere.
    start_daemon overlay2 || start_daemon vfs || { tail -n 20 "$log_file" >&2; fail "dockerd does not start"; }
    say "dockerd runs, log: $log_file; stop it with: docker/engine.sh stop"
}

stop() {
    pid=$(cat "$pid_file" 2>/dev/null) || { say "no engine of ours to stop"; return; }
    # A process id may have been given away since: only a dockerd is ours.
    if [ "$(cat "/proc/$pid/comm" 2>/dev/null)" = dockerd ]; then
        require_root
        kill "$pid"
        wait_for_exit "$pid" || fail "dockerd ($pid) is still running after ${stop_deadline_s} s"
        say "dockerd is stopped"
    fi
    rm -f "$pid_file"
}

install_engine() {
    # Package names are not command names: dockerd comes with docker.io.
    if command -v dockerd >/dev/null && command -v docker >/dev/null && command -v iptables >/dev/null; then
        return
    fi
    command -v apt-get >/dev/null || fail "no Docker engine here and no apt-get: install Docker by hand"
    say "installing $packages"
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -qq >"$state/apt.log" 2>&1 &&
        # Word splitting is wanted: one argument per package.
        apt-get install -y -qq --no-install-recommends $packages >>"$state/apt.log" 2>&1 ||
        { tail -n 20 "$state/apt.log" >&2; fail "apt-get could not install: $packages"; }
}

# $1: storage driver. Fails when dockerd ends by itself or does not answer in time.
start_daemon() {
    say "starting dockerd with storage driver $1"
    # The lock (descriptor 9) must not live as long as the daemon.
    setsid dockerd --storage-driver="$1" --pidfile="$pid_file" >"$log_file" 2>&1 </dev/null 9>&- &
    daemon=$!
    wait_for_answer "$daemon" && return
    kill "$daemon" 2>/dev/null && wait_for_exit "$daemon"
    rm -f "$pid_file"
    return 1
}

# $1: process to watch, or nothing.
wait_for_answer() {
    tries=$((start_deadline_s * 5))
    until answers; do
        [ -z "$1" ] || alive "$1" || return 1
        tries=$((tries - 1))
        [ "$tries" -gt 0 ] || return 1
        sleep 0.2
    done
}

wait_for_exit() {
    tries=$((stop_deadline_s * 5))
    while alive "$1"; do
        tries=$((tries - 1))
        [ "$tries" -gt 0 ] || return 1
        sleep 0.2
    done
}

# A dead process that nobody has waited for still takes signals, but has no program any more.
alive() {
    [ -e "/proc/$1/exe" ]
}

answers() {
    docker info >/dev/null 2>&1
}

require_root() {
    [ "$(id -u)" -eq 0 ] && return
    if [ -S /var/run/docker.sock ] && command -v docker >/dev/null; then
        fail "an engine may be there, but $(id -un) cannot use it: $(docker info 2>&1 | tail -n 1)"
    fi
    fail "no Docker engine answers and only root can start one; needed: $packages"
}

say() {
    echo "engine: $*" >&2
}

fail() {
    say "$*"
    exit 1
}

main "$@"
