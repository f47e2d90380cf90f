/** Variables that lead Docker Compose to another machine, and nowhere here; and which of their values mean that. */
const UNHEEDED: Readonly<Record<string, (value: string) => boolean>> = {
  DOCKER_HOST: (value) => /^(?:tcp|ssh|https?):/i.test(value),
  DOCKER_CONTEXT: (value) => value !== "" && value !== "default",
};

/** A line for each variable of the environment that somebody may count on, and in vain. */
export function unheededVariables(env: Readonly<Record<string, string | undefined>>): readonly string[] {
  return Object.entries(UNHEEDED).flatMap(([name, applies]) => {
    const value = env[name];
    return value === undefined || !applies(value) ? [] : [`${name} has no effect: containers run on this machine`];
  });
}
