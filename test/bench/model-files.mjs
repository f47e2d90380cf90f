// The stack files that test/bench/model.mjs loads: written like those that people have, only more of them.
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";

const ten = ["web", "api", "worker", "scheduler", "db", "cache", "queue", "search", "mail", "proxy"];

/** Ten services as a team has them: builds, health checks, gates, variables with defaults, volumes, two networks. */
export function typical(directory) {
  const services = ten.map((name, i) => `  ${name}:
    image: registry.example.com/shop/${name}:\${TAG:-1.4.2}
    restart: unless-stopped
    environment:
      LOG_LEVEL: \${LOG_LEVEL:-info}
      DATABASE_URL: postgres://shop:\${DB_PASSWORD:-secret}@db:5432/shop
      SERVICE_NAME: ${name}
      PORT: "${8000 + i}"
    ports:
      - "127.0.0.1:${8000 + i}:${8000 + i}"
    volumes:
      - ${name}-data:/var/lib/${name}
      - ./config/${name}.yaml:/etc/${name}.yaml:ro
    networks: [front, back]
    healthcheck:
      test: ["CMD", "curl", "-f", "http://localhost:${8000 + i}/health"]
      interval: 10s
      timeout: 3s
      retries: 5
    logging: &logging
      driver: json-file
      options: {max-size: 10m, max-file: "3"}
    deploy:
      resources:
        limits: {cpus: "0.5", memory: 256M}
    labels:
      com.example.team: shop
      com.example.tier: "${i % 3}"
${name === "db" ? "" : "    depends_on:\n      db: {condition: service_healthy}\n"}`);
  write(directory, { "compose.yaml": `name: shop\nservices:\n${services.join("")}networks:\n  front:\n  back: {internal: true}\nvolumes:\n${ten.map((n) => `  ${n}-data:\n`).join("")}` });
}

/** So many services in one file: every one through `extends` of another file, a merge key and an alias. */
export function many(directory, count) {
  const base = `services:
  base:
    image: registry.example.com/base:1
    environment: {A: a, B: "\${B:-b}", C: c}
    labels: {team: shop}
    healthcheck: {test: [CMD, "true"], interval: 10s}
    volumes: ["./shared:/shared:ro"]
    logging: {driver: json-file, options: {max-size: 10m}}
`;
  const services = Array.from({ length: count }, (_, i) => `  s${i}:
    <<: *common
    extends: {file: base.yaml, service: base}
    environment:
      NAME: s${i}
      PORT: "${1000 + i}"
    ports: ["${10000 + i}:80"]
    networks: [n${i % 10}]
    volumes: ["v${i % 50}:/data"]
${i > 0 ? `    depends_on: [s${(i - 1) >> 1}]\n` : ""}`);
  const lines = (prefix, n) => Array.from({ length: n }, (_, i) => `  ${prefix}${i}:\n`).join("");
  write(directory, {
    "base.yaml": base,
    "compose.yaml": `name: many\nx-common: &common\n  restart: unless-stopped\n  stop_grace_period: 20s\n  cap_drop: [ALL]\n  sysctls: {net.core.somaxconn: 1024}\nservices:\n${services.join("")}networks:\n${lines("n", 10)}volumes:\n${lines("v", 50)}`,
    "compose.override.yaml": `services:\n${Array.from({ length: count }, (_, i) => `  s${i}: {environment: {EXTRA: "${i}"}, labels: {tier: "${i % 3}"}}\n`).join("")}`,
  });
}

/** A file that includes so many others, each in a directory of its own with its own `.env`. */
export function included(directory, count) {
  const files = { "compose.yaml": `name: included\ninclude:\n${Array.from({ length: count }, (_, i) => `  - part${i}/compose.yaml\n`).join("")}services:\n  main: {image: main, depends_on: [s0]}\n` };
  for (let i = 0; i < count; i++) {
    files[`part${i}/compose.yaml`] = `services:
  s${i}:
    image: "part:\${VERSION}"
    environment: {NAME: "s${i}", V: "\${VERSION}"}
    volumes: ["./data:/data", "v${i}:/var"]
    ports: ["${20000 + i}:80"]
volumes:
  v${i}:
`;
    files[`part${i}/.env`] = `VERSION=${i}\n`;
  }
  write(directory, files);
}

function write(directory, files) {
  for (const [name, text] of Object.entries(files)) {
    mkdirSync(join(directory, name, ".."), { recursive: true });
    writeFileSync(join(directory, name), text);
  }
}
