//! The error numbers that C sees, as one type: numbers and names are Linux's.

use core::fmt;
use linux_raw_sys::errno as raw;

/// What a call gives back: a non-negative number, or why it failed.
pub type SysResult = Result<usize, Errno>;

/// An error number of errno(3).
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Errno(i32);

macro_rules! errnos {
    ($($name:ident)*) => {
        #[expect(missing_docs, reason = "each is documented by its namesake in errno(3)")]
        impl Errno {
            $(pub const $name: Errno = Errno(raw::$name as i32);)*
        }

        /// The names, for log lines and `Debug`.
        const NAMES: &[(i32, &str)] = &[$((raw::$name as i32, stringify!($name))),*];
    };
}

errnos! {
    EPERM ENOENT ESRCH EINTR EIO ENXIO E2BIG ENOEXEC EBADF ECHILD EAGAIN ENOMEM EACCES EFAULT
    ENOTBLK EBUSY EEXIST EXDEV ENODEV ENOTDIR EISDIR EINVAL ENFILE EMFILE ENOTTY ETXTBSY EFBIG
    ENOSPC ESPIPE EROFS EMLINK EPIPE EDOM ERANGE EDEADLK ENAMETOOLONG ENOLCK ENOSYS ENOTEMPTY
    ELOOP ENOMSG ENODATA ETIME EPROTO EBADMSG EOVERFLOW EILSEQ ENOTSOCK EDESTADDRREQ EMSGSIZE
    EPROTOTYPE ENOPROTOOPT EPROTONOSUPPORT ESOCKTNOSUPPORT EOPNOTSUPP EPFNOSUPPORT EAFNOSUPPORT
    EADDRINUSE EADDRNOTAVAIL ENETDOWN ENETUNREACH ENETRESET ECONNABORTED ECONNRESET ENOBUFS
    EISCONN ENOTCONN ESHUTDOWN ETOOMANYREFS ETIMEDOUT ECONNREFUSED EHOSTDOWN EHOSTUNREACH
    EALREADY EINPROGRESS ESTALE EDQUOT ECANCELED EOWNERDEAD ENOTRECOVERABLE
}

impl Errno {
    /// Internal: a signal broke the call off and it may be started again.
    ///
    /// `libc::dispatch` turns it into `EINTR` or starts the call again, as the handler's
    /// `SA_RESTART` says (signal(7)); C never sees it.
    pub const RESTART: Errno = Errno(512);

    /// Internal: like [`Errno::RESTART`] but always `EINTR` once a handler has run
    /// (the waits that signal(7) lists as never restarted).
    pub const RESTART_NOHAND: Errno = Errno(514);

    /// Returns the error with a number; `None` for 0.
    pub const fn from_number(number: i32) -> Option<Errno> {
        if number == 0 {
            None
        } else {
            Some(Errno(number))
        }
    }

    /// Returns the positive number.
    pub const fn number(self) -> i32 {
        self.0
    }

    /// Returns what `kernel_syscall` hands to C: the number, negative.
    pub const fn to_return(self) -> isize {
        -(self.0 as isize)
    }
}

impl fmt::Debug for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match NAMES.iter().find(|(number, _)| *number == self.0) {
            Some((_, name)) => f.write_str(name),
            None => write!(f, "errno {}", self.0),
        }
    }
}
