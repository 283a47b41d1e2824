//! Reading a cpio archive of format newc (`070701`, or `070702` with checksums) where it lies.
//!
//! Several archives may follow each other with zeros between, as Linux allows for an initramfs.
#![forbid(unsafe_code)]

/// Length of a header: the magic and 13 numbers of 8 hexadecimal digits.
const HEADER: usize = 110;
const TRAILER: &[u8] = b"TRAILER!!!";

/// One file of an archive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry<'a> {
    /// How many archives came before its own.
    pub archive: u32,
    /// Its number in the archive; names of one file share it.
    pub inode: u32,
    /// Type and permissions.
    pub mode: u32,
    /// How many names it has.
    pub links: u32,
    /// Time of modification, in seconds since 1970.
    pub modified: u32,
    /// Its path, without a slash before it.
    pub path: &'a [u8],
    /// Content, or the target of a link.
    pub data: &'a [u8],
}

/// What is wrong with an archive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadArchive {
    /// Where the bad header is.
    pub offset: usize,
}

/// The entries of all archives in `bytes`, one after the other.
pub struct Entries<'a> {
    bytes: &'a [u8],
    at: usize,
    archive: u32,
}

impl<'a> Entries<'a> {
    /// Begins with the first.
    pub fn new(bytes: &'a [u8]) -> Self {
        Entries {
            bytes,
            at: 0,
            archive: 0,
        }
    }

    /// Reads the entry at `self.at` and steps behind it; `None` if it is not whole.
    fn read(&mut self) -> Option<Entry<'a>> {
        let header = self.bytes.get(self.at..)?.get(..HEADER)?;
        if !matches!(&header[..6], b"070701" | b"070702") {
            return None;
        }
        let field = |index: usize| hexadecimal(&header[6 + index * 8..14 + index * 8]);
        let size = field(6)? as usize;
        let name_start = self.at + HEADER;
        let name_end = name_start.checked_add(field(11)? as usize)?;
        let data_start = name_end.next_multiple_of(4);
        let data_end = data_start.checked_add(size)?;
        let name = self.bytes.get(name_start..name_end)?;
        let data = self.bytes.get(data_start..data_end)?;
        // NULs may pad the name, so that the data begins on a page.
        let name = &name[..name.iter().position(|&byte| byte == 0)?];
        self.at = data_end.next_multiple_of(4).min(self.bytes.len());
        Some(Entry {
            archive: self.archive,
            inode: field(0)?,
            mode: field(1)?,
            links: field(4)?,
            modified: field(5)?,
            path: name,
            data,
        })
    }
}

impl<'a> Iterator for Entries<'a> {
    type Item = Result<Entry<'a>, BadArchive>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            // Only at the start and after a trailer can there be zeros.
            let rest = self.bytes.get(self.at..)?;
            self.at += rest.iter().position(|&byte| byte != 0)?;
            let offset = self.at;
            match self.read() {
                Some(entry) if entry.path == TRAILER => self.archive += 1,
                Some(entry) => return Some(Ok(entry)),
                None => {
                    self.at = self.bytes.len();
                    return Some(Err(BadArchive { offset }));
                }
            }
        }
    }
}

/// Reads 8 hexadecimal digits.
fn hexadecimal(digits: &[u8]) -> Option<u32> {
    let mut value = 0;
    for &digit in digits {
        let digit = match digit {
            b'0'..=b'9' => digit - b'0',
            b'A'..=b'F' => digit - b'A' + 10,
            b'a'..=b'f' => digit - b'a' + 10,
            _ => return None,
        };
        value = value << 4 | u32::from(digit);
    }
    Some(value)
}

#[cfg(test)]
pub mod tests {
    use super::*;

    /// Makes one record of an archive.
    pub fn record(
        path: &str,
        inode: u32,
        mode: u32,
        links: u32,
        data: &[u8],
        name_padding: usize,
    ) -> Vec<u8> {
        let mut name = path.as_bytes().to_vec();
        name.resize(path.len() + 1 + name_padding, 0);
        let fields = [
            inode,
            mode,
            0,
            0,
            links,
            1_700_000_000,
            data.len() as u32,
            0,
            0,
            0,
            0,
            name.len() as u32,
            0,
        ];
        let mut bytes = b"070701".to_vec();
        for field in fields {
            bytes.extend_from_slice(format!("{field:08X}").as_bytes());
        }
        bytes.extend_from_slice(&name);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes.extend_from_slice(data);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes
    }

    #[test]
    fn archives_may_follow_each_other_with_zeros_between() {
        let mut bytes = record("lib", 1, 0o040755, 2, b"", 0);
        bytes.extend(record("lib/a.py", 2, 0o100644, 1, b"print(1)\n", 9));
        bytes.extend(record("TRAILER!!!", 0, 0, 1, b"", 0));
        bytes.resize(bytes.len().next_multiple_of(512), 0);
        bytes.extend(record("b", 1, 0o100600, 1, b"x", 0));
        bytes.extend(record("TRAILER!!!", 0, 0, 1, b"", 0));
        let entries: Vec<_> = Entries::new(&bytes).map(Result::unwrap).collect();
        let seen: Vec<_> = entries
            .iter()
            .map(|entry| (entry.path, entry.mode, entry.data))
            .collect();
        let expected: [(&[u8], u32, &[u8]); 3] = [
            (b"lib", 0o040755, b""),
            (b"lib/a.py", 0o100644, b"print(1)\n"),
            (b"b", 0o100600, b"x"),
        ];
        assert_eq!(seen, expected);
        assert_eq!(entries[1].modified, 1_700_000_000);
    }

    #[test]
    fn a_torn_archive_is_told_with_its_place() {
        let whole = record("a", 1, 0o100644, 1, b"0123456789", 0);
        let start = record("lib", 1, 0o040755, 2, b"", 0);
        for cut in 1..whole.len() - 2 {
            let bytes = [&start[..], &whole[..cut]].concat();
            let results: Vec<_> = Entries::new(&bytes).collect();
            assert!(results[0].is_ok());
            assert_eq!(
                results[1],
                Err(BadArchive {
                    offset: start.len()
                }),
                "cut at {cut}"
            );
        }
        assert_eq!(
            Entries::new(b"garbage").collect::<Vec<_>>(),
            [Err(BadArchive { offset: 0 })]
        );
        assert_eq!(Entries::new(&[]).count(), 0);
    }
}
