//! The image's symbol table, for backtraces.
//!
//! The second link puts it into the section `.ksyms` (tests/harness/link.py):
//! a u32 count, then as many pairs of u32 address and u32 offset of the name from
//! the table's start, by ascending address, then the names, each with a NUL. All little endian.

/// A function and how far into it an address is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Symbol<'a> {
    pub name: &'a str,
    pub offset: usize,
}

/// Finds the function that contains `address` in a table.
fn find(table: &[u8], address: usize) -> Option<Symbol<'_>> {
    let word = |at: usize| -> Option<usize> {
        let bytes = table.get(at..at + 4)?;
        Some(u32::from_le_bytes(bytes.try_into().ok()?) as usize)
    };
    let count = word(0)?;
    let (mut low, mut high) = (0, count);
    while low < high {
        let middle = low + (high - low) / 2;
        if word(4 + 8 * middle)? <= address {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    let entry = 4 + 8 * low.checked_sub(1)?;
    let start = word(entry)?;
    let name = table.get(word(entry + 4)?..)?;
    let end = name.iter().position(|&byte| byte == 0)?;
    Some(Symbol {
        name: core::str::from_utf8(&name[..end]).ok()?,
        offset: address - start,
    })
}

/// Finds the function of the image that contains `address`; `None` for an
/// address outside the image's code, and in an image without a table.
#[cfg(target_os = "none")]
pub fn lookup(address: usize) -> Option<Symbol<'static>> {
    use crate::arch::image;
    if !image::text().contains(&address) {
        return None;
    }
    find(image::symbol_table(), address)
}

#[cfg(test)]
mod tests {
    use super::{Symbol, find};

    fn table(symbols: &[(u32, &str)]) -> Vec<u8> {
        let mut table = (symbols.len() as u32).to_le_bytes().to_vec();
        let mut names = Vec::new();
        let names_start = 4 + 8 * symbols.len();
        for (address, name) in symbols {
            table.extend(address.to_le_bytes());
            table.extend(((names_start + names.len()) as u32).to_le_bytes());
            names.extend(name.as_bytes());
            names.push(0);
        }
        table.extend(names);
        table
    }

    #[test]
    fn finds_the_function_around_an_address() {
        let table = table(&[
            (0x1000, "start"),
            (0x1040, "kernel::boot::read"),
            (0x2000, "memcpy"),
        ]);
        let at = |address| find(&table, address);
        assert_eq!(at(0xfff), None);
        assert_eq!(
            at(0x1000),
            Some(Symbol {
                name: "start",
                offset: 0
            })
        );
        assert_eq!(
            at(0x103f),
            Some(Symbol {
                name: "start",
                offset: 0x3f
            })
        );
        assert_eq!(
            at(0x1042),
            Some(Symbol {
                name: "kernel::boot::read",
                offset: 2
            })
        );
        assert_eq!(
            at(0x9999),
            Some(Symbol {
                name: "memcpy",
                offset: 0x7999
            })
        );
    }

    #[test]
    fn a_missing_or_broken_table_finds_nothing() {
        assert_eq!(find(&[], 0x1000), None);
        assert_eq!(find(&table(&[]), 0x1000), None);
        let mut cut = table(&[(0x1000, "start")]);
        cut.truncate(9);
        assert_eq!(find(&cut, 0x1000), None);
    }
}
