//! Why a call on the address space fails.

/// Why a call on the address space fails; the manual page of the call tells which of its
/// arguments leads to which.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MapError {
    /// An argument is malformed (not page-aligned, length 0, unknown flag): `EINVAL`.
    InvalidArgument,
    /// No address range is free, memory cannot be promised, or the range has a hole: `ENOMEM`.
    NoMemory,
    /// `MAP_FIXED_NOREPLACE` and the range is in use: `EEXIST`.
    Exists,
    /// The file is not open for what the protection asks for: `EACCES`.
    AccessDenied,
    /// mremap(2): the old range is not one mapping: `EFAULT`.
    BadRange,
    /// msync(2) with `MS_INVALIDATE`: part of the range is locked: `EBUSY`.
    Busy,
    /// The file offset plus the length does not fit: `EOVERFLOW`.
    Overflow,
    /// The range belongs to the kernel: `EPERM`.
    NotPermitted,
    /// `MAP_SHARED_VALIDATE` with a flag that does not exist: `EOPNOTSUPP`.
    NotSupported,
}
