import type { SeccompProfile, SeccompRule } from "./seccomp.ts";

/**
 * The default policy, the same in effect as Docker's (moby's profiles of 2026): what is not named fails with
 * EPERM. Written by subject, so that a reader can see what is allowed. The names of calls that this
 * machine does not have are skipped; newer calls than those then give ENOSYS.
 */

/** Allowed everywhere, with any arguments. */
const everywhere: readonly string[] = [
  // Files and directories
  "access chdir chmod chown chown32 close close_range creat dup dup2 dup3 faccessat faccessat2 fallocate",
  "fchdir fchmod fchmodat fchmodat2 fchown fchown32 fchownat fcntl fcntl64 fdatasync flock fstat fstat64",
  "fstatat64 fstatfs fstatfs64 fsync ftruncate ftruncate64 futimesat getcwd getdents getdents64 lchown",
  "lchown32 link linkat listmount _llseek lseek lstat lstat64 mkdir mkdirat mknod mknodat name_to_handle_at",
  "newfstatat open openat openat2 readlink readlinkat rename renameat renameat2 rmdir stat stat64 statfs",
  "statfs64 statmount statx symlink symlinkat sync sync_file_range syncfs truncate truncate64 umask unlink",
  "unlinkat utime utimensat utimensat_time64 utimes",
  // Extended attributes
  "fgetxattr flistxattr fremovexattr fsetxattr getxattr getxattrat lgetxattr listxattr listxattrat",
  "llistxattr lremovexattr lsetxattr removexattr removexattrat setxattr setxattrat",
  // Reading, writing, moving data
  "copy_file_range fadvise64 fadvise64_64 io_cancel ioctl io_destroy io_getevents io_pgetevents",
  "io_pgetevents_time64 io_setup io_submit pipe pipe2 pread64 preadv preadv2 process_mrelease pwrite64",
  "pwritev pwritev2 read readahead readv sendfile sendfile64 splice tee vmsplice write writev",
  // Waiting for descriptors and events
  "epoll_create epoll_create1 epoll_ctl epoll_ctl_old epoll_pwait epoll_pwait2 epoll_wait epoll_wait_old",
  "eventfd eventfd2 fanotify_mark inotify_add_watch inotify_init inotify_init1 inotify_rm_watch _newselect",
  "poll ppoll ppoll_time64 pselect6 pselect6_time64 select signalfd signalfd4 timerfd_create timerfd_gettime",
  "timerfd_gettime64 timerfd_settime timerfd_settime64",
  // Memory
  "brk cachestat madvise map_shadow_stack membarrier memfd_create memfd_secret mincore mlock mlock2 mlockall",
  "mmap mmap2 mprotect mremap mseal msync munlock munlockall munmap pkey_alloc pkey_free pkey_mprotect",
  "remap_file_pages",
  // Processes and threads
  "execve execveat exit exit_group fork futex futex_requeue futex_time64 futex_wait futex_waitv futex_wake",
  "getcpu getgid getgid32 getpgid getpgrp getpid getppid getpriority getrlimit get_robust_list getrusage",
  "getsid get_thread_area gettid ioprio_get ioprio_set kill pause pidfd_open pidfd_send_signal prctl",
  "prlimit64 restart_syscall riscv_hwprobe rseq sched_getaffinity sched_getattr sched_getparam",
  "sched_get_priority_max sched_get_priority_min sched_getscheduler sched_rr_get_interval",
  "sched_rr_get_interval_time64 sched_setaffinity sched_setattr sched_setparam sched_setscheduler",
  "sched_yield setgid setpgid setpriority setrlimit set_robust_list setsid set_thread_area set_tid_address",
  "tgkill times tkill ugetrlimit uretprobe vfork wait4 waitid waitpid",
  // Users, rights, confinement
  "capget capset getegid getegid32 geteuid geteuid32 getgroups getgroups32 getresgid getresgid32 getresuid",
  "getresuid32 getuid getuid32 landlock_add_rule landlock_create_ruleset landlock_restrict_self seccomp",
  "setfsgid setfsgid32 setfsuid setfsuid32 setgid32 setgroups setgroups32 setregid setregid32 setresgid",
  "setresgid32 setresuid setresuid32 setreuid setreuid32 setuid setuid32",
  // Signals
  "alarm getitimer rt_sigaction rt_sigpending rt_sigprocmask rt_sigqueueinfo rt_sigreturn rt_sigsuspend",
  "rt_sigtimedwait rt_sigtimedwait_time64 rt_tgsigqueueinfo setitimer sigaltstack sigprocmask sigreturn",
  // Time
  "adjtimex clock_adjtime clock_adjtime64 clock_getres clock_getres_time64 clock_gettime clock_gettime64",
  "clock_nanosleep clock_nanosleep_time64 gettimeofday nanosleep time timer_create timer_delete",
  "timer_getoverrun timer_gettime timer_gettime64 timer_settime timer_settime64",
  // Sockets: all but socket(2) itself
  "accept accept4 bind connect getpeername getsockname getsockopt listen recv recvfrom recvmmsg",
  "recvmmsg_time64 recvmsg send sendmmsg sendmsg sendto setsockopt shutdown socketcall socketpair",
  // System V and POSIX interprocess communication
  "ipc mq_getsetattr mq_notify mq_open mq_timedreceive mq_timedreceive_time64 mq_timedsend",
  "mq_timedsend_time64 mq_unlink msgctl msgget msgrcv msgsnd semctl semget semop semtimedop",
  "semtimedop_time64 shmat shmctl shmdt shmget",
  // About the system
  "getrandom sysinfo uname",
];

/** Protocol families that socket(2) may open: no AF_ALG (38), no AF_VSOCK (40), none that the kernel has given up. */
const socketFamiliesBelow = 12;
const socketFamilies: readonly number[] = [
  13, 14, 15, 16, 17, 18, 21, 22, 24, 26, 27, 28, 29, 30, 31, 32, 33, 35, 36, 39, 41, 42, 43, 44, 45,
];

/** PER_LINUX, PER_LINUX32, UNAME26, both, and "only ask". */
const personalities: readonly number[] = [0x0, 0x8, 0x20000, 0x20008, 0xffffffff];

/** Calls that need a capability: allowed where the container has it. */
const byCapability: Readonly<Record<string, string>> = {
  CAP_DAC_READ_SEARCH: "open_by_handle_at",
  CAP_SYS_ADMIN:
    "bpf clone clone3 fanotify_init fsconfig fsmount fsopen fspick lookup_dcookie lsm_get_self_attr " +
    "lsm_list_modules lsm_set_self_attr mount mount_setattr move_mount open_tree perf_event_open quotactl " +
    "quotactl_fd setdomainname sethostname setns syslog umount umount2 unshare",
  CAP_SYS_BOOT: "reboot",
  CAP_SYS_CHROOT: "chroot",
  CAP_SYS_MODULE: "delete_module finit_module init_module",
  CAP_SYS_PACCT: "acct",
  CAP_SYS_PTRACE: "kcmp pidfd_getfd process_madvise process_vm_readv process_vm_writev ptrace",
  CAP_SYS_RAWIO: "ioperm iopl",
  CAP_SYS_TIME: "clock_settime clock_settime64 settimeofday stime",
  CAP_SYS_TTY_CONFIG: "vhangup",
  CAP_SYS_NICE: "get_mempolicy mbind set_mempolicy set_mempolicy_home_node",
  CAP_SYSLOG: "syslog",
  CAP_BPF: "bpf",
  CAP_PERFMON: "perf_event_open",
};

const byArchitecture: readonly { readonly arches: readonly string[]; readonly names: string }[] = [
  { arches: ["ppc64le"], names: "sync_file_range2 swapcontext" },
  { arches: ["arm", "arm64"], names: "arm_fadvise64_64 arm_sync_file_range sync_file_range2 breakpoint cacheflush set_tls" },
  { arches: ["amd64", "x32"], names: "arch_prctl" },
  { arches: ["amd64", "x32", "x86"], names: "modify_ldt" },
  { arches: ["s390", "s390x"], names: "s390_pci_mmio_read s390_pci_mmio_write s390_runtime_instr" },
  { arches: ["riscv64"], names: "riscv_flush_icache" },
];

/** CLONE_NEW{NS,CGROUP,UTS,IPC,USER,PID,NET}: clone(2) with none of them needs no capability. */
const newNamespaces = 0x7e020000;
const enosys = 38;
const eperm = 1;
const s390 = ["s390", "s390x"];

const words = (text: string): readonly string[] => text.split(" ");

const argument = (name: string, index: number, op: string, value: number): SeccompRule => ({
  names: [name],
  action: "SCMP_ACT_ALLOW",
  args: [{ index, value, valueTwo: 0, op }],
});

export const defaultSeccompProfile: SeccompProfile = {
  defaultAction: "SCMP_ACT_ERRNO",
  defaultErrnoRet: eperm,
  archMap: [
    { architecture: "SCMP_ARCH_X86_64", subArchitectures: ["SCMP_ARCH_X86", "SCMP_ARCH_X32"] },
    { architecture: "SCMP_ARCH_AARCH64", subArchitectures: ["SCMP_ARCH_ARM"] },
    { architecture: "SCMP_ARCH_MIPS64", subArchitectures: ["SCMP_ARCH_MIPS", "SCMP_ARCH_MIPS64N32"] },
    { architecture: "SCMP_ARCH_MIPS64N32", subArchitectures: ["SCMP_ARCH_MIPS", "SCMP_ARCH_MIPS64"] },
    { architecture: "SCMP_ARCH_MIPSEL64", subArchitectures: ["SCMP_ARCH_MIPSEL", "SCMP_ARCH_MIPSEL64N32"] },
    { architecture: "SCMP_ARCH_MIPSEL64N32", subArchitectures: ["SCMP_ARCH_MIPSEL", "SCMP_ARCH_MIPSEL64"] },
    { architecture: "SCMP_ARCH_S390X", subArchitectures: ["SCMP_ARCH_S390"] },
    { architecture: "SCMP_ARCH_RISCV64" },
    { architecture: "SCMP_ARCH_LOONGARCH64" },
  ],
  syscalls: [
    { names: everywhere.flatMap(words), action: "SCMP_ACT_ALLOW" },
    // Before 4.8 ptrace(2) could be used to get around a seccomp filter.
    { names: ["process_vm_readv", "process_vm_writev", "ptrace"], action: "SCMP_ACT_ALLOW", includes: { minKernel: "4.8" } },
    argument("socket", 0, "SCMP_CMP_LT", socketFamiliesBelow),
    ...socketFamilies.map((family) => argument("socket", 0, "SCMP_CMP_EQ", family)),
    ...personalities.map((personality) => argument("personality", 0, "SCMP_CMP_EQ", personality)),
    ...byArchitecture.map(({ arches, names }): SeccompRule => ({ names: words(names), action: "SCMP_ACT_ALLOW", includes: { arches } })),
    ...Object.entries(byCapability).map(
      ([cap, names]): SeccompRule => ({ names: words(names), action: "SCMP_ACT_ALLOW", includes: { caps: [cap] } }),
    ),
    // The flags are clone(2)'s first argument, but its second one on s390.
    { ...argument("clone", 0, "SCMP_CMP_MASKED_EQ", newNamespaces), excludes: { caps: ["CAP_SYS_ADMIN"], arches: s390 } },
    {
      ...argument("clone", 1, "SCMP_CMP_MASKED_EQ", newNamespaces),
      includes: { arches: s390 },
      excludes: { caps: ["CAP_SYS_ADMIN"] },
    },
    // Its flags lie behind a pointer, where no filter sees them; ENOSYS makes libc fall back to clone(2).
    { names: ["clone3"], action: "SCMP_ACT_ERRNO", errnoRet: enosys, excludes: { caps: ["CAP_SYS_ADMIN"] } },
  ],
};
