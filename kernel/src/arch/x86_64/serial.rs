//! The first serial port (COM1): the system's console.
//!
//! Register access and set-up are the `uart_16550` crate's. Output is polled, in
//! bursts of one transmit FIFO, with interrupts off for no longer than a burst;
//! `log` decides who may write. Input arrives by interrupt.

use core::sync::atomic::{AtomicU32, Ordering};

use spin::Mutex;
use uart_16550::backend::PioBackend;
use uart_16550::spec::registers::{IER, LSR, MCR, offsets};
use uart_16550::{BaudRate, Config, Uart16550};
use x86_64::instructions::port::Port;

use super::cpu::without_interrupts;
use super::early_input::EarlyInput;
use super::irq;

/// COM1's first I/O port.
const COM1: u16 = 0x3f8;
/// COM1's line on the ISA bus.
pub const ISA_IRQ: u8 = 4;

const fn com1() -> Uart16550<PioBackend> {
    // SAFETY: the ports 0x3f8 to 0x3ff belong to COM1 on every PC, and only this
    // module touches them.
    match unsafe { Uart16550::new_port(COM1) } {
        Ok(uart) => uart,
        Err(_) => panic!("COM1's ports are in range"),
    }
}

static UART: Mutex<Uart16550<PioBackend>> = Mutex::new(com1());

static EARLY: Mutex<EarlyInput> = Mutex::new(EarlyInput::new());

/// The vector of its interrupt; 0 while it has none.
static VECTOR: AtomicU32 = AtomicU32::new(0);

/// Returns the vector of its interrupt, if it has one.
pub fn vector() -> Option<u32> {
    Some(VECTOR.load(Ordering::Relaxed)).filter(|&vector| vector != 0)
}

/// Sets the port to 115200 baud, 8N1. A machine without the port runs on
/// silently: there is no other place to complain.
pub fn init() {
    without_interrupts(|| {
        let mut uart = UART.lock();
        keep_received();
        let config = Config {
            baud_rate: BaudRate::Baud115200,
            ..Config::DEFAULT
        };
        let _ = uart.init(config);
    });
}

/// Takes what has been typed already. In loop-back nothing more comes in, until `init` ends that.
fn keep_received() {
    let register = |offset: usize| Port::<u8>::new(COM1 + offset as u16);
    // SAFETY: COM1's registers, whose lock the caller holds.
    unsafe {
        // Where there is no port, all bits are set; a port never sets all of these.
        if register(offsets::LSR).read() == u8::MAX {
            return;
        }
        register(offsets::MCR).write(MCR::LOOP_BACK.bits());
        EARLY.lock().fill(|| {
            let has_byte = register(offsets::LSR).read() & LSR::DATA_READY.bits() != 0;
            has_byte.then(|| register(offsets::DATA).read())
        });
    }
}

/// Writes up to one FIFO of `bytes` if the transmitter is ready; returns how
/// many were taken.
pub fn try_write(bytes: &[u8]) -> usize {
    without_interrupts(|| UART.lock().send_bytes(bytes))
}

/// Writes all of `bytes`, waiting for the transmitter with interrupts as the
/// caller has them.
pub fn write(mut bytes: &[u8]) {
    while !bytes.is_empty() {
        let taken = try_write(bytes);
        bytes = &bytes[taken..];
        if taken == 0 {
            core::hint::spin_loop();
        }
    }
}

/// Writes all of `bytes` for a fault report, when the other CPUs have stopped:
/// whoever held the port will not come back to it.
pub fn write_in_report(bytes: &[u8]) {
    // SAFETY: only the reporting CPU runs, with interrupts off, so no other
    // access to the ports can happen meanwhile.
    let mut uart = unsafe { Uart16550::new_port(COM1) }.expect("COM1's ports are in range");
    uart.send_bytes_exact(bytes);
}

/// Takes one received byte, if there is any.
pub fn try_read() -> Option<u8> {
    without_interrupts(|| {
        let early = EARLY.lock().take();
        early.or_else(|| UART.lock().try_receive_byte().ok())
    })
}

/// Has `handler` called, on an interrupt stack, when bytes have arrived. It need not take them
/// all: the next interrupt comes for the first byte after all have been taken.
pub fn listen(handler: irq::Handler) -> Result<(), irq::IrqError> {
    let vector = irq::register_isa(ISA_IRQ, "console", handler)?;
    VECTOR.store(vector.into(), Ordering::Relaxed);
    without_interrupts(|| {
        // For what came before there were interrupts.
        handler();
        UART.lock().enable_interrupts(IER::DATA_READY);
    });
    Ok(())
}
