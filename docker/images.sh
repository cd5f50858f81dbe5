#!/bin/sh
# Finds or makes the images the container sandbox runs, and prints their names as shell assignments:
#
#   images=$(docker/images.sh) && eval "$images"
#
# The official images come first. Only where they are neither here nor can be pulled, images of the same
# behaviour are built: Debian by debootstrap, Postgres from its package, Kafka from its jars by Maven.
# An image that is named in the environment already is taken as it is.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
# The jars that the sandbox runs as a plain process, so that both flavours are the same Kafka.
pom=$here/../crates/outboxd-sandbox/src/processes/kafka/pom.xml
pull_deadline_s=120

main() {
    docker info >/dev/null 2>&1 || fail "no Docker engine answers; start one with docker/engine.sh"
    postgres=${OUTBOXD_POSTGRES_IMAGE:-$(image_of postgres postgres:17)}
    kafka=${OUTBOXD_KAFKA_IMAGE:-$(image_of kafka apache/kafka:4.1.1)}
    echo "export OUTBOXD_POSTGRES_IMAGE=$postgres"
    echo "export OUTBOXD_KAFKA_IMAGE=$kafka"
}

# $1: name of the folder here, $2: official image.
image_of() {
    if is_here "$2" || pull "$2"; then
        echo "$2"
    else
        local_image "$1"
    fi
}

is_here() {
    docker image inspect "$1" >/dev/null 2>&1
}

pull() {
    timeout "$pull_deadline_s" docker pull --quiet "$1" >/dev/null 2>&1 && return
    say "$1 cannot be pulled"
    return 1
}

# The tag is made of the inputs, so that a changed Dockerfile is a new image and an unchanged one is not built twice.
local_image() {
    image="outboxd-local/$1:$(inputs_of "$1")"
    is_here "$image" || build "$1" "$image"
    echo "$image"
}

inputs_of() {
    # shellcheck source=/dev/null
    release=$(. /etc/os-release && echo "$VERSION_CODENAME")
    digest=$(cd "$here/$1" && cat -- * "$pom" "$here/base.sh" | sha256sum | cut -c1-12)
    echo "$release-$digest"
}

# $1: folder, $2: image.
build() {
    base=$("$here/base.sh")
    context=$(mktemp -d)
    trap 'rm -rf "$context"' EXIT
    cp "$here/$1"/* "$context"
    [ "$1" != kafka ] || fetch_jars "$context"
    copy_apt_settings "$context/apt"
    say "building $2"
    # The host's network reaches whatever mirror or proxy apt on this machine uses. BuildKit would need a
    # permission for that, and a plug-in that Debian's engine does not bring.
    DOCKER_BUILDKIT=0 docker build --quiet --network host --build-arg BASE="$base" \
        --tag "$2" "$context" >"$context/log" 2>&1 ||
        { tail -n 30 "$context/log" >&2; fail "docker build of $2 failed"; }
}

fetch_jars() {
    command -v mvn >/dev/null || fail "Maven is needed for Kafka's jars: apt-get install maven"
    say "fetching Kafka's jars"
    mvn --batch-mode --quiet --file "$pom" dependency:copy-dependencies \
        -DincludeScope=runtime -DoutputDirectory="$1/libs" >"$1/mvn.log" 2>&1 ||
        { tail -n 20 "$1/mvn.log" >&2; fail "Maven could not fetch Kafka's jars"; }
}

# Proxy, certificates, logins and options of this machine's apt, as one file that APT_CONFIG can name.
copy_apt_settings() {
    mkdir -p "$1/auth.conf.d"
    cp -r /etc/apt/auth.conf.d/. "$1/auth.conf.d" 2>/dev/null || true
    cp /etc/ssl/certs/ca-certificates.crt "$1/ca.crt" 2>/dev/null || true
    {
        apt-config dump Acquire
        apt-config dump APT::Default-Release
        echo 'Dir::Etc::netrcparts "/tmp/apt/auth.conf.d";'
        [ ! -f "$1/ca.crt" ] || echo 'Acquire::https::CaInfo "/tmp/apt/ca.crt";'
    } >"$1/apt.conf"
}

say() {
    echo "images: $*" >&2
}

fail() {
    say "$*"
    exit 1
}

main
