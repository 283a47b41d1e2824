//! Files, directories and names.

use super::{CLOSED, Side, bits, call, difference, run_cases};
use crate::fs::test_root;
use linux_raw_sys::general as raw;
use proptest::prelude::*;
use std::ffi::CString;

const PATHS: [&str; 26] = [
    "a",
    "b",
    "c",
    "a/a",
    "a/b",
    "a/c",
    "b/a",
    "b/a/c",
    "a/",
    "b/",
    "a/.",
    "a/..",
    "./b",
    "a/../b",
    "l",
    "l/",
    "l/a",
    "l/..",
    "k",
    "k/",
    "a/l",
    "",
    "missing/x",
    "c/x",
    "a//b/",
    ".",
];
const TARGETS: [&str; 9] = ["a", "b", "a/", "../b", "l", "k", "missing", ".", "a/b"];

#[derive(Clone, Debug)]
enum Step {
    Open {
        path: usize,
        flags: u32,
        slot: usize,
    },
    Close(usize),
    Mkdir(usize),
    Mknod(usize, u32),
    Symlink(usize, usize),
    Link(usize, usize, u32),
    Unlink(usize, u32),
    Rename(usize, usize, u32),
    Stat(usize, u32),
    Readlink(usize),
    Truncate(usize, i64),
    Access(usize, u32),
    Chmod(usize, u32),
    Read(usize, usize),
    Write(usize, usize, u8),
    Pread(usize, usize, i64),
    Pwrite(usize, usize, i64),
    Seek(usize, i64, u32),
    Fstat(usize),
    List(usize),
    Chdir(usize),
    Dup(usize, usize),
    Fcntl(usize, u32, usize),
    Allocate(usize, u32, i64, i64),
    Sendfile(usize, usize, usize),
    LinkUnnamed(usize, usize),
    Utimens(usize, i64, u32),
    Xattr(usize, usize, u32),
}

const SLOTS: usize = 5;

fn step() -> impl Strategy<Value = Step> {
    let path = 0..PATHS.len();
    let slot = 0..SLOTS;
    let open_flags = bits(&[
        raw::O_WRONLY,
        raw::O_RDWR,
        raw::O_CREAT,
        raw::O_CREAT,
        raw::O_CREAT | raw::O_RDWR,
        raw::O_EXCL,
        raw::O_TRUNC,
        raw::O_APPEND,
        raw::O_DIRECTORY,
        raw::O_NOFOLLOW,
        raw::O_PATH,
        raw::O_TMPFILE,
        raw::O_CLOEXEC,
    ]);
    let at = prop_oneof![-1i64..20_000, Just(i64::MAX), Just(4096)];
    let start = prop_oneof![
        (path.clone(), open_flags, slot.clone()).prop_map(|(path, flags, slot)| Step::Open {
            path,
            flags: flags | raw::O_NONBLOCK,
            slot
        }),
        path.clone().prop_map(Step::Mkdir),
        (
            path.clone(),
            proptest::sample::select(
                &[raw::S_IFREG, raw::S_IFIFO, raw::S_IFSOCK, raw::S_IFDIR, 0][..]
            )
        )
            .prop_map(|(path, kind)| Step::Mknod(path, kind)),
        (0..TARGETS.len(), path.clone()).prop_map(|(target, path)| Step::Symlink(target, path)),
        (path.clone(), path.clone(), bits(&[raw::AT_SYMLINK_FOLLOW]))
            .prop_map(|(a, b, flags)| Step::Link(a, b, flags)),
        (path.clone(), bits(&[raw::AT_REMOVEDIR]))
            .prop_map(|(path, flags)| Step::Unlink(path, flags)),
        (
            path.clone(),
            path.clone(),
            bits(&[raw::RENAME_NOREPLACE, raw::RENAME_EXCHANGE])
        )
            .prop_map(|(a, b, flags)| Step::Rename(a, b, flags)),
    ];
    let names = prop_oneof![
        (path.clone(), bits(&[raw::AT_SYMLINK_NOFOLLOW]))
            .prop_map(|(path, flags)| Step::Stat(path, flags)),
        path.clone().prop_map(Step::Readlink),
        (path.clone(), at.clone()).prop_map(|(path, size)| Step::Truncate(path, size)),
        (path.clone(), 0u32..9).prop_map(|(path, mode)| Step::Access(path, mode)),
        (path.clone(), 0u32..0o10000).prop_map(|(path, mode)| Step::Chmod(path, mode)),
        path.clone().prop_map(Step::Chdir),
        (slot.clone(), path.clone()).prop_map(|(slot, path)| Step::LinkUnnamed(slot, path)),
        (
            path.clone(),
            0i64..1_500_000_000,
            bits(&[raw::AT_SYMLINK_NOFOLLOW])
        )
            .prop_map(|(p, ns, f)| Step::Utimens(p, ns, f)),
        (
            path,
            0usize..4,
            bits(&[raw::XATTR_CREATE, raw::XATTR_REPLACE])
        )
            .prop_map(|(p, n, f)| Step::Xattr(p, n, f)),
    ];
    let files = prop_oneof![
        slot.clone().prop_map(Step::Close),
        (slot.clone(), 0usize..9000).prop_map(|(slot, len)| Step::Read(slot, len)),
        (slot.clone(), 0usize..9000, any::<u8>())
            .prop_map(|(slot, len, byte)| Step::Write(slot, len, byte)),
        (slot.clone(), 0usize..9000, at.clone())
            .prop_map(|(slot, len, at)| Step::Pread(slot, len, at)),
        (slot.clone(), 0usize..9000, -1i64..20_000)
            .prop_map(|(slot, len, at)| Step::Pwrite(slot, len, at)),
        (slot.clone(), -10_000i64..20_000, 0u32..6)
            .prop_map(|(slot, by, whence)| Step::Seek(slot, by, whence)),
        slot.clone().prop_map(Step::Fstat),
        slot.clone().prop_map(Step::List),
        (slot.clone(), slot.clone()).prop_map(|(a, b)| Step::Dup(a, b)),
        (
            slot.clone(),
            proptest::sample::select(
                &[
                    raw::F_GETFD,
                    raw::F_SETFD,
                    raw::F_GETFL,
                    raw::F_SETFL,
                    raw::F_GET_SEALS,
                    99
                ][..]
            ),
            proptest::sample::select(&[0, 1, raw::O_APPEND as usize, raw::O_NONBLOCK as usize][..]),
        )
            .prop_map(|(slot, command, argument)| Step::Fcntl(slot, command, argument)),
        (
            slot.clone(),
            bits(&[raw::FALLOC_FL_KEEP_SIZE, raw::FALLOC_FL_PUNCH_HOLE]),
            -1i64..20_000,
            -1i64..20_000
        )
            .prop_map(|(slot, mode, at, len)| Step::Allocate(slot, mode, at, len)),
        (slot.clone(), slot, 0usize..30_000).prop_map(|(a, b, len)| Step::Sendfile(a, b, len)),
    ];
    prop_oneof![3 => start, 2 => names, 4 => files]
}

/// One world: a directory, and descriptors in slots.
struct World {
    side: Side,
    base: usize,
    slots: [usize; SLOTS],
}

impl World {
    fn call(&self, number: u32, a: [usize; 6]) -> Result<usize, i32> {
        call(self.side, number, a)
    }

    /// Makes a call and gives its answer as text, as far as it must be equal on both sides.
    fn run(&mut self, step: &Step) -> String {
        let path = |index: usize| CString::new(PATHS[index]).unwrap();
        let p = |path: &CString| path.as_ptr().expose_provenance();
        let base = self.base;
        let mut buffer = vec![0xaau8; 32_768];
        let room = buffer.as_mut_ptr().expose_provenance();
        match *step {
            Step::Open {
                path: index,
                flags,
                slot,
            } => {
                let path = path(index);
                let opened = self.call(
                    raw::__NR_openat,
                    [base, p(&path), flags as usize, 0o666, 0, 0],
                );
                if let Ok(fd) = opened {
                    let _ = self.call(raw::__NR_close, [self.slots[slot], 0, 0, 0, 0, 0]);
                    self.slots[slot] = fd;
                }
                format!("{:?}", opened.map(|_| ()))
            }
            Step::Close(slot) => {
                let closed = self.call(raw::__NR_close, [self.slots[slot], 0, 0, 0, 0, 0]);
                self.slots[slot] = CLOSED;
                format!("{closed:?}")
            }
            Step::Mkdir(index) => format!(
                "{:?}",
                self.call(raw::__NR_mkdirat, [base, p(&path(index)), 0o777, 0, 0, 0])
            ),
            Step::Mknod(index, kind) => {
                format!(
                    "{:?}",
                    self.call(
                        raw::__NR_mknodat,
                        [base, p(&path(index)), kind as usize | 0o600, 0, 0, 0]
                    )
                )
            }
            Step::Symlink(target, index) => {
                let target = CString::new(TARGETS[target]).unwrap();
                format!(
                    "{:?}",
                    self.call(
                        raw::__NR_symlinkat,
                        [p(&target), base, p(&path(index)), 0, 0, 0]
                    )
                )
            }
            Step::Link(a, b, flags) => {
                format!(
                    "{:?}",
                    self.call(
                        raw::__NR_linkat,
                        [base, p(&path(a)), base, p(&path(b)), flags as usize, 0]
                    )
                )
            }
            Step::Unlink(index, flags) => {
                format!(
                    "{:?}",
                    self.call(
                        raw::__NR_unlinkat,
                        [base, p(&path(index)), flags as usize, 0, 0, 0]
                    )
                )
            }
            Step::Rename(a, b, flags) => {
                format!(
                    "{:?}",
                    self.call(
                        raw::__NR_renameat2,
                        [base, p(&path(a)), base, p(&path(b)), flags as usize, 0]
                    )
                )
            }
            Step::Stat(index, flags) => {
                let done = self.call(
                    raw::__NR_newfstatat,
                    [base, p(&path(index)), room, flags as usize, 0, 0],
                );
                format!(
                    "{done:?} {}",
                    done.map(|_| stat_text(&buffer)).unwrap_or_default()
                )
            }
            Step::Readlink(index) => {
                let done = self.call(
                    raw::__NR_readlinkat,
                    [base, p(&path(index)), room, 100, 0, 0],
                );
                format!("{done:?} {:?}", &buffer[..done.unwrap_or(0)])
            }
            Step::Truncate(index, size) => {
                // There is no truncateat: open and cut.
                let fd = self.call(
                    raw::__NR_openat,
                    [
                        base,
                        p(&path(index)),
                        (raw::O_WRONLY | raw::O_NONBLOCK) as usize,
                        0,
                        0,
                        0,
                    ],
                );
                let done = fd.and_then(|fd| {
                    let done = self.call(raw::__NR_ftruncate, [fd, size as usize, 0, 0, 0, 0]);
                    let _ = self.call(raw::__NR_close, [fd, 0, 0, 0, 0, 0]);
                    done
                });
                format!("{done:?}")
            }
            Step::Access(index, mode) => {
                format!(
                    "{:?}",
                    self.call(
                        raw::__NR_faccessat2,
                        [base, p(&path(index)), mode as usize, 0, 0, 0]
                    )
                )
            }
            Step::Chmod(index, mode) => {
                format!(
                    "{:?}",
                    self.call(
                        raw::__NR_fchmodat,
                        [base, p(&path(index)), mode as usize, 0, 0, 0]
                    )
                )
            }
            Step::Read(slot, len) => {
                let done = self.call(raw::__NR_read, [self.slots[slot], room, len, 0, 0, 0]);
                format!("{done:?} {:?}", &buffer[..done.unwrap_or(0)])
            }
            Step::Write(slot, len, byte) => {
                buffer.fill(byte);
                format!(
                    "{:?}",
                    self.call(raw::__NR_write, [self.slots[slot], room, len, 0, 0, 0])
                )
            }
            Step::Pread(slot, len, at) => {
                let done = self.call(
                    raw::__NR_pread64,
                    [self.slots[slot], room, len, at as usize, 0, 0],
                );
                format!("{done:?} {:?}", &buffer[..done.unwrap_or(0)])
            }
            Step::Pwrite(slot, len, at) => {
                format!(
                    "{:?}",
                    self.call(
                        raw::__NR_pwrite64,
                        [self.slots[slot], room, len, at as usize, 0, 0]
                    )
                )
            }
            Step::Seek(slot, by, whence) => {
                if self.is_directory(slot) {
                    // Where a directory's end is, is everybody's own affair.
                    return String::new();
                }
                format!(
                    "{:?}",
                    self.call(
                        raw::__NR_lseek,
                        [self.slots[slot], by as usize, whence as usize, 0, 0, 0]
                    )
                )
            }
            Step::Fstat(slot) => {
                let done = self.call(raw::__NR_fstat, [self.slots[slot], room, 0, 0, 0, 0]);
                format!(
                    "{done:?} {}",
                    done.map(|_| stat_text(&buffer)).unwrap_or_default()
                )
            }
            Step::List(slot) => {
                let _ = self.call(raw::__NR_lseek, [self.slots[slot], 0, 0, 0, 0, 0]);
                let done = self.call(
                    raw::__NR_getdents64,
                    [self.slots[slot], room, buffer.len(), 0, 0, 0],
                );
                format!(
                    "{:?} {:?}",
                    done.map(|_| ()),
                    names(&buffer[..done.unwrap_or(0)])
                )
            }
            Step::Chdir(index) => {
                // Not the test process's own directory: what counts is whether it could be entered.
                let flags = raw::O_DIRECTORY | raw::O_PATH;
                let fd = self.call(
                    raw::__NR_openat,
                    [base, p(&path(index)), flags as usize, 0, 0, 0],
                );
                let _ = self.call(raw::__NR_close, [fd.unwrap_or(CLOSED), 0, 0, 0, 0, 0]);
                format!("{:?}", fd.map(|_| ()))
            }
            Step::Dup(from, to) => {
                let fd = self.call(raw::__NR_dup, [self.slots[from], 0, 0, 0, 0, 0]);
                if let Ok(fd) = fd {
                    let _ = self.call(raw::__NR_close, [self.slots[to], 0, 0, 0, 0, 0]);
                    self.slots[to] = fd;
                }
                format!("{:?}", fd.map(|_| ()))
            }
            Step::Fcntl(slot, command, argument) => {
                format!(
                    "{:?}",
                    self.call(
                        raw::__NR_fcntl,
                        [self.slots[slot], command as usize, argument, 0, 0, 0]
                    )
                )
            }
            Step::Allocate(slot, mode, at, len) => {
                format!(
                    "{:?}",
                    self.call(
                        raw::__NR_fallocate,
                        [
                            self.slots[slot],
                            mode as usize,
                            at as usize,
                            len as usize,
                            0,
                            0
                        ]
                    )
                )
            }
            Step::Sendfile(from, to, len) => {
                format!(
                    "{:?}",
                    self.call(
                        raw::__NR_sendfile,
                        [self.slots[to], self.slots[from], 0, len, 0, 0]
                    )
                )
            }
            Step::LinkUnnamed(slot, index) => {
                let empty = c"".as_ptr().expose_provenance();
                let flags = raw::AT_EMPTY_PATH as usize;
                format!(
                    "{:?}",
                    self.call(
                        raw::__NR_linkat,
                        [self.slots[slot], empty, base, p(&path(index)), flags, 0]
                    )
                )
            }
            Step::Utimens(index, ns, flags) => {
                let times = [
                    7i64,
                    ns.min(999_999_999 + i64::from(ns > 1_200_000_000)),
                    -3,
                    5,
                ];
                let at = times.as_ptr().expose_provenance();
                let done = self.call(
                    raw::__NR_utimensat,
                    [base, p(&path(index)), at, flags as usize, 0, 0],
                );
                let mut text = format!("{done:?}");
                if done.is_ok() {
                    let _ = self.call(
                        raw::__NR_newfstatat,
                        [base, p(&path(index)), room, flags as usize, 0, 0],
                    );
                    // Not the access time: looking up the path may have gone through this very link.
                    text += &format!("{:?}", &buffer[88..104]);
                }
                text
            }
            Step::Xattr(index, name, flags) => {
                let Ok(fd) = self.call(
                    raw::__NR_openat,
                    [base, p(&path(index)), raw::O_NONBLOCK as usize, 0, 0, 0],
                ) else {
                    return String::new();
                };
                let name = [c"trusted.a", c"trusted.b", c"nonsense", c"trusted."][name]
                    .as_ptr()
                    .expose_provenance();
                let set = self.call(raw::__NR_fsetxattr, [fd, name, room, 3, flags as usize, 0]);
                let got = self.call(raw::__NR_fgetxattr, [fd, name, room, 2, 0, 0]);
                let len = self.call(raw::__NR_fgetxattr, [fd, name, 0, 0, 0, 0]);
                let removed = self.call(raw::__NR_fremovexattr, [fd, name, 0, 0, 0, 0]);
                let _ = self.call(raw::__NR_close, [fd, 0, 0, 0, 0, 0]);
                format!("{set:?} {got:?} {len:?} {removed:?}")
            }
        }
    }

    fn is_directory(&self, slot: usize) -> bool {
        let mut buffer = [0u8; 144];
        let _ = self.call(
            raw::__NR_fstat,
            [
                self.slots[slot],
                buffer.as_mut_ptr().expose_provenance(),
                0,
                0,
                0,
                0,
            ],
        );
        // SAFETY: any bytes are a valid stat.
        let stat: raw::stat = unsafe { buffer.as_ptr().cast::<raw::stat>().read_unaligned() };
        stat.st_mode & raw::S_IFMT == raw::S_IFDIR
    }

    fn close_all(&mut self) {
        for slot in &mut self.slots {
            let _ = call(self.side, raw::__NR_close, [*slot, 0, 0, 0, 0, 0]);
            *slot = CLOSED;
        }
    }
}

fn stat_text(buffer: &[u8]) -> String {
    // SAFETY: the buffer is larger than the struct, and any bytes are valid.
    let stat: raw::stat = unsafe { buffer.as_ptr().cast::<raw::stat>().read_unaligned() };
    let is_directory = stat.st_mode & raw::S_IFMT == raw::S_IFDIR;
    let size = if is_directory { 0 } else { stat.st_size };
    format!(
        "mode {:o} links {} size {size} blocks {}",
        stat.st_mode, stat.st_nlink, stat.st_blocks
    )
}

fn names(mut entries: &[u8]) -> Vec<String> {
    let mut names = Vec::new();
    while !entries.is_empty() {
        let len = usize::from(u16::from_ne_bytes([entries[16], entries[17]]));
        let name = &entries[19..len];
        let end = name.iter().position(|&byte| byte == 0).unwrap();
        names.push(format!(
            "{}:{}",
            String::from_utf8_lossy(&name[..end]),
            entries[18]
        ));
        entries = &entries[len..];
    }
    names.sort();
    names
}

fn compare(steps: &[Step], number: u32) -> Result<(), String> {
    test_root::mount();
    let ours_name = CString::new(format!("/compared-{number}")).unwrap();
    let host_name =
        CString::new(format!("/dev/shm/compared-{}-{number}", std::process::id())).unwrap();
    let mut worlds =
        [(Side::Ours, ours_name), (Side::Host, host_name.clone())].map(|(side, name)| {
            // Two deep, so that `..` leads to something equal as well.
            let enter = |dirfd: usize, at: usize| {
                call(side, raw::__NR_mkdirat, [dirfd, at, 0o755, 0, 0, 0])
                    .expect("a fresh directory");
                call(
                    side,
                    raw::__NR_openat,
                    [dirfd, at, raw::O_DIRECTORY as usize, 0, 0, 0],
                )
                .expect("it opens")
            };
            let above = enter(raw::AT_FDCWD as usize, name.as_ptr().expose_provenance());
            let base = enter(above, c"base".as_ptr().expose_provenance());
            call(side, raw::__NR_close, [above, 0, 0, 0, 0, 0]).expect("it is open");
            World {
                side,
                base,
                slots: [CLOSED; SLOTS],
            }
        });
    let mut result = Ok(());
    for (index, step) in steps.iter().enumerate() {
        let [ours, host] = &mut worlds;
        result = difference(&ours.run(step), &host.run(step), &steps[..=index]);
        if result.is_err() {
            break;
        }
    }
    for world in &mut worlds {
        world.close_all();
        let _ = call(world.side, raw::__NR_close, [world.base, 0, 0, 0, 0, 0]);
    }
    let _ = std::fs::remove_dir_all(host_name.to_str().unwrap());
    result
}

#[test]
#[ignore = "compares with the host's kernel"]
fn random_calls_on_files() {
    run_cases(step(), compare);
}
