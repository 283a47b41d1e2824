//! Who the process is: users, groups, sessions; see credentials(7).
//!
//! The kernel itself asks nobody for permission, so ids are only kept, and changed by the rules
//! of setresuid(2): a process that gave up user 0 does not get it back.

use alloc::vec::Vec;

use linux_raw_sys::general::*;
use smp::SpinLock;

use super::dispatch::Calls;
use super::errno::{Errno, SysResult};
use crate::memory::user::{read_user, write_user};
use crate::process;

/// The calls of this file.
pub const CALLS: Calls = &[
    (__NR_getpid, |_| Ok(process::PID as usize)),
    (__NR_getppid, |_| Ok(0)),
    (__NR_getuid, |_| Ok(CREDENTIALS.lock().user.real as usize)),
    (__NR_geteuid, |_| {
        Ok(CREDENTIALS.lock().user.effective as usize)
    }),
    (__NR_getgid, |_| Ok(CREDENTIALS.lock().group.real as usize)),
    (__NR_getegid, |_| {
        Ok(CREDENTIALS.lock().group.effective as usize)
    }),
    (__NR_getresuid, |a| get_all(CREDENTIALS.lock().user, a)),
    (__NR_getresgid, |a| get_all(CREDENTIALS.lock().group, a)),
    (__NR_setuid, |a| {
        change(Kind::User, |ids, may| ids.set(a[0] as u32, may))
    }),
    (__NR_setgid, |a| {
        change(Kind::Group, |ids, may| ids.set(a[0] as u32, may))
    }),
    (__NR_setreuid, |a| {
        change(Kind::User, |ids, may| {
            ids.set_two(a[0] as u32, a[1] as u32, may)
        })
    }),
    (__NR_setregid, |a| {
        change(Kind::Group, |ids, may| {
            ids.set_two(a[0] as u32, a[1] as u32, may)
        })
    }),
    (__NR_setresuid, |a| {
        change(Kind::User, |ids, may| ids.set_three(words(a), may))
    }),
    (__NR_setresgid, |a| {
        change(Kind::Group, |ids, may| ids.set_three(words(a), may))
    }),
    (__NR_setfsuid, |_| {
        Ok(CREDENTIALS.lock().user.effective as usize)
    }),
    (__NR_setfsgid, |_| {
        Ok(CREDENTIALS.lock().group.effective as usize)
    }),
    (__NR_getgroups, getgroups),
    (__NR_setgroups, setgroups),
    (__NR_getpgid, |a| own_id(a[0])),
    (__NR_getsid, |a| own_id(a[0])),
    (__NR_setpgid, setpgid),
    // The process leads its session since it began.
    (__NR_setsid, |_| Err(Errno::EPERM)),
];

/// The most supplementary groups (`NGROUPS_MAX`).
const GROUPS_MAX: usize = 65536;

/// "Leave as it is".
const KEEP: u32 = u32::MAX;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Ids {
    real: u32,
    effective: u32,
    saved: u32,
}

struct Credentials {
    user: Ids,
    group: Ids,
    groups: Vec<u32>,
}

static CREDENTIALS: SpinLock<Credentials> = SpinLock::new(Credentials {
    user: Ids::ROOT,
    group: Ids::ROOT,
    groups: Vec::new(),
});

/// The real user id.
pub fn real_user() -> u32 {
    CREDENTIALS.lock().user.real
}

#[derive(Clone, Copy)]
enum Kind {
    User,
    Group,
}

impl Ids {
    const ROOT: Self = Self {
        real: 0,
        effective: 0,
        saved: 0,
    };

    fn has(&self, id: u32) -> bool {
        id == KEEP || [self.real, self.effective, self.saved].contains(&id)
    }

    fn check(&self, ids: &[u32], may_all: bool) -> Result<(), Errno> {
        if may_all || ids.iter().all(|&id| self.has(id)) {
            Ok(())
        } else {
            Err(Errno::EPERM)
        }
    }

    /// setuid(2): all three for user 0, else the effective one.
    fn set(self, id: u32, may_all: bool) -> Result<Self, Errno> {
        if id == KEEP {
            return Err(Errno::EINVAL);
        }
        if may_all {
            return Ok(Self {
                real: id,
                effective: id,
                saved: id,
            });
        }
        if id != self.real && id != self.saved {
            return Err(Errno::EPERM);
        }
        Ok(Self {
            effective: id,
            ..self
        })
    }

    /// setreuid(2): the saved one follows the effective one when the real one is set, or the
    /// effective one becomes another than the real one was.
    fn set_two(self, real: u32, effective: u32, may_all: bool) -> Result<Self, Errno> {
        if !may_all {
            let real_is_ours = real == KEEP || real == self.real || real == self.effective;
            if !real_is_ours || !self.has(effective) {
                return Err(Errno::EPERM);
            }
        }
        let mut new = self;
        replace(&mut new.real, real);
        replace(&mut new.effective, effective);
        if real != KEEP || effective != KEEP && effective != self.real {
            new.saved = new.effective;
        }
        Ok(new)
    }

    /// setresuid(2).
    fn set_three(self, ids: [u32; 3], may_all: bool) -> Result<Self, Errno> {
        self.check(&ids, may_all)?;
        let mut new = self;
        replace(&mut new.real, ids[0]);
        replace(&mut new.effective, ids[1]);
        replace(&mut new.saved, ids[2]);
        Ok(new)
    }
}

fn replace(id: &mut u32, new: u32) {
    if new != KEEP {
        *id = new;
    }
}

fn words(a: &[usize; 6]) -> [u32; 3] {
    [a[0] as u32, a[1] as u32, a[2] as u32]
}

fn change(kind: Kind, compute: impl FnOnce(Ids, bool) -> Result<Ids, Errno>) -> SysResult {
    let mut credentials = CREDENTIALS.lock();
    let may_all = credentials.user.effective == 0;
    let ids = match kind {
        Kind::User => &mut credentials.user,
        Kind::Group => &mut credentials.group,
    };
    *ids = compute(*ids, may_all)?;
    Ok(0)
}

fn get_all(ids: Ids, a: &[usize; 6]) -> SysResult {
    for (out, id) in a.iter().zip([ids.real, ids.effective, ids.saved]) {
        write_user(*out, &id)?;
    }
    Ok(0)
}

/// getgroups(2).
fn getgroups(a: &[usize; 6]) -> SysResult {
    let &[len, out, ..] = a;
    let len = usize::try_from(len as i32).map_err(|_| Errno::EINVAL)?;
    let groups = CREDENTIALS.lock().groups.clone();
    if len != 0 {
        if len < groups.len() {
            return Err(Errno::EINVAL);
        }
        for (i, group) in groups.iter().enumerate() {
            write_user(out.wrapping_add(i * size_of::<u32>()), group)?;
        }
    }
    Ok(groups.len())
}

/// setgroups(2).
fn setgroups(a: &[usize; 6]) -> SysResult {
    let &[len, list, ..] = a;
    if CREDENTIALS.lock().user.effective != 0 {
        return Err(Errno::EPERM);
    }
    if len > GROUPS_MAX {
        return Err(Errno::EINVAL);
    }
    let mut groups = Vec::with_capacity(len);
    for i in 0..len {
        groups.push(read_user(list.wrapping_add(i * size_of::<u32>()))?);
    }
    let old = core::mem::replace(&mut CREDENTIALS.lock().groups, groups);
    drop(old);
    Ok(0)
}

/// Checks that `pid` is the process, the only one there is; 0 is the caller.
fn check_own(pid: usize) -> Result<(), Errno> {
    if pid as u32 == 0 || pid as u32 == process::PID {
        Ok(())
    } else {
        Err(Errno::ESRCH)
    }
}

/// getpgid(2), getsid(2): the process leads its group and its session.
fn own_id(pid: usize) -> SysResult {
    check_own(pid)?;
    Ok(process::PID as usize)
}

/// getpgrp(2).
pub fn getpgrp(_: &[usize; 6]) -> SysResult {
    Ok(process::PID as usize)
}

/// setpgid(2): a session leader stays in its group.
fn setpgid(a: &[usize; 6]) -> SysResult {
    let &[pid, group, ..] = a;
    if (group as i32) < 0 {
        return Err(Errno::EINVAL);
    }
    check_own(pid)?;
    Err(Errno::EPERM)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_may_give_itself_up_and_not_come_back() {
        let ids = Ids::ROOT.set(1000, true).unwrap();
        assert_eq!(
            ids,
            Ids {
                real: 1000,
                effective: 1000,
                saved: 1000
            }
        );
        assert_eq!(ids.set(0, false), Err(Errno::EPERM));
        assert_eq!(ids.set_three([KEEP, 0, KEEP], false), Err(Errno::EPERM));
        assert_eq!(ids.set(KEEP, false), Err(Errno::EINVAL));
    }

    #[test]
    fn the_saved_id_brings_back_what_was_lent_away() {
        let ids = Ids {
            real: 1000,
            effective: 0,
            saved: 0,
        };
        let lent = ids.set_two(KEEP, 1000, true).unwrap();
        assert_eq!(
            lent,
            Ids {
                real: 1000,
                effective: 1000,
                saved: 0
            }
        );
        assert_eq!(lent.set(0, false).unwrap().effective, 0);
        assert_eq!(
            ids.set_two(5, KEEP, true).unwrap(),
            Ids {
                real: 5,
                effective: 0,
                saved: 0
            }
        );
    }
}
