import { life } from "./life.ts";
import { limits } from "./limits.ts";
import { network } from "./network.ts";
import { process } from "./process.ts";
import { readiness } from "./readiness.ts";
import type { Scene } from "./scene.ts";
import { storage } from "./storage.ts";
import { supervise } from "./supervise.ts";

export const scenes: readonly Scene[] = [process, limits, storage, network, life, readiness, supervise];
