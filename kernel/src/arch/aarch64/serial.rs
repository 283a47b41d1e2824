//! The PL011 serial port that the device tree names: the system's console.
//!
//! Register access and set-up are the `arm-pl011-uart` crate's. Output is polled, with interrupts off for no
//! longer than a FIFO; `log` decides who may write. Input arrives by interrupt.

use core::ptr::NonNull;
use core::sync::atomic::{AtomicBool, AtomicPtr, Ordering};

use arm_pl011_uart::{
    DataBits, Interrupts, LineConfig, PL011Registers, Parity, StopBits, Uart, UniqueMmioPointer,
};
use spin::{Mutex, Once};

use super::cpu::without_interrupts;
use super::{device_tree, irq, page_table};

const BAUD_RATE: u32 = 115_200;

/// UARTLCR_H, with its FIFO bit and words of 8 bits (Arm DDI 0183, 3.3.7).
const LINE_CONTROL: usize = 0x2c;
const FIFO: u32 = 1 << 4;
const EIGHT_BITS: u32 = 3 << 5;
/// UARTCR, and both directions on (3.3.8).
const CONTROL: usize = 0x30;
const ENABLE: u32 = 0x301;

struct Port(Uart<'static>);

// SAFETY: it holds the address of registers that every CPU may use.
unsafe impl Send for Port {}

static UART: Once<Mutex<Port>> = Once::new();
/// Called when bytes have arrived.
static HANDLER: AtomicPtr<()> = AtomicPtr::new(core::ptr::null_mut());
/// The port may interrupt: bytes that come are to be told of.
static IS_LISTENING: AtomicBool = AtomicBool::new(false);

/// The port's registers; `None` on a machine without.
fn registers() -> Option<NonNull<PL011Registers>> {
    let physical = page_table::early_device()?.start as usize;
    let address = page_table::direct_map() + physical;
    NonNull::new(core::ptr::with_exposed_provenance_mut(address))
}

/// Returns the vector of its interrupt, if it has one.
pub fn vector() -> Option<u32> {
    IS_LISTENING
        .load(Ordering::Relaxed)
        .then(|| device_tree::machine().serial.map(|serial| serial.interrupt))
        .flatten()
}

/// Sets the port to 115200 baud, 8N1. A machine without the port runs on
/// silently: there is no other place to complain.
pub fn init() {
    let Some(registers) = registers() else { return };
    // SAFETY: the device tree says that the registers are there, and all page tables show them in the
    // direct map; only this module uses them.
    let mut uart = Uart::new(unsafe { UniqueMmioPointer::new(registers) });
    let clock_hz = device_tree::machine()
        .serial
        .and_then(|serial| serial.clock_hz);
    if let Some(clock_hz) = clock_hz {
        let line = LineConfig {
            data_bits: DataBits::Bits8,
            parity: Parity::None,
            stop_bits: StopBits::One,
        };
        if has_early_input(&uart, registers) {
            enable_without_fifo(registers);
        } else {
            // Where the rate cannot be had, the firmware's remains.
            let _ = uart.enable(line, BAUD_RATE, clock_hz);
        }
    }
    uart.set_interrupt_masks(Interrupts::empty());
    UART.call_once(|| Mutex::new(Port(uart)));
}

/// Tells whether turning the FIFO on would lose what has been typed already: that empties the port. (To turn on
/// what is on does not.)
fn has_early_input(uart: &Uart, registers: NonNull<PL011Registers>) -> bool {
    // SAFETY: the port's register; reading it changes nothing.
    let line_control = unsafe { register(registers, LINE_CONTROL).read_volatile() };
    line_control & FIFO == 0 && !uart.is_rx_fifo_empty()
}

/// Sets the port to 8N1 without a FIFO, at the rate that it has.
fn enable_without_fifo(registers: NonNull<PL011Registers>) {
    // SAFETY: the port's registers, which only this module uses.
    unsafe {
        register(registers, LINE_CONTROL).write_volatile(EIGHT_BITS);
        register(registers, CONTROL).write_volatile(ENABLE);
    }
}

/// Where a register is (Arm DDI 0183, 3.2).
fn register(registers: NonNull<PL011Registers>, offset: usize) -> NonNull<u32> {
    // SAFETY: all offsets here are within the registers.
    unsafe { registers.byte_add(offset) }.cast()
}

/// Runs `f` on the port.
fn with<R>(f: impl FnOnce(&mut Uart<'static>) -> R) -> Option<R> {
    let uart = UART.get()?;
    without_interrupts(|| Some(f(&mut uart.lock().0)))
}

/// Writes up to one FIFO of `bytes` if the transmitter is ready; returns how
/// many were taken.
pub fn try_write(bytes: &[u8]) -> usize {
    let send = |uart: &mut Uart| {
        let taken = bytes.iter().take_while(|&&byte| {
            let has_room = !uart.is_tx_fifo_full();
            if has_room {
                uart.write_word(byte);
            }
            has_room
        });
        taken.count()
    };
    with(send).unwrap_or(bytes.len())
}

/// Writes all of `bytes`, waiting for the transmitter with interrupts as the
/// caller has them.
pub fn write(bytes: &[u8]) {
    /// What a FIFO of the smallest port holds.
    const BURST: usize = 16;
    for mut burst in bytes.chunks(BURST) {
        while !burst.is_empty() {
            let taken = try_write(burst);
            burst = &burst[taken..];
            if taken == 0 {
                core::hint::spin_loop();
            }
        }
    }
}

/// Writes all of `bytes` for a fault report, when the other CPUs have stopped:
/// whoever held the port will not come back to it.
pub fn write_in_report(bytes: &[u8]) {
    let Some(registers) = registers() else { return };
    // SAFETY: only the reporting CPU runs, with interrupts off, so no other
    // access to the registers can happen meanwhile.
    let mut uart = Uart::new(unsafe { UniqueMmioPointer::new(registers) });
    for &byte in bytes {
        while uart.is_tx_fifo_full() {
            core::hint::spin_loop();
        }
        uart.write_word(byte);
    }
}

/// Takes one received byte, if there is any.
pub fn try_read() -> Option<u8> {
    with(|uart| {
        loop {
            match uart.read_word() {
                Ok(Some(byte)) => return Some(byte),
                Ok(None) => break,
                // A byte that arrived broken is dropped; the next may be good.
                Err(_) => {}
            }
        }
        // All is taken: the next byte is to interrupt. One that came in between does so at once.
        if IS_LISTENING.load(Ordering::Relaxed) {
            uart.set_interrupt_masks(Interrupts::RXI | Interrupts::RTI);
        }
        None
    })
    .flatten()
}

/// Has `handler` called, on an exception stack, when bytes have arrived. It need not take them
/// all: the next interrupt comes for the first byte after all have been taken.
pub fn listen(handler: irq::Handler) -> Result<(), irq::IrqError> {
    let Some(serial) = device_tree::machine().serial else {
        return Err(irq::IrqError::NoSuchInterrupt);
    };
    HANDLER.store(handler as *mut (), Ordering::Relaxed);
    irq::register(serial.interrupt, "console", on_interrupt)?;
    // For what came before there were interrupts.
    without_interrupts(handler);
    IS_LISTENING.store(true, Ordering::Relaxed);
    with(|uart| uart.set_interrupt_masks(Interrupts::RXI | Interrupts::RTI));
    Ok(())
}

/// The line stays up until the bytes are taken, which a thread does: so it is masked until then.
fn on_interrupt() {
    with(|uart| uart.set_interrupt_masks(Interrupts::empty()));
    let handler = HANDLER.load(Ordering::Relaxed);
    // SAFETY: `listen` stored a `Handler` before it let the interrupt through.
    let handler = unsafe { core::mem::transmute::<*mut (), irq::Handler>(handler) };
    handler();
}
