//! Delivery: what a thread does about its signals before it goes on with C code.
//!
//! A handler is an ordinary C call on the thread's user stack, or its alternate one. It may call
//! the kernel, be interrupted by further signals, or never return (siglongjmp): so nothing is
//! held, and nothing is left to do but to restore the mask, while it runs.

use core::sync::atomic::Ordering;

use smp::NOTIFY_SIGNAL;

use super::action::Disposition;
use super::info::SignalInfo;
use super::send;
use super::set::{DefaultAction, Signal};
use super::state::{AlternateStack, Delivery, Step};
use crate::memory::user::{read_user, touch_stack};
use crate::process::{self, PROCESS, ThreadData};
use crate::{arch, log, python};

/// Runs the handlers of the signals that wait for the current thread, on the stack it is on:
/// its user stack. Called by `arch` when a call into the kernel ends and the thread's notify bit
/// is set, and by the interrupt trampoline when C code was interrupted.
#[unsafe(no_mangle)]
pub extern "C" fn thread_notify() {
    touch_stack();
    deliver_all(None);
}

/// Does what all deliverable signals of the current thread ask for. `registers` are those of
/// the C code that a fault interrupted, for the handler to see and change.
pub(super) fn deliver_all(mut registers: Option<&mut arch::Registers>) {
    let current = smp::current();
    let Some(data) = ThreadData::of(&current) else {
        current.clear_notify(NOTIFY_SIGNAL);
        return;
    };
    loop {
        // Cleared before looking: a sender adds first and then sets it, so what came too late to
        // be seen here sets it again.
        current.clear_notify(NOTIFY_SIGNAL);
        let step = {
            let mut process = PROCESS.signals.lock();
            let mut state = data.signals.lock();
            process.next_step(&mut state)
        };
        match step {
            Step::GoOn => {
                if exception_waits(data) {
                    // For the next wait to find.
                    current.set_notify(NOTIFY_SIGNAL);
                }
                return;
            }
            Step::Call(delivery) => call_handler(data, delivery, registers.as_deref_mut()),
            Step::End(signal, info, action) => {
                end_process(signal, &info, action, registers.as_deref())
            }
        }
    }
}

/// A handler as C declares it; the words are an `int`, a `siginfo_t *` and a `ucontext_t *`.
type CHandler = unsafe extern "C" fn(usize, usize, usize);

/// Calls one handler and restores the mask after it.
fn call_handler(
    data: &ThreadData,
    mut delivery: Delivery,
    registers: Option<&mut arch::Registers>,
) {
    if let Some(id) = delivery.info.timer() {
        delivery
            .info
            .set_overrun(crate::libc::time::posix_timer::delivered(id));
    }
    if [Signal::THREAD_INTERRUPT, Signal::THREAD_WAKE].contains(&delivery.signal) {
        // Relaxed: no other thread touches it.
        data.waiting_exception
            .store(python::waiting_exception(), Ordering::Relaxed);
    }
    let stack = {
        let mut state = data.signals.lock();
        let alternate = state.alternate;
        if delivery.handler.on_alternate_stack && alternate.is_auto_disarmed {
            state.alternate = AlternateStack::NONE;
        }
        alternate
    };
    let mut context = arch::UserContext::new(
        delivery.restore.bits(),
        stack.base,
        stack.len,
        registers.as_deref(),
    );
    let context_address = (&raw mut context).expose_provenance();
    let info_address = delivery.info.as_bytes().as_ptr().expose_provenance();
    let arguments = [
        delivery.signal.number() as usize,
        info_address,
        context_address,
    ];
    // SAFETY: the program gave this address to sigaction(2) as that of such a function.
    let handler = unsafe { core::mem::transmute::<usize, CHandler>(delivery.handler.entry) };
    // The context lies on the stack we are on.
    let alternate = delivery
        .handler
        .on_alternate_stack
        .then(|| stack.top_for(context_address))
        .flatten();
    // SAFETY: the arguments are those of a handler and outlive it; the stack is the one that the
    // program gave to sigaltstack(2), and nothing runs on it.
    unsafe {
        match alternate {
            Some(top) => arch::call_on_stack(handler, arguments, top),
            None => handler(arguments[0], arguments[1], arguments[2]),
        }
    }
    if let Some(registers) = registers {
        context.store_registers(registers);
    }
    if stack.is_auto_disarmed && delivery.handler.on_alternate_stack {
        data.signals.lock().alternate = stack;
    }
    // Through `send::set_mask`, so that what the handler's mask held back is looked for.
    send::set_mask(super::SignalSet::from_bits(context.mask()));
}

/// Ends the process as the default action of `signal` asks.
fn end_process(
    signal: Signal,
    info: &SignalInfo,
    action: DefaultAction,
    registers: Option<&arch::Registers>,
) -> ! {
    if action == DefaultAction::Core {
        // Only a fault has an address; what programs send has code 0 or less.
        let address = if info.code() > 0 { info.address() } else { 0 };
        arch::report_fatal_signal(signal.number(), address, registers);
    }
    log::warn!("kernel.signal", "{signal:?} ends the interpreter");
    process::exited(128 + signal.number())
}

/// Tells whether an exception that a signal told the thread of is still to be raised.
fn exception_waits(data: &ThreadData) -> bool {
    let address = data.waiting_exception.load(Ordering::Relaxed);
    if address == 0 {
        return false;
    }
    // Memory that is gone keeps no exception.
    let waits = read_user::<u64>(address).is_ok_and(|exception| exception != 0);
    if !waits {
        data.waiting_exception.store(0, Ordering::Relaxed);
    }
    waits
}

/// Takes note that a call of the current thread answers `EINTR`: C code then asks Python to look,
/// and one exception breaks off one wait, not those after it of code that does not ask.
pub fn note_interrupted_call() {
    if let Some(data) = ThreadData::of(&smp::current()) {
        data.waiting_exception.store(0, Ordering::Relaxed);
    }
}

/// Tells whether anything would happen to the current thread if it returned to C code now: a
/// handler, an exception, or the end. If not, an interrupted wait goes on.
pub fn has_effect() -> bool {
    let current = smp::current();
    let Some(data) = ThreadData::of(&current) else {
        return false;
    };
    current.clear_notify(NOTIFY_SIGNAL);
    let effective = {
        let process = PROCESS.signals.lock();
        let state = data.signals.lock();
        process.effective_for(&state)
    };
    if effective.is_empty() && !exception_waits(data) {
        return false;
    }
    current.set_notify(NOTIFY_SIGNAL);
    true
}

/// What happens first to the current thread when it returns to C code.
enum Effect {
    /// An exception is raised if C code asks, as it does after `EINTR`.
    Exception,
    /// The action of a signal.
    Signal(Disposition),
}

fn first_effect() -> Option<Effect> {
    let current = smp::current();
    let data = ThreadData::of(&current)?;
    if exception_waits(data) {
        return Some(Effect::Exception);
    }
    let process = PROCESS.signals.lock();
    let state = data.signals.lock();
    process.first_effect(&state).map(Effect::Signal)
}

/// Tells whether a call that a signal broke off starts again afterwards: its handler says so
/// (`SA_RESTART`), or none runs and no exception waits.
pub fn should_restart() -> bool {
    match first_effect() {
        Some(Effect::Exception) => false,
        Some(Effect::Signal(Disposition::Handle(handler))) => handler.restarts_calls,
        _ => true,
    }
}

/// Tells whether a handler runs before the current thread goes on with C code, or ran and left an
/// exception.
pub fn will_run_handler() -> bool {
    matches!(
        first_effect(),
        Some(Effect::Exception | Effect::Signal(Disposition::Handle(_)))
    )
}

#[cfg(test)]
mod tests {
    use super::super::SignalSet;
    use super::*;
    use crate::fs::context;
    use crate::libc::dispatch::{RESTART_CALL, syscall_entry};
    use crate::libc::errno::Errno;
    use alloc::boxed::Box;
    use core::sync::atomic::AtomicU64;
    use linux_raw_sys::general::{__NR_close, __NR_eventfd2, __NR_nanosleep, __NR_read};

    static EXCEPTION: AtomicU64 = AtomicU64::new(1);

    fn call(number: u32, arguments: [usize; 3]) -> isize {
        let [a, b, c] = arguments;
        syscall_entry(number as usize, a, b, c, 0, 0, 0)
    }

    fn sleep_a_millisecond() -> isize {
        let span = [0_u64, 1_000_000];
        call(__NR_nanosleep, [span.as_ptr().expose_provenance(), 0, 0])
    }

    /// Has the thread's handler of `THREAD_WAKE` end, with an exception waiting or not.
    fn handler_ran(data: &ThreadData, waits: bool) {
        EXCEPTION.store(waits.into(), Ordering::Relaxed);
        let address = EXCEPTION.as_ptr().expose_provenance();
        data.waiting_exception.store(address, Ordering::Relaxed);
        thread_notify();
    }

    #[test]
    fn an_exception_that_waits_breaks_off_one_wait() {
        smp::fake::set_extension_maker(|| {
            Box::new(ThreadData::new(SignalSet::EMPTY, context::initial()))
        });
        let body = || {
            let current = smp::current();
            let data = ThreadData::of(&current).expect("a thread of the process");

            handler_ran(data, true);
            assert_eq!(sleep_a_millisecond(), Errno::EINTR.to_return());
            thread_notify();
            assert_eq!(sleep_a_millisecond(), 0);

            // Raised between the handler's end and the wait: nothing is broken off.
            handler_ran(data, true);
            EXCEPTION.store(0, Ordering::Relaxed);
            assert_eq!(sleep_a_millisecond(), 0);

            // A wait that signals without a handler have start again.
            let counter = call(__NR_eventfd2, [0, 0, 0]);
            assert!(counter >= 0);
            let mut count = 0_u64;
            let out = (&raw mut count).expose_provenance();
            let read = || call(__NR_read, [counter as usize, out, 8]);
            handler_ran(data, true);
            assert_eq!(read(), Errno::EINTR.to_return());
            handler_ran(data, true);
            EXCEPTION.store(0, Ordering::Relaxed);
            assert_eq!(read(), RESTART_CALL);
            assert_eq!(call(__NR_close, [counter as usize, 0, 0]), 0);
        };
        std::thread::spawn(body).join().expect("it does not panic");
    }
}
