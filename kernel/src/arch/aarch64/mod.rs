//! 64-bit ARM: a device tree, a GIC, PSCI, the generic timer, and a PL011 serial port.

mod clock;
mod context;
mod cpu;
mod cpu_description;
pub mod device_access;
mod device_tree;
pub mod entropy;
mod entry;
mod gic;
pub mod guarded;
pub mod image;
pub mod irq;
mod legacy;
mod machine;
pub mod page_copy;
pub mod page_table;
pub mod pci;
mod per_cpu;
pub mod ports;
pub mod power;
mod preempt;
pub mod registers;
pub mod rtc;
mod secondary;
pub mod serial;
mod signal;
mod start;
mod syscall;
mod traps;
mod user_context;
pub mod user_copy;
mod vectors;

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
pub const MACHINE_NAME: &str = "aarch64";

/// Returns where registers of virtio devices are.
pub fn virtio_registers() -> &'static [crate::boot::VirtioPlace] {
    device_tree::machine().virtio()
}
