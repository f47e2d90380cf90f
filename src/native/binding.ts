/**
 * The addon, as `native/addon/` exports it. Short calls only: whatever forks, unshares the mount or user
 * namespace, or takes long lives in the runtime binary. Every failure is an Error with
 * `stage`, `call`, `errno` (number), `path` and `code` (`"EEXIST"`), see NativeFailure in runtime/formats.ts.
 */
export interface NativeBinding {
  /** Changes with any incompatible change of this interface. */
  readonly abi: number;

  /**
   * posix_spawn (vfork: does not copy Node's page tables), own session, signals reset and unblocked,
   * only the listed descriptors inherited. Returns the process id; never a zombie if `detached`
   * (double spawn through the binary is not needed: the binary daemonises itself where it has to).
   * `fds[i]` becomes descriptor i in the child; -1 = /dev/null.
   */
  spawn(options: {
    readonly file: string;
    readonly argv: readonly string[];
    readonly env: readonly string[];
    readonly cwd?: string;
    readonly fds: readonly number[];
  }): { readonly pid: number; readonly pidfd: number };
  /** Resolves when the child of `spawn` has ended (waitid on its pidfd, in a worker or by epoll). */
  waitPidfd(pidfd: number): Promise<{ readonly exitCode: number; readonly signal: number }>;
  /** pipe2(O_CLOEXEC): [read end, write end]. */
  pipe(): readonly [number, number];
  /** fcntl(F_SETFD, FD_CLOEXEC): for a descriptor that this process was started with. */
  closeOnExec(fd: number): void;

  /** open(O_RDWR|O_CREAT|O_CLOEXEC, 0600) + flock. Returns the descriptor, or -1 if another holds it and `wait` is false. */
  lock(path: string, mode: "shared" | "exclusive", wait: false): number;
  /** The same, waiting in a worker thread; `cancel()` makes it reject with EINTR. */
  lockWait(path: string, mode: "shared" | "exclusive"): { readonly promise: Promise<number>; cancel(): void };
  /** Is it locked by somebody? Never creates the file; false if there is none. */
  isLocked(path: string): boolean;
  close(fd: number): void;

  /** A listening unix socket, mode 0600 from birth (umask), CLOEXEC, non-blocking; for `net.Server.listen({fd})`. Long paths are fine. */
  listenUnix(path: string, backlog: number): number;
  /** A connected unix stream socket, CLOEXEC, non-blocking; for `new net.Socket({fd})`. Long paths are fine. */
  connectUnix(path: string): number;
  /** SO_PEERCRED. */
  peerCredentials(fd: number): { readonly pid: number; readonly uid: number; readonly gid: number };
  /** Two connected ends of SOCK_SEQPACKET, CLOEXEC: what is sent at once arrives at once, with its descriptors. */
  socketPair(): readonly [number, number];
  /** One packet with descriptors (SCM_RIGHTS), which stay open here. Fails with EPIPE where the other end has gone. */
  sendDescriptors(socket: number, packet: string, fds: readonly number[]): void;
  /** Sends one request line on a monitor's socket and takes its reply with the descriptors that come along (SCM_RIGHTS). */
  requestDescriptors(socketPath: string, request: string): Promise<{ readonly reply: string; readonly fds: readonly number[] }>;

  /** Runs rtnetlink/nftables transactions inside a network namespace (a thread of its own enters it). `netns` "" = the current one. */
  netlink(netns: string, requests: readonly NetlinkRequest[]): Promise<readonly NetlinkReply[]>;
  /**
   * Makes a network namespace, brings its `lo` up, pins it by a bind mount on `path` (made if missing). Where one of
   * `elsewhere` leads to the pin of another mount namespace, that one is pinned here too. Idempotent: true if it was made now.
   */
  createNetns(path: string, elsewhere?: readonly string[]): Promise<boolean>;
  /** Unmounts and removes the pin. Idempotent. */
  removeNetns(path: string): Promise<void>;

  /**
   * Calls `onChange` after somebody (we too) changed tables, chains or rules of nftables in this network
   * namespace; several changes may make one call. Keeps no program alive.
   */
  watchFilters(onChange: () => void): { close(): void };

  /** pidfd_send_signal after comparing the start time; false if that process has gone. */
  signal(pid: number, startTime: number, signal: number): boolean;
  /** umount2(MNT_DETACH); false if nothing was mounted there. */
  unmount(path: string): boolean;
  mount(options: { readonly source: string; readonly target: string; readonly type: string; readonly flags: number; readonly data: string }): void;
  setxattr(path: string, name: string, value: Uint8Array): void;
  /** renameat2(RENAME_NOREPLACE). False if the target exists. */
  renameNoReplace(from: string, to: string): boolean;
  syncfs(path: string): Promise<void>;
  /** Everything at `path`, of any depth; symbolic links are removed, not followed. Does not look for mounts. Idempotent. */
  removeTree(path: string): Promise<void>;
  /** OPOST of the terminal at `fd` (termios(3)): false hands what is written to it through as it is. */
  terminalOutput(fd: number, processed: boolean): void;
}

/** One operation each; done in order, stopping at the first failure (its index is in the error's `details`). */
export type NetlinkRequest =
  | { readonly op: "link-list" }
  | { readonly op: "link-add-bridge"; readonly name: string; readonly mtu: number; readonly mac?: string }
  | { readonly op: "link-add-veth"; readonly name: string; readonly peer: string; readonly peerNetns: string; readonly mtu: number }
  | { readonly op: "link-set"; readonly name: string; readonly up?: boolean; readonly master?: string; readonly hairpin?: boolean; readonly isolated?: boolean }
  | { readonly op: "link-delete"; readonly name: string }
  | { readonly op: "address-list" }
  | { readonly op: "address-add"; readonly link: string; readonly address: string }
  | { readonly op: "route-list" }
  | { readonly op: "route-add"; readonly destination: string; readonly gateway?: string; readonly link?: string; readonly source?: string }
  | { readonly op: "route-delete"; readonly destination: string; readonly gateway?: string; readonly link?: string }
  /** `name`: path below /proc/sys, with slashes. Replies `{before}`; null if there is none and it is `optional`. */
  | { readonly op: "sysctl"; readonly name: string; readonly value: string; readonly optional?: boolean }
  | { readonly op: "sysctl-read"; readonly name: string; readonly optional?: boolean }
  /** One atomic batch; the rules are data, encoded by native/lib/nft. */
  | { readonly op: "nft"; readonly commands: readonly NftCommand[] }
  | { readonly op: "nft-list-chains" }
  | { readonly op: "nft-list-rules"; readonly family: NftFamily; readonly table: string; readonly chain: string }
  /** The old iptables: lets packets from and to the link through a forward filter that drops by policy, or no longer. Replies `{changed}`. */
  | { readonly op: "xtables-forward"; readonly family: 4 | 6; readonly link: string; readonly open: boolean }
  | { readonly op: "conntrack-flush-udp"; readonly port: number };

export type NetlinkReply = Readonly<Record<string, unknown>> | readonly Readonly<Record<string, unknown>>[] | null;

export type NftFamily = "inet" | "ip" | "ip6" | "bridge";

/** Grows with what `network` needs; owned together by src/network and native/lib/nft. */
export type NftCommand = Readonly<Record<string, unknown>> & { readonly cmd: string };
