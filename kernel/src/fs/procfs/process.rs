//! What `/proc` tells of the process and its threads.

use super::machine;
use crate::fs::inode::Link;
use crate::fs::{context, mount, walk};
use crate::libc::errno::Errno;
use crate::libc::time::{NS_PER_SEC, TICKS_PER_SEC};
use crate::memory::{PAGE_SIZE, address_space};
use crate::process::{self as threads, PROCESS};
use crate::python;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::Write;
use mmap_shim::{AreaReport, Protection};
use smp::{ThreadRef, ThreadState};

type Made = Result<(), Errno>;

fn done(result: core::fmt::Result) -> Made {
    result.map_err(|_| Errno::ENOMEM)
}

fn push_with_nul(string: &str, text: &mut String) {
    text.push_str(string);
    text.push('\0');
}

fn thread(tid: u32) -> Result<ThreadRef, Errno> {
    threads::thread(tid).ok_or(Errno::ESRCH)
}

/// `cmdline`: Python's arguments, each with its NUL.
pub fn command_line(_: u32, text: &mut String) -> Made {
    python::arguments()
        .iter()
        .for_each(|argument| push_with_nul(argument, text));
    Ok(())
}

/// `environ`: the environment that Python was started with.
pub fn environment(_: u32, text: &mut String) -> Made {
    python::environment()
        .iter()
        .for_each(|variable| push_with_nul(variable, text));
    Ok(())
}

/// `comm`: the thread's name.
pub fn name(tid: u32, text: &mut String) -> Made {
    push_name(&*thread(tid)?, text);
    text.push('\n');
    Ok(())
}

fn push_name(thread: &smp::Thread, text: &mut String) {
    text.push_str(&String::from_utf8_lossy(thread.name().as_bytes()));
}

/// `cwd`.
pub fn directory(_: u32) -> Result<Link, Errno> {
    Ok(Link::Inode(context::current_directory()))
}

/// Text of `cwd`.
pub fn directory_path(_: u32) -> Result<Vec<u8>, Errno> {
    walk::path_of(&context::current_directory())
}

/// `root`.
pub fn root(_: u32) -> Result<Link, Errno> {
    Ok(Link::Inode(mount::root().clone()))
}

/// `exe`: the interpreter is part of the kernel's image, but has a name.
pub fn executable(_: u32) -> Result<Link, Errno> {
    let path = python::EXECUTABLE.as_bytes();
    walk::resolve(mount::root(), path, walk::Follow::Yes).map(Link::Inode)
}

/// Text of `exe`.
pub fn executable_path(_: u32) -> Result<Vec<u8>, Errno> {
    Ok(python::EXECUTABLE.as_bytes().to_vec())
}

/// `io`: nothing here is read from or written to a disk.
pub fn io(_: u32, text: &mut String) -> Made {
    text.push_str("read_bytes: 0\nwrite_bytes: 0\ncancelled_write_bytes: 0\n");
    Ok(())
}

/// `oom_score_adj`: nobody is chosen to die when memory is short.
pub fn oom_score(_: u32, text: &mut String) -> Made {
    text.push_str("0\n");
    Ok(())
}

/// `limits`.
pub fn limits(_: u32, text: &mut String) -> Made {
    crate::libc::limits::describe(text);
    Ok(())
}

fn state_letter(state: ThreadState) -> (char, &'static str) {
    match state {
        ThreadState::Running => ('R', "running"),
        ThreadState::Sleeping => ('S', "sleeping"),
        ThreadState::Exited => ('X', "dead"),
    }
}

const KIB_PER_PAGE: usize = PAGE_SIZE / 1024;

/// `status`: the garbage collector of free-threaded CPython reads VmRSS and VmSwap here.
pub fn status(tid: u32, text: &mut String) -> Made {
    let usage = address_space::usage();
    let thread = thread(tid)?;
    let (letter, word) = state_letter(thread.state());
    text.push_str("Name:\t");
    push_name(&thread, text);
    let pid = threads::PID;
    done(write!(
        text,
        "\nUmask:\t{:04o}\nState:\t{letter} ({word})\nTgid:\t{pid}\nNgid:\t0\nPid:\t{tid}\nPPid:\t0\nTracerPid:\t0\n\
         Uid:\t0\t0\t0\t0\nGid:\t0\t0\t0\t0\nFDSize:\t{}\nGroups:\t0\n",
        context::mask(),
        machine::descriptor_slots().next_multiple_of(64),
    ))?;
    let sizes = [
        ("VmPeak", usage.mapped_peak),
        ("VmSize", usage.mapped),
        ("VmLck", usage.locked),
        ("VmHWM", usage.resident_peak),
        ("VmRSS", usage.resident()),
        ("RssAnon", usage.owned),
        ("RssFile", usage.borrowed),
        ("RssShmem", 0),
        ("VmData", usage.mapped.saturating_sub(usage.stacks)),
        ("VmStk", usage.stacks),
        ("VmSwap", 0),
    ];
    for (name, pages) in sizes {
        done(writeln!(text, "{name}:\t{:>8} kB", pages * KIB_PER_PAGE))?;
    }
    let affinity = thread.affinity().and(smp::online_cpus());
    let (voluntary, involuntary) = thread.context_switches();
    done(writeln!(text, "Threads:\t{}", PROCESS.thread_count()))?;
    crate::libc::signal::describe(&thread, text);
    done(writeln!(
        text,
        "Cpus_allowed:\t{:x}\nvoluntary_ctxt_switches:\t{voluntary}\nnonvoluntary_ctxt_switches:\t{involuntary}",
        affinity.bits(),
    ))
}

/// `statm`: sizes in pages.
pub fn memory_pages(_: u32, text: &mut String) -> Made {
    let usage = address_space::usage();
    done(writeln!(
        text,
        "{} {} {} 0 0 {} 0",
        usage.mapped,
        usage.resident(),
        usage.borrowed,
        usage.mapped
    ))
}

/// `stat` of the process: the time of all its threads.
pub fn stat(pid: u32, text: &mut String) -> Made {
    let thread = thread(pid)?;
    put_stat(&thread, PROCESS.usage().cpu_ns, text)
}

/// `stat` of a thread.
pub fn thread_stat(tid: u32, text: &mut String) -> Made {
    let thread = thread(tid)?;
    put_stat(&thread, thread.cpu_time_ns(), text)
}

/// Writes the 52 fields of proc_pid_stat(5). What does not exist here is 0.
fn put_stat(thread: &smp::Thread, cpu_ns: u64, text: &mut String) -> Made {
    let usage = address_space::usage();
    let pid = threads::PID;
    let scheduling = thread.scheduling();
    done(write!(text, "{} (", thread.tid()))?;
    push_name(thread, text);
    let (state, _) = state_letter(thread.state());
    let time = cpu_ns / (NS_PER_SEC / TICKS_PER_SEC);
    let nice = i64::from(scheduling.nice);
    done(write!(
        text,
        ") {state} 0 {pid} {pid} 1025 {pid} 0 0 0 0 0 {time} 0 0 0 {} {nice} ",
        20 + nice
    ))?;
    done(write!(
        text,
        "{} 0 0 {} {} {} ",
        PROCESS.thread_count(),
        usage.mapped * PAGE_SIZE,
        usage.resident(),
        u64::MAX
    ))?;
    // Fields 26 to 37: addresses, signal sets, wait channel, swapped pages; 38: exit signal; 39: CPU.
    done(write!(
        text,
        "0 0 0 0 0 0 0 0 0 0 0 0 17 {} 0 0 ",
        thread.last_cpu().0
    ))?;
    text.push_str("0 0 0 0 0 0 0 0 0 0 0\n");
    Ok(())
}

/// Writes the first line of an area: addresses, rights, offset, device, inode, path.
fn put_area(area: &AreaReport, text: &mut String) -> Made {
    let right = |bit: Protection, letter: char| {
        if area.protection.contains(bit) {
            letter
        } else {
            '-'
        }
    };
    let identity = area
        .backing
        .as_ref()
        .map(|backing| backing.identity())
        .unwrap_or_default();
    let line_start = text.len();
    done(write!(
        text,
        "{:x}-{:x} {}{}{}{} {:08x} {:02x}:{:02x} {} ",
        area.start,
        area.end,
        right(Protection::READ, 'r'),
        right(Protection::WRITE, 'w'),
        right(Protection::EXECUTE, 'x'),
        if area.is_shared { 's' } else { 'p' },
        area.first_page * PAGE_SIZE as u64,
        identity.device >> 8 & 0xfff,
        identity.device & 0xff,
        identity.inode,
    ))?;
    let label = match &area.backing {
        Some(backing) => backing.path(),
        None if area.flags.contains(mmap_shim::AreaFlags::STACK) => String::from("[stack]"),
        None => String::new(),
    };
    if !label.is_empty() {
        while text.len() - line_start < 73 {
            text.push(' ');
        }
        text.push_str(&label);
    }
    text.push('\n');
    Ok(())
}

/// Lists the sections of the image, which no area describes.
fn put_image(text: &mut String) -> Made {
    for (range, protection, name) in crate::arch::page_table::image_sections() {
        let right = |bit: Protection, letter: char| {
            if protection.contains(bit) {
                letter
            } else {
                '-'
            }
        };
        done(writeln!(
            text,
            "{:x}-{:x} {}{}{}p 00000000 00:00 0                                  [kernel:{name}]",
            range.start,
            range.end,
            right(Protection::READ, 'r'),
            right(Protection::WRITE, 'w'),
            right(Protection::EXECUTE, 'x'),
        ))?;
    }
    Ok(())
}

/// `maps`.
pub fn maps(_: u32, text: &mut String) -> Made {
    put_image(text)?;
    for area in address_space::areas(false) {
        put_area(&area, text)?;
    }
    Ok(())
}

/// `smaps`.
pub fn detailed_maps(_: u32, text: &mut String) -> Made {
    for area in address_space::areas(true) {
        put_area(&area, text)?;
        let size = (area.end - area.start) / 1024;
        let (owned, borrowed) = (
            area.counts.owned * KIB_PER_PAGE,
            area.counts.borrowed * KIB_PER_PAGE,
        );
        done(writeln!(
            text,
            "Size:           {size:>8} kB\nRss:            {:>8} kB\nPrivate_Dirty:  {owned:>8} kB\n\
             Shared_Clean:   {borrowed:>8} kB\nSwap:                  0 kB",
            owned + borrowed,
        ))?;
    }
    Ok(())
}
