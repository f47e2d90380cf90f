/** Entrypoints like those of the official images: initialise as root, then step down. */

export const runParts = `#!/bin/sh
set -e
for part in /docker-entrypoint.d/*.sh; do [ ! -x "$part" ] || "$part"; done
exec "$@"
`;

export const redis = `#!/bin/sh
set -e
case \${1:-} in -*) set -- redis-server "$@" ;; esac
if [ "$1" = redis-server ] && [ "$(id -u)" = 0 ]; then
  chown -R redis: .
  exec gosu redis "$0" "$@"
fi
exec "$@"
`;

export const postgres = `#!/bin/bash
set -e
case \${1:-} in -*) set -- postgres "$@" ;; esac
if [ "$1" != postgres ]; then exec "$@"; fi
if [ "$(id -u)" = 0 ]; then
  mkdir -p "$PGDATA" /var/run/postgresql
  chown -R postgres: "$PGDATA" /var/run/postgresql
  chmod 700 "$PGDATA"
  exec gosu postgres "$BASH_SOURCE" "$@"
fi
user=\${POSTGRES_USER:-postgres} database=\${POSTGRES_DB:-\${POSTGRES_USER:-postgres}}
if [ ! -s "$PGDATA/PG_VERSION" ]; then
  password=\${POSTGRES_PASSWORD:-}
  [ -z "$POSTGRES_PASSWORD_FILE" ] || password=$(cat "$POSTGRES_PASSWORD_FILE")
  if [ -z "$password" ]; then echo "POSTGRES_PASSWORD or POSTGRES_PASSWORD_FILE must be set" >&2; exit 1; fi
  initdb --no-sync -U "$user" --pwfile=<(echo "$password") -D "$PGDATA"
  echo "host all all all scram-sha-256" >> "$PGDATA/pg_hba.conf"
  pg_ctl -w start -D "$PGDATA" -o "-c listen_addresses=''"
  [ "$database" = postgres ] || createdb -U "$user" "$database"
  for file in /docker-entrypoint-initdb.d/*; do
    case $file in
      *.sql) psql -v ON_ERROR_STOP=1 -X -q -U "$user" -d "$database" -f "$file" ;;
      *.sh) . "$file" ;;
    esac
  done
  pg_ctl -w stop -m fast -D "$PGDATA"
fi
exec "$@" -c listen_addresses='*'
`;
