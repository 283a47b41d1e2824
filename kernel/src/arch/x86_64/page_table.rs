//! Page tables: how x86_64 writes an entry, and how it is told to use a table.

/// Returns where physical address 0 is seen: the start of the direct map (`docs/memory-map.md`).
#[inline]
pub const fn direct_map() -> usize {
    0xffff_8000_0000_0000
}
