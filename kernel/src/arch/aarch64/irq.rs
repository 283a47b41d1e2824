//! Interrupts of devices: which are in use, and whose.

use smp::SpinLock;

use super::{device_tree, gic};
use crate::interrupts;
pub use crate::interrupts::Handler;

/// What the numbers of a GIC's interrupts end before. A vector is such a number here.
pub const VECTORS: usize = 1020;

/// The first number of an interrupt that all CPUs share.
const FIRST_SHARED: u32 = 32;

/// Why an interrupt could not be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IrqError {
    /// Every vector is taken, or this machine has none for messages.
    NoVector,
    /// The controller has no such interrupt, or does not let it through.
    NoSuchInterrupt,
    /// It has a handler already.
    Taken,
}

/// What a number is used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Use {
    Free,
    Kernel,
    /// A device's that is dealt with later: the line is masked at each interrupt, until its driver says that
    /// it has been.
    KernelLine,
    /// The same, of a driver in Python.
    Line,
}

static USES: SpinLock<[Use; VECTORS]> = SpinLock::new([Use::Free; VECTORS]);

/// Has the kernel's `handler` called for a device's interrupt, by its number in the GIC, and lets it
/// through, to the boot CPU.
pub fn register(number: u32, name: &'static str, handler: Handler) -> Result<(), IrqError> {
    claim(number, Use::Kernel, name, Some(handler))
}

fn claim(
    number: u32,
    wanted: Use,
    name: &'static str,
    handler: Option<Handler>,
) -> Result<(), IrqError> {
    let mut uses = USES.lock();
    let place = uses
        .get_mut(number as usize)
        .filter(|_| number >= FIRST_SHARED)
        .ok_or(IrqError::NoSuchInterrupt)?;
    if *place != Use::Free {
        return Err(IrqError::Taken);
    }
    interrupts::add(number, name, handler);
    gic::enable_shared(number)?;
    *place = wanted;
    Ok(())
}

/// Has the kernel's `handler` called for an interrupt of a PCI function, by its bus and device and its pin. The
/// line masks itself each time, until `unmask`. Returns its vector.
pub fn register_pci_line(
    (bus, device): (u8, u8),
    pin: u8,
    name: &'static str,
    handler: Handler,
) -> Result<u32, IrqError> {
    let host = device_tree::machine().pci.as_ref();
    let number = host.and_then(|host| host.line(bus, device, pin));
    let number = number.ok_or(IrqError::NoSuchInterrupt)?;
    claim(number, Use::KernelLine, name, Some(handler))?;
    Ok(number)
}

/// Has the kernel's `handler` called for the interrupt of a device that no bus lists, by its number in the GIC.
/// The line masks itself each time, until `unmask`.
pub fn register_line(number: u32, name: &'static str, handler: Handler) -> Result<(), IrqError> {
    claim(number, Use::KernelLine, name, Some(handler))
}

/// There are no vectors for messages.
pub fn register_message(_name: &'static str, _handler: Handler) -> Result<u8, IrqError> {
    Err(IrqError::NoVector)
}

/// Interrupts by message want a controller that takes them, which is not driven yet.
pub fn allocate_messages(_name: &'static str, _count: u8) -> Result<u8, IrqError> {
    Err(IrqError::NoVector)
}

/// There are no vectors for messages.
pub fn message(_vector: u8) -> (u64, u32) {
    (0, 0)
}

/// Lets a line through that nobody handles but Python: a shared interrupt (`spi`), counted from 0 as the
/// device tree does. `None` if there is no such kind.
pub fn route(kind: &str, number: u32, name: &'static str) -> Option<Result<u32, IrqError>> {
    if kind != "spi" {
        return None;
    }
    let number = number.saturating_add(FIRST_SHARED);
    Some(claim(number, Use::Line, name, None).map(|()| number))
}

/// Masks a line of Python's for good. False if it is none.
pub fn free(number: u32) -> bool {
    let mut uses = USES.lock();
    match uses.get_mut(number as usize) {
        Some(place) if *place == Use::Line => {
            gic::disable_shared(number);
            *place = Use::Free;
            true
        }
        _ => false,
    }
}

/// Lets a line through again that masked itself; the kernel's need nothing. False if it is no device's.
pub fn unmask(number: u32) -> bool {
    let uses = USES.lock();
    match uses.get(number as usize) {
        Some(Use::Line | Use::KernelLine) => gic::enable_shared(number).is_ok(),
        Some(Use::Kernel) => true,
        _ => false,
    }
}

/// Takes an interrupt of a device.
pub fn dispatch(number: u32) {
    let uses = USES.lock();
    if let Some(Use::Line | Use::KernelLine) = uses.get(number as usize) {
        gic::disable_shared(number);
    }
    drop(uses);
    interrupts::take(number);
}

/// The vector of each CPU's timer.
pub fn timer_vector() -> u32 {
    device_tree::machine().timer
}

/// Names the vectors that every CPU has.
pub fn name_local() {
    interrupts::add(timer_vector(), "timer", None);
    interrupts::add(gic::SGI_RESCHEDULE, "reschedule", None);
    interrupts::add(gic::SGI_SHOOTDOWN, "TLB shootdown", None);
}
