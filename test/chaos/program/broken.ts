/** One place of the sources, and what it is made to say in a program that has to be found out. */
export interface Breakage {
  readonly language: "TypeScript" | "C++";
  readonly file: string;
  readonly from: string;
  readonly to: string;
}

export const breakages: Readonly<Record<string, Breakage>> = {};
