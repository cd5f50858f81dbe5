#!/bin/bash
# Runs one of Kafka's classes, such as its command line tools, with all of its jars.
set -eu
exec java ${KAFKA_HEAP_OPTS:--Xmx256m} -cp "/opt/kafka/libs/*" "$@"
