import { firstOf, keysOf, member, parseJson, textMember, versionFor } from "./app.ts";
import type { App, Directory, Language } from "./app.ts";

export const ruby: Language = { name: "Ruby", marks: ["Gemfile"], detect: detectRuby };

async function detectRuby(directory: Directory): Promise<App | undefined> {
  const gemfile = await directory.text("Gemfile");
  const libraries = new Set([...gemfile.matchAll(/^\s*gem\s+["']([\w.-]+)/gm)].map((m) => (m[1] ?? "").toLowerCase()));
  const written = (await directory.text(".ruby-version")).trim().replace(/^ruby-/, "") || (/^\s*ruby\s+["']([^"']+)/m.exec(gemfile)?.[1] ?? "");
  const rails = libraries.has("rails");
  const rackup = directory.names.has("config.ru");
  const file = firstOf(directory, ["app.rb", "main.rb", "server.rb"]);
  if (!rails && !rackup && file === undefined) return undefined;
  const start = rails ? "bundle exec rails server -b 0.0.0.0 -p 3000" : rackup ? "bundle exec rackup -o 0.0.0.0 -p 9292" : `bundle exec ruby ${file ?? ""}${libraries.has("sinatra") ? " -o 0.0.0.0 -p 4567" : ""}`;
  const port = rails ? 3000 : rackup ? 9292 : libraries.has("sinatra") ? 4567 : undefined;
  return {
    language: "Ruby",
    because: ["Gemfile", ...(rails ? ["Rails"] : libraries.has("sinatra") ? ["Sinatra"] : [])].join(", "),
    image: `ruby:${versionFor(written, "3.4", 2)}`,
    // A server that was killed leaves its pid file in the mounted directory, and the next one refuses to start.
    command: `bundle install && ${rails ? "rm -f tmp/pids/server.pid && " : ""}exec ${start}`,
    ...(port === undefined ? {} : { port }),
    environment: rails ? { RAILS_ENV: "development" } : {},
    volumes: { gems: "/usr/local/bundle" },
    libraries,
    database: "url",
  };
}

export const php: Language = { name: "PHP", marks: ["composer.json", "index.php"], detect: detectPhp };

async function detectPhp(directory: Directory): Promise<App | undefined> {
  const manifest = parseJson(await directory.text("composer.json"));
  const libraries = new Set(keysOf(member(manifest, "require")).map((l) => l.toLowerCase()));
  const laravel = directory.names.has("artisan");
  const root = (await directory.list("public")).includes("index.php") ? "public" : directory.names.has("index.php") ? "." : undefined;
  if (!laravel && root === undefined) return undefined;
  const framework = laravel ? "Laravel" : libraries.has("symfony/framework-bundle") ? "Symfony" : undefined;
  return {
    language: "PHP",
    because: [manifest === undefined ? "index.php" : "composer.json", ...(framework === undefined ? [] : [framework])].join(", "),
    image: `php:${versionFor(textMember(manifest, "require", "php").replace(/^\^/, ">="), "8.4", 2)}-cli`,
    command: laravel ? "exec php artisan serve --host 0.0.0.0 --port 8000" : `exec php -S 0.0.0.0:8000 -t ${root ?? "."}`,
    port: 8000,
    environment: {},
    volumes: {},
    ...(manifest === undefined
      ? {}
      : { before: { name: "vendor", image: "composer:2", command: ["composer", "install", "--ignore-platform-reqs"], why: "Fetches the libraries into vendor/, then ends." } }),
    libraries,
    database: laravel ? "laravel" : "url",
  };
}
