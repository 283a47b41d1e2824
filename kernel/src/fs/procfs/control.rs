//! `/proc/sys` and `/proc/sysrq-trigger`.

use crate::fs::fd_table;
use crate::libc::errno::Errno;
use crate::libc::{random, system};
use crate::{arch, log, process, provoke};
use alloc::string::String;
use core::fmt::Write;
use smp::ThreadName;
use spin::Once;

type Made = Result<(), Errno>;

fn line(text: &mut String, value: impl core::fmt::Display) -> Made {
    writeln!(text, "{value}").map_err(|_| Errno::ENOMEM)
}

/// `/proc/sys/fs/file-max`.
pub fn file_max(_: u32, text: &mut String) -> Made {
    line(text, i64::MAX)
}

/// `/proc/sys/fs/nr_open`: the most that RLIMIT_NOFILE can be.
pub fn nr_open(_: u32, text: &mut String) -> Made {
    line(text, fd_table::MAX_LIMIT)
}

/// `/proc/sys/fs/pipe-max-size`.
pub fn pipe_max_size(_: u32, text: &mut String) -> Made {
    line(text, crate::fs::pipe::MAX_CAPACITY)
}

/// `/proc/sys/kernel/hostname`.
pub fn host_name(_: u32, text: &mut String) -> Made {
    line(text, String::from_utf8_lossy(&system::host_name()))
}

/// Sets the host name.
pub fn set_host_name(_: u32, bytes: &[u8]) -> Made {
    system::set_host_name(bytes.strip_suffix(b"\n").unwrap_or(bytes))
}

/// Names a thread, by its `comm`.
pub fn set_thread_name(tid: u32, bytes: &[u8]) -> Made {
    let thread = process::thread(tid).ok_or(Errno::ESRCH)?;
    let name = bytes.split(|&byte| byte == b'\n').next().unwrap_or(bytes);
    thread.set_name(ThreadName::new(name));
    Ok(())
}

/// `/proc/sys/kernel/osrelease`.
pub fn os_release(_: u32, text: &mut String) -> Made {
    line(text, system::RELEASE)
}

/// `/proc/sys/kernel/ostype`.
pub fn os_type(_: u32, text: &mut String) -> Made {
    line(text, system::NAME)
}

/// `/proc/sys/kernel/version`.
pub fn os_version(_: u32, text: &mut String) -> Made {
    line(text, system::VERSION)
}

/// `/proc/sys/kernel/pid_max`: musl's stdio needs thread ids below 2^30.
pub fn pid_max(_: u32, text: &mut String) -> Made {
    line(text, 1 << 30)
}

/// `/proc/sys/net/core/somaxconn`.
pub fn somaxconn(_: u32, text: &mut String) -> Made {
    line(text, crate::fs::unix::BACKLOG_MAX)
}

/// `/proc/sys/vm/overcommit_memory`: 2, memory is promised when it is made writable
/// (docs/memory-map.md). mimalloc reads it, and then asks before it uses memory.
pub fn overcommit(_: u32, text: &mut String) -> Made {
    line(text, 2)
}

/// Makes a random UUID (RFC 9562, version 4).
fn make_uuid() -> [u8; 16] {
    let mut bytes = [0; 16];
    random::fill(&mut bytes);
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    bytes
}

fn put_uuid(text: &mut String, uuid: &[u8; 16]) -> Made {
    for (index, byte) in uuid.iter().enumerate() {
        if matches!(index, 4 | 6 | 8 | 10) {
            text.push('-');
        }
        write!(text, "{byte:02x}").map_err(|_| Errno::ENOMEM)?;
    }
    text.push('\n');
    Ok(())
}

/// `/proc/sys/kernel/random/boot_id`: one for each boot.
pub fn boot_id(_: u32, text: &mut String) -> Made {
    static BOOT_ID: Once<[u8; 16]> = Once::new();
    put_uuid(text, BOOT_ID.call_once(make_uuid))
}

/// `/proc/sys/kernel/random/uuid`: one for each open.
pub fn fresh_uuid(_: u32, text: &mut String) -> Made {
    put_uuid(text, &make_uuid())
}

/// `/proc/sysrq-trigger`: each letter is a command.
pub fn system_request(_: u32, bytes: &[u8]) -> Made {
    for &letter in bytes {
        match letter {
            b'o' => arch::power::poweroff(),
            b'b' => arch::power::reboot(),
            b'c' => panic!("crash asked for by /proc/sysrq-trigger"),
            // Linux has no letters for these three.
            b'x' => provoke::kernel_stack_overflow(),
            b'y' => provoke::interrupt_stack_overflow(),
            b'z' => provoke::spin_without_interrupts(),
            // Memory is all there is to bring to the disk.
            b's' => log::info!("kernel.vfs", "sync: all file systems are in memory"),
            b'\n' => {}
            _ => return Err(Errno::EINVAL),
        }
    }
    Ok(())
}
