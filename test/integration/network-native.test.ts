import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";

const native = fileURLToPath(new URL("../../native", import.meta.url));
const scratch = mkdtempSync(join(tmpdir(), "stack-native-"));
const sources = ["netlink", "netlink_address", "rtnl", "nft", "nft_rule", "nft_container", "xtables", "fd", "result"].map((name) => join(native, "lib", `${name}.cc`));

const flags = ["-std=c++20", "-O0", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-I", join(native, "lib")];
const compile = (...args: readonly string[]): void => void execFileSync("g++", [...flags, ...args], { stdio: "inherit", cwd: scratch });

/** The library's objects lie in the scratch directory. */
function build(name: string): string {
  compile(join(native, "test", `${name}.cc`), ...sources.map((s) => basename(s).replace(/cc$/, "o")), "-o", name);
  return join(scratch, name);
}

describe("links and filters, with the sanitizers watching", () => {
  let probe = "";
  beforeAll(() => {
    compile("-c", ...sources);
    probe = build("network_probe");
  }, 300_000);
  afterAll(() => rmSync(scratch, { recursive: true }));

  it("parsing keeps inside its bounds", () => {
    execFileSync(build("network_test"), { stdio: "pipe" });
  }, 300_000);

  it("a container is attached, its DNS redirected, its ports published and taken back; an old filter is passed", () => {
    const script = `
      mkdir ${scratch}/run && mount -t tmpfs none ${scratch}/run
      for ns in router c; do touch ${scratch}/run/$ns; unshare --net=${scratch}/run/$ns true; done
      nsenter --net=${scratch}/run/router ip link add br-x type bridge
      ${probe} attach ${scratch}/run/c ${scratch}/run/router br-x v-1 eth0 02:42:0a:00:00:02 10.0.0.2/24,fd00::2/64 10.0.0.1 fd00::1
      ${probe} attach ${scratch}/run/c ${scratch}/run/router br-x v-2 eth1 02:42:0a:00:00:03 10.0.1.2/24
      nsenter --net=${scratch}/run/c ip -br addr show eth0 | grep -q '10.0.0.2/24.*fd00::2/64'
      nsenter --net=${scratch}/run/c ip route | grep -q 'default via 10.0.0.1 dev eth0'
      nsenter --net=${scratch}/run/router ip -o link show v-1 | grep -q 'master br-x.*state UP'
      ${probe} redirect-dns ${scratch}/run/c 4053 4054
      nft -f - <<'X'
table inet t {
  map any4 { type inet_proto . inet_service : ipv4_addr . inet_service; }
  map addr6 { type ipv6_addr . inet_proto . inet_service : ipv6_addr . inet_service; }
}
X
      ${probe} publish t tcp any 80 10.0.0.2 8080 udp 2001:db8::1 53 fd00::2 53
      nft list map inet t any4 | grep -q 'tcp . 80 : 10.0.0.2 . 8080'
      nft list map inet t addr6 | grep -q '2001:db8::1 . udp . 53 : fd00::2 . 53'
      ${probe} unpublish t tcp any 80 10.0.0.2 8080 udp 2001:db8::1 53 fd00::2 53
      ! nft list ruleset | grep -q 'fd00::2'
      for t in iptables-legacy ip6tables-legacy; do $t -N DOCKER-USER; $t -A FORWARD -j DOCKER-USER; $t -P FORWARD DROP; done
      ${probe} let-through stkx && ${probe} let-through stkx
      for t in iptables-legacy ip6tables-legacy; do test "$($t -S | grep -c stkx)" = 2; done
      ${probe} stop-letting-through stkx
      for t in iptables-legacy ip6tables-legacy; do ! $t -S | grep -q stkx; done
      echo done`;
    const said = execFileSync("unshare", ["--net", "--mount", "sh", "-ec", script], { encoding: "utf8", env: { PATH: `${process.env["PATH"] ?? ""}:/usr/sbin:/sbin`, ASAN_OPTIONS: "detect_leaks=0" } });
    expect(said.trim()).toBe("done");
  });
});
