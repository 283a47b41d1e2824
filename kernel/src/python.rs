//! The interpreter: what it is started with, its start, and what follows its end.

use alloc::string::String;
use alloc::vec::Vec;
use alloc::{borrow::ToOwned, format};

use spin::Once;

use crate::cmdline::Options;

/// `argv[0]` and the target of /proc/self/exe: CPython derives `sys.executable`
/// and the place of its library from it.
pub const EXECUTABLE: &str = "/usr/bin/python3";

/// The environment, unless `env.NAME=VALUE` on the kernel command line says otherwise.
///
/// What CPython's mimalloc is told makes it ask for memory before it uses it, and hand back what it
/// no longer needs (docs/memory-map.md): no arenas, which it never unmaps and whose huge objects
/// survive a refusal badly, no segments that are committed whole, no free pages kept by threads
/// that have ended, and none kept longer because others were freed after them.
const DEFAULT_ENVIRONMENT: [(&str, &str); 13] = [
    ("HOME", "/home"),
    ("LANG", "C.UTF-8"),
    // What musl takes getlogin(3) from.
    ("LOGNAME", "root"),
    ("MIMALLOC_ABANDONED_PAGE_PURGE", "1"),
    ("MIMALLOC_ARENA_RESERVE", "0"),
    ("MIMALLOC_EAGER_COMMIT", "0"),
    ("MIMALLOC_PURGE_EXTEND_DELAY", "0"),
    ("PATH", "/bin"),
    // With the GIL, too, `warnings.catch_warnings` is a session's own, and what a thread prints goes to
    // the session that started it.
    ("PYTHON_CONTEXT_AWARE_WARNINGS", "1"),
    ("PYTHON_THREAD_INHERIT_CONTEXT", "1"),
    ("TERM", "xterm-256color"),
    ("TMPDIR", "/tmp"),
    ("USER", "root"),
];

/// Python's arguments when the kernel command line has no `--`: the console's prompt.
const DEFAULT_ARGUMENTS: [&str; 2] = ["-m", "kernel"];

struct Program {
    arguments: Vec<String>,
    environment: Vec<String>,
}

static PROGRAM: Once<Program> = Once::new();

/// Keeps what the kernel command line says about the interpreter.
pub fn configure(options: &Options) {
    PROGRAM.call_once(|| Program {
        arguments: arguments_of(options),
        environment: environment_of(options),
    });
}

/// Returns `argv`; empty before `configure`.
pub fn arguments() -> &'static [String] {
    PROGRAM.get().map_or(&[], |program| &program.arguments)
}

/// Returns the environment that Python starts with, as `NAME=VALUE`; empty before `configure`.
pub fn environment() -> &'static [String] {
    PROGRAM.get().map_or(&[], |program| &program.environment)
}

fn arguments_of(options: &Options) -> Vec<String> {
    let mut arguments = alloc::vec![EXECUTABLE.to_owned()];
    match &options.arguments {
        Some(given) => arguments.extend_from_slice(given),
        None => arguments.extend(DEFAULT_ARGUMENTS.map(str::to_owned)),
    }
    arguments
}

/// The defaults, then what the command line adds; the last of each name counts.
fn environment_of(options: &Options) -> Vec<String> {
    let mut variables: Vec<(&str, &str)> = DEFAULT_ENVIRONMENT.to_vec();
    for (name, value) in &options.environment {
        match variables.iter_mut().find(|(known, _)| known == name) {
            Some(known) => known.1 = value,
            None => variables.push((name, value)),
        }
    }
    variables
        .iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect()
}

#[cfg(target_os = "none")]
pub use machine::{exited, note_memory, start, waiting_exception};

/// The host's tests run without the interpreter.
#[cfg(not(target_os = "none"))]
pub fn note_memory(_is_short: bool) {}

/// The host's tests run without the interpreter.
#[cfg(not(target_os = "none"))]
pub fn waiting_exception() -> usize {
    0
}

#[cfg(target_os = "none")]
mod machine {
    use alloc::vec::Vec;
    use core::ffi::{c_char, c_int, c_long, c_void};
    use core::sync::atomic::{AtomicUsize, Ordering};

    use linux_raw_sys::auxvec::{
        AT_EGID, AT_EUID, AT_GID, AT_PAGESZ, AT_PHDR, AT_PHENT, AT_PHNUM, AT_RANDOM, AT_SECURE,
        AT_UID,
    };
    use linux_raw_sys::general::{
        __NR_mmap, __NR_mprotect, MAP_ANONYMOUS, MAP_NORESERVE, MAP_PRIVATE, MAP_STACK, PROT_NONE,
        PROT_READ, PROT_WRITE,
    };
    use spin::Once;

    use super::{arguments, environment};
    use crate::cmdline::PanicAction;
    use crate::initial_stack::{self, InitialStack};
    use crate::libc::dispatch::dispatch;
    use crate::libc::errno::Errno;
    use crate::libc::random;
    use crate::libc::signal::{self, Signal};
    use crate::libc::thread::{UserStart, start_main};
    use crate::memory::{PAGE_SIZE, frames, user};
    use crate::{arch, cmdline, log, power};

    /// Address space for the main thread's stack; only what is touched takes memory.
    const STACK_LEN: usize = 8 << 20;

    unsafe extern "C" {
        /// Sets the C library up and calls `main`, then `exit` (musl, `src/env/__libc_start_main.c`).
        fn __libc_start_main(
            main: extern "C" fn(c_int, *mut *mut c_char) -> c_int,
            argc: c_int,
            argv: *mut *mut c_char,
        ) -> c_int;
        /// CPython's command line interpreter (Python/C API, "The Very High Level Layer").
        fn Py_BytesMain(argc: c_int, argv: *mut *mut c_char) -> c_int;
        /// Raises KeyboardInterrupt in the calling thread (`cpython/embedding/interrupt.c`).
        safe fn pythonos_interrupt_thread(signal: c_int);
        /// Returns where the calling thread's waiting exception is kept (same file).
        safe fn pythonos_waiting_exception() -> *const *const c_void;
        /// Returns and sets an option of CPython's allocator (mimalloc, "Environment options").
        fn mi_option_get(option: c_int) -> c_long;
        fn mi_option_set(option: c_int, value: c_long);
    }

    /// mimalloc's `mi_option_purge_delay`.
    const PURGE_DELAY: c_int = 15;
    /// Its value, once memory was short.
    static USUAL_DELAY: Once<c_long> = Once::new();
    /// For how many calls the allocator goes on giving pages back at once when memory is no longer
    /// short: a program that lets go of what filled memory is not half done then.
    static HASTY_CALLS: AtomicUsize = AtomicUsize::new(0);
    /// Two calls for each slice of so many pages give all memory back.
    const SLICE: usize = 16;

    /// Says, at each call that takes memory or gives some back, whether memory is short. As long as it
    /// is, the allocator gives free pages back as they become free, not some time after, when it
    /// may have nothing to do with them any more.
    ///
    /// Two calls at once may leave what the earlier one says; the next call puts it right.
    pub fn note_memory(is_short: bool) {
        // Relaxed: all that is decided by them is a number that each call may change.
        if is_short {
            // SAFETY: it reads a table of numbers.
            let usual = *USUAL_DELAY.call_once(|| unsafe { mi_option_get(PURGE_DELAY) });
            set_purge_delay(usual.min(0));
            HASTY_CALLS.store(2 * frames::total_count() / SLICE, Ordering::Relaxed);
        } else if HASTY_CALLS.load(Ordering::Relaxed) != 0 {
            let one_less = |left: usize| left.checked_sub(1);
            let before = HASTY_CALLS.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_less);
            if let (Ok(1), Some(&usual)) = (before, USUAL_DELAY.get()) {
                set_purge_delay(usual);
            }
        }
    }

    fn set_purge_delay(delay: c_long) {
        // SAFETY: it writes a number of a table, which the allocator reads once for each decision.
        unsafe { mi_option_set(PURGE_DELAY, delay) };
    }

    /// Starts the interpreter on the first thread of the process.
    ///
    /// # Errors
    ///
    /// `ENOMEM` if there is no memory for its stack.
    pub fn start() -> Result<(), Errno> {
        let InitialStack {
            stack_pointer,
            bytes,
            ..
        } = lay_out_stack(map_stack()?);
        user::copy_to_user(stack_pointer, &bytes)?;
        let start = UserStart {
            entry: enter,
            argument: stack_pointer,
            stack_top: stack_pointer,
            // The C library makes the thread's control block and calls arch_prctl(2) for it.
            thread_pointer: 0,
            clear_child_tid: 0,
        };
        // SAFETY: the stack was mapped for this thread alone; `enter` needs no thread pointer.
        unsafe { start_main("python3", start) }?;
        Ok(())
    }

    /// Maps the main thread's stack above a guard page; returns its end.
    fn map_stack() -> Result<usize, Errno> {
        let flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK;
        let len = STACK_LEN + PAGE_SIZE;
        let start = dispatch(
            __NR_mmap as usize,
            &[
                0,
                len,
                (PROT_READ | PROT_WRITE) as usize,
                flags as usize,
                usize::MAX,
                0,
            ],
        )?;
        dispatch(
            __NR_mprotect as usize,
            &[start, PAGE_SIZE, PROT_NONE as usize, 0, 0, 0],
        )?;
        Ok(start + len)
    }

    fn lay_out_stack(top: usize) -> InitialStack {
        let mut random = [0; 16];
        random::fill(&mut random);
        let (headers, header_size, header_count) = arch::image::program_headers();
        // One user, root, for whom nothing is set-uid.
        let auxv = [
            (AT_PHDR, headers),
            (AT_PHENT, header_size),
            (AT_PHNUM, header_count),
            (AT_PAGESZ, PAGE_SIZE),
            (AT_UID, 0),
            (AT_EUID, 0),
            (AT_GID, 0),
            (AT_EGID, 0),
            (AT_SECURE, 0),
        ]
        .map(|(kind, value)| (kind as usize, value));
        let arguments: Vec<&[u8]> = arguments().iter().map(|s| s.as_bytes()).collect();
        let environment: Vec<&[u8]> = environment().iter().map(|s| s.as_bytes()).collect();
        initial_stack::lay_out(
            top,
            &arguments,
            &environment,
            &auxv,
            AT_RANDOM as usize,
            random,
        )
    }

    /// The first C-side function of the process, on its initial stack.
    extern "C" fn enter(stack_pointer: usize) -> ! {
        let argc = core::ptr::with_exposed_provenance::<usize>(stack_pointer);
        // SAFETY: `lay_out_stack` put `argc` there and `argv` behind it.
        let (argc, argv) = unsafe { (argc.read(), argc.add(1).cast_mut().cast()) };
        // SAFETY: the stack is laid out as a program's initial stack, and this is the only call.
        unsafe { __libc_start_main(main, argc as c_int, argv) };
        unreachable!("the C library's exit() returned")
    }

    extern "C" fn interrupt_thread(signal: c_int) {
        pythonos_interrupt_thread(signal);
    }

    /// That a handler ran ends a wait; the thread then looks for exceptions by itself.
    extern "C" fn wake_thread(_signal: c_int) {}

    /// Where CPython keeps an exception that waits for the calling thread, a pointer that is null
    /// while none does; 0 in a thread that is not Python's. Called on the thread's C stack.
    pub fn waiting_exception() -> usize {
        pythonos_waiting_exception().expose_provenance()
    }

    extern "C" fn main(argc: c_int, argv: *mut *mut c_char) -> c_int {
        signal::set_handler(Signal::THREAD_INTERRUPT, interrupt_thread);
        signal::set_handler(Signal::THREAD_WAKE, wake_thread);
        if !crate::hal::register() {
            log::error!(
                "kernel.python",
                "no memory for the table of built-in modules"
            );
        }
        // SAFETY: they are what the C library passed on of the initial stack.
        unsafe { Py_BytesMain(argc, argv) }
    }

    /// What follows the end of the interpreter, with its exit status: power off after
    /// success; after a failure what `panic=` says, so that nobody takes it for success.
    pub fn exited(status: i32) -> ! {
        if status == 0 {
            power::poweroff();
        }
        log::error!("kernel.python", "Python ended with status {status}");
        match cmdline::options().panic {
            PanicAction::Exit => arch::power::exit_emulator(status as u32),
            PanicAction::Reboot => power::reboot(),
            PanicAction::Halt => {}
        }
        power::halt()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cmdline::parse;

    #[test]
    fn the_command_line_overrides_the_environment() {
        let options = parse("env.TERM=dumb env.A=1 env.A=2 -- -c 'print(1)'");
        let environment = environment_of(&options);
        assert!(environment.contains(&"TERM=dumb".to_owned()));
        assert!(environment.contains(&"A=2".to_owned()));
        assert!(environment.contains(&"HOME=/home".to_owned()));
        assert_eq!(environment.len(), DEFAULT_ENVIRONMENT.len() + 1);
        assert_eq!(arguments_of(&options), [EXECUTABLE, "-c", "print(1)"]);
    }

    #[test]
    fn without_arguments_the_prompt_starts() {
        assert_eq!(
            arguments_of(&parse("panic=exit")),
            [EXECUTABLE, "-m", "kernel"]
        );
        assert_eq!(arguments_of(&parse("panic=exit --")), [EXECUTABLE]);
    }
}
