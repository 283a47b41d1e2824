//! Names of threads: `prctl(2)` for the caller's own, `/proc/self/task/<id>/comm` for others.

use core::{
    ffi::{CStr, c_char, c_int},
    fmt::Write,
    ptr, slice,
};

use linux_raw_sys::{
    errno::{ERANGE, ESRCH},
    general::{
        __NR_close, __NR_openat, __NR_prctl, __NR_read, __NR_write, AT_FDCWD, O_CLOEXEC, O_RDONLY,
        O_WRONLY,
    },
    prctl::{PR_GET_NAME, PR_SET_NAME},
};

use super::{signal, thread, thread::Thread};
use crate::sys::{self, Errno};

/// The longest name with its NUL.
const NAME_SIZE: usize = 16;

/// A path, NUL-terminated, short enough for the stack.
struct Path {
    text: [u8; 48],
    len: usize,
}

impl Write for Path {
    fn write_str(&mut self, text: &str) -> core::fmt::Result {
        let end = self.len + text.len();
        let place = self.text.get_mut(self.len..end).ok_or(core::fmt::Error)?;
        place.copy_from_slice(text.as_bytes());
        self.len = end;
        Ok(())
    }
}

/// A file of ours, closed when dropped.
pub struct File(usize);

impl File {
    /// Opens the file at `path`.
    ///
    /// # Errors
    ///
    /// What `open(2)` lists.
    pub fn open(path: &CStr, flags: u32) -> Result<Self, Errno> {
        let directory = AT_FDCWD as usize;
        let arguments = [
            directory,
            path.as_ptr().expose_provenance(),
            (flags | O_CLOEXEC) as usize,
            0,
            0,
            0,
        ];
        // SAFETY: the kernel reads the path, a live C string.
        unsafe { sys::call(__NR_openat, arguments) }.map(Self)
    }

    /// Reads what fits into `buffer`; returns how much that was.
    ///
    /// # Errors
    ///
    /// What `read(2)` lists.
    pub fn read(&self, buffer: &mut [u8]) -> Result<usize, Errno> {
        let arguments = [
            self.0,
            buffer.as_mut_ptr().expose_provenance(),
            buffer.len(),
            0,
            0,
            0,
        ];
        // SAFETY: the kernel writes to the buffer, which is borrowed for that.
        unsafe { sys::call(__NR_read, arguments) }
    }

    fn write(&self, bytes: &[u8]) -> Result<usize, Errno> {
        // SAFETY: the kernel reads the bytes, which are borrowed.
        unsafe {
            sys::call(
                __NR_write,
                [
                    self.0,
                    bytes.as_ptr().expose_provenance(),
                    bytes.len(),
                    0,
                    0,
                    0,
                ],
            )
        }
    }
}

impl Drop for File {
    fn drop(&mut self) {
        let _ = sys::call_plain(__NR_close, [self.0]);
    }
}

fn open_name(tid: u32, flags: u32) -> Result<File, Errno> {
    let mut path = Path {
        text: [0; 48],
        len: 0,
    };
    write!(path, "/proc/self/task/{tid}/comm").expect("the longest id fits");
    File::open(
        CStr::from_bytes_until_nul(&path.text).expect("zeros follow the path"),
        flags,
    )
}

fn own_name(option: u32, name: *const u8) -> Result<usize, Errno> {
    // SAFETY: the kernel reads or writes at most 16 bytes there, the callers' own.
    unsafe {
        sys::call(
            __NR_prctl,
            [option as usize, name.expose_provenance(), 0, 0, 0, 0],
        )
    }
}

/// Runs `act` with the id of a thread other than the caller.
fn with_other(
    target: &Thread,
    act: impl FnOnce(u32) -> Result<usize, Errno>,
) -> Result<usize, Errno> {
    signal::with_id(target, |tid| tid.map_or(Err(Errno::new(ESRCH)), act))
}

/// Names a thread, in at most 15 bytes; see Linux's page of this name.
#[unsafe(no_mangle)]
unsafe extern "C" fn pthread_setname_np(target: &Thread, name: *const c_char) -> c_int {
    // SAFETY: the caller's contract.
    let name = unsafe { CStr::from_ptr(name) }.to_bytes();
    if name.len() >= NAME_SIZE {
        return ERANGE.cast_signed();
    }
    let result = if ptr::eq(target, thread::current()) {
        own_name(PR_SET_NAME, name.as_ptr())
    } else {
        with_other(target, |tid| open_name(tid, O_WRONLY)?.write(name))
    };
    result.map_or_else(Errno::code, |_| 0)
}

/// Returns a thread's name; see Linux's page of this name.
#[unsafe(no_mangle)]
unsafe extern "C" fn pthread_getname_np(target: &Thread, name: *mut u8, size: usize) -> c_int {
    if size < NAME_SIZE {
        return ERANGE.cast_signed();
    }
    // SAFETY: the caller's contract.
    let buffer = unsafe { slice::from_raw_parts_mut(name, size) };
    let result = if ptr::eq(target, thread::current()) {
        own_name(PR_GET_NAME, buffer.as_ptr())
    } else {
        with_other(target, |tid| {
            let len = open_name(tid, O_RDONLY)?.read(buffer)?;
            // The file's line ends with a newline.
            if let Some(last) = len.checked_sub(1) {
                buffer[last] = 0;
            }
            Ok(len)
        })
    };
    result.map_or_else(Errno::code, |_| 0)
}
