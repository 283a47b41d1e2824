//! Where the parts of the image lie, as kernel/aarch64.ld places them.

use core::ops::Range;

use linux_raw_sys::elf::{Elf_Phdr, PF_R, PT_TLS};
use spin::Once;

unsafe extern "C" {
    static __image_start: u8;
    static __image_end: u8;
    static __text_start: u8;
    static __text_end: u8;
    static __rodata_end: u8;
    static __ksyms_start: u8;
    static __ksyms_end: u8;
    static __tls_start: u8;
    static __tls_file_size: u8;
    static __tls_memory_size: u8;
    static __tls_alignment: u8;
}

/// The whole image, as it sees itself.
pub fn addresses() -> Range<usize> {
    (&raw const __image_start).addr()..(&raw const __image_end).addr()
}

/// The image's code.
pub fn text() -> Range<usize> {
    (&raw const __text_start).addr()..(&raw const __text_end).addr()
}

/// The program that runs, as far as it is constant: code and constants.
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
///
/// The image is a flat file without ELF headers. What C reads of them is where the initial values of
/// thread-local variables are, so that header is made here, from the linker script's symbols.
pub fn program_headers() -> (usize, usize, usize) {
    static HEADERS: Once<[Elf_Phdr; 1]> = Once::new();
    let headers = HEADERS.call_once(|| {
        let start = (&raw const __tls_start).addr();
        [Elf_Phdr {
            p_type: PT_TLS,
            p_flags: PF_R,
            p_offset: start - addresses().start,
            p_vaddr: start,
            p_paddr: start,
            // These symbols' addresses are numbers.
            p_filesz: (&raw const __tls_file_size).addr(),
            p_memsz: (&raw const __tls_memory_size).addr(),
            p_align: (&raw const __tls_alignment).addr(),
        }]
    });
    (
        headers.as_ptr().addr(),
        size_of::<Elf_Phdr>(),
        headers.len(),
    )
}
