//! The PC: x86-64 with APIC, ACPI, and a 16550 serial port.

mod acpi;
mod apic;
mod clock;
mod context;
mod cpu;
mod cpu_description;
pub mod device_access;
mod early_input;
mod early_map;
pub mod entropy;
pub mod entry;
mod fpu;
mod gdt;
pub mod guarded;
mod idt;
pub mod image;
pub mod irq;
mod legacy;
mod machine;
mod multiboot2;
pub mod page_copy;
pub mod page_table;
pub mod pci;
mod per_cpu;
pub mod ports;
pub mod power;
mod preempt;
mod pvh;
pub mod registers;
pub mod rtc;
mod secondary;
pub mod serial;
mod signal;
mod start;
mod syscall;
mod trap_stubs;
mod traps;
mod user_context;
pub mod user_copy;

pub use clock::now_ns as uptime_ns;
pub use context::{call_on_interrupt_stack, call_on_stack, enter_user, suspended_position};
pub use cpu::{
    brand, disable_interrupts, divert_calls, halt_forever, has_python_thread, hwcap, relax,
    set_thread_pointer, stack_pointer, stop_other_cpus, without_interrupts,
};
pub use cpu_description::describe_cpu;
pub use legacy::{LEGACY_CALLS, LEGACY_NAMES};
pub use machine::Machine;
pub use per_cpu::{current as current_thread, this_cpu_id as this_cpu};
pub use signal::report_fatal_signal;
pub use start::{
    cpu_count, init_early, init_interrupts, start_secondary_cpus, wait_for_secondary_cpus,
};
pub use syscall::user_stack_pointer;
pub use traps::{StoppedCpu, capture_registers, code_position, describe_registers, stopped_cpu};
pub use user_context::{Registers, UserContext};

/// What uname(2) calls this kind of machine.
pub const MACHINE_NAME: &str = "x86_64";

/// Returns where registers of virtio devices are that no bus lists: a PC has none.
pub fn virtio_registers() -> &'static [crate::boot::VirtioPlace] {
    &[]
}
