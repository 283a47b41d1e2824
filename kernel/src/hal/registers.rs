//! Registers of the CPU.

use super::call::Call;
use super::enter::enter;
use super::object::{self, Error, Result};
use crate::arch::registers;
use crate::memory::PAGE_SIZE;

/// `perf_counter()`.
pub fn counter(_: &Call) -> Result {
    object::int(registers::counter())
}

/// `perf_frequency()`.
pub fn frequency(_: &Call) -> Result {
    object::int(registers::counter_hz())
}

/// `read_cr2()`.
pub fn fault_address(_: &Call) -> Result {
    object::int(registers::fault_address())
}

/// `read_cr3()`.
pub fn page_table_root(_: &Call) -> Result {
    object::int(registers::page_table_root())
}

/// `write_cr3(value)`: there is one address space, so there is one value that can be written.
pub fn set_page_table_root(call: &Call) -> Result {
    if call.int(0, u64::MAX)? != registers::page_table_root() {
        return Err(Error::Value(c"no page tables are there"));
    }
    registers::forget_translations();
    object::none()
}

/// `invlpg(address)`: on every CPU, as the caller may be on any.
pub fn forget_translation(call: &Call) -> Result {
    let address = call.word(0)?;
    let page = address - address % PAGE_SIZE;
    enter(|| smp::shootdown(page, page.saturating_add(PAGE_SIZE)));
    object::none()
}
