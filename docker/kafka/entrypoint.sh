#!/bin/bash
# Starts Kafka as the official image does: KAFKA_* variables become server.properties, the storage is
# formatted for CLUSTER_ID on the first start, then the broker replaces this shell and gets its signals.
set -euo pipefail

config=/opt/kafka/config
export CLUSTER_ID="${CLUSTER_ID:-5L6g3nShT-eMCtK--X86sw}"
export CLASSPATH="/opt/kafka/libs/*"

configure() {
    local output
    output=$(java -Xmx256m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 kafka.docker.KafkaDockerWrapper setup \
        --default-configs-dir /etc/kafka/docker \
        --mounted-configs-dir /mnt/shared/config \
        --final-configs-dir "$config" 2>&1) && return
    # A container that was stopped and is started again keeps its storage.
    grep -qi "already formatted" <<<"$output" && return
    echo "$output" >&2
    exit 1
}

configure
# The options are lists of arguments.
# shellcheck disable=SC2086
exec java ${KAFKA_HEAP_OPTS:--Xmx1G -Xms1G} ${KAFKA_JVM_PERFORMANCE_OPTS:-} ${KAFKA_OPTS:-} \
    -Dlog4j2.configurationFile="$config/log4j2.yaml" \
    kafka.Kafka "$config/server.properties"
