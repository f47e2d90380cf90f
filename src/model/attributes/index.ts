import { OWN } from "./own.ts";
import { BUILD, DEPLOY, DEVELOP, LIMITS, LOGGING, REST, TOP } from "./parts.ts";
import { SERVICE } from "./service.ts";
import type { Rows } from "./support.ts";

export type { Support } from "./support.ts";

/**
 * Every attribute that a stack file may have, and what becomes of it. Warnings at their places
 * (`report-support.ts`) and `schemas/ATTRIBUTES.md` come from here; tests hold it against the schema, and every
 * attribute that is honoured against a test that sees its effect. A new attribute is one row.
 */
export const ATTRIBUTES: Rows = { ...TOP, ...SERVICE, ...LIMITS, ...LOGGING, ...BUILD, ...DEPLOY, ...DEVELOP, ...REST, ...OWN };
