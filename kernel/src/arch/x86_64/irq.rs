//! Interrupts of devices: who handles which, and the I/O APICs that carry them.

use core::ptr;
use core::sync::atomic::{AtomicPtr, AtomicU8, AtomicU64, Ordering};

use smp::SpinLock;
use x2apic::ioapic::{IoApic, IrqFlags, IrqMode, RedirectionTableEntry};
use x86_64::instructions::port::Port;

use super::{acpi, apic, per_cpu};
use crate::memory::{self, PhysAddr};

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
}

/// Called on the interrupt stack with interrupts off: record, wake, return.
pub type Handler = fn();

static HANDLERS: [AtomicPtr<()>; 256] = [const { AtomicPtr::new(ptr::null_mut()) }; 256];
static NEXT_VECTOR: AtomicU8 = AtomicU8::new(FIRST_VECTOR);
/// Interrupts nobody had registered for.
static STRAY: AtomicU64 = AtomicU64::new(0);
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

/// Takes a vector for an interrupt that a device raises by a message (MSI); see
/// `message` for what the device writes where.
pub fn allocate(handler: Handler) -> Result<u8, IrqError> {
    let vector = NEXT_VECTOR
        .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |next| {
            (next <= LAST_VECTOR).then(|| next + 1)
        })
        .map_err(|_| IrqError::NoVector)?;
    // Release pairs with the Acquire in `dispatch`.
    HANDLERS[usize::from(vector)].store(handler as *mut (), Ordering::Release);
    Ok(vector)
}

/// Address and data with which a device raises `vector` on the boot CPU (Intel
/// SDM volume 3, 11.11).
pub fn message(vector: u8) -> (u64, u32) {
    (0xfee0_0000 | u64::from(boot_apic_id()) << 12, vector.into())
}

/// Registers a handler for an ISA interrupt and lets it through.
pub fn register_isa(isa: u8, handler: Handler) -> Result<(), IrqError> {
    let found = acpi::machine()
        .overrides
        .as_slice()
        .iter()
        .find(|entry| entry.isa == isa);
    match found {
        Some(entry) => register_gsi(entry.gsi, entry.is_level, entry.is_active_low, handler),
        // ISA interrupts are edge triggered and active high.
        None => register_gsi(isa.into(), false, false, handler),
    }
}

/// Registers a handler for a global system interrupt and lets it through, to the
/// boot CPU.
pub fn register_gsi(
    gsi: u32,
    is_level: bool,
    is_active_low: bool,
    handler: Handler,
) -> Result<(), IrqError> {
    let mut lines = IO_APICS.lock();
    let line = lines
        .iter_mut()
        .flatten()
        .find(|line| (line.first_gsi..line.first_gsi + line.count).contains(&gsi))
        .ok_or(IrqError::NoSuchInterrupt)?;
    let input = (gsi - line.first_gsi) as u8;
    let mut flags = IrqFlags::empty();
    flags.set(IrqFlags::LEVEL_TRIGGERED, is_level);
    flags.set(IrqFlags::LOW_ACTIVE, is_active_low);
    let mut entry = RedirectionTableEntry::default();
    entry.set_vector(allocate(handler)?);
    entry.set_mode(IrqMode::Fixed);
    entry.set_flags(flags);
    entry.set_dest(boot_apic_id() as u8);
    // SAFETY: the vector has a handler; the input is within the table.
    unsafe { line.io_apic.set_table_entry(input, entry) };
    Ok(())
}

fn boot_apic_id() -> u32 {
    per_cpu::cpu(smp::CpuId(0)).map_or_else(apic::initial_id, |cpu| cpu.apic_id())
}

/// Calls the handler of a device's vector.
pub fn dispatch(vector: u8) {
    let handler = HANDLERS[usize::from(vector)].load(Ordering::Acquire);
    if handler.is_null() {
        STRAY.fetch_add(1, Ordering::Relaxed);
        return;
    }
    // SAFETY: only `allocate` stores there, and it stores `Handler`s.
    let handler = unsafe { core::mem::transmute::<*mut (), Handler>(handler) };
    handler();
}
