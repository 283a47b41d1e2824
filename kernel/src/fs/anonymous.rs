//! Inode numbers for files that have no name: pipes, sockets, eventfds and the like.

use super::clock;
use super::file::Metadata;
use super::mount;
use super::page::PAGE_SIZE;
use core::sync::atomic::{AtomicU64, Ordering};
use spin::Once;

static DEVICE: Once<u64> = Once::new();
static NEXT: AtomicU64 = AtomicU64::new(1);

/// Makes up what fstat(2) tells of a new nameless file of this mode.
pub fn metadata(mode: u32) -> Metadata {
    let now = clock::now();
    Metadata {
        device: *DEVICE.call_once(mount::next_device),
        inode: NEXT.fetch_add(1, Ordering::Relaxed),
        mode,
        links: 1,
        block_size: PAGE_SIZE as u32,
        accessed: now,
        modified: now,
        changed: now,
        ..Metadata::default()
    }
}
