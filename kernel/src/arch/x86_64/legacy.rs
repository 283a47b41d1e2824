//! The calls that Linux has on x86-64 alone: older forms of calls that every architecture has.
//!
//! musl uses them where they exist. Each is translated to its newer form.

use crate::fs::clock;
use crate::fs::file::Timestamp;
use crate::libc::dispatch::{Calls, Handler};
use crate::libc::errno::{Errno, SysResult};
use crate::libc::names::call_names;
use crate::libc::{credentials, descriptors, epoll, open, paths, poll, signal, status, time};
use crate::memory::user;
use linux_raw_sys::general as raw;

const HERE: usize = raw::AT_FDCWD as usize;
const NO_FOLLOW: usize = raw::AT_SYMLINK_NOFOLLOW as usize;

/// The calls and their functions.
pub const LEGACY_CALLS: Calls = &[
    (raw::__NR_access, |&[path, mode, ..]| {
        paths::faccessat(&[HERE, path, mode, 0, 0, 0])
    }),
    (raw::__NR_alarm, time::alarm),
    (raw::__NR_arch_prctl, arch_prctl),
    (raw::__NR_chmod, |&[path, mode, ..]| {
        paths::fchmodat(&[HERE, path, mode, 0, 0, 0])
    }),
    (raw::__NR_chown, |&[path, uid, gid, ..]| {
        paths::fchownat(&[HERE, path, uid, gid, 0, 0])
    }),
    (raw::__NR_creat, |&[path, mode, ..]| {
        open::openat(&[HERE, path, CREATE, mode, 0, 0])
    }),
    (raw::__NR_dup2, descriptors::dup2),
    (raw::__NR_epoll_create, epoll::epoll_create),
    (raw::__NR_epoll_wait, epoll::epoll_wait),
    (raw::__NR_eventfd, |&[count, ..]| {
        open::eventfd2(&[count, 0, 0, 0, 0, 0])
    }),
    (raw::__NR_fork, NO_PROCESSES),
    (raw::__NR_futimesat, futimesat),
    (raw::__NR_getpgrp, credentials::getpgrp),
    (raw::__NR_lchown, |&[path, uid, gid, ..]| {
        paths::fchownat(&[HERE, path, uid, gid, NO_FOLLOW, 0])
    }),
    (raw::__NR_link, |&[old, new, ..]| {
        paths::linkat(&[HERE, old, HERE, new, 0, 0])
    }),
    (raw::__NR_lstat, |&[path, to, ..]| {
        status::newfstatat(&[HERE, path, to, NO_FOLLOW, 0, 0])
    }),
    (raw::__NR_mkdir, |&[path, mode, ..]| {
        paths::mkdirat(&[HERE, path, mode, 0, 0, 0])
    }),
    (raw::__NR_mknod, |&[path, mode, device, ..]| {
        paths::mknodat(&[HERE, path, mode, device, 0, 0])
    }),
    (raw::__NR_open, |&[path, flags, mode, ..]| {
        open::openat(&[HERE, path, flags, mode, 0, 0])
    }),
    (raw::__NR_pause, signal::pause),
    (raw::__NR_pipe, |&[fds, ..]| {
        open::pipe2(&[fds, 0, 0, 0, 0, 0])
    }),
    (raw::__NR_poll, poll::poll),
    (raw::__NR_readlink, |&[path, to, len, ..]| {
        paths::readlinkat(&[HERE, path, to, len, 0, 0])
    }),
    (raw::__NR_rename, |&[old, new, ..]| {
        paths::renameat(&[HERE, old, HERE, new, 0, 0])
    }),
    (raw::__NR_rmdir, |&[path, ..]| {
        paths::unlinkat(&[HERE, path, raw::AT_REMOVEDIR as usize, 0, 0, 0])
    }),
    (raw::__NR_select, poll::select),
    (raw::__NR_stat, |&[path, to, ..]| {
        status::newfstatat(&[HERE, path, to, 0, 0, 0])
    }),
    (raw::__NR_symlink, |&[target, path, ..]| {
        paths::symlinkat(&[target, HERE, path, 0, 0, 0])
    }),
    (raw::__NR_time, time::time),
    (raw::__NR_unlink, |&[path, ..]| {
        paths::unlinkat(&[HERE, path, 0, 0, 0, 0])
    }),
    (raw::__NR_utime, utime),
    (raw::__NR_utimes, |&[path, times, ..]| {
        futimesat(&[HERE, path, times, 0, 0, 0])
    }),
    (raw::__NR_vfork, NO_PROCESSES),
];

/// The names of all such calls, for log lines.
#[rustfmt::skip]
pub const LEGACY_NAMES: &[(u32, &str)] = call_names![
    __NR__sysctl __NR_access __NR_afs_syscall __NR_alarm __NR_arch_prctl __NR_chmod __NR_chown __NR_creat
    __NR_create_module __NR_dup2 __NR_epoll_create __NR_epoll_ctl_old __NR_epoll_wait __NR_epoll_wait_old
    __NR_eventfd __NR_fork __NR_futimesat __NR_get_kernel_syms __NR_get_thread_area __NR_getdents __NR_getpgrp
    __NR_getpmsg __NR_inotify_init __NR_ioperm __NR_iopl __NR_lchown __NR_link __NR_lstat __NR_mkdir __NR_mknod
    __NR_modify_ldt __NR_open __NR_pause __NR_pipe __NR_poll __NR_putpmsg __NR_query_module __NR_readlink
    __NR_rename __NR_rmdir __NR_security __NR_select __NR_set_thread_area __NR_signalfd __NR_stat __NR_symlink
    __NR_sysfs __NR_time __NR_tuxcall __NR_unlink __NR_uselib __NR_ustat __NR_utime __NR_utimes __NR_vfork
    __NR_vserver
];

const CREATE: usize = (raw::O_CREAT | raw::O_WRONLY | raw::O_TRUNC) as usize;

/// There is one process and there will not be another.
const NO_PROCESSES: Handler = |_| Err(Errno::ENOSYS);

/// arch_prctl(2): the thread pointer, which lives in FS.
fn arch_prctl(&[code, address, ..]: &[usize; 6]) -> SysResult {
    const ARCH_SET_FS: u32 = 0x1002;
    const ARCH_GET_FS: u32 = 0x1003;
    match code as u32 {
        ARCH_SET_FS => {
            super::set_thread_pointer(address);
            Ok(0)
        }
        ARCH_GET_FS => {
            user::write_user(address, &smp::current().thread_pointer())?;
            Ok(0)
        }
        // GS belongs to the kernel here.
        _ => Err(Errno::EINVAL),
    }
}

/// utime(2): whole seconds.
fn utime(&[path, times, ..]: &[usize; 6]) -> SysResult {
    let [accessed, modified] = if times == 0 {
        [clock::now(); 2]
    } else {
        user::read_user::<[i64; 2]>(times)?.map(|seconds| Timestamp::new(seconds, 0))
    };
    paths::set_times(HERE, path, 0, || Ok([Some(accessed), Some(modified)]))
}

/// futimesat(2): microseconds.
fn futimesat(&[dirfd, path, times, ..]: &[usize; 6]) -> SysResult {
    let [accessed, modified] = if times == 0 {
        [clock::now(); 2]
    } else {
        let [a_sec, a_usec, m_sec, m_usec] = user::read_user::<[i64; 4]>(times)?;
        if !(0..1_000_000).contains(&a_usec) || !(0..1_000_000).contains(&m_usec) {
            return Err(Errno::EINVAL);
        }
        [
            Timestamp::new(a_sec, a_usec * 1000),
            Timestamp::new(m_sec, m_usec * 1000),
        ]
    };
    paths::set_times(dirfd, path, 0, || Ok([Some(accessed), Some(modified)]))
}
