"""Takes numbers from the queue and writes their squares. `poison` makes it fail, as real jobs do at times."""
import os
import signal
import socket
import sys

import psycopg2
import redis

signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
queue = redis.Redis(host=os.environ["REDIS_HOST"])
db = psycopg2.connect("")
db.autocommit = True
print(f"{socket.gethostname()} is ready")
while True:
    item = queue.blpop("numbers", timeout=5)
    if item is None:
        continue
    job = item[1].decode()
    if job == "poison":
        print("cannot digest this", file=sys.stderr)
        sys.exit(3)
    with db.cursor() as cursor:
        cursor.execute(
            "INSERT INTO result (number, square, worker) VALUES (%s, %s, %s) ON CONFLICT DO NOTHING",
            (int(job), int(job) ** 2, socket.gethostname()),
        )
    print(f"{job} -> {int(job) ** 2}")
