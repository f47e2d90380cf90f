import { firstOf, versionFor } from "./app.ts";
import type { App, Directory, Language } from "./app.ts";

const DEFAULT = "3.13";

export const python: Language = { name: "Python", marks: ["pyproject.toml", "requirements.txt", "Pipfile", "manage.py", "setup.py"], detect };

interface Start {
  readonly name: string;
  readonly command: string;
  readonly port?: number;
}

async function detect(directory: Directory): Promise<App | undefined> {
  const project = await directory.text("pyproject.toml");
  const all = [project, await directory.text("requirements.txt"), await directory.text("Pipfile"), await directory.text("setup.py")].join("\n");
  const libraries = new Set([...all.matchAll(/^\s*["']?([A-Za-z][\w.-]*)/gm), ...all.matchAll(/["']([A-Za-z][\w.-]*)(?:\[[^\]]*\])?\s*(?:[<>=~!;"'])/g)].map((m) => (m[1] ?? "").toLowerCase()));
  const install = installOf(directory, project);
  const start = await startOf(directory, libraries);
  if (start === undefined) return undefined;
  const mark = firstOf(directory, ["uv.lock", "poetry.lock", "pyproject.toml", "requirements.txt", "Pipfile", "setup.py", "manage.py"]) ?? "";
  return {
    language: "Python",
    because: [mark, start.name].filter((w) => w !== "").join(", "),
    image: `python:${await versionOf(directory, project)}`,
    command: `${install.before}exec ${install.run}${start.command}`,
    ...(start.port === undefined ? {} : { port: start.port }),
    environment: { PYTHONUNBUFFERED: "1" },
    volumes: install.volumes,
    libraries,
    database: "url",
  };
}

/** Libraries go where the source directory, which is mounted, does not hide them. */
function installOf(directory: Directory, project: string): { readonly before: string; readonly run: string; readonly volumes: Readonly<Record<string, string>> } {
  const cache = { "pip-cache": "/root/.cache/pip" };
  if (directory.names.has("uv.lock") || project.includes("[tool.uv"))
    return { before: "pip install --quiet uv && uv sync && ", run: "uv run ", volumes: { venv: "/app/.venv", "uv-cache": "/root/.cache/uv" } };
  if (directory.names.has("poetry.lock") || project.includes("[tool.poetry"))
    return { before: "pip install --quiet poetry && poetry install --no-interaction && ", run: "poetry run ", volumes: cache };
  if (directory.names.has("requirements.txt")) return { before: "pip install --quiet -r requirements.txt && ", run: "", volumes: cache };
  if (directory.names.has("Pipfile")) return { before: "pip install --quiet pipenv && pipenv install --dev && ", run: "pipenv run ", volumes: cache };
  if (project.includes("[project]") || directory.names.has("setup.py")) return { before: "pip install --quiet -e . && ", run: "", volumes: cache };
  return { before: "", run: "", volumes: {} };
}

async function startOf(directory: Directory, libraries: ReadonlySet<string>): Promise<Start | undefined> {
  if (directory.names.has("manage.py")) return { name: "Django", command: "python manage.py runserver 0.0.0.0:8000", port: 8000 };
  const fastapi = libraries.has("fastapi") ? await moduleWith(directory, /^(\w+)\s*(?::[^=]*)?=\s*FastAPI\(/m) : undefined;
  if (fastapi !== undefined) return { name: "FastAPI", command: `uvicorn ${fastapi.module}:${fastapi.name} --host 0.0.0.0 --port 8000 --reload`, port: 8000 };
  const flask = libraries.has("flask") ? await moduleWith(directory, /^(\w+)\s*(?::[^=]*)?=\s*Flask\(/m) : undefined;
  if (flask !== undefined) return { name: "Flask", command: `flask --app ${flask.module}:${flask.name} run --host 0.0.0.0 --port 5000 --debug`, port: 5000 };
  const file = SOURCES.find((s) => directory.names.has(s));
  if (libraries.has("streamlit") && file !== undefined) return { name: "Streamlit", command: `streamlit run ${file} --server.address 0.0.0.0`, port: 8501 };
  return file === undefined ? undefined : { name: file, command: `python ${file}` };
}

const SOURCES = ["main.py", "app.py", "server.py", "run.py", "wsgi.py", "asgi.py", "__main__.py"] as const;

/** The module in which an application object is made: `main`, `app.main`. */
async function moduleWith(directory: Directory, pattern: RegExp): Promise<{ readonly module: string; readonly name: string } | undefined> {
  const packages = [...directory.names].filter((n) => /^[a-z_]\w*\/$/.test(n) && !["tests/", "docs/", "scripts/"].includes(n)).slice(0, 20);
  for (const prefix of ["", ...packages])
    for (const file of SOURCES) {
      const name = pattern.exec(await directory.text(`${prefix}${file}`))?.[1];
      if (name !== undefined) return { module: `${prefix}${file}`.replace(/\.py$/, "").replaceAll("/", "."), name };
    }
  return undefined;
}

async function versionOf(directory: Directory, project: string): Promise<string> {
  const written = (await directory.text(".python-version")).trim();
  if (/^\d+\.\d+/.test(written)) return versionFor(written, DEFAULT, 2);
  const runtime = /python-(\d+\.\d+)/.exec(await directory.text("runtime.txt"))?.[1];
  if (runtime !== undefined) return runtime;
  const required = /^\s*(?:requires-python|python|python_version)\s*=\s*"([^"]+)"/m.exec(`${project}\n${await directory.text("Pipfile")}`)?.[1];
  // `^3.9` of Poetry means 3.9 and later.
  return versionFor((required ?? "").replace(/^\^/, ">="), DEFAULT, 2);
}
