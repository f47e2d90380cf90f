import type { App } from "./app.ts";

/** A service that libraries of the app speak to. */
export interface Backing {
  /** Name of the service. */
  readonly name: string;
  readonly image: string;
  /** Libraries, by whole name or by a prefix that ends in `*`. */
  readonly libraries: readonly string[];
  readonly environment: Readonly<Record<string, string>>;
  /** Directory of its data; absent: it keeps none that matters. */
  readonly data?: string;
  /** A line for a shell. */
  readonly health: string;
  /** How long the first start may take. */
  readonly startPeriod: string;
  /** What the app is told, by the way in which it wants to be told. */
  readonly tells: Readonly<Partial<Record<App["database"], Readonly<Record<string, string>>>>>;
  /** Only the first that matches of one kind is written. */
  readonly kind: "sql" | "cache" | "documents" | "queue" | "search" | "memory";
}

const PASSWORD = "${DB_PASSWORD:-only-for-development}";

export const BACKINGS: readonly Backing[] = [
  {
    name: "db",
    kind: "sql",
    image: "postgres:17",
    libraries: ["pg", "pg-promise", "postgres", "@prisma/adapter-pg", "psycopg", "psycopg2", "psycopg2-binary", "psycopg-binary", "asyncpg", "github.com/lib/pq", "github.com/jackc/pgx*", "gorm.io/driver/postgres", "org.postgresql", "postgresql", "quarkus-jdbc-postgresql", "tokio-postgres", "diesel-postgres", "ext-pgsql", "ext-pdo_pgsql"],
    environment: { POSTGRES_USER: "app", POSTGRES_PASSWORD: PASSWORD, POSTGRES_DB: "app" },
    data: "/var/lib/postgresql/data",
    health: "pg_isready -q -h 127.0.0.1 -U app -d app",
    startPeriod: "60s",
    tells: {
      url: { DATABASE_URL: `postgres://app:${PASSWORD}@db:5432/app` },
      spring: { SPRING_DATASOURCE_URL: "jdbc:postgresql://db:5432/app", SPRING_DATASOURCE_USERNAME: "app", SPRING_DATASOURCE_PASSWORD: PASSWORD },
      laravel: { DB_CONNECTION: "pgsql", DB_HOST: "db", DB_PORT: '"5432"', DB_DATABASE: "app", DB_USERNAME: "app", DB_PASSWORD: PASSWORD },
    },
  },
  {
    name: "db",
    kind: "sql",
    image: "mysql:8.4",
    libraries: ["mysql", "mysql2", "mysqlclient", "pymysql", "aiomysql", "mysql-connector-python", "mysql-connector-j", "mysql-connector-java", "quarkus-jdbc-mysql", "github.com/go-sql-driver/mysql", "gorm.io/driver/mysql", "trilogy", "ext-mysqli", "ext-pdo_mysql"],
    environment: { MYSQL_DATABASE: "app", MYSQL_USER: "app", MYSQL_PASSWORD: PASSWORD, MYSQL_RANDOM_ROOT_PASSWORD: '"yes"' },
    data: "/var/lib/mysql",
    // Over TCP: the server that only prepares the data listens on its socket alone.
    health: 'mysqladmin ping -h 127.0.0.1 -u app -p"$$MYSQL_PASSWORD" --silent',
    startPeriod: "120s",
    tells: {
      url: { DATABASE_URL: `mysql://app:${PASSWORD}@db:3306/app` },
      spring: { SPRING_DATASOURCE_URL: "jdbc:mysql://db:3306/app", SPRING_DATASOURCE_USERNAME: "app", SPRING_DATASOURCE_PASSWORD: PASSWORD },
      laravel: { DB_CONNECTION: "mysql", DB_HOST: "db", DB_PORT: '"3306"', DB_DATABASE: "app", DB_USERNAME: "app", DB_PASSWORD: PASSWORD },
    },
  },
  {
    name: "db",
    kind: "sql",
    image: "mariadb:11.4",
    libraries: ["mariadb", "mariadb-java-client", "quarkus-jdbc-mariadb"],
    environment: { MARIADB_DATABASE: "app", MARIADB_USER: "app", MARIADB_PASSWORD: PASSWORD, MARIADB_RANDOM_ROOT_PASSWORD: '"yes"' },
    data: "/var/lib/mysql",
    health: "healthcheck.sh --connect --innodb_initialized",
    startPeriod: "120s",
    tells: {
      url: { DATABASE_URL: `mariadb://app:${PASSWORD}@db:3306/app` },
      spring: { SPRING_DATASOURCE_URL: "jdbc:mariadb://db:3306/app", SPRING_DATASOURCE_USERNAME: "app", SPRING_DATASOURCE_PASSWORD: PASSWORD },
    },
  },
  {
    name: "redis",
    kind: "cache",
    image: "redis:7.4",
    libraries: ["redis", "ioredis", "bull", "bullmq", "django-redis", "aioredis", "celery[redis]", "rq", "github.com/redis/go-redis*", "github.com/go-redis/redis*", "github.com/gomodule/redigo", "spring-boot-starter-data-redis", "jedis", "quarkus-redis-client", "sidekiq", "predis/predis", "ext-redis"],
    environment: {},
    data: "/data",
    health: "redis-cli ping | grep -q PONG",
    startPeriod: "30s",
    tells: { url: { REDIS_URL: "redis://redis:6379" }, spring: { SPRING_DATA_REDIS_HOST: "redis" }, laravel: { REDIS_HOST: "redis" } },
  },
  {
    name: "mongo",
    kind: "documents",
    image: "mongo:8.0",
    libraries: ["mongodb", "mongoose", "pymongo", "motor", "mongoengine", "go.mongodb.org/mongo-driver*", "spring-boot-starter-data-mongodb", "mongoid", "mongodb/mongodb"],
    environment: {},
    data: "/data/db",
    health: "mongosh --quiet --eval 'db.runCommand({ping: 1}).ok' | grep -q 1",
    startPeriod: "60s",
    tells: { url: { MONGODB_URI: "mongodb://mongo:27017/app" }, spring: { SPRING_DATA_MONGODB_URI: "mongodb://mongo:27017/app" }, laravel: { MONGODB_URI: "mongodb://mongo:27017/app" } },
  },
  {
    name: "rabbitmq",
    kind: "queue",
    image: "rabbitmq:4.0",
    libraries: ["amqplib", "amqp-connection-manager", "pika", "aio-pika", "kombu", "github.com/rabbitmq/amqp091-go", "github.com/streadway/amqp", "spring-boot-starter-amqp", "bunny", "php-amqplib/php-amqplib", "lapin"],
    environment: { RABBITMQ_DEFAULT_USER: "app", RABBITMQ_DEFAULT_PASS: PASSWORD },
    data: "/var/lib/rabbitmq",
    health: "rabbitmq-diagnostics -q ping",
    startPeriod: "60s",
    tells: {
      url: { AMQP_URL: `amqp://app:${PASSWORD}@rabbitmq:5672` },
      spring: { SPRING_RABBITMQ_HOST: "rabbitmq", SPRING_RABBITMQ_USERNAME: "app", SPRING_RABBITMQ_PASSWORD: PASSWORD },
      laravel: { RABBITMQ_HOST: "rabbitmq", RABBITMQ_USER: "app", RABBITMQ_PASSWORD: PASSWORD },
    },
  },
  {
    name: "memcached",
    kind: "memory",
    image: "memcached:1.6",
    libraries: ["memcached", "memjs", "pymemcache", "pylibmc", "github.com/bradfitz/gomemcache", "dalli", "ext-memcached"],
    environment: {},
    health: "bash -c '</dev/tcp/127.0.0.1/11211'",
    startPeriod: "10s",
    tells: { url: { MEMCACHED_SERVERS: "memcached:11211" }, laravel: { MEMCACHED_HOST: "memcached" } },
  },
];

/** What these libraries speak to, one of each kind. */
export function backingsFor(libraries: ReadonlySet<string>): readonly { readonly backing: Backing; readonly library: string }[] {
  const found: { readonly backing: Backing; readonly library: string }[] = [];
  for (const backing of BACKINGS) {
    if (found.some((f) => f.backing.kind === backing.kind)) continue;
    const library = backing.libraries.flatMap((wanted) => (wanted.endsWith("*") ? ([...libraries].find((l) => l.startsWith(wanted.slice(0, -1))) ?? []) : libraries.has(wanted) ? wanted : []))[0];
    if (library !== undefined) found.push({ backing, library });
  }
  return found;
}
