import os
import socket

import psycopg2
import redis
from flask import Flask, jsonify, request

app = Flask(__name__)
cache = redis.Redis(host=os.environ["REDIS_HOST"], socket_timeout=2)


def database():
    with open(os.environ["PGPASSWORD_FILE"]) as f:
        return psycopg2.connect(password=f.read().strip(), connect_timeout=2)


@app.get("/healthz")
def healthz():
    with database() as db, db.cursor() as cursor:
        cursor.execute("SELECT 1")
    cache.ping()
    return "ok\n"


@app.get("/")
def index():
    return f"shop {socket.gethostname()} visit {cache.incr('visits')}\n"


@app.get("/products")
def products():
    with database() as db, db.cursor() as cursor:
        cursor.execute("SELECT name, price FROM product ORDER BY id")
        return jsonify([{"name": n, "price": float(p)} for n, p in cursor.fetchall()])


@app.post("/products")
def add():
    with database() as db, db.cursor() as cursor:
        cursor.execute(
            "INSERT INTO product (name, price) VALUES (%s, %s) RETURNING id",
            (request.json["name"], request.json["price"]),
        )
        return jsonify(id=cursor.fetchone()[0]), 201
