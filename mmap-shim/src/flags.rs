//! The flag words of the calls, with the values that C passes.

use bitflags::bitflags;
use linux_raw_sys::general as raw;

bitflags! {
    /// What may be done with a page (mmap(2), mprotect(2)).
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
    pub struct Protection: u32 {
        /// It may be read.
        const READ = raw::PROT_READ;
        /// It may be written (which lets it be read as well).
        const WRITE = raw::PROT_WRITE;
        /// It may be executed (which lets it be read as well).
        const EXECUTE = raw::PROT_EXEC;
    }
}

impl Protection {
    /// Returns what is left when writes must fault: what could be written could be read.
    pub fn without_writing(self) -> Protection {
        if self.contains(Protection::WRITE) {
            self.difference(Protection::WRITE).union(Protection::READ)
        } else {
            self
        }
    }
}

bitflags! {
    /// The flags of mmap(2).
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct MapFlags: u32 {
        /// Changes are seen by all who map the object.
        const SHARED = raw::MAP_SHARED;
        /// Changes are seen here only.
        const PRIVATE = raw::MAP_PRIVATE;
        /// The address is an order; what is there is replaced.
        const FIXED = raw::MAP_FIXED;
        /// No file: zeros.
        const ANONYMOUS = raw::MAP_ANONYMOUS;
        /// The address is an order; the call fails if something is there.
        const FIXED_NOREPLACE = raw::MAP_FIXED_NOREPLACE;
        /// The area grows towards lower addresses when touched just below.
        const GROWSDOWN = raw::MAP_GROWSDOWN;
        /// All pages stay in memory.
        const LOCKED = raw::MAP_LOCKED;
        /// Memory need not be there until it is touched.
        const NORESERVE = raw::MAP_NORESERVE;
        /// Map all pages at once.
        const POPULATE = raw::MAP_POPULATE;
        /// With `POPULATE`: do not wait for input, which means not to populate.
        const NONBLOCK = raw::MAP_NONBLOCK;
        /// It becomes a thread's stack.
        const STACK = raw::MAP_STACK;
        /// Large pages from the pool that the administrator set aside; here it is empty.
        const HUGETLB = raw::MAP_HUGETLB;
        /// Persistent memory.
        const SYNC = raw::MAP_SYNC;
        /// Ignored, as Linux does (`MAP_DENYWRITE`).
        const DENYWRITE = raw::MAP_DENYWRITE;
        /// Ignored, as Linux does (`MAP_EXECUTABLE`).
        const EXECUTABLE = raw::MAP_EXECUTABLE;
    }
}

impl MapFlags {
    /// The bits that hold the kind: `MAP_SHARED`, `MAP_PRIVATE` or both (`MAP_SHARED_VALIDATE`).
    pub const TYPE: u32 = raw::MAP_TYPE;
    /// Kind: shared, and flags that do not exist are refused.
    pub const SHARED_VALIDATE: u32 = raw::MAP_SHARED_VALIDATE;
}

bitflags! {
    /// The flags of mremap(2).
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct RemapFlags: u32 {
        /// The mapping may get another address.
        const MAYMOVE = raw::MREMAP_MAYMOVE;
        /// It must get the given address.
        const FIXED = raw::MREMAP_FIXED;
        /// The old address range stays, empty.
        const DONTUNMAP = raw::MREMAP_DONTUNMAP;
    }
}

bitflags! {
    /// The flags of msync(2).
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct SyncFlags: u32 {
        /// Start writing back.
        const ASYNC = raw::MS_ASYNC;
        /// Throw other copies away.
        const INVALIDATE = raw::MS_INVALIDATE;
        /// Write back before returning.
        const SYNC = raw::MS_SYNC;
    }
}

bitflags! {
    /// The flags of mlockall(2).
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct LockFlags: u32 {
        /// Everything that is mapped now.
        const CURRENT = raw::MCL_CURRENT;
        /// Everything that will be mapped.
        const FUTURE = raw::MCL_FUTURE;
        /// Pages are locked when they are first touched.
        const ONFAULT = raw::MCL_ONFAULT;
    }
}

/// What madvise(2) is told, by what it makes us do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Advice {
    /// About the future use, forking or dumping: nothing to do here.
    Hint,
    /// Map what a read would map (`MADV_WILLNEED` of a file, `MADV_POPULATE_READ`).
    PopulateRead,
    /// Map what a write would map.
    PopulateWrite,
    /// Drop the pages; the next touch gives zeros or the file's content.
    DontNeed,
    /// The same, even if locked (`MADV_DONTNEED_LOCKED`).
    DontNeedLocked,
    /// The content may be dropped at any time: we do it at once.
    Free,
    /// Drop the pages of the object itself.
    Remove,
    /// Give zeros to the child of a fork: private anonymous areas only.
    WipeOnFork,
}

impl Advice {
    /// Understands the number that C passes; `None` for those that do not exist, and for those that
    /// a Linux without the feature refuses the same way (same-page merging, large pages, poisoning).
    pub fn from_raw(advice: u32) -> Option<Advice> {
        match advice {
            raw::MADV_NORMAL
            | raw::MADV_RANDOM
            | raw::MADV_SEQUENTIAL
            | raw::MADV_WILLNEED
            | raw::MADV_DONTFORK
            | raw::MADV_DOFORK
            | raw::MADV_DONTDUMP
            | raw::MADV_DODUMP
            | raw::MADV_KEEPONFORK
            | raw::MADV_COLD
            | raw::MADV_PAGEOUT => Some(Advice::Hint),
            raw::MADV_POPULATE_READ => Some(Advice::PopulateRead),
            raw::MADV_POPULATE_WRITE => Some(Advice::PopulateWrite),
            raw::MADV_DONTNEED => Some(Advice::DontNeed),
            raw::MADV_DONTNEED_LOCKED => Some(Advice::DontNeedLocked),
            raw::MADV_FREE => Some(Advice::Free),
            raw::MADV_REMOVE => Some(Advice::Remove),
            raw::MADV_WIPEONFORK => Some(Advice::WipeOnFork),
            _ => None,
        }
    }
}
