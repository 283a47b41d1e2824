//! Where the parts of the image lie, as kernel/x86_64.ld places them.

use core::ops::Range;

use crate::boot::PhysRange;

unsafe extern "C" {
    static __image_start: u8;
    static __image_end: u8;
    static __text_start: u8;
    static __text_end: u8;
    static __rodata_end: u8;
    static __ksyms_start: u8;
    static __ksyms_end: u8;
    static __program_headers: u8;
}

/// The whole image, physical addresses (which are its virtual ones).
pub fn range() -> PhysRange {
    PhysRange {
        start: &raw const __image_start as u64,
        end: &raw const __image_end as u64,
    }
}

/// The image's code.
pub fn text() -> Range<usize> {
    &raw const __text_start as usize..&raw const __text_end as usize
}

/// The program that runs, as far as it is constant: ELF header, code and constants.
pub fn program() -> &'static [u8] {
    let start = &raw const __image_start;
    // SAFETY: the linker script puts these parts between the two symbols, the code first;
    // nothing writes there.
    unsafe {
        core::slice::from_raw_parts(start, (&raw const __rodata_end).offset_from_unsigned(start))
    }
}

/// The symbol table, in the format of `symbols`; empty in an image that was
/// linked once.
pub fn symbol_table() -> &'static [u8] {
    let start = &raw const __ksyms_start;
    // SAFETY: the linker script puts the table between the two symbols, in
    // constant memory.
    unsafe {
        core::slice::from_raw_parts(start, (&raw const __ksyms_end).offset_from_unsigned(start))
    }
}

/// Address, size of one, and number of the ELF program headers, for the
/// auxiliary vector's AT_PHDR, AT_PHENT and AT_PHNUM.
pub fn program_headers() -> (usize, usize, usize) {
    let header = &raw const __image_start;
    // SAFETY: the image begins with its ELF header, of which e_phentsize and
    // e_phnum are the 16-bit words at 54 and 56 (ELF-64 object file format).
    unsafe {
        let entry_size = header.add(54).cast::<u16>().read();
        let count = header.add(56).cast::<u16>().read();
        (
            &raw const __program_headers as usize,
            entry_size.into(),
            count.into(),
        )
    }
}
