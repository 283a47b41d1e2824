//! `/sys`: the CPUs, as programs count them (sysfs(5)).

use super::inode::Inode;
use super::synthetic::{self, Item, Table};
use crate::libc::errno::Errno;
use alloc::string::String;
use alloc::sync::Arc;
use core::fmt::Write;
use smp::{CpuId, MAX_CPUS};

/// The magic number that statfs(2) gives.
const MAGIC: u64 = 0x6265_6572;

/// Makes the file system.
pub fn create() -> Arc<dyn Inode> {
    synthetic::create(Item::Directory(ROOT), MAGIC)
}

const ROOT: Table = &[(
    "devices",
    Item::Directory(&[("system", Item::Directory(&[("cpu", Item::Directory(CPU))]))]),
)];

const CPU: Table = &[
    ("online", Item::Text(online)),
    ("present", Item::Text(online)),
    ("possible", Item::Text(online)),
    (
        "offline",
        Item::Text(|_, text| put(text, format_args!("\n"))),
    ),
    (
        "kernel_max",
        Item::Text(|_, text| put(text, format_args!("{}\n", MAX_CPUS - 1))),
    ),
];

fn put(text: &mut String, arguments: core::fmt::Arguments) -> Result<(), Errno> {
    text.write_fmt(arguments).map_err(|_| Errno::ENOMEM)
}

/// Writes the CPUs as ranges: `0-3,5`. A CPU that did not come up at boot never will.
fn online(_: u32, text: &mut String) -> Result<(), Errno> {
    let online = smp::online_cpus();
    let is_online = |cpu: usize| cpu < MAX_CPUS && online.contains(CpuId(cpu as u32));
    let mut cpu = 0;
    while cpu < MAX_CPUS {
        if !is_online(cpu) {
            cpu += 1;
            continue;
        }
        let first = cpu;
        while is_online(cpu + 1) {
            cpu += 1;
        }
        let comma = if text.is_empty() { "" } else { "," };
        if first == cpu {
            put(text, format_args!("{comma}{first}"))?;
        } else {
            put(text, format_args!("{comma}{first}-{cpu}"))?;
        }
        cpu += 1;
    }
    text.push('\n');
    Ok(())
}
