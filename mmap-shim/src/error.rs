//! Why a call on the address space fails.

use linux_raw_sys::errno as raw;

/// Why a call on the address space fails; the manual page of the call tells which of its
/// arguments leads to which.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MapError {
    /// An argument is malformed (not page-aligned, length 0, unknown flag).
    InvalidArgument,
    /// No address range is free, memory cannot be promised, or the range has a hole.
    NoMemory,
    /// `MAP_FIXED_NOREPLACE` and the range is in use.
    Exists,
    /// The file is not open for what the protection asks for.
    AccessDenied,
    /// mremap(2): the old range is not one mapping.
    BadRange,
    /// msync(2) with `MS_INVALIDATE`: part of the range is locked.
    Busy,
    /// The file offset plus the length does not fit.
    Overflow,
    /// The range belongs to the kernel.
    NotPermitted,
    /// `MAP_SHARED_VALIDATE` with a flag that does not exist.
    NotSupported,
}

impl MapError {
    /// Returns the number that C sees (errno(3)).
    pub fn errno(self) -> i32 {
        let number = match self {
            MapError::InvalidArgument => raw::EINVAL,
            MapError::NoMemory => raw::ENOMEM,
            MapError::Exists => raw::EEXIST,
            MapError::AccessDenied => raw::EACCES,
            MapError::BadRange => raw::EFAULT,
            MapError::Busy => raw::EBUSY,
            MapError::Overflow => raw::EOVERFLOW,
            MapError::NotPermitted => raw::EPERM,
            MapError::NotSupported => raw::EOPNOTSUPP,
        };
        number.cast_signed()
    }
}
