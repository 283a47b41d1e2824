//! A name in a directory: bytes of the system image where they lie, or bytes of its own.

use alloc::boxed::Box;
use core::borrow::Borrow;
use core::cmp::Ordering;
use core::ops::Deref;

/// The longest name (NAME_MAX).
pub const NAME_MAX: usize = 255;

/// A name in a directory.
#[derive(Clone)]
pub enum Name {
    /// It lies in memory that stays.
    Static(&'static [u8]),
    /// It was made at run time.
    Owned(Box<[u8]>),
}

impl Name {
    /// Copies a name.
    pub fn new(bytes: &[u8]) -> Self {
        Name::Owned(bytes.into())
    }
}

impl Deref for Name {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Name::Static(bytes) => bytes,
            Name::Owned(bytes) => bytes,
        }
    }
}

impl Borrow<[u8]> for Name {
    fn borrow(&self) -> &[u8] {
        self
    }
}

impl PartialEq for Name {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl Eq for Name {}

impl PartialOrd for Name {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Name {
    fn cmp(&self, other: &Self) -> Ordering {
        (**self).cmp(&**other)
    }
}
