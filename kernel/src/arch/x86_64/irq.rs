//! Interrupts of devices: their vectors, and the I/O APICs that carry them.

use smp::SpinLock;
use x2apic::ioapic::{IoApic, IrqFlags, IrqMode, RedirectionTableEntry};
use x86_64::instructions::port::Port;

use super::{acpi, apic, per_cpu};
use crate::interrupts;
pub use crate::interrupts::Handler;
use crate::memory::{self, PhysAddr};

/// How many vectors there are.
pub const VECTORS: usize = 256;
/// The vectors that devices get.
const FIRST_VECTOR: u8 = 0x30;
const LAST_VECTOR: u8 = 0xdf;

/// Why an interrupt could not be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IrqError {
    /// Every vector is taken.
    NoVector,
    /// No I/O APIC has this interrupt.
    NoSuchInterrupt,
    /// It has a handler already.
    Taken,
}

/// What a device's vector is used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Use {
    Free,
    Message,
    Line { gsi: u32, masks_itself: bool },
}

/// Lock order: this, then `IO_APICS`.
static USES: SpinLock<[Use; VECTORS]> = SpinLock::new([Use::Free; VECTORS]);
static IO_APICS: SpinLock<[Option<Line>; 16]> = SpinLock::new([const { None }; 16]);

/// An I/O APIC and its range of global system interrupts.
struct Line {
    io_apic: IoApic,
    first_gsi: u32,
    count: u32,
}

/// Maps the I/O APICs, all their inputs masked.
pub fn init() {
    let mut lines = IO_APICS.lock();
    for (info, place) in acpi::machine()
        .io_apics
        .as_slice()
        .iter()
        .zip(lines.iter_mut())
    {
        // SAFETY: ACPI says that the I/O APIC's registers are there; this is its
        // only driver, and device mappings are never undone.
        let mut io_apic = unsafe {
            let registers = memory::map_mmio(PhysAddr(info.address), memory::PAGE_SIZE);
            IoApic::new(registers as u64)
        };
        // SAFETY: reads the version register, then masks every input.
        let count = unsafe {
            let last = io_apic.max_table_entry();
            (0..=last).for_each(|input| io_apic.disable_irq(input));
            u32::from(last) + 1
        };
        *place = Some(Line {
            io_apic,
            first_gsi: info.first_gsi,
            count,
        });
    }
}

/// Moves the 8259s' interrupts away from the exceptions and masks them all: even
/// masked they may raise a spurious one.
///
/// To be called while the local APIC still lets them through, as the firmware
/// leaves it: a request that is pending then is taken back. Emulators are known to
/// keep one that can no longer be taken back, and to fault on it.
pub fn silence_8259() {
    // SAFETY: the ports of the two 8259s; machines without them ignore this.
    unsafe {
        let [mut command1, mut command2] = [Port::<u8>::new(0x20), Port::<u8>::new(0xa0)];
        let [mut data1, mut data2] = [Port::<u8>::new(0x21), Port::<u8>::new(0xa1)];
        // Initialisation words: cascaded, vectors 0x20 and 0x28, wiring, 8086 mode.
        command1.write(0x11);
        command2.write(0x11);
        data1.write(0x20);
        data2.write(0x28);
        data1.write(4);
        data2.write(2);
        data1.write(1);
        data2.write(1);
        data1.write(0xff);
        data2.write(0xff);
    }
}

/// Takes `count` vectors in a row, a power of two and a multiple of itself, for interrupts that a device
/// raises by messages (MSI); see `message` for what the device writes where.
pub fn allocate_messages(name: &'static str, count: u8) -> Result<u8, IrqError> {
    let mut uses = USES.lock();
    let first = find_free(&uses, count)?;
    for vector in first..first + count {
        uses[usize::from(vector)] = Use::Message;
        interrupts::add(vector.into(), name, None);
    }
    Ok(first)
}

/// Takes a vector for a device whose interrupts, raised by messages, the kernel handles.
pub fn register_message(name: &'static str, handler: Handler) -> Result<u8, IrqError> {
    let vector = allocate_messages(name, 1)?;
    interrupts::add(vector.into(), name, Some(handler));
    Ok(vector)
}

/// Which line a PCI function's pin leads to is in ACPI's byte code, which nobody runs here: there are messages.
pub fn register_pci_line(
    _place: (u8, u8),
    _pin: u8,
    _name: &'static str,
    _handler: Handler,
) -> Result<u32, IrqError> {
    Err(IrqError::NoSuchInterrupt)
}

/// Every device of a PC is on a bus.
pub fn register_line(_number: u32, _name: &'static str, _handler: Handler) -> Result<(), IrqError> {
    Err(IrqError::NoSuchInterrupt)
}

fn find_free(uses: &[Use; VECTORS], count: u8) -> Result<u8, IrqError> {
    let is_free = |&first: &u8| {
        let last = first + (count - 1);
        last <= LAST_VECTOR && (first..=last).all(|vector| uses[usize::from(vector)] == Use::Free)
    };
    (FIRST_VECTOR..=LAST_VECTOR)
        .step_by(count.into())
        .find(is_free)
        .ok_or(IrqError::NoVector)
}

/// Gives a vector back; its line, if it has one, is masked. False if it is no device's.
pub fn free(vector: u32) -> bool {
    let mut uses = USES.lock();
    let Some(place) = uses.get_mut(vector as usize) else {
        return false;
    };
    if let Use::Line { gsi, .. } = *place {
        with_input(gsi, |line, input| {
            // SAFETY: the input is within the table.
            unsafe { line.io_apic.disable_irq(input) };
        });
    }
    let was_used = *place != Use::Free;
    *place = Use::Free;
    was_used
}

/// Address and data with which a device raises `vector` on the boot CPU (Intel
/// SDM volume 3, 11.11).
pub fn message(vector: u8) -> (u64, u32) {
    (0xfee0_0000 | u64::from(boot_apic_id()) << 12, vector.into())
}

/// Has the kernel's `handler` called for an ISA interrupt, and lets it through.
pub fn register_isa(isa: u8, name: &'static str, handler: Handler) -> Result<u8, IrqError> {
    let (gsi, is_level, is_active_low) = find_isa(isa);
    route_line(name, gsi, is_level, is_active_low, Some(handler))
}

fn find_isa(isa: u8) -> (u32, bool, bool) {
    let found = acpi::machine()
        .overrides
        .as_slice()
        .iter()
        .find(|entry| entry.isa == isa);
    // ISA interrupts are edge triggered and active high.
    found.map_or((isa.into(), false, false), |entry| {
        (entry.gsi, entry.is_level, entry.is_active_low)
    })
}

/// Lets a line through that nobody handles but Python: an ISA interrupt (`isa`), or a global system
/// interrupt (`gsi`), which is one of PCI's if it is none of ISA's. `None` if there is no such kind.
pub fn route(kind: &str, number: u32, name: &'static str) -> Option<Result<u32, IrqError>> {
    const ISA_LINES: u32 = 16;
    let isa = u8::try_from(number)
        .ok()
        .filter(|&isa| u32::from(isa) < ISA_LINES);
    let (gsi, is_level, is_active_low) = match (kind, isa) {
        ("isa", Some(isa)) => find_isa(isa),
        ("isa", None) => return Some(Err(IrqError::NoSuchInterrupt)),
        ("gsi", Some(_)) => (number, false, false),
        // PCI's are level triggered and active low.
        ("gsi", None) => (number, true, true),
        _ => return None,
    };
    let vector = route_line(name, gsi, is_level, is_active_low, None);
    Some(vector.map(u32::from))
}

/// Lets a line through, to the boot CPU. A level-triggered one that only Python handles is masked at each
/// interrupt, until Python says that the device has been dealt with.
fn route_line(
    name: &'static str,
    gsi: u32,
    is_level: bool,
    is_active_low: bool,
    handler: Option<Handler>,
) -> Result<u8, IrqError> {
    let mut uses = USES.lock();
    let is_it = |used: &Use| matches!(used, Use::Line { gsi: other, .. } if *other == gsi);
    if uses.iter().any(is_it) {
        return Err(IrqError::Taken);
    }
    let vector = find_free(&uses, 1)?;
    let mut flags = IrqFlags::empty();
    flags.set(IrqFlags::LEVEL_TRIGGERED, is_level);
    flags.set(IrqFlags::LOW_ACTIVE, is_active_low);
    let mut entry = RedirectionTableEntry::default();
    entry.set_vector(vector);
    entry.set_mode(IrqMode::Fixed);
    entry.set_flags(flags);
    entry.set_dest(boot_apic_id() as u8);
    interrupts::add(vector.into(), name, handler);
    with_input(gsi, |line, input| {
        // SAFETY: the vector has a handler; the input is within the table.
        unsafe { line.io_apic.set_table_entry(input, entry) };
    })
    .ok_or(IrqError::NoSuchInterrupt)?;
    uses[usize::from(vector)] = Use::Line {
        gsi,
        masks_itself: is_level && handler.is_none(),
    };
    Ok(vector)
}

/// Runs `f` on the I/O APIC of a global system interrupt, and the number of its input; `None` if there is none.
fn with_input<R>(gsi: u32, f: impl FnOnce(&mut Line, u8) -> R) -> Option<R> {
    let mut lines = IO_APICS.lock();
    let line = lines
        .iter_mut()
        .flatten()
        .find(|line| (line.first_gsi..line.first_gsi + line.count).contains(&gsi))?;
    let input = (gsi - line.first_gsi) as u8;
    Some(f(line, input))
}

/// Lets a line through again that masked itself; any other vector needs nothing. False if it is no device's.
pub fn unmask(vector: u32) -> bool {
    let used = USES.lock().get(vector as usize).copied();
    if let Some(Use::Line {
        gsi,
        masks_itself: true,
    }) = used
    {
        with_input(gsi, |line, input| {
            // SAFETY: the input is set up, and its vector has a handler.
            unsafe { line.io_apic.enable_irq(input) };
        });
    }
    used.is_some_and(|used| used != Use::Free)
}

fn boot_apic_id() -> u32 {
    per_cpu::cpu(smp::CpuId(0)).map_or_else(apic::initial_id, |cpu| cpu.apic_id())
}

/// Takes an interrupt of a device.
pub fn dispatch(vector: u8) {
    if let Use::Line {
        gsi,
        masks_itself: true,
    } = USES.lock()[usize::from(vector)]
    {
        with_input(gsi, |line, input| {
            // SAFETY: the input is within the table.
            unsafe { line.io_apic.disable_irq(input) };
        });
    }
    interrupts::take(vector.into());
}

/// The vector of each CPU's timer.
pub fn timer_vector() -> u32 {
    apic::VECTOR_TIMER.into()
}

/// Names the vectors that every CPU has.
pub fn name_local() {
    interrupts::add(apic::VECTOR_TIMER.into(), "timer", None);
    interrupts::add(apic::VECTOR_RESCHEDULE.into(), "reschedule", None);
    interrupts::add(apic::VECTOR_SHOOTDOWN.into(), "TLB shootdown", None);
}
