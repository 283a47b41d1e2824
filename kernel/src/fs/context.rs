//! What a thread keeps about files besides descriptors: where it is, and its mask.
//!
//! A thread shares both with the thread that started it, until unshare(2) with `CLONE_FS` gives it
//! its own: so each session has a current directory, and a session's threads follow it.

use super::inode::Inode;
use super::mount;
use crate::process::ThreadData;
use alloc::sync::Arc;
use core::sync::atomic::{AtomicU32, Ordering};
use smp::SpinLock;
use spin::Once;

/// Linux's `struct fs_struct`; threads share it.
pub struct FsContext {
    /// `None` until the first chdir(2): the root.
    directory: SpinLock<Option<Arc<dyn Inode>>>,
    mask: AtomicU32,
}

impl FsContext {
    fn new() -> Self {
        Self {
            directory: SpinLock::new(None),
            mask: AtomicU32::new(0o022),
        }
    }

    fn copy(&self) -> Self {
        Self {
            directory: SpinLock::new(self.directory.lock().clone()),
            mask: AtomicU32::new(self.mask.load(Ordering::Relaxed)),
        }
    }
}

/// That of the first thread, and of kernel threads.
static INITIAL: Once<Arc<FsContext>> = Once::new();

/// Returns what the first thread starts with.
pub fn initial() -> Arc<FsContext> {
    INITIAL.call_once(|| Arc::new(FsContext::new())).clone()
}

/// Returns the context of the current thread, which a thread that it starts shares.
pub fn current() -> Arc<FsContext> {
    match ThreadData::of(&smp::current()) {
        Some(data) => data.fs_context.lock().clone(),
        None => initial(),
    }
}

/// Gives the current thread a context of its own, which begins as a copy. Nothing happens in a
/// kernel thread.
pub fn unshare() {
    if let Some(data) = ThreadData::of(&smp::current()) {
        let copy = Arc::new(current().copy());
        let old = core::mem::replace(&mut *data.fs_context.lock(), copy);
        drop(old);
    }
}

/// Returns the current directory.
pub fn current_directory() -> Arc<dyn Inode> {
    let directory = current().directory.lock().clone();
    directory.unwrap_or_else(|| mount::root().clone())
}

/// Makes `directory` the current one.
pub fn set_current_directory(directory: Arc<dyn Inode>) {
    let old = current().directory.lock().replace(directory);
    drop(old);
}

/// Returns the permission bits that new files do not get (umask(2)).
pub fn mask() -> u32 {
    current().mask.load(Ordering::Relaxed)
}

/// Sets the mask; returns the old one.
pub fn set_mask(mask: u32) -> u32 {
    current().mask.swap(mask & 0o777, Ordering::Relaxed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::libc::signal::SignalSet;
    use alloc::boxed::Box;

    fn in_a_thread(test: fn()) {
        smp::fake::set_extension_maker(|| Box::new(ThreadData::new(SignalSet::EMPTY, initial())));
        std::thread::spawn(test).join().unwrap();
    }

    #[test]
    fn a_thread_that_unshares_keeps_its_mask_to_itself() {
        in_a_thread(|| {
            let before = initial().mask.load(Ordering::Relaxed);
            unshare();
            assert_eq!(set_mask(0o077), before);
            assert_eq!(mask(), 0o077);
            assert_eq!(initial().mask.load(Ordering::Relaxed), before);
            let shared = current();
            unshare();
            assert_eq!(mask(), 0o077);
            set_mask(0o007);
            assert_eq!(shared.mask.load(Ordering::Relaxed), 0o077);
        });
    }
}
