#!/bin/bash
# Starts Postgres as the official image does: creates the cluster on the first start from
# POSTGRES_USER, POSTGRES_PASSWORD, POSTGRES_DB, POSTGRES_INITDB_ARGS, POSTGRES_HOST_AUTH_METHOD
# and the files in /docker-entrypoint-initdb.d, then runs `postgres` with the given arguments.
set -euo pipefail

main() {
    if [[ "${1:-}" == -* ]]; then
        set -- postgres "$@"
    fi
    if [[ "${1:-}" == postgres ]]; then
        become_postgres "$@"
        [[ -s "$PGDATA/PG_VERSION" ]] || create_cluster "$@"
    fi
    exec "$@"
}

# Postgres refuses to run as root.
become_postgres() {
    [[ "$(id -u)" == 0 ]] || return 0
    mkdir -p "$PGDATA" /var/run/postgresql
    chown -R postgres:postgres "$PGDATA" /var/run/postgresql
    chmod 700 "$PGDATA"
    exec setpriv --reuid=postgres --regid=postgres --init-groups "$0" "$@"
}

create_cluster() {
    local user="${POSTGRES_USER:-postgres}" password="${POSTGRES_PASSWORD:-}"
    local method="${POSTGRES_HOST_AUTH_METHOD:-scram-sha-256}"
    if [[ -z "$password" && "$method" != trust ]]; then
        echo "Error: Database is uninitialized and superuser password is not specified." >&2
        exit 1
    fi
    # initdb refuses an empty password file.
    local password_option=()
    [[ -z "$password" ]] || password_option=(--pwfile=/dev/fd/3)
    # POSTGRES_INITDB_ARGS holds several arguments, which may be quoted.
    local arguments
    eval "arguments=(${POSTGRES_INITDB_ARGS:-})"
    initdb --username="$user" "${password_option[@]}" "${arguments[@]}" 3<<<"$password"
    printf '\nhost all all all %s\n' "$method" >>"$PGDATA/pg_hba.conf"
    fill_cluster "$user" "$@"
    echo
    echo "PostgreSQL init process complete; ready for start up."
    echo
}

# Nobody may connect over the network before everything is in place, hence the empty listen_addresses.
fill_cluster() {
    local user="$1" database="${POSTGRES_DB:-$1}"
    shift 2
    export PGUSER="$user" PGPASSWORD="${POSTGRES_PASSWORD:-}"
    pg_ctl -D "$PGDATA" -w start -o "$(printf '%q ' "$@" -c listen_addresses= -p 5432)"
    if [[ "$database" != postgres ]]; then
        psql -v ON_ERROR_STOP=1 --no-psqlrc --dbname postgres --set db="$database" <<<'create database :"db";'
    fi
    local file
    for file in /docker-entrypoint-initdb.d/*; do
        case "$file" in
            *.sh) . "$file" ;;
            *.sql) psql -v ON_ERROR_STOP=1 --no-psqlrc --dbname "$database" --file "$file" ;;
        esac
    done
    pg_ctl -D "$PGDATA" -m fast -w stop
    unset PGUSER PGPASSWORD
}

main "$@"
