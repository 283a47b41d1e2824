//! File systems whose files are made up when they are opened: `/proc` and `/sys`.
//!
//! A tree is a constant table of [`Item`]s. A directory whose names are numbers (threads,
//! descriptors) hands its number down to all items below it.

use super::clock;
use super::directory_file::DirectoryFile;
use super::file::{File, Metadata, OpenFlags, Timestamp};
use super::inode::{FileType, FsStat, Inode, Link};
use super::io::{Sink, Source};
use super::mount;
use super::page::PAGE_SIZE;
use crate::libc::errno::{Errno, SysResult};
use alloc::string::{String, ToString};
use alloc::sync::{Arc, Weak};
use alloc::vec;
use alloc::vec::Vec;
use smp::SpinLock;

/// Writes a file's text, for the number of the nearest numbered directory above.
pub type Make = fn(u32, &mut String) -> Result<(), Errno>;

/// Tells where a link leads.
pub type Follow = fn(u32) -> Result<Link, Errno>;

/// Returns a link's text.
pub type LinkText = fn(u32) -> Result<Vec<u8>, Errno>;

/// Takes what was written to a file, for the number of the nearest numbered directory above.
pub type Take = fn(u32, &[u8]) -> Result<(), Errno>;

/// Opens a file as something else.
pub type OpenSpecial = fn(Arc<dyn Inode>, OpenFlags) -> Result<Arc<dyn File>, Errno>;

/// Names and what they stand for.
pub type Table = &'static [(&'static str, Item)];

/// What a name stands for. Functions get the same number as [`Make`].
#[derive(Clone, Copy)]
pub enum Item {
    /// A directory.
    Directory(Table),
    /// A directory with numbers for names, and other names besides.
    Numbered(&'static Numbered),
    /// A file that is read.
    Text(Make),
    /// A file that only root reads.
    Private(Make),
    /// A file that is read and written.
    Setting(Make, Take),
    /// A file that is only written.
    Trigger(Take),
    /// A file that opens as something else.
    Special(OpenSpecial),
    /// A link.
    Link(Follow),
    /// A link whose text is not where it leads (`/proc/self/fd/3`).
    MagicLink(Follow, LinkText),
}

/// A directory of numbers.
pub struct Numbered {
    /// Returns the numbers in order.
    pub collect: fn() -> Vec<u32>,
    /// Tells whether a number exists.
    pub exists: fn(u32) -> bool,
    /// What each stands for.
    pub item: Item,
    /// The other names.
    pub others: Table,
}

struct FileSystem {
    device: u64,
    magic: u64,
    made: Timestamp,
    mount_point: SpinLock<Option<Arc<dyn Inode>>>,
}

/// An inode of such a file system. It is made anew by each lookup.
struct Node {
    me: Weak<Node>,
    fs: Arc<FileSystem>,
    item: Item,
    parameter: u32,
    number: u64,
    parent: Option<Arc<Node>>,
    name: String,
}

/// Makes a file system; `magic` is its type for statfs(2).
pub fn create(item: Item, magic: u64) -> Arc<dyn Inode> {
    let fs = FileSystem {
        device: mount::next_device(),
        magic,
        made: clock::now(),
        mount_point: SpinLock::new(None),
    };
    let fs = Arc::new(fs);
    Arc::new_cyclic(|me| Node {
        me: me.clone(),
        fs,
        item,
        parameter: 0,
        number: 1,
        parent: None,
        name: String::new(),
    })
}

/// Number of the inode with this name in directory `parent` (FNV-1a; equal for each lookup).
fn number_of(parent: u64, name: &[u8]) -> u64 {
    let start = 0xcbf2_9ce4_8422_2325 ^ parent;
    name.iter().fold(start, |hash, &byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3)
    }) | 2
}

/// Reads a name as a number without leading zeros.
fn as_number(name: &[u8]) -> Option<u32> {
    let text = core::str::from_utf8(name).ok()?;
    let number = text.parse().ok()?;
    (number == 0 || !text.starts_with('0'))
        .then_some(number)
        .filter(|_| !text.starts_with('+'))
}

impl Node {
    fn table(&self) -> Result<Table, Errno> {
        match self.item {
            Item::Directory(table) => Ok(table),
            Item::Numbered(numbered) => Ok(numbered.others),
            _ => Err(Errno::ENOTDIR),
        }
    }

    fn find(&self, name: &[u8]) -> Result<(Item, u32), Errno> {
        if let Item::Numbered(numbered) = self.item
            && let Some(number) = as_number(name)
            && (numbered.exists)(number)
        {
            return Ok((numbered.item, number));
        }
        let found = self
            .table()?
            .iter()
            .find(|(each, _)| each.as_bytes() == name);
        found
            .map(|(_, item)| (*item, self.parameter))
            .ok_or(Errno::ENOENT)
    }

    fn permissions(&self) -> u32 {
        match self.item {
            Item::Directory(_) | Item::Numbered(_) => 0o555,
            Item::Text(_) => 0o444,
            Item::Private(_) | Item::Special(_) => 0o400,
            Item::Setting(..) => 0o644,
            Item::Trigger(_) => 0o200,
            Item::Link(_) => 0o777,
            Item::MagicLink(..) => 0o700,
        }
    }
}

impl Item {
    fn file_type(&self) -> FileType {
        match self {
            Item::Directory(_) | Item::Numbered(_) => FileType::Directory,
            Item::Link(_) | Item::MagicLink(..) => FileType::Symlink,
            _ => FileType::Regular,
        }
    }
}

impl Inode for Node {
    fn file_type(&self) -> FileType {
        self.item.file_type()
    }

    fn metadata(&self) -> Metadata {
        Metadata {
            device: self.fs.device,
            inode: self.number,
            mode: self.file_type() as u32 | self.permissions(),
            links: if self.file_type() == FileType::Directory {
                2
            } else {
                1
            },
            block_size: 1024,
            accessed: self.fs.made,
            modified: self.fs.made,
            changed: self.fs.made,
            ..Metadata::default()
        }
    }

    fn open(self: Arc<Self>, flags: OpenFlags) -> Result<Arc<dyn File>, Errno> {
        let is_writable = matches!(self.item, Item::Setting(..) | Item::Trigger(_));
        if flags.is_writable() && !is_writable {
            return Err(Errno::EACCES);
        }
        let make: Option<Make> = match self.item {
            Item::Directory(_) | Item::Numbered(_) => {
                return Ok(Arc::new(DirectoryFile::new(self)));
            }
            Item::Special(open) => return open(self.clone(), flags),
            Item::Link(_) | Item::MagicLink(..) => return Err(Errno::ELOOP),
            Item::Trigger(_) => None,
            Item::Text(make) | Item::Private(make) | Item::Setting(make, _) => Some(make),
        };
        let mut text = String::new();
        if let Some(make) = make
            && flags.is_readable()
        {
            make(self.parameter, &mut text)?;
        }
        Ok(Arc::new(TextFile {
            node: self,
            text: text.into_bytes(),
        }))
    }

    fn fs_stat(&self) -> FsStat {
        FsStat {
            magic: self.fs.magic,
            ..FsStat::default()
        }
    }

    fn lookup(&self, name: &[u8]) -> Result<Arc<dyn Inode>, Errno> {
        let (item, parameter) = self.find(name)?;
        let (fs, parent) = (self.fs.clone(), self.me.upgrade());
        let number = number_of(self.number, name);
        // `find` knows no name that is not text.
        let name = String::from_utf8_lossy(name).into_owned();
        Ok(Arc::new_cyclic(|me| Node {
            me: me.clone(),
            fs,
            item,
            parameter,
            number,
            parent,
            name,
        }))
    }

    fn parent(&self) -> Option<Arc<dyn Inode>> {
        if let Some(parent) = &self.parent {
            return Some(parent.clone());
        }
        let point = self.fs.mount_point.lock().clone();
        point?.parent()
    }

    fn name(&self) -> Vec<u8> {
        if self.parent.is_some() {
            return self.name.clone().into_bytes();
        }
        let point = self.fs.mount_point.lock().clone();
        point.map_or_else(Vec::new, |point| point.name())
    }

    fn list(&self, emit: &mut dyn FnMut(&[u8], u64, FileType)) -> Result<(), Errno> {
        for (name, item) in self.table()? {
            emit(
                name.as_bytes(),
                number_of(self.number, name.as_bytes()),
                item.file_type(),
            );
        }
        if let Item::Numbered(numbered) = self.item {
            for number in (numbered.collect)() {
                let name = number.to_string();
                emit(
                    name.as_bytes(),
                    number_of(self.number, name.as_bytes()),
                    numbered.item.file_type(),
                );
            }
        }
        Ok(())
    }

    fn follow(&self) -> Result<Link, Errno> {
        match self.item {
            Item::Link(follow) | Item::MagicLink(follow, _) => follow(self.parameter),
            _ => Err(Errno::EINVAL),
        }
    }

    fn read_link(&self) -> Result<Vec<u8>, Errno> {
        match self.item {
            Item::MagicLink(_, text) => text(self.parameter),
            Item::Link(follow) => match follow(self.parameter)? {
                Link::Path(path) => Ok(path),
                Link::Inode(_) => Err(Errno::EINVAL),
            },
            _ => Err(Errno::EINVAL),
        }
    }

    fn truncate(&self, _size: u64) -> Result<(), Errno> {
        match self.item {
            // Opening with O_TRUNC is how a shell writes `> setting`.
            Item::Setting(..) | Item::Trigger(_) => Ok(()),
            _ => Err(Errno::EACCES),
        }
    }

    fn set_mount_point(&self, point: &Arc<dyn Inode>) {
        let old = self.fs.mount_point.lock().replace(point.clone());
        drop(old);
    }
}

/// An open file of such a file system: its text as it was when it was opened.
struct TextFile {
    node: Arc<Node>,
    text: Vec<u8>,
}

impl File for TextFile {
    fn metadata(&self) -> Result<Metadata, Errno> {
        Ok(self.node.metadata())
    }

    fn inode(&self) -> Option<Arc<dyn Inode>> {
        Some(self.node.clone())
    }

    fn is_seekable(&self) -> bool {
        true
    }

    fn read_at(&self, offset: u64, to: &mut dyn Sink) -> SysResult {
        let start = usize::try_from(offset)
            .unwrap_or(usize::MAX)
            .min(self.text.len());
        let count = to.remaining().min(self.text.len() - start);
        to.put(&self.text[start..start + count])?;
        Ok(count)
    }

    fn write_at(&self, _offset: u64, from: &mut dyn Source) -> SysResult {
        let set = match self.node.item {
            Item::Setting(_, set) | Item::Trigger(set) => set,
            _ => return Err(Errno::EBADF),
        };
        let mut bytes = vec![0; from.remaining().min(PAGE_SIZE)];
        from.take(&mut bytes)?;
        set(self.node.parameter, &bytes)?;
        Ok(bytes.len())
    }

    fn append(&self, from: &mut dyn Source) -> Result<(usize, u64), Errno> {
        self.write_at(0, from).map(|count| (count, count as u64))
    }

    fn truncate(&self, _size: u64) -> Result<(), Errno> {
        self.node.truncate(0)
    }
}
