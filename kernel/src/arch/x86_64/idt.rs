//! The interrupt descriptor table: one for all CPUs, since the interrupt stacks
//! it names are each CPU's own.

use spin::Once;
use x86_64::VirtAddr;
use x86_64::structures::idt::InterruptDescriptorTable;

use super::gdt::{
    IST_DOUBLE_FAULT, IST_EXCEPTION, IST_INTERRUPT, IST_MACHINE_CHECK, IST_NMI, IST_PAGE_FAULT,
};
use super::trap_stubs::stub;

static IDT: Once<InterruptDescriptorTable> = Once::new();

/// Loads the table on this CPU; the first call fills it.
pub fn init() {
    IDT.call_once(build).load();
}

fn build() -> InterruptDescriptorTable {
    let mut idt = InterruptDescriptorTable::new();
    macro_rules! exception {
        ($name:ident, $vector:literal, $ist:expr) => {
            // SAFETY: the stub takes this vector's frame, with its error code if
            // it has one, and returns by `iretq`; the IST entry is set on every
            // CPU. The crate counts IST entries from 0.
            unsafe {
                idt.$name
                    .set_handler_addr(VirtAddr::new(stub($vector)))
                    .set_stack_index($ist as u16 - 1);
            }
        };
    }
    exception!(divide_error, 0, IST_EXCEPTION);
    exception!(debug, 1, IST_EXCEPTION);
    exception!(non_maskable_interrupt, 2, IST_NMI);
    exception!(breakpoint, 3, IST_EXCEPTION);
    exception!(overflow, 4, IST_EXCEPTION);
    exception!(bound_range_exceeded, 5, IST_EXCEPTION);
    exception!(invalid_opcode, 6, IST_EXCEPTION);
    exception!(device_not_available, 7, IST_EXCEPTION);
    exception!(double_fault, 8, IST_DOUBLE_FAULT);
    exception!(invalid_tss, 10, IST_EXCEPTION);
    exception!(segment_not_present, 11, IST_EXCEPTION);
    exception!(stack_segment_fault, 12, IST_EXCEPTION);
    exception!(general_protection_fault, 13, IST_EXCEPTION);
    exception!(page_fault, 14, IST_PAGE_FAULT);
    exception!(x87_floating_point, 16, IST_EXCEPTION);
    exception!(alignment_check, 17, IST_EXCEPTION);
    exception!(machine_check, 18, IST_MACHINE_CHECK);
    exception!(simd_floating_point, 19, IST_EXCEPTION);
    exception!(virtualization, 20, IST_EXCEPTION);
    exception!(cp_protection_exception, 21, IST_EXCEPTION);
    exception!(hv_injection_exception, 28, IST_EXCEPTION);
    exception!(vmm_communication_exception, 29, IST_EXCEPTION);
    exception!(security_exception, 30, IST_EXCEPTION);
    for vector in 32..=255 {
        // SAFETY: as above.
        unsafe {
            idt[vector]
                .set_handler_addr(VirtAddr::new(stub(vector)))
                .set_stack_index(IST_INTERRUPT as u16 - 1);
        }
    }
    idt
}
