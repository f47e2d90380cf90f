# Stands for your test command. Ends with the number of failed checks.
set -eu
failed=0
check() {
  if [ "$2" = "$3" ]; then echo "ok   $1"; else echo "FAIL $1: expected $3, got $2"; failed=$((failed + 1)); fi
}
psql -q -v ON_ERROR_STOP=1 -c 'CREATE TABLE visit (id serial PRIMARY KEY, who text NOT NULL)'
psql -q -c "INSERT INTO visit (who) SELECT 'visitor ' || n FROM generate_series(1, 1000) n"
check "a thousand rows" "$(psql -Atc 'SELECT count(*) FROM visit')" 1000
check "constraint holds" "$(psql -Atc 'INSERT INTO visit (who) VALUES (NULL)' 2>&1 | grep -c 'not-null')" 1
check "expected sum" "$(psql -Atc 'SELECT sum(id) FROM visit')" "${EXPECTED_SUM:-500500}"
exit $failed
