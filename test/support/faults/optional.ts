import type { Call } from "./injector.ts";

/** Who a role is, for the rules. */
const people: Readonly<Record<string, string>> = { "0": "launcher", "0.0": "launcher", "0.0.0": "monitor", "0.0.0.0": "init", "0.0.0.0.0": "main", "0.0.0.1": "stage", "0.0.0.1.0": "exec" };

/** `monitor openat /proc/self/cgroup`. */
export function nameOf(call: Call): string {
  return `${people[call.role] ?? call.role} ${call.call} ${call.about}`;
}

/** A call that may fail without the start failing, and why that is right. Reviewed: each line here weakens the test. */
export interface Optional {
  readonly calls: RegExp;
  readonly why: string;
  /** Lines of the facts that may come or go. */
  readonly facts?: RegExp;
  /** Events that may come or go. */
  readonly events?: readonly string[];
  /** Files that may stay. */
  readonly files?: RegExp;
  /** What who asked may be answered, as JSON. */
  readonly answers?: RegExp;
  /** It may end another way, `exited 137 stop`: then nothing else is compared. */
  readonly end?: RegExp;
  /** The end may be recorded so. */
  readonly ends?: readonly ("unrecorded" | "killed")[];
}

export const optional: readonly Optional[] = [
  // ---- before our code, and for show
  { calls: /^launcher (prlimit64|readlink|getrandom) /, why: "libc's own start: stack limit, $ORIGIN, a seed for malloc" },
  { calls: /^(launcher|init) prctl 15$/, why: "the name in ps", facts: /^Name:/ },
  { calls: /^launcher setsid /, why: "cannot fail: this process was forked just now, and leads no group" },
  { calls: /^monitor getrandom /, why: "jitter of the back-off: without it there is none" },
  // ---- each has another way
  { calls: /^launcher (fcntl|fstatfs) (?!socket)/, why: "whether this program is protected already: if that cannot be told it protects itself" },
  { calls: /^launcher (open_tree|mount_setattr) /, why: "protected by a sealed copy in memory instead of a read-only mount" },
  { calls: /^monitor openat \*\/containers\/\*\/state\.json$/, why: "whether the monitor before is ending; the record itself is read after" },
  { calls: /^monitor flock \*\/containers\/\*\/lock$/, why: "tried again, waiting" },
  { calls: /^monitor (fsconfig (lowerdir\+,1|source,1|upperdir,1|workdir,1|6)|open_tree \/)$/, why: "kernels before 6.8 and 6.15 refuse with EINVAL: layers in one option, an attached tree", facts: /lowerdir/ },
  { calls: /^init (openat|move_mount|open_tree) \*\/volume$/, why: "that mounts are listed in the order of the configuration; a copy made before is mounted as well" },
  { calls: /^monitor setns net:/, why: "the way back from the container's namespace: gone before the next step that needs it", events: ["warning"] },
  { calls: /^monitor (read|openat) .*memory\.memsw\.limit_in_bytes$/, why: "only tells in which order the two limits are set" },
  { calls: /^monitor (openat|write) .*cpu\.cfs_period_us$/, why: "tried again after the quota" },
  { calls: /^monitor (mkdir|openat|read|write|renameat|unlinkat|close|fchmod) \*\/cache\/seccomp/, why: "the cache of compiled filters: compiled anew" },
  { calls: /^monitor mkdir \/sys\/fs\/cgroup\/\w+\*\/\*$/, why: "the last level alone first, then each" },
  { calls: /^monitor clone3 /, why: "into the cgroup at once: else by cgroup.procs" },
  { calls: /^init (fsopen cgroup2?|fsconfig (source|none|name|pids|blkio|freezer|devices|memory|cpuset|cpuacct|cpu|6),?\d?|fsconfig 6)$/, why: "a hierarchy mounted by the cgroup namespace: else its directory is bound", facts: /cgroup2? cgroup2? rw/ },
  { calls: /^(init|exec) newfstatat .*\/sh$/, why: "the next directory of PATH" },
  { calls: /^(main|exec) chdir /, why: "a directory that only its user may enter: again when it is that user" },
  { calls: /^(main|exec) keyctl /, why: "no quota for a keyring: the session's is out of reach by seccomp" },
  { calls: /^init kill -$/, why: "a signal that does not come through: killed when the grace is over, and said; at its end there is nobody left", end: /^exited 137 stop$/ },
  { calls: /^init (fcntl (\S+,)?3$|newfstatat \*\/containers\/\*\/fifo\/|signalfd4|kill|poll|pipe2|tee|read pipe|clock_nanosleep)/, why: "that nothing is lost if the monitor dies too: it lives" },
  { calls: /^init (rt_sigtimedwait|wait4) /, why: "interrupted: again" },
  { calls: /^monitor (waitid|epoll_wait) /, why: "interrupted: again" },
  { calls: /^monitor (tee|read|splice) (\*\/containers\/\*\/fifo|pipe:)/, why: "output: it stays in the FIFO, and is read again" },
  { calls: /^monitor read anon_inode:\[signalfd\]/, why: "the signal is still there" },
  { calls: /^monitor read anon_inode:\[eventfd\]/, why: "news of memory: counted at the end of the run" },
  { calls: /^monitor mmap /, why: "no memory: it ends as if killed, and the next one takes over", facts: /./, events: ["monitor-adopted", "exit", "log-dropped", "warning", "start", "monitor-started"], files: /./, ends: ["unrecorded", "killed"] },
  // ---- wished for
  { calls: /^monitor (openat|write) \/proc\/(self|#)\/oom_score_adj$/, why: "that the monitor itself is spared; the container's is said as a warning", facts: /^(100|0)$/, events: ["warning"] },
  { calls: /^monitor prlimit64 /, why: "room for more connections in the relay" },
  { calls: /^monitor setsockopt socket:\[#\],1[01]$/, why: "explanations in netlink's errors" },
  { calls: /^monitor (openat|read|write) \/sys\/fs\/cgroup\/unified.*cgroup\.(controllers|subtree_control)$/, why: "hybrid: no controller there that a limit needs; one that is needed and not there fails when its limit is set" },
  { calls: /^monitor openat \/sys\/fs\/cgroup\/.*\/init\/[a-z.]+$/, why: "a limit shown in the leaf; it is set above, and holds" },
  { calls: /^monitor (openat|read) .*\/memory\.oom_control$/, why: "the count of kills before the run", events: ["oom"] },
  { calls: /^monitor (eventfd2|openat .*\/cgroup\.event_control|write .*\/cgroup\.event_control|epoll_ctl anon_inode:\[eventfd\],1|openat .*\/memory\.oom_control)/, why: "news of memory at once: else at the end of the run" },
  { calls: /^(init|stage) sched_setaffinity /, why: "all processors that the cgroup has: else those of whoever started it" },
  // ---- records: what cannot be written is tried again, or told by what can
  { calls: /^monitor (write|pread64|newfstatat) \*\/containers\/\*\/events\.log$/, why: "the log of its life is for people, and for a new monitor; a full disk does not stop a container", events: ["monitor-started", "start", "exit", "warning", "stop-requested"] },
  { calls: /^init write \*\/containers\/\*\/events\.log$/, why: "init's word of the end: its own status says the same", events: ["exit"] },
  { calls: /^monitor (openat|read) \/proc\/sys\/kernel\/random\/boot_id$/, why: "tried again" },
  { calls: /^monitor (openat state\.json\.new|write \*\/containers\/\*\/state\.json\.new|renameat state\.json)$/, why: "tried again" },
  { calls: /^monitor (openat crash\.json\.new|write \*\/containers\/\*\/crash\.json\.new|renameat crash\.json)$/, why: "the last words of a crash are in the log too", files: /^crash\.json/ },
  { calls: /^monitor write \*\/containers\/\*\/log\/container\.log$/, why: "full disk: how much is lost is said", facts: /^/, events: ["log-dropped"] },
  { calls: /^monitor write socket:/, why: "who waited for the start has gone; the record tells", ends: ["unrecorded"] },
  // ---- at the end
  { calls: /^monitor epoll_ctl .*,2$/, why: "a descriptor that is closed next" },
  { calls: /^monitor (rmdir|openat|newfstatat|getdents64) \/sys\/fs\/cgroup/, why: "removing the cgroup: again, after a kill of what is left" },
  { calls: /^monitor accept4 /, why: "who asked in the last moment finds the socket closed" },
  { calls: /^monitor unlinkat monitor\.sock$/, why: "a socket on which nobody listens", files: /^monitor\.sock$/ },
  { calls: /^monitor (setns net:|openat \/proc\/thread-self\/ns\/net|socket 16|sendto socket:|recvfrom socket:)/, why: "links that cannot be deleted go with their namespace; of a client: it finds its connection closed", events: ["warning"], answers: /"the connection was closed"/ },
  // ---- while it runs
  { calls: /^monitor (getsockopt -|epoll_ctl socket:\[#\],[123])$/, why: "a client that cannot be served finds its connection closed", answers: /"the connection was closed"/ },
  { calls: /^monitor pidfd_send_signal -$/, why: "the stop signal does not come through: killed when the grace is over, and said", end: /^exited 137 stop$/ },
  { calls: /^monitor (openat|write) .*\/probe-\d+\/pids\.max$/, why: "the container's own limit holds" },
  { calls: /^monitor (openat|read|write|rmdir|getdents64) .*\/probe-\d+/, why: "what a probe has left goes with the container's group" },
  { calls: /^monitor (openat|read) .*(cgroup\.freeze|freezer\.state)$/, why: "whether it is paused, which is in the record too" },
  { calls: /^monitor epoll_ctl pipe:\[#\],[12]$/, why: "what it wrote is read at its end" },
  { calls: /^stage (openat|write) \/proc\/.*oom_score_adj$/, why: "a wish: said as a warning" },
];

/** Failures whose errno is another than the one that was injected, because something else is what matters. */
export const otherErrno: readonly { readonly calls: RegExp; readonly why: string }[] = [
  { calls: /^(main|exec) getcwd /, why: "said as: the directory lies outside of the container" },
  { calls: /^(main|exec) sendto /, why: "it was this answer that was lost" },
  { calls: /^monitor listen /, why: "a port that nobody can listen on is in use" },
];
