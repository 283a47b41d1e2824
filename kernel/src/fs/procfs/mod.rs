//! `/proc`: the process, its threads and the machine, as text (proc(5)).

mod control;
mod descriptors;
mod machine;
mod process;

use super::inode::{Inode, Link};
use super::synthetic::{self, Item, Numbered, Table};
use crate::process as threads;
use alloc::format;
use alloc::string::ToString;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;

/// The magic number that statfs(2) gives.
const MAGIC: u64 = 0x9fa0;

/// Makes the file system.
pub fn create() -> Arc<dyn Inode> {
    synthetic::create(Item::Numbered(&PROCESSES), MAGIC)
}

static PROCESSES: Numbered = Numbered {
    collect: || vec![threads::PID],
    exists: |pid| threads::thread(pid).is_some() || pid == threads::PID,
    item: Item::Directory(PROCESS),
    others: ROOT,
};

const ROOT: Table = &[
    ("cmdline", Item::Text(machine::command_line)),
    ("cpuinfo", Item::Text(machine::cpus)),
    ("filesystems", Item::Text(machine::file_systems)),
    ("interrupts", Item::Text(machine::interrupts)),
    ("kmsg", Item::Special(super::kmsg::open)),
    ("loadavg", Item::Text(machine::load)),
    ("meminfo", Item::Text(machine::memory)),
    ("mounts", Item::Text(machine::mounts)),
    (
        "self",
        Item::Link(|_| Ok(Link::Path(threads::PID.to_string().into_bytes()))),
    ),
    ("stat", Item::Text(machine::statistics)),
    ("sys", Item::Directory(SYS)),
    ("sysrq-trigger", Item::Trigger(control::system_request)),
    ("thread-self", Item::Link(|_| Ok(Link::Path(thread_self())))),
    ("threads", Item::Text(machine::threads)),
    ("uptime", Item::Text(machine::uptime)),
    ("version", Item::Text(machine::version)),
];

fn thread_self() -> Vec<u8> {
    format!("{}/task/{}", threads::PID, smp::current().tid()).into_bytes()
}

const SYS: Table = &[
    (
        "fs",
        Item::Directory(&[
            ("file-max", Item::Text(control::file_max)),
            ("nr_open", Item::Text(control::nr_open)),
            ("pipe-max-size", Item::Text(control::pipe_max_size)),
        ]),
    ),
    (
        "kernel",
        Item::Directory(&[
            (
                "hostname",
                Item::Setting(control::host_name, control::set_host_name),
            ),
            ("osrelease", Item::Text(control::os_release)),
            ("ostype", Item::Text(control::os_type)),
            ("pid_max", Item::Text(control::pid_max)),
            (
                "random",
                Item::Directory(&[
                    ("boot_id", Item::Text(control::boot_id)),
                    ("uuid", Item::Text(control::fresh_uuid)),
                ]),
            ),
            ("threads-max", Item::Text(control::pid_max)),
            ("version", Item::Text(control::os_version)),
        ]),
    ),
    (
        "net",
        Item::Directory(&[(
            "core",
            Item::Directory(&[("somaxconn", Item::Text(control::somaxconn))]),
        )]),
    ),
    (
        "vm",
        Item::Directory(&[("overcommit_memory", Item::Text(control::overcommit))]),
    ),
];

/// What a process and each of its threads have.
const PROCESS: Table = &[
    ("cmdline", Item::Text(process::command_line)),
    (
        "comm",
        Item::Setting(process::name, control::set_thread_name),
    ),
    (
        "cwd",
        Item::MagicLink(process::directory, process::directory_path),
    ),
    ("environ", Item::Private(process::environment)),
    (
        "exe",
        Item::MagicLink(process::executable, process::executable_path),
    ),
    ("fd", Item::Numbered(&DESCRIPTORS)),
    ("fdinfo", Item::Numbered(&DESCRIPTOR_INFO)),
    ("io", Item::Private(process::io)),
    ("limits", Item::Text(process::limits)),
    ("maps", Item::Text(process::maps)),
    ("mountinfo", Item::Text(machine::mount_info)),
    ("mounts", Item::Text(machine::mounts)),
    ("oom_score_adj", Item::Text(process::oom_score)),
    (
        "root",
        Item::MagicLink(process::root, |_| Ok(b"/".to_vec())),
    ),
    ("smaps", Item::Text(process::detailed_maps)),
    ("stat", Item::Text(process::stat)),
    ("statm", Item::Text(process::memory_pages)),
    ("status", Item::Text(process::status)),
    ("task", Item::Numbered(&TASKS)),
];

static TASKS: Numbered = Numbered {
    collect: || {
        threads::threads()
            .iter()
            .map(|thread| thread.tid())
            .collect()
    },
    exists: |tid| threads::thread(tid).is_some(),
    item: Item::Directory(TASK),
    others: &[],
};

const TASK: Table = &[
    ("cmdline", Item::Text(process::command_line)),
    (
        "comm",
        Item::Setting(process::name, control::set_thread_name),
    ),
    ("fd", Item::Numbered(&DESCRIPTORS)),
    ("maps", Item::Text(process::maps)),
    ("stat", Item::Text(process::thread_stat)),
    ("status", Item::Text(process::status)),
];

static DESCRIPTORS: Numbered = Numbered {
    collect: descriptors::collect,
    exists: descriptors::exists,
    item: Item::MagicLink(descriptors::target, descriptors::text),
    others: &[],
};

static DESCRIPTOR_INFO: Numbered = Numbered {
    collect: descriptors::collect,
    exists: descriptors::exists,
    item: Item::Text(descriptors::info),
    others: &[],
};
