import type { Scene } from "./scene.ts";

/** From the launch to the end that a container finds by itself. */
export const life: Scene = { name: "a whole life" };
