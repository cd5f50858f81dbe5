#!/bin/sh
# Builds the base of the local images, a minimal Debian, and prints its name on stdout.
# Mirror and release are the ones this machine's own apt uses, so it works wherever apt works.
set -eu

main() {
    # shellcheck source=/dev/null
    . /etc/os-release
    image="outboxd-local/debian:$VERSION_CODENAME"
    if ! docker image inspect "$image" >/dev/null 2>&1; then
        build "$image" "$VERSION_CODENAME"
    fi
    echo "$image"
}

# $1: image, $2: release.
build() {
    [ "$(id -u)" -eq 0 ] || fail "only root can build $1 (debootstrap makes device nodes)"
    install_debootstrap
    mirror=$(mirror_of "$2")
    [ -n "$mirror" ] || fail "apt on this machine has no source for $2"
    work=$(mktemp -d)
    trap 'rm -rf "$work"' EXIT
    say "building $1 by debootstrap"
    use_apt_proxy
    debootstrap --variant=minbase "$2" "$work/root" "$mirror" >"$work/log" 2>&1 ||
        { tail -n 20 "$work/log" >&2; fail "debootstrap failed"; }
    # Package lists and archives are fetched again by whoever installs something.
    rm -rf "$work/root/var/lib/apt/lists" "$work/root/var/cache/apt/archives"
    mkdir -p "$work/root/var/lib/apt/lists/partial" "$work/root/var/cache/apt/archives/partial"
    tar -C "$work/root" -c . | docker import - "$1" >/dev/null
}

install_debootstrap() {
    command -v debootstrap >/dev/null && return
    say "installing debootstrap"
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -qq >&2 && apt-get install -y -qq --no-install-recommends debootstrap >&2 ||
        fail "apt-get could not install debootstrap"
}

# $1: release. Asking apt instead of reading its files works for every format they may have.
mirror_of() {
    apt-get indextargets --format '$(CODENAME) $(COMPONENT) $(REPO_URI)' 'Created-By: Packages' |
        sed -n "s/^$1 main //p" | head -n 1
}

# debootstrap fetches by wget, which does not read apt's settings.
use_apt_proxy() {
    eval "$(apt-config shell apt_http_proxy Acquire::http::Proxy apt_https_proxy Acquire::https::Proxy)"
    export http_proxy="${apt_http_proxy:-${http_proxy:-}}"
    export https_proxy="${apt_https_proxy:-${https_proxy:-}}"
}

say() {
    echo "base: $*" >&2
}

fail() {
    say "$*"
    exit 1
}

main "$@"
