//! What a running thread was created with: `pthread_getattr_np`.

use core::{
    ffi::{CStr, c_int},
    mem::MaybeUninit,
};

use linux_raw_sys::{
    errno::ENOENT,
    general::{__NR_prlimit64, O_RDONLY, RLIMIT_STACK, rlimit64},
};

use super::{attributes::Attributes, musl::libc, names::File, thread::Thread};
use crate::sys::{self, Errno};

/// Returns a thread's attributes as they are; see Linux's page of this name.
#[unsafe(no_mangle)]
extern "C" fn pthread_getattr_np(
    target: &Thread,
    attributes: &mut MaybeUninit<Attributes>,
) -> c_int {
    let body = &target.body;
    let (stack_top, stack_size) = if body.stack_top.get().is_null() {
        match first_stack() {
            Ok(bounds) => bounds,
            Err(error) => return error.code(),
        }
    } else {
        (body.stack_top.get(), body.stack_size.get())
    };
    attributes.write(Attributes {
        stack_top,
        stack_size,
        guard_size: body.guard_size.get(),
        is_detached: c_int::from(body.lifecycle.is_detached()),
        ..Attributes::new()
    });
    0
}

/// Finds the stack the program was started on: upper end and size.
///
/// It is the mapping that holds the auxiliary vector. Where that grows with use, it is as
/// large as its limit allows, or as the mapping below leaves room for.
fn first_stack() -> Result<(*mut u8, usize), Errno> {
    const MAPS: &CStr = c"/proc/self/maps";
    let inside = libc().auxv.get().addr();
    let mut maps = Lines {
        file: File::open(MAPS, O_RDONLY)?,
        buffer: [0; 256],
        used: 0,
        len: 0,
    };
    let mut below = 0;
    while let Some((start, end)) = maps.next_range()? {
        if (start..end).contains(&inside) {
            let low = stack_limit().map_or(start, |limit| {
                end.saturating_sub(limit).max(below).min(start)
            });
            let top = core::ptr::with_exposed_provenance_mut(end);
            return Ok((top, end - low));
        }
        below = end;
    }
    Err(Errno::new(ENOENT))
}

/// Returns `RLIMIT_STACK`, if there is a limit.
fn stack_limit() -> Option<usize> {
    let mut limit = MaybeUninit::<rlimit64>::uninit();
    let arguments = [
        0,
        RLIMIT_STACK as usize,
        0,
        limit.as_mut_ptr().expose_provenance(),
        0,
        0,
    ];
    // SAFETY: the kernel writes a `struct rlimit64` there.
    unsafe { sys::call(__NR_prlimit64, arguments) }.ok()?;
    // SAFETY: written by the call, which succeeded.
    let current = unsafe { limit.assume_init() }.rlim_cur;
    // RLIM64_INFINITY is the largest number.
    (current != u64::MAX).then_some(current as usize)
}

/// The lines of `/proc/self/maps`, of which only the addresses matter.
struct Lines {
    file: File,
    buffer: [u8; 256],
    used: usize,
    len: usize,
}

impl Lines {
    fn next_byte(&mut self) -> Result<Option<u8>, Errno> {
        if self.used == self.len {
            self.len = self.file.read(&mut self.buffer)?;
            self.used = 0;
            if self.len == 0 {
                return Ok(None);
            }
        }
        self.used += 1;
        Ok(Some(self.buffer[self.used - 1]))
    }

    /// Reads a hexadecimal number and the character after it.
    fn next_number(&mut self) -> Result<Option<usize>, Errno> {
        let mut number = 0;
        while let Some(byte) = self.next_byte()? {
            match char::from(byte).to_digit(16) {
                Some(digit) => number = number << 4 | digit as usize,
                None => return Ok(Some(number)),
            }
        }
        Ok(None)
    }

    fn next_range(&mut self) -> Result<Option<(usize, usize)>, Errno> {
        let (Some(start), Some(end)) = (self.next_number()?, self.next_number()?) else {
            return Ok(None);
        };
        while self.next_byte()?.is_some_and(|byte| byte != b'\n') {}
        Ok(Some((start, end)))
    }
}
