/** Milliseconds; fractions are allowed (1us = 0.001). */
export type Milliseconds = number;
/** Bytes. */
export type Bytes = number;
/** Map of strings that the user writes as a map or a list of `k=v`. */
export type StringMap = Readonly<Record<string, string>>;
