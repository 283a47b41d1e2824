//! Interrupts of devices: who handles which.

use core::ptr;
use core::sync::atomic::{AtomicPtr, AtomicU64, Ordering};

use super::gic;

/// Why an interrupt could not be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IrqError {
    /// The controller has no such interrupt, or does not let it through.
    NoSuchInterrupt,
}

/// Called on the exception stack with interrupts off: record, wake, return.
pub type Handler = fn();

/// What the numbers of a GIC's shared interrupts end before.
const NUMBERS: usize = 1020;

static HANDLERS: [AtomicPtr<()>; NUMBERS] = [const { AtomicPtr::new(ptr::null_mut()) }; NUMBERS];
/// Interrupts nobody had registered for.
static STRAY: AtomicU64 = AtomicU64::new(0);

/// Registers a handler for a device's interrupt, by its number in the GIC, and lets it through, to the
/// boot CPU.
pub fn register(number: u32, handler: Handler) -> Result<(), IrqError> {
    let slot = HANDLERS
        .get(number as usize)
        .ok_or(IrqError::NoSuchInterrupt)?;
    // Release pairs with the Acquire in `dispatch`.
    slot.store(handler as *mut (), Ordering::Release);
    gic::enable_shared(number)
}

/// Calls the handler of a device's interrupt.
pub fn dispatch(number: u32) {
    let handler = HANDLERS
        .get(number as usize)
        .map_or(ptr::null_mut(), |slot| slot.load(Ordering::Acquire));
    if handler.is_null() {
        STRAY.fetch_add(1, Ordering::Relaxed);
        return;
    }
    // SAFETY: only `register` stores there, and it stores `Handler`s.
    let handler = unsafe { core::mem::transmute::<*mut (), Handler>(handler) };
    handler();
}
