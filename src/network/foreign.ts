import type { NetlinkRequest, NftFamily } from "../native/index.ts";
import { isNativeError } from "../native/index.ts";
import type { Chain, Kernel, ListedRule, Observed } from "./kernel.ts";
import { accept, counter, HOOK, iifname, oifname, POLICY } from "./nft.ts";
import type { Expression } from "./nft.ts";

/**
 * Other people's forward filters. A packet has to pass every base chain of the hook: an accept in our table
 * undoes no drop in theirs. So where Docker, ufw (both through iptables-nft) or firewalld filter forwarding,
 * two rules go to the head of their chain, for packets from our uplink and to it; what may reach a container
 * is decided by our own table, in both cases.
 */
export interface Opening {
  readonly family: NftFamily;
  readonly table: string;
  readonly chain: string;
}

export interface Filters {
  readonly openings: readonly Opening[];
  /** Forward filters of unknown owners that drop: not ours to change. */
  readonly unknown: readonly Opening[];
}

/** Reject's only expression beside counters and comments. */
const ends = (rule: ListedRule): boolean => {
  const rest = rule.expressions.filter((e) => e.kind !== "counter" && e.kind !== "log" && e.kind !== "limit");
  if (rest.length !== 1 || rule.expressions.some((e) => e.kind === "limit")) return false;
  return rest[0]?.kind === "reject" || rest[0]?.verdict === POLICY.drop;
};

export const dropsByPolicy = (chain: Chain): boolean => chain.hook === HOOK.forward && chain.type === "filter" && chain.policy === POLICY.drop;
const filtersForward = (chain: Chain): boolean => chain.hook === HOOK.forward && chain.type === "filter" && (chain.family === "ip" || chain.family === "ip6" || chain.family === "inet");

/** Where the accepts go. `drops`: does this chain let nothing through that it does not know? */
export function openings(chains: readonly Chain[], own: (chain: Chain) => boolean, drops: (chain: Chain) => boolean): Filters {
  const found: Opening[] = [];
  const unknown: Opening[] = [];
  for (const chain of chains) {
    if (!filtersForward(chain) || own(chain) || chain.family === "" || !drops(chain)) continue;
    const { family, table } = chain;
    const at = (name: string): Opening => ({ family, table, chain: name });
    if ((family === "ip" || family === "ip6") && table === "filter" && chain.chain === "FORWARD") {
      const docker = chains.some((c) => c.family === family && c.table === table && c.chain === "DOCKER-USER");
      found.push(at(docker ? "DOCKER-USER" : "FORWARD"));
    } else if (family === "inet" && table === "firewalld") found.push(at(chain.chain));
    else unknown.push(at(chain.chain));
  }
  return { openings: found, unknown };
}

const text = (bytes: Uint8Array | undefined): string => new TextDecoder().decode(bytes ?? new Uint8Array()).replace(/\0+$/, "");

/** A rule that names the uplink and accepts is ours: nobody else knows that link. */
export function isOurs(rule: ListedRule, link: string, direction?: "in" | "out"): boolean {
  const compared = rule.expressions.filter((e) => e.kind === "cmp");
  if (compared.length !== 1 || text(compared[0]?.value) !== link) return false;
  if (direction === undefined) return true;
  const loaded = rule.expressions.find((e) => e.kind === "meta");
  return loaded?.key === (direction === "in" ? 6 : 7);
}

const rule = (match: readonly Expression[]): readonly Expression[] => [...match, counter, accept];

/** What to add so that both directions pass; nothing if they do. */
export function missingAccepts(rules: readonly ListedRule[], opening: Opening, link: string): readonly NetlinkRequest[] {
  const add = (match: readonly Expression[]): NetlinkRequest => ({
    op: "nft",
    commands: [{ cmd: "add-rule", ...opening, head: true, expressions: rule(match) }],
  });
  return [
    ...(rules.some((r) => isOurs(r, link, "in")) ? [] : [add(iifname(link))]),
    ...(rules.some((r) => isOurs(r, link, "out")) ? [] : [add(oifname(link))]),
  ];
}

const named = (opening: Opening): string => `${opening.family} ${opening.table} ${opening.chain}`;

export interface Opened {
  readonly mended: readonly string[];
  readonly warnings: readonly string[];
}

/** Lets the uplink through everybody's forward filters, as far as they are known. */
export async function openForeignFilters(host: Kernel, observed: Observed, link: string, ownTable: string): Promise<Opened> {
  const own = (chain: Chain): boolean => chain.table === ownTable || chain.table.startsWith("stack-");
  const candidates = observed.chains.filter((c) => filtersForward(c) && !own(c) && c.family !== "");
  const dropping = new Set<Chain>();
  for (const chain of candidates) {
    if (dropsByPolicy(chain)) dropping.add(chain);
    else if (chain.family !== "" && (await host.rules(chain.family, chain.table, chain.chain)).some(ends)) dropping.add(chain);
  }
  const filters = openings(observed.chains, own, (chain) => dropping.has(chain) || chain.table === "firewalld");
  const mended: string[] = [];
  const warnings = filters.unknown.map(
    (o) => `nftables chain "${named(o)}" drops forwarded packets: containers do not reach the outside. Allow them: nft insert rule ${named(o)} iifname ${link} accept; nft insert rule ${named(o)} oifname ${link} accept`,
  );
  for (const opening of filters.openings) {
    try {
      const requests = missingAccepts(await host.rules(opening.family, opening.table, opening.chain), opening, link);
      await host.run(requests);
      if (requests.length > 0) mended.push(`forwarding through ${named(opening)}`);
    } catch (error) {
      if (!isNativeError(error)) throw error;
      // firewalld may own its table (flags owner): then nobody else may change it.
      warnings.push(`nftables chain "${named(opening)}" filters forwarding and cannot be changed (${error.message}): containers may not reach the outside. With firewalld: firewall-cmd --permanent --zone=trusted --add-interface=${link} && firewall-cmd --reload`);
    }
  }
  mended.push(...(await throughOldFilters(host, link, warnings)));
  return { mended, warnings };
}

/** Where iptables is not yet nftables underneath (iptables-legacy): the kernel keeps these tables apart. */
async function throughOldFilters(host: Kernel, link: string, warnings: string[]): Promise<readonly string[]> {
  const mended: string[] = [];
  for (const family of [4, 6] as const) {
    try {
      const [reply] = await host.run([{ op: "xtables-forward", family, link, open: true }]);
      if ((reply as { readonly changed?: boolean } | null)?.changed === true) mended.push(`forwarding through iptables (legacy, IPv${family})`);
    } catch (error) {
      if (!isNativeError(error)) throw error;
      const tool = family === 4 ? "iptables-legacy" : "ip6tables-legacy";
      warnings.push(`The host's ${tool} filter cannot be changed (${error.message}): containers may not reach the outside. Allow them: ${tool} -I FORWARD -i ${link} -j ACCEPT; ${tool} -I FORWARD -o ${link} -j ACCEPT`);
    }
  }
  return mended;
}

/** Takes our rules out of everybody's chains again. */
export async function closeForeignFilters(host: Kernel, observed: Observed, link: string): Promise<void> {
  for (const chain of observed.chains) {
    const theirs = (chain.table === "filter" && (chain.chain === "DOCKER-USER" || chain.chain === "FORWARD")) || chain.table === "firewalld";
    if (!theirs || chain.family === "") continue;
    const { family, table } = chain;
    const ours = (await host.rules(family, table, chain.chain)).filter((r) => isOurs(r, link));
    const commands = ours.map((r) => ({ cmd: "delete-rule", family, table, chain: chain.chain, handle: r.handle }));
    if (commands.length > 0) await host.run([{ op: "nft", commands }]);
  }
  await host.run([4, 6].map((family) => ({ op: "xtables-forward", family: family as 4 | 6, link, open: false })));
}
