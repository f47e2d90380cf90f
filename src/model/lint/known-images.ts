/** What is known about images that half of all stack files use; by the last part of their name. */
export interface KnownImage {
  /** Ports that give whoever reaches them the data. */
  readonly dataPorts?: readonly number[];
  /** Where it keeps what must not be lost; the first is what to write. */
  readonly data?: readonly string[];
  /** The official image has no HEALTHCHECK. */
  readonly official?: boolean;
}

const IMAGES: Readonly<Record<string, KnownImage>> = {
  cassandra: { dataPorts: [9042], data: ["/var/lib/cassandra"], official: true },
  clickhouse: { dataPorts: [8123, 9000], data: ["/var/lib/clickhouse"] },
  "clickhouse-server": { dataPorts: [8123, 9000], data: ["/var/lib/clickhouse"] },
  couchdb: { dataPorts: [5984], data: ["/opt/couchdb/data"], official: true },
  elasticsearch: { dataPorts: [9200, 9300], data: ["/usr/share/elasticsearch/data"], official: true },
  etcd: { dataPorts: [2379] },
  influxdb: { dataPorts: [8086], data: ["/var/lib/influxdb2", "/var/lib/influxdb", "/var/lib/influxdb3"], official: true },
  mariadb: { dataPorts: [3306], data: ["/var/lib/mysql"], official: true },
  memcached: { dataPorts: [11211], official: true },
  mongo: { dataPorts: [27017], data: ["/data/db"], official: true },
  mongodb: { dataPorts: [27017] },
  mysql: { dataPorts: [3306], data: ["/var/lib/mysql"], official: true },
  neo4j: { dataPorts: [7474, 7687], data: ["/data"], official: true },
  nginx: { official: true },
  httpd: { official: true },
  node: { official: true },
  python: { official: true },
  opensearch: { dataPorts: [9200, 9300], data: ["/usr/share/opensearch/data"] },
  pgvector: { dataPorts: [5432], data: ["/var/lib/postgresql/data", "/var/lib/postgresql"], official: true },
  postgis: { dataPorts: [5432], data: ["/var/lib/postgresql/data", "/var/lib/postgresql"], official: true },
  postgres: { dataPorts: [5432], data: ["/var/lib/postgresql/data", "/var/lib/postgresql"], official: true },
  postgresql: { dataPorts: [5432] },
  rabbitmq: { dataPorts: [5672], official: true },
  redis: { dataPorts: [6379], official: true },
  "redis-stack": { dataPorts: [6379] },
  timescaledb: { dataPorts: [5432], data: ["/var/lib/postgresql/data", "/home/postgres/pgdata"] },
  valkey: { dataPorts: [6379], official: true },
};

/** Ports that only databases use, whatever the image is called. */
export const DATABASE_PORTS: ReadonlyMap<number, string> = new Map([
  [1433, "SQL Server"],
  [3306, "MySQL"],
  [5432, "PostgreSQL"],
  [6379, "Redis"],
  [9042, "Cassandra"],
  [11211, "memcached"],
  [27017, "MongoDB"],
]);

/** `docker.io/library/postgres:16-alpine` is `postgres`. */
export function imageName(reference: string): string {
  const path = reference.split("@", 1)[0] ?? "";
  const last = path.slice(path.lastIndexOf("/") + 1);
  return last.split(":", 1)[0] ?? "";
}

export function knownImage(reference: string | undefined): KnownImage | undefined {
  if (reference === undefined) return undefined;
  const name = imageName(reference);
  return Object.hasOwn(IMAGES, name) ? IMAGES[name] : undefined;
}

/** An image of Docker Hub's own collection (`postgres:16`, not `bitnami/postgresql`). */
export function isOfficial(reference: string): boolean {
  const plain = reference.replace(/^docker\.io\//, "").replace(/^library\//, "");
  return !plain.includes("/") && knownImage(plain)?.official === true;
}

/** The tag, where one is written; `undefined` otherwise. A port of the registry is none. */
export function tagOf(reference: string): string | undefined {
  const path = reference.split("@", 1)[0] ?? "";
  const last = path.slice(path.lastIndexOf("/") + 1);
  const colon = last.indexOf(":");
  return colon === -1 ? undefined : last.slice(colon + 1);
}
