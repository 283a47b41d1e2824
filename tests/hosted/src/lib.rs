//! Hosted mode: what the kernel gives C, given by Linux.
//!
//! musl and pthread-shim ask for three functions. Here each is a system call of the host, so
//! that the same libpython, musl and pthread-shim that the image is made of run as an
//! ordinary program, with all of Linux around it: debuggers, tests that start processes, and
//! a kernel that is known to be right.

#![cfg_attr(target_os = "none", no_std)]

#[cfg(target_os = "none")]
#[cfg_attr(target_arch = "x86_64", path = "x86_64.rs")]
mod machine;

#[cfg(target_os = "none")]
mod runtime {
    use core::{fmt::Write, panic::PanicInfo};

    use pthread_shim::sys;

    struct StandardError;

    impl Write for StandardError {
        fn write_str(&mut self, text: &str) -> core::fmt::Result {
            const WRITE: u32 = 1;
            // SAFETY: the call reads the text, which is borrowed.
            let result = unsafe {
                sys::call(
                    WRITE,
                    [2, text.as_ptr().expose_provenance(), text.len(), 0, 0, 0],
                )
            };
            result.map(|_| ()).map_err(|_| core::fmt::Error)
        }
    }

    unsafe extern "C" {
        safe fn abort() -> !;
    }

    #[panic_handler]
    fn panic(info: &PanicInfo<'_>) -> ! {
        // Nothing is left to do if standard error is closed.
        let _ = writeln!(StandardError, "pthread-shim: {info}");
        abort()
    }
}
