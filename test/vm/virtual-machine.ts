/**
 * A machine with cgroups of version 2 alone: a stock kernel of the distribution under QEMU's emulation, whose root is this
 * machine's own, read-only, with a throw-away layer above. What it needs is installed by `.ci/setup vm`; the kernel is
 * fetched as a package and unpacked, never installed.
 */
import { execFileSync, spawn } from "node:child_process";
import { chmodSync, cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { cacheRoot } from "../support/images/index.ts";

/** What the first process loads itself, before it can see this machine's files. */
const early = ["virtio_pci", "9pnet_virtio", "9p", "overlay"];
const run = (file: string, args: readonly string[], cwd?: string): string => execFileSync(file, args, { encoding: "utf8", stdio: ["ignore", "pipe", "inherit"], ...(cwd === undefined ? {} : { cwd }) });

interface Kernel {
  readonly image: string;
  readonly initramfs: string;
  /** The directory whose `lib/modules` is the kernel's. */
  readonly tree: string;
}

/** The distribution's current kernel and our initramfs, made once for each version. */
function kernel(): Kernel {
  const meta = /^\s*Depends: (linux-image-\d\S+)$/m.exec(run("apt-cache", ["depends", "linux-image-amd64"]));
  if (meta?.[1] === undefined) throw new Error("apt knows no kernel (linux-image-amd64): run `apt-get update`; only Debian on amd64 is supported here");
  const home = join(cacheRoot, `vm-${meta[1]}`);
  if (!existsSync(home)) {
    mkdirSync(cacheRoot, { recursive: true });
    for (const name of readdirSync(cacheRoot)) if (name.startsWith("vm-")) rmSync(join(cacheRoot, name), { recursive: true });
    const making = mkdtempSync(join(cacheRoot, "making-vm-"));
    chmodSync(making, 0o755);
    run("apt-get", ["download", "-qq", meta[1]], making);
    for (const archive of readdirSync(making).filter((name) => name.endsWith(".deb"))) {
      run("dpkg-deb", ["-x", archive, "tree"], making);
      rmSync(join(making, archive));
    }
    makeInitramfs(making);
    renameSync(making, home);
  }
  const version = versionIn(join(home, "tree"));
  return { image: join(home, "tree/boot", `vmlinuz-${version}`), initramfs: join(home, "initramfs"), tree: join(home, "tree") };
}

function versionIn(tree: string): string {
  const name = readdirSync(join(tree, "boot")).find((one) => one.startsWith("vmlinuz-"));
  if (name === undefined) throw new Error(`no kernel in ${tree}/boot`);
  return name.slice("vmlinuz-".length);
}

function makeInitramfs(home: string): void {
  const tree = join(home, "tree");
  const version = versionIn(tree);
  if (!existsSync(join(tree, "lib/modules"))) cpSync(join(tree, "usr/lib/modules"), join(tree, "lib/modules"), { recursive: true });
  for (const packed of run("find", [join(tree, "lib/modules"), "-name", "*.ko.xz"]).split("\n").filter((name) => name !== "")) run("xz", ["-d", packed]);
  run("depmod", ["-b", tree, version]);
  const root = join(home, "root");
  for (const directory of ["bin", "proc", "sys", "dev", "ro", "rw", "new", "modules"]) mkdirSync(join(root, directory), { recursive: true });
  cpSync(run("sh", ["-c", "command -v busybox"]).trim(), join(root, "bin/busybox"), { dereference: true });
  const order = new Set<string>();
  for (const name of early)
    for (const line of run("modprobe", ["-d", tree, "-S", version, "--show-depends", name]).split("\n")) {
      const path = /^insmod (\S+)/.exec(line)?.[1];
      if (path !== undefined) order.add(path);
    }
  for (const path of order) cpSync(path, join(root, "modules", basename(path)));
  writeFileSync(join(root, "init"), init([...order].map((path) => basename(path))), { mode: 0o755 });
  run("sh", ["-c", 'cd "$1" && find . | busybox cpio -o -H newc 2>/dev/null > "$2"', "pack", root, join(home, "initramfs")]);
  rmSync(root, { recursive: true });
}

/** The first process: mounts this machine's files, version 2 of cgroups, and hands over. */
const init = (modules: readonly string[]): string => `#!/bin/busybox sh
b=/bin/busybox
for f in proc sysfs devtmpfs; do d=/$f; [ $f = sysfs ] && d=/sys; [ $f = devtmpfs ] && d=/dev; $b mount -t $f none $d; done
${modules.map((name) => `$b insmod /modules/${name}`).join("\n")}
share() { $b mount -t 9p -o trans=virtio,version=9p2000.L,msize=262144,$3 $1 $2; }
share host /ro ro,cache=loose
$b mount -t tmpfs -o size=70% none /rw
$b mkdir /rw/upper /rw/work
$b mount -t overlay -o lowerdir=/ro,upperdir=/rw/upper,workdir=/rw/work none /new
$b mkdir -p /new/job /new/lib/modules
share job /new/job rw,cache=none
share modules /new/lib/modules ro,cache=loose
for d in proc sys dev; do $b mount -o move /$d /new/$d; done
$b mkdir -p /new/dev/pts /new/dev/shm
$b mount -t devpts -o ptmxmode=666,gid=5,mode=620 none /new/dev/pts
$b mount -t tmpfs none /new/dev/shm
$b ln -s /proc/self/fd /new/dev/fd
for d in tmp run mnt; do $b mount -t tmpfs none /new/$d; done
$b mount -t cgroup2 -o nsdelegate cgroup2 /new/sys/fs/cgroup
exec $b switch_root /new /bin/sh /job/start
`;

const start = `export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8
echo "+$(sed 's/ / +/g' /sys/fs/cgroup/cgroup.controllers)" > /sys/fs/cgroup/cgroup.subtree_control
ip link set lo up
cd /mnt && sh /job/command > /job/output 2>&1 < /dev/null
echo $? > /job/status
sync
echo o > /proc/sysrq-trigger
sleep 60
`;

export interface GuestResult {
  /** Of the command; undefined: the machine ended before it. */
  readonly status: number | undefined;
  readonly output: string;
  /** What the kernel wrote on its console. */
  readonly console: string;
}

/** Runs a shell command in such a machine, with `/job` shared and writable; `directory` is that on this side. */
export async function inVirtualMachine(directory: string, command: string, timeoutMs: number): Promise<GuestResult> {
  const { image, initramfs, tree } = kernel();
  writeFileSync(join(directory, "start"), start);
  writeFileSync(join(directory, "command"), command);
  const share = (tag: string, path: string, more = ""): string[] => ["-fsdev", `local,id=${tag},path=${path},security_model=none,multidevs=remap${more}`, "-device", `virtio-9p-pci,fsdev=${tag},mount_tag=${tag}`];
  const qemu = spawn(
    "qemu-system-x86_64",
    [
      ...["-M", "pc", "-nodefaults", "-accel", process.env["STACK_VM_ACCEL"] ?? "tcg,thread=multi", "-cpu", "max", "-smp", "2", "-m", "2048"],
      ...["-display", "none", "-serial", "stdio", "-no-reboot", "-kernel", image, "-initrd", initramfs],
      ...["-append", "console=ttyS0 quiet panic=-1 rdinit=/init mitigations=off"],
      ...[...share("host", "/", ",readonly=on"), ...share("modules", join(tree, "lib/modules"), ",readonly=on"), ...share("job", directory)],
    ],
    { stdio: ["ignore", "pipe", "pipe"], timeout: timeoutMs, killSignal: "SIGKILL" },
  );
  let text = "";
  for (const stream of [qemu.stdout, qemu.stderr]) stream.setEncoding("utf8").on("data", (part: string) => (text += part));
  await new Promise<void>((resolve, reject) => {
    qemu.once("error", (cause) => reject(new Error(`cannot run QEMU: ${cause.message}; .ci/setup vm installs it`)));
    qemu.once("close", () => resolve());
  });
  const file = (name: string): string => (existsSync(join(directory, name)) ? readFileSync(join(directory, name), "utf8") : "");
  const status = file("status").trim();
  return { status: status === "" ? undefined : Number(status), output: file("output"), console: text };
}

