//! How large a file may become: what `off_t` holds, and the process's RLIMIT_FSIZE.

use crate::libc::errno::Errno;
use crate::libc::signal;
use core::sync::atomic::{AtomicU64, Ordering};

/// The largest file: what `off_t` can say.
pub const MAX_FILE_SIZE: u64 = i64::MAX as u64;

/// RLIMIT_FSIZE, soft.
static LIMIT: AtomicU64 = AtomicU64::new(u64::MAX);

/// Sets RLIMIT_FSIZE (setrlimit(2)).
pub fn set_file_size(limit: u64) {
    LIMIT.store(limit, Ordering::Relaxed);
}

/// Returns up to where a write at `offset` may go; at or past the process's limit it is
/// EFBIG and the signal SIGXFSZ (write(2)).
pub fn max_write_end(offset: u64) -> Result<u64, Errno> {
    let limit = LIMIT.load(Ordering::Relaxed);
    if offset >= limit {
        signal::raise_in_current(linux_raw_sys::general::SIGXFSZ);
        return Err(Errno::EFBIG);
    }
    if offset >= MAX_FILE_SIZE {
        return Err(Errno::EFBIG);
    }
    Ok(limit.min(MAX_FILE_SIZE))
}

/// Checks a change of size from `old` to `size` (truncate(2)).
pub fn check_file_size(size: u64, old: u64) -> Result<(), Errno> {
    if size > MAX_FILE_SIZE {
        return Err(Errno::EFBIG);
    }
    if size > old && size > LIMIT.load(Ordering::Relaxed) {
        signal::raise_in_current(linux_raw_sys::general::SIGXFSZ);
        return Err(Errno::EFBIG);
    }
    Ok(())
}
