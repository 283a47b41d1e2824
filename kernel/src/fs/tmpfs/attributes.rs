//! Extended attributes in tmpfs (xattr(7)): names of class `user`, `trusted` and `security`.

use super::node::Node;
use crate::fs::inode::{FileType, Inode};
use crate::libc::errno::Errno;
use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use linux_raw_sys::general::{XATTR_CREATE, XATTR_REPLACE};

pub(super) type Attributes = BTreeMap<Box<[u8]>, Box<[u8]>>;

impl Node {
    /// Checks that the class exists and may be used on this type of file.
    fn check_attribute(&self, name: &[u8], missing: Errno) -> Result<(), Errno> {
        let rest = |class: &str| name.strip_prefix(class.as_bytes());
        if let Some(rest) = rest("user.") {
            let is_allowed = matches!(self.file_type(), FileType::Regular | FileType::Directory);
            return match (rest.is_empty(), is_allowed) {
                (true, _) => Err(Errno::EINVAL),
                (false, true) => Ok(()),
                (false, false) => Err(missing),
            };
        }
        match rest("trusted.").or_else(|| rest("security.")) {
            Some([]) => Err(Errno::EINVAL),
            Some(_) => Ok(()),
            None => Err(Errno::EOPNOTSUPP),
        }
    }

    pub(super) fn get_attribute(&self, name: &[u8]) -> Result<Vec<u8>, Errno> {
        self.check_attribute(name, Errno::ENODATA)?;
        let attributes = self.attributes.lock();
        let value = attributes.as_ref().and_then(|all| all.get(name));
        value.map(|value| value.to_vec()).ok_or(Errno::ENODATA)
    }

    pub(super) fn set_attribute(&self, name: &[u8], value: &[u8], flags: u32) -> Result<(), Errno> {
        self.check_attribute(name, Errno::EPERM)?;
        let mut attributes = self.attributes.lock();
        let all = attributes.get_or_insert_default();
        match all.contains_key(name) {
            true if flags & XATTR_CREATE != 0 => return Err(Errno::EEXIST),
            false if flags & XATTR_REPLACE != 0 => return Err(Errno::ENODATA),
            _ => {}
        }
        all.insert(name.into(), value.into());
        drop(attributes);
        self.touch_changed();
        Ok(())
    }

    pub(super) fn remove_attribute(&self, name: &[u8]) -> Result<(), Errno> {
        self.check_attribute(name, Errno::EPERM)?;
        let mut attributes = self.attributes.lock();
        let removed = attributes.as_mut().and_then(|all| all.remove(name));
        drop(attributes);
        removed.ok_or(Errno::ENODATA)?;
        self.touch_changed();
        Ok(())
    }

    pub(super) fn attribute_names(&self) -> Vec<u8> {
        let attributes = self.attributes.lock();
        let mut names = Vec::new();
        for name in attributes.iter().flat_map(|all| all.keys()) {
            names.extend_from_slice(name);
            names.push(0);
        }
        names
    }
}
