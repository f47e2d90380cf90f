import { firstOf, versionFor } from "./app.ts";
import type { App, Directory, Language } from "./app.ts";

/** Go, Java and Rust: the toolchain's image compiles and runs what is mounted; its caches are volumes. */
export const go: Language = {
  name: "Go",
  marks: ["go.mod"],
  async detect(directory) {
    const module = await directory.text("go.mod");
    const target = await goTarget(directory);
    if (target === undefined) return undefined;
    const libraries = new Set([...module.matchAll(/^\s*(?:require\s+)?([\w.-]+\.[a-z]+\/\S+)\s+v/gm)].map((m) => (m[1] ?? "").toLowerCase()));
    return {
      language: "Go",
      because: "go.mod",
      image: `golang:${versionFor(/^go\s+(\S+)/m.exec(module)?.[1] ?? "", "1.25", 2)}`,
      command: `exec go run ${target}`,
      port: 8080,
      environment: {},
      volumes: { "go-modules": "/go/pkg/mod", "go-build": "/root/.cache/go-build" },
      libraries,
      database: "url",
    };
  },
};

async function goTarget(directory: Directory): Promise<string | undefined> {
  if (directory.names.has("main.go")) return ".";
  const commands = (await directory.list("cmd")).filter((n) => n.endsWith("/"));
  const preferred = commands.find((c) => ["server/", "api/", "web/", "app/"].includes(c)) ?? commands[0];
  return preferred === undefined ? undefined : `./cmd/${preferred.replace(/\/$/, "")}`;
}

export const java: Language = { name: "Java", marks: ["pom.xml", "build.gradle", "build.gradle.kts"], detect: detectJava };

async function detectJava(directory: Directory): Promise<App | undefined> {
  const maven = directory.names.has("pom.xml");
  const mark = firstOf(directory, ["pom.xml", "build.gradle.kts", "build.gradle"]) ?? "";
  const build = await directory.text(mark);
  const spring = build.includes("spring-boot");
  const quarkus = build.includes("quarkus");
  if (!spring && !quarkus) return undefined;
  const version = javaVersion(build);
  const wrapper = directory.names.has(maven ? "mvnw" : "gradlew");
  const tool = maven ? (wrapper ? "sh mvnw" : "mvn") : wrapper ? "sh gradlew" : "gradle";
  const goal = spring ? (maven ? "spring-boot:run" : "bootRun") : maven ? "quarkus:dev -Dquarkus.http.host=0.0.0.0" : "quarkusDev -Dquarkus.http.host=0.0.0.0";
  const image = wrapper ? `eclipse-temurin:${version}-jdk` : maven ? `maven:3-eclipse-temurin-${version}` : `gradle:8-jdk${version}`;
  return {
    language: "Java",
    because: `${mark}, ${spring ? "Spring Boot" : "Quarkus"}`,
    image,
    command: `exec ${tool} ${goal}`,
    port: 8080,
    environment: {},
    volumes: maven ? { "maven-cache": "/root/.m2" } : { "gradle-cache": "/root/.gradle" },
    libraries: new Set([...build.matchAll(/<artifactId>\s*([\w.-]+)|["':]([a-z][\w.-]*)(?=["':])/g)].map((m) => (m[1] ?? m[2] ?? "").toLowerCase())),
    database: spring ? "spring" : "url",
  };
}

function javaVersion(build: string): string {
  const written = /<(?:java\.version|maven\.compiler\.(?:release|source)|release)>\s*(?:1\.)?(\d+)/.exec(build)?.[1] ?? /JavaLanguageVersion\.of\((\d+)\)/.exec(build)?.[1] ?? /sourceCompatibility\s*=\s*["']?(?:JavaVersion\.VERSION_)?(?:1\.)?(\d+)/.exec(build)?.[1];
  return written ?? "21";
}

export const rust: Language = {
  name: "Rust",
  marks: ["Cargo.toml"],
  async detect(directory) {
    const manifest = await directory.text("Cargo.toml");
    if (!manifest.includes("[package]") || (!(await directory.list("src")).includes("main.rs") && !manifest.includes("[[bin]]"))) return undefined;
    const toolchain = /^\s*channel\s*=\s*"(\d+\.\d+)/m.exec(await directory.text("rust-toolchain.toml"))?.[1] ?? /^(\d+\.\d+)/.exec(await directory.text("rust-toolchain"))?.[1];
    const libraries = new Set([...manifest.matchAll(/^([A-Za-z][\w-]*)(?:\.workspace)?\s*=/gm)].map((m) => (m[1] ?? "").toLowerCase()));
    const rocket = libraries.has("rocket");
    const web = rocket || ["axum", "actix-web", "warp", "hyper", "poem", "tide", "salvo"].some((l) => libraries.has(l));
    return {
      language: "Rust",
      because: "Cargo.toml",
      image: `rust:${toolchain ?? "1"}`,
      command: "exec cargo run",
      ...(web ? { port: rocket ? 8000 : libraries.has("axum") ? 3000 : 8080 } : {}),
      environment: rocket ? { ROCKET_ADDRESS: "0.0.0.0" } : {},
      volumes: { "cargo-registry": "/usr/local/cargo/registry", target: "/app/target" },
      libraries,
      database: "url",
    };
  },
};
