import { StackError } from "../core/index.ts";
import type { ResolvedUser } from "./input.ts";

/** Ids above this are negative where a program keeps them in an int: -1 means "unchanged" to setuid(2). */
const maxId = 2 ** 31 - 1;

interface PasswdEntry {
  readonly name: string;
  readonly uid: string;
  readonly gid: string;
  readonly home: string;
}

interface GroupEntry {
  readonly name: string;
  readonly gid: string;
  readonly members: readonly string[];
}

/**
 * `user`, `uid`, `user:group`, `uid:gid` (each part a name or a number) and `group_add`, looked up in the image's
 * own files. Docker's rules: what looks like a number is one, even if a user has it as name; a number that
 * passwd does not know gets group 0; groups that list the user count only if no group was written.
 * `passwd` and `group` are what an image brought along: they may hold anything.
 */
export function resolveUser(
  spec: string,
  files: { readonly passwd: string; readonly group: string },
  groupAdd: readonly string[] = [],
): ResolvedUser {
  const at = spec.indexOf(":");
  const userPart = at < 0 ? spec : spec.slice(0, at);
  const groupPart = at < 0 ? "" : spec.slice(at + 1);
  const groups = parseGroup(files.group);
  const entry = findUser(userPart, parsePasswd(files.passwd));
  const uid = entry === undefined ? numericUser(userPart) : toId(entry.uid, `user "${entry.name}" in the image's /etc/passwd`);
  const gid = primaryGroup(groupPart, entry, groups);
  const listed = groupPart === "" && entry !== undefined ? groups.filter((group) => group.members.includes(entry.name)) : [];
  const additional = new Set([gid]);
  for (const group of listed) additional.add(toId(group.gid, `group "${group.name}" in the image's /etc/group`));
  for (const name of groupAdd) additional.add(groupId(name, groups));
  return { uid, gid, additionalGids: [...additional], ...(entry === undefined || entry.home === "" ? {} : { home: entry.home }) };
}

function parsePasswd(text: string): readonly PasswdEntry[] {
  return text.split("\n").flatMap((line) => {
    const [name, , uid, gid, , home] = line.replace(/\r$/, "").split(":");
    return name === undefined || name === "" || uid === undefined || gid === undefined ? [] : [{ name, uid, gid, home: home ?? "" }];
  });
}

function parseGroup(text: string): readonly GroupEntry[] {
  return text.split("\n").flatMap((line) => {
    const [name, , gid, members] = line.replace(/\r$/, "").split(":");
    return name === undefined || name === "" || gid === undefined
      ? []
      : [{ name, gid, members: (members ?? "").split(",").map((member) => member.trim()) }];
  });
}

const isNumber = (text: string): boolean => /^-?\d+$/.test(text);

function findUser(part: string, entries: readonly PasswdEntry[]): PasswdEntry | undefined {
  const wanted = part === "" ? "0" : part;
  if (isNumber(wanted)) return entries.find((entry) => isNumber(entry.uid) && Number(entry.uid) === Number(wanted));
  return entries.find((entry) => entry.name === wanted);
}

function numericUser(part: string): number {
  if (part === "") return 0;
  if (!isNumber(part))
    throw new StackError("container-start-failed", `User "${part}" is not in the image's /etc/passwd`, {
      hint: "Name a user that the image has, or write the number.",
    });
  return toId(part, `user "${part}"`);
}

function primaryGroup(part: string, entry: PasswdEntry | undefined, groups: readonly GroupEntry[]): number {
  if (part !== "") return groupId(part, groups);
  return entry === undefined ? 0 : toId(entry.gid, `group of user "${entry.name}" in the image's /etc/passwd`);
}

function groupId(part: string, groups: readonly GroupEntry[]): number {
  if (isNumber(part)) return toId(part, `group "${part}"`);
  const found = groups.find((group) => group.name === part);
  if (found === undefined)
    throw new StackError("container-start-failed", `Group "${part}" is not in the image's /etc/group`, {
      hint: "Name a group that the image has, or write the number.",
    });
  return toId(found.gid, `group "${part}" in the image's /etc/group`);
}

function toId(text: string, what: string): number {
  const id = isNumber(text) ? Number(text) : NaN;
  if (!Number.isInteger(id) || id < 0 || id > maxId)
    throw new StackError("container-start-failed", `The id "${text}" of ${what} is not between 0 and ${maxId}`);
  return id;
}
