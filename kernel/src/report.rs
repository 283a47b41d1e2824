//! The fault report: what the machine says when it cannot go on.
//!
//! A kernel panic, or a fault that nobody handles, on any CPU ends here: stop
//! the other CPUs, print who was running, where, and how it got there, let
//! Python add the traceback of every thread, and end as `panic=` on the kernel
//! command line says.
//!
//! The report trusts nothing. It runs on a stack of its own with interrupts
//! off, takes no lock that another CPU may hold, and makes each part inside a
//! guarded call: if a part faults, that is said and the next one follows.

use core::arch::global_asm;
use core::fmt::{self, Write};
use core::sync::atomic::{AtomicU8, AtomicU32, Ordering};

use smp::{CpuId, Thread};

use crate::arch::{self, Registers, guarded, power};
use crate::cmdline::PanicAction;
use crate::memory::{self, STACK_GUARD_SIZE};
use crate::{log, symbols};

/// Stack frames that a backtrace shows: so many of the newest and of the oldest.
const NEWEST_FRAMES: usize = 32;
const OLDEST_FRAMES: usize = 24;
/// Where a backtrace gives up: a broken chain may be a circle.
const MAX_FRAMES: usize = 1_000_000;
/// Threads that wait or are ready that the report lists, and the functions it names of each.
const WAITING_THREADS: usize = 64;
const WAITING_FRAMES: usize = 10;
/// Bytes of the stack that the report runs on.
const STACK_SIZE: usize = 64 * 1024;
/// Bytes of the stack on which it serves the calls of Python's traceback code.
const CALL_STACK_SIZE: usize = 16 * 1024;

const NOBODY: u32 = u32::MAX;

/// The CPU that makes the report.
static REPORTER: AtomicU32 = AtomicU32::new(NOBODY);
/// `panic=`, as a `PanicAction`.
static ACTION: AtomicU8 = AtomicU8::new(PanicAction::Halt as u8);

/// What went wrong.
pub struct Fault<'a> {
    /// One or two words: "kernel panic", "page fault".
    pub title: &'a str,
    /// The rest of the first line.
    pub details: fmt::Arguments<'a>,
    /// The registers at the fault, where it was one.
    pub registers: Option<&'a Registers>,
}

/// Sets what ends a report.
pub fn set_action(action: PanicAction) {
    ACTION.store(action as u8, Ordering::Relaxed);
}

fn action() -> PanicAction {
    match ACTION.load(Ordering::Relaxed) {
        a if a == PanicAction::Exit as u8 => PanicAction::Exit,
        a if a == PanicAction::Reboot as u8 => PanicAction::Reboot,
        _ => PanicAction::Halt,
    }
}

/// Whether this CPU is making a report: then a page fault is not resolved, and
/// output goes straight to the serial port.
pub fn is_in_progress_here() -> bool {
    REPORTER.load(Ordering::Relaxed) == arch::this_cpu().0
}

/// A stack above its guard page.
#[repr(C, align(4096))]
struct Stack<const N: usize> {
    guard: [u8; STACK_GUARD_SIZE],
    memory: core::cell::UnsafeCell<[u8; N]>,
}

// SAFETY: only the one reporting CPU uses it, as a stack.
unsafe impl<const N: usize> Sync for Stack<N> {}

impl<const N: usize> Stack<N> {
    const fn new() -> Self {
        Self {
            guard: [0; STACK_GUARD_SIZE],
            memory: core::cell::UnsafeCell::new([0; N]),
        }
    }

    fn top(&self) -> usize {
        self.memory.get() as usize + N
    }
}

static STACK: Stack<STACK_SIZE> = Stack::new();
static CALL_STACK: Stack<CALL_STACK_SIZE> = Stack::new();

/// How many stacks the report has.
pub const STACK_GUARDS: usize = 2;

/// Returns the pages below the report's stacks, which are not to be mapped.
pub fn stack_guards() -> [usize; STACK_GUARDS] {
    [
        &raw const STACK.guard as usize,
        &raw const CALL_STACK.guard as usize,
    ]
}

/// The report's way out.
struct Out;

impl Write for Out {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        // SAFETY: an `Out` is used only after the other CPUs have stopped, and
        // this CPU never returns to what it interrupted.
        unsafe { log::write_report(text) };
        Ok(())
    }
}

macro_rules! out {
    ($($text:tt)*) => {{
        // An `Out` takes everything.
        let _ = writeln!(Out, $($text)*);
    }};
}

/// Reports that a page of C's got no frame, and ends the machine's work as configured.
pub fn out_of_memory(registers: &Registers, address: usize) -> ! {
    let (promised, _) = memory::frames::promised_and_reserve();
    let [promised_kib, free_kib] =
        [promised, memory::frames::free_count()].map(|frames| frames * (memory::PAGE_SIZE / 1024));
    fatal(&Fault {
        title: "out of memory",
        details: format_args!(
            "no frame for the page at {address:#x}; {promised_kib} KiB are promised, {free_kib} KiB free"
        ),
        registers: Some(registers),
    })
}

/// Reports a fault and ends the machine's work as configured.
pub fn fatal(fault: &Fault) -> ! {
    let here = arch::capture_registers();
    arch::disable_interrupts();
    let cpu = arch::this_cpu();
    // Relaxed: the number itself is the message.
    match REPORTER.compare_exchange(NOBODY, cpu.0, Ordering::Relaxed, Ordering::Relaxed) {
        Ok(_) => {}
        Err(reporter) if reporter == cpu.0 => {
            guarded::abort_if_guarded();
            out!(
                "[PythonOS] the report itself failed: {}: {}",
                fault.title,
                fault.details
            );
            end();
        }
        // Somebody else reports, and is about to stop us.
        Err(_) => arch::halt_forever(),
    }
    let request = Request {
        fault,
        cpu,
        registers: fault.registers.unwrap_or(&here),
    };
    // SAFETY: the stack is the report's own, and there is one report.
    unsafe {
        arch::call_on_stack(run, [&raw const request as usize, 0, 0], STACK.top());
    }
    end()
}

struct Request<'a> {
    fault: &'a Fault<'a>,
    cpu: CpuId,
    registers: &'a Registers,
}

unsafe extern "C" fn run(request: usize, _: usize, _: usize) {
    // SAFETY: `fatal` passes its own local, and waits for us.
    let request = unsafe { &*(request as *const Request) };
    let stopped = arch::stop_other_cpus();
    // SAFETY: the other CPUs have stopped, or will not answer an NMI either;
    // this CPU returns to nothing.
    unsafe { log::flush_for_report() };
    out!("");
    out!(
        "[PythonOS] FATAL {}: {}",
        request.fault.title,
        request.fault.details
    );
    part("thread", show_thread, request);
    part("registers", show_registers, request);
    part("backtrace", show_backtrace, request);
    if !stopped {
        out!("Some CPUs did not stop; what follows may be changing.");
    }
    part("other CPUs", show_other_cpus, request);
    part("other threads", show_other_threads, request);
    part("Python traceback", show_python, request);
}

/// Makes one part of the report; if it faults, says so.
fn part(name: &str, show: fn(&Request), request: &Request) {
    struct Call<'a, 'b> {
        show: fn(&Request),
        request: &'a Request<'b>,
    }
    extern "C" fn make(call: usize) {
        // SAFETY: `part` passes its own local, and waits for us.
        let call = unsafe { &*(call as *const Call) };
        (call.show)(call.request);
    }
    let call = Call { show, request };
    // SAFETY: interrupts are off; what a part leaves half done is only text.
    if !unsafe { guarded::call(make, &raw const call as usize) } {
        out!("({name}: cut short by another fault)");
    }
}

fn show_thread(request: &Request) {
    let now = arch::uptime_ns();
    out!(
        "CPU {} of {}, {}.{:06} s after power-on",
        request.cpu.0,
        arch::cpu_count(),
        now / 1_000_000_000,
        now % 1_000_000_000 / 1_000
    );
    describe_thread("Thread", arch::current_thread());
}

fn describe_thread(label: &str, thread: *const Thread) {
    // SAFETY: a running thread is alive; if the pointer is broken, the fault
    // ends this part.
    match unsafe { thread.as_ref() } {
        None => out!("{label}: none yet"),
        Some(thread) => match thread.try_name() {
            Some(name) => out!("{label}: {} \"{name}\"", thread.tid()),
            None => out!("{label}: {} (its name is locked)", thread.tid()),
        },
    }
}

fn show_registers(request: &Request) {
    out!("{}", arch::describe_registers(request.registers));
}

fn show_backtrace(request: &Request) {
    out!("Backtrace (newest first):");
    let (pc, frame_pointer) = arch::code_position(request.registers);
    walk(pc, frame_pointer);
}

/// Prints the chain of stack frames: `pc`, then the return address in each
/// frame. Of a chain without end the newest and the oldest are shown.
fn walk(pc: usize, frame_pointer: usize) {
    print_frame(0, pc, pc);
    let mut oldest = [0; OLDEST_FRAMES];
    let mut number = 1;
    let mut frame = frame_pointer;
    // A null or odd pointer is the end of the chain, or no frame at all.
    while frame != 0 && frame.is_multiple_of(size_of::<usize>()) && number < MAX_FRAMES {
        let Some((next, return_address)) = read_frame(frame) else {
            out!("  (the stack frame at {frame:#x} cannot be read)");
            break;
        };
        if return_address == 0 {
            break;
        }
        if number < NEWEST_FRAMES {
            // The call ends where it returns to, so that address may belong to
            // the next function already.
            print_frame(number, return_address, return_address - 1);
        } else {
            oldest[number % OLDEST_FRAMES] = return_address;
        }
        frame = next;
        number += 1;
    }
    if number > NEWEST_FRAMES {
        let first = NEWEST_FRAMES.max(number.saturating_sub(OLDEST_FRAMES));
        if first > NEWEST_FRAMES {
            out!("  ... {} more ...", first - NEWEST_FRAMES);
        }
        for number in first..number {
            let return_address = oldest[number % OLDEST_FRAMES];
            print_frame(number, return_address, return_address - 1);
        }
    }
}

/// Prints one line of a backtrace: the function around `lookup`, and how far
/// into it `address` is.
fn print_frame(number: usize, address: usize, lookup: usize) {
    match symbols::lookup(lookup) {
        Some(symbol) => {
            let offset = symbol.offset + (address - lookup);
            out!("  #{number:<2} {address:#018x} {}+{offset:#x}", symbol.name);
        }
        None => out!("  #{number:<2} {address:#018x}"),
    }
}

/// Reads a stack frame: the caller's frame pointer and the return address.
fn read_frame(frame: usize) -> Option<(usize, usize)> {
    struct Read {
        frame: usize,
        words: [usize; 2],
    }
    extern "C" fn read(request: usize) {
        let request = request as *mut Read;
        // SAFETY: `request` is the caller's local; the read of the frame may
        // fault, which ends the guarded call.
        unsafe { (*request).words = ((*request).frame as *const [usize; 2]).read_volatile() };
    }
    let mut request = Read {
        frame,
        words: [0; 2],
    };
    // SAFETY: interrupts are off, and a read leaves nothing half done.
    unsafe { guarded::call(read, &raw mut request as usize) }
        .then_some((request.words[0], request.words[1]))
}

fn show_other_cpus(request: &Request) {
    for id in (0..arch::cpu_count()).map(|n| CpuId(n as u32)) {
        if id == request.cpu {
            continue;
        }
        let Some(stopped) = arch::stopped_cpu(id) else {
            out!("CPU {}: did not stop", id.0);
            continue;
        };
        let (pc, frame_pointer) = arch::code_position(stopped.registers);
        out!("CPU {}:", id.0);
        describe_thread("  Thread", stopped.thread);
        walk(pc, frame_pointer);
    }
}

/// Shows the threads that no CPU runs, a line for each: why a machine stands still is seen there.
fn show_other_threads(_: &Request) {
    let mut others = 0;
    let is_listed = smp::try_for_each_thread(|thread| {
        let state = match thread.state() {
            smp::ThreadState::Sleeping => "waiting",
            smp::ThreadState::Running if thread.is_queued() => "ready",
            _ => return,
        };
        others += 1;
        if others == 1 {
            out!("Other threads, each with its kernel stack (newest first):");
        }
        if others > WAITING_THREADS {
            return;
        }
        describe_thread("  Thread", thread);
        let _ = write!(Out, "    {state}, last on CPU {}:", thread.last_cpu().0);
        show_suspended(thread);
        out!("");
    });
    if !is_listed {
        out!("Other threads: not known, the list was being changed.");
    } else if others > WAITING_THREADS {
        out!("  ... {} more ...", others - WAITING_THREADS);
    }
}

/// Names the functions that a thread without a CPU is in.
fn show_suspended(thread: &Thread) {
    // SAFETY: no CPU runs the thread, and none is switching: all others have stopped.
    let (mut address, mut frame) = unsafe { arch::suspended_position(thread) };
    for _ in 0..WAITING_FRAMES {
        match symbols::lookup(address - 1) {
            Some(symbol) => _ = write!(Out, " {}", symbol.name),
            None => _ = write!(Out, " {address:#x}"),
        }
        match read_frame(frame) {
            Some((next, caller)) if caller != 0 => (frame, address) = (next, caller),
            _ => break,
        }
    }
}

global_asm!(
    // Weak: a kernel that is linked without CPython has no such function, and
    // the word is 0 then.
    ".weak _Py_DumpTracebackThreads",
    ".pushsection .rodata.python_traceback, \"a\"",
    ".balign 8",
    ".global python_traceback",
    "python_traceback: .8byte _Py_DumpTracebackThreads",
    ".popsection",
);

unsafe extern "C" {
    static python_traceback: Option<
        unsafe extern "C" fn(
            fd: i32,
            interpreter: *mut u8,
            thread: *mut u8,
        ) -> *const core::ffi::c_char,
    >;
}

/// Lets CPython print the traceback of every thread, as faulthandler does.
fn show_python(_: &Request) {
    // SAFETY: constant memory, written by the linker.
    let Some(dump) = (unsafe { python_traceback }) else {
        return;
    };
    if !arch::has_python_thread() {
        out!("Python has not started.");
        return;
    }
    out!("Python traceback:");
    // SAFETY: from here on this CPU makes its kernel calls on a stack of the
    // report's, to the function below; it never returns to the thread.
    unsafe { arch::divert_calls(report_call, CALL_STACK.top()) };
    // SAFETY: the function is made for crashed processes: it takes no lock and
    // checks what it reads; a fault ends this part.
    let problem = unsafe { dump(2, core::ptr::null_mut(), core::ptr::null_mut()) };
    if !problem.is_null() {
        // SAFETY: it is one of the function's own NUL-terminated constants.
        let problem = unsafe { core::ffi::CStr::from_ptr(problem) };
        out!("({})", problem.to_str().unwrap_or("no traceback"));
    }
}

/// Serves the calls of Python's traceback code: output, and nothing else.
extern "C" fn report_call(
    number: usize,
    fd: usize,
    buffer: usize,
    len: usize,
    _: usize,
    _: usize,
    _: usize,
) -> isize {
    use linux_raw_sys::errno::{EAGAIN, ENOSYS};
    use linux_raw_sys::general as raw;
    const WRITE: usize = raw::__NR_write as usize;
    const WRITEV: usize = raw::__NR_writev as usize;
    const GETTID: usize = raw::__NR_gettid as usize;
    const FUTEX: usize = raw::__NR_futex as usize;
    match number {
        WRITE if fd == 1 || fd == 2 => {
            write_bytes(buffer, len);
            len as isize
        }
        WRITEV if fd == 1 || fd == 2 => {
            let mut total = 0;
            for i in 0..len {
                // SAFETY: an array of `iovec`; if it is not, the fault ends
                // this part of the report.
                let [base, length] = unsafe { (buffer as *const [usize; 2]).add(i).read() };
                write_bytes(base, length);
                total += length;
            }
            total as isize
        }
        GETTID => 1,
        // Whoever holds the lock will never give it back.
        FUTEX => {
            guarded::abort_if_guarded();
            -(EAGAIN as isize)
        }
        _ => -(ENOSYS as isize),
    }
}

fn write_bytes(buffer: usize, len: usize) {
    // SAFETY: what C asks to print; if it cannot be read, the fault ends this
    // part of the report.
    let bytes = unsafe { core::slice::from_raw_parts(buffer as *const u8, len) };
    for chunk in bytes.utf8_chunks() {
        let _ = Out.write_str(chunk.valid());
        for byte in chunk.invalid() {
            let _ = write!(Out, "\\x{byte:02x}");
        }
    }
}

/// Ends the machine's work as the command line says.
fn end() -> ! {
    match action() {
        PanicAction::Exit => {
            out!("[PythonOS] end of report: leaving the emulator");
            power::exit_emulator(power::EXIT_FATAL);
            out!("[PythonOS] no emulator to leave: halted");
        }
        PanicAction::Reboot => {
            out!("[PythonOS] end of report: rebooting");
            power::reboot();
        }
        PanicAction::Halt => out!("[PythonOS] end of report: halted"),
    }
    arch::halt_forever()
}
