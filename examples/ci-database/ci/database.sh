# A PostgreSQL that lives as long as this run.
set -eu
for bin in /usr/lib/postgresql/*/bin; do PATH="$bin:$PATH"; done
command -v initdb >/dev/null || { echo "this machine has no PostgreSQL: apt-get install postgresql" >&2; exit 1; }
initdb --username=ci --auth=trust --no-sync >/dev/null
echo "host all all all trust" >> "$PGDATA/pg_hba.conf"
exec postgres -c listen_addresses='*' -c unix_socket_directories=/pg -c fsync=off
