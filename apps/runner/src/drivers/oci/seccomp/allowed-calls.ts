/**
 * The system calls that a sandbox may make with any arguments, by purpose. Names that an architecture does not have are
 * ignored there. A call on no list gets the answer of a kernel without it.
 */
const calls = {
  files: `
    access faccessat faccessat2 cachestat chdir fchdir chmod fchmod fchmodat fchmodat2 chown fchown fchownat lchown chroot
    close close_range creat dup dup2 dup3 fadvise64 fallocate fcntl flock fsync fdatasync ftruncate truncate
    getcwd getdents getdents64 link linkat symlink symlinkat readlink readlinkat lseek mkdir mkdirat mknod mknodat
    open openat openat2 read readv pread64 preadv preadv2 write writev pwrite64 pwritev pwritev2 readahead
    rename renameat renameat2 rmdir unlink unlinkat stat fstat lstat newfstatat statx statfs fstatfs
    sync sync_file_range syncfs umask utime utimes utimensat futimesat copy_file_range sendfile splice tee vmsplice
    name_to_handle_at ioctl memfd_create
    getxattr lgetxattr fgetxattr listxattr llistxattr flistxattr setxattr lsetxattr fsetxattr
    removexattr lremovexattr fremovexattr setxattrat getxattrat listxattrat removexattrat`,
  waiting: `
    poll ppoll select pselect6 epoll_create epoll_create1 epoll_ctl epoll_ctl_old epoll_wait epoll_wait_old
    epoll_pwait epoll_pwait2 eventfd eventfd2 signalfd signalfd4 pause
    inotify_init inotify_init1 inotify_add_watch inotify_rm_watch
    io_setup io_submit io_getevents io_pgetevents io_cancel io_destroy`,
  memory: `
    brk mmap mprotect munmap mremap msync madvise mincore mlock mlock2 mlockall munlock munlockall
    remap_file_pages memfd_secret membarrier mseal map_shadow_stack pkey_alloc pkey_free pkey_mprotect process_mrelease`,
  processes: `
    fork vfork execve execveat exit exit_group wait4 waitid waitpid arch_prctl prctl set_tid_address
    set_robust_list get_robust_list futex futex_waitv futex_wait futex_wake futex_requeue rseq restart_syscall
    getpid getppid gettid getpgid setpgid getpgrp getsid setsid kill tkill tgkill
    pidfd_open pidfd_send_signal getpriority setpriority ioprio_get ioprio_set
    getrlimit setrlimit prlimit64 getrusage times getcpu capget capset seccomp
    landlock_create_ruleset landlock_add_rule landlock_restrict_self
    sched_yield sched_getaffinity sched_setaffinity sched_getattr sched_setattr sched_getparam sched_setparam
    sched_getscheduler sched_setscheduler sched_get_priority_max sched_get_priority_min sched_rr_get_interval`,
  debugging: 'ptrace process_vm_readv process_vm_writev',
  users: `
    getuid geteuid getgid getegid getresuid getresgid getgroups setuid setgid setreuid setregid setresuid setresgid
    setfsuid setfsgid setgroups`,
  signals: `
    rt_sigaction rt_sigpending rt_sigprocmask rt_sigqueueinfo rt_tgsigqueueinfo rt_sigreturn rt_sigsuspend
    rt_sigtimedwait sigaltstack alarm getitimer setitimer`,
  time: `
    time gettimeofday clock_gettime clock_getres clock_nanosleep nanosleep adjtimex
    timer_create timer_delete timer_getoverrun timer_gettime timer_settime
    timerfd_create timerfd_gettime timerfd_settime`,
  network: `
    bind connect listen accept accept4 getsockname getpeername getsockopt setsockopt shutdown
    sendto sendmsg sendmmsg recvfrom recvmsg recvmmsg`,
  communication: `
    pipe pipe2 mq_open mq_unlink mq_notify mq_getsetattr mq_timedreceive mq_timedsend
    msgctl msgget msgrcv msgsnd semctl semget semop semtimedop shmat shmctl shmdt shmget`,
  system: 'uname sysinfo getrandom',
} as const

/** All allowed calls in one list. */
export const ALLOWED_CALLS: readonly string[] = Object.values(calls).flatMap(namesIn)

/**
 * Calls that are refused with EPERM: the program should learn that it may not make them, while after ENOSYS it would try
 * another call for the same purpose.
 */
export const REFUSED_CALLS: readonly string[] = namesIn(`
  mount umount umount2 pivot_root move_mount open_tree fsopen fsconfig fsmount fspick mount_setattr
  setns unshare sethostname setdomainname open_by_handle_at fanotify_init fanotify_mark quotactl quotactl_fd
  acct swapon swapoff reboot kexec_load kexec_file_load init_module finit_module delete_module
  bpf perf_event_open userfaultfd io_uring_setup io_uring_enter io_uring_register lookup_dcookie
  keyctl add_key request_key kcmp pidfd_getfd process_madvise syslog vhangup
  settimeofday clock_settime clock_adjtime stime iopl ioperm modify_ldt
  mbind get_mempolicy set_mempolicy set_mempolicy_home_node migrate_pages move_pages`)

function namesIn(text: string): string[] {
  return text.split(/\s+/).filter((name) => name !== '')
}
