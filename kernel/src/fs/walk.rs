//! Finding the inode of a path (path_resolution(7)).

use super::file::OpenFlags;
use super::inode::{FileType, Inode, Link};
use super::mount;
use super::name::NAME_MAX;
use crate::libc::errno::Errno;
use alloc::sync::Arc;
use alloc::vec::Vec;

/// The longest path, its NUL included.
pub const PATH_MAX: usize = 4096;

/// How many symbolic links a path may lead through.
const LINKS_MAX: u32 = 40;

/// Where a path leads: the directory of its last component, that component, and what is there.
pub struct Found {
    /// The directory; for a path that ends in `.`, `..` or `/`, or in a link straight to an
    /// inode, the inode itself or what is above it.
    pub directory: Arc<dyn Inode>,
    /// The last component.
    pub last: Last,
    /// What it names, if it exists.
    pub inode: Option<Arc<dyn Inode>>,
    /// The path ended in a slash, so it must be a directory.
    pub wants_directory: bool,
}

/// The last component of a path.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Last {
    /// A name.
    Name(Vec<u8>),
    /// `.`
    Dot,
    /// `..`
    DotDot,
    /// Nothing: the path is `/`, or led through a link straight to an inode.
    None,
}

impl Found {
    /// Returns what is there, or ENOENT; ENOTDIR if the path demands a directory and it is none.
    pub fn existing(self) -> Result<Arc<dyn Inode>, Errno> {
        let inode = self.inode.ok_or(Errno::ENOENT)?;
        if self.wants_directory && inode.file_type() != FileType::Directory {
            return Err(Errno::ENOTDIR);
        }
        Ok(inode)
    }
}

/// What to do about a symbolic link at the end of a path.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Follow {
    /// Go where it leads.
    Yes,
    /// It is what is meant; but a slash after it means where it leads.
    No,
    /// It is what is meant, slash or not: for calls that make, move or remove the name itself.
    Never,
}

impl Follow {
    /// Reads O_NOFOLLOW.
    pub fn from_open(flags: OpenFlags) -> Follow {
        let creates_new = flags.contains(OpenFlags::CREAT | OpenFlags::EXCL);
        if flags.contains(OpenFlags::NOFOLLOW) || creates_new {
            Follow::No
        } else {
            Follow::Yes
        }
    }
}

/// Finds the inode at a path that must exist.
pub fn resolve(
    base: &Arc<dyn Inode>,
    path: &[u8],
    follow: Follow,
) -> Result<Arc<dyn Inode>, Errno> {
    walk_with(
        base,
        path,
        Wish {
            follow,
            wants_name: false,
            is_open_create: false,
        },
    )?
    .existing()
}

/// Walks a path from `base`, or from the root if it begins with a slash. All but the last component must exist.
pub fn walk(base: &Arc<dyn Inode>, path: &[u8], follow: Follow) -> Result<Found, Errno> {
    walk_with(
        base,
        path,
        Wish {
            follow,
            wants_name: true,
            is_open_create: false,
        },
    )
}

/// Walks for open(2) with O_CREAT: a slash at the end is EISDIR, even before a link there is followed.
pub fn walk_to_create(base: &Arc<dyn Inode>, path: &[u8], follow: Follow) -> Result<Found, Errno> {
    walk_with(
        base,
        path,
        Wish {
            follow,
            wants_name: true,
            is_open_create: true,
        },
    )
}

/// What the caller of a walk needs.
#[derive(Clone, Copy)]
struct Wish {
    follow: Follow,
    /// The last component is copied out; most callers only want the inode.
    wants_name: bool,
    is_open_create: bool,
}

/// Walks; each symbolic link starts the walk again with its target before what is left, so the
/// kernel stack does not grow.
fn walk_with(base: &Arc<dyn Inode>, path: &[u8], wish: Wish) -> Result<Found, Errno> {
    if path.is_empty() {
        return Err(Errno::ENOENT);
    }
    if path.len() >= PATH_MAX {
        return Err(Errno::ENAMETOOLONG);
    }
    let mut links = 0;
    let mut spliced: Vec<u8>;
    let mut rest = path;
    let mut at = base.clone();
    loop {
        match step_through(at, rest, wish)? {
            Step::Found(found) => return Ok(found),
            Step::Link {
                directory,
                link,
                rest: after,
                is_last,
            } => {
                links += 1;
                if links > LINKS_MAX {
                    return Err(Errno::ELOOP);
                }
                match link.follow()? {
                    Link::Path(target) => {
                        if target.is_empty() {
                            return Err(Errno::ENOENT);
                        }
                        let mut path = target;
                        path.extend_from_slice(after);
                        if path.len() >= PATH_MAX {
                            return Err(Errno::ENAMETOOLONG);
                        }
                        spliced = path;
                        rest = &spliced;
                        at = directory;
                    }
                    Link::Inode(inode) if is_last => {
                        let wants_directory = !after.is_empty();
                        return Ok(Found {
                            directory,
                            last: Last::None,
                            inode: Some(inode),
                            wants_directory,
                        });
                    }
                    Link::Inode(inode) => {
                        spliced = after.to_vec();
                        let skip = spliced.iter().take_while(|&&byte| byte == b'/').count();
                        rest = &spliced[skip..];
                        at = inode;
                    }
                }
            }
        }
    }
}

enum Step<'a> {
    Found(Found),
    /// A symbolic link is in the way; `rest` is what follows its name, with the slash.
    Link {
        directory: Arc<dyn Inode>,
        link: Arc<dyn Inode>,
        rest: &'a [u8],
        is_last: bool,
    },
}

/// Walks until the end or the next symbolic link.
fn step_through(base: Arc<dyn Inode>, path: &[u8], wish: Wish) -> Result<Step<'_>, Errno> {
    let mut at = base;
    let mut rest = path;
    if rest.first() == Some(&b'/') {
        at = mount::root().clone();
        rest = skip_slashes(rest);
        if rest.is_empty() {
            return Ok(Step::Found(Found {
                directory: at.clone(),
                last: Last::None,
                inode: Some(at),
                wants_directory: true,
            }));
        }
    }
    loop {
        if at.file_type() != FileType::Directory {
            return Err(Errno::ENOTDIR);
        }
        let end = rest
            .iter()
            .position(|&byte| byte == b'/')
            .unwrap_or(rest.len());
        let (name, after) = rest.split_at(end);
        let next = skip_slashes(after);
        let is_last = next.is_empty();
        let wants_directory = !after.is_empty();
        if name.len() > NAME_MAX {
            return Err(Errno::ENAMETOOLONG);
        }
        if is_last && wants_directory && wish.is_open_create {
            return Err(Errno::EISDIR);
        }
        let (inode, last) = match name {
            b"." => (Some(at.clone()), Last::Dot),
            b".." => (
                Some(at.parent().unwrap_or_else(|| at.clone())),
                Last::DotDot,
            ),
            _ => (look_up(&at, name)?, Last::None),
        };
        if let Some(link) = &inode
            && link.file_type() == FileType::Symlink
            && (!is_last
                || wish.follow == Follow::Yes
                || (wants_directory && wish.follow == Follow::No))
        {
            return Ok(Step::Link {
                directory: at,
                link: link.clone(),
                rest: after,
                is_last,
            });
        }
        if is_last {
            let last = match last {
                Last::None if wish.wants_name => Last::Name(name.to_vec()),
                last => last,
            };
            return Ok(Step::Found(Found {
                directory: at,
                last,
                inode,
                wants_directory,
            }));
        }
        at = inode.ok_or(Errno::ENOENT)?;
        rest = next;
    }
}

/// Finds a name, and what is mounted there.
fn look_up(directory: &Arc<dyn Inode>, name: &[u8]) -> Result<Option<Arc<dyn Inode>>, Errno> {
    match directory.lookup(name) {
        Ok(inode) => Ok(Some(inode.mounted().unwrap_or(inode))),
        Err(Errno::ENOENT) => Ok(None),
        Err(errno) => Err(errno),
    }
}

fn skip_slashes(path: &[u8]) -> &[u8] {
    let count = path.iter().take_while(|&&byte| byte == b'/').count();
    &path[count..]
}

/// Returns the path of a directory from the root, ENOENT if it was removed (getcwd(3)).
pub fn path_of(directory: &Arc<dyn Inode>) -> Result<Vec<u8>, Errno> {
    let mut parts: Vec<Vec<u8>> = Vec::new();
    let mut at = directory.clone();
    while !Arc::ptr_eq(&at, mount::root()) {
        parts.push(at.name());
        at = at.parent().ok_or(Errno::ENOENT)?;
    }
    if parts.is_empty() {
        return Ok(b"/".to_vec());
    }
    let mut path = Vec::new();
    for part in parts.iter().rev() {
        path.push(b'/');
        path.extend_from_slice(part);
    }
    Ok(path)
}
