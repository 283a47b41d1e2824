//! Files without a name in a file system of their own (memfd_create(2)).

use super::description::{Description, Place};
use super::file::OpenFlags;
use super::inode::Inode;
use super::tmpfs::{Node, TmpFs};
use crate::libc::errno::Errno;
use alloc::sync::Arc;
use spin::Once;

static HOME: Once<Arc<Node>> = Once::new();

/// Makes one, open for reading and writing.
pub fn create(name: &[u8], mode: u32, is_sealable: bool) -> Result<Arc<Description>, Errno> {
    let home = HOME.call_once(|| TmpFs::create(super::system::default_limit_pages(), 0o700));
    let inode = home.create_unnamed(mode)?;
    if let Some(node) = inode.downcast_ref::<Node>() {
        node.allow_sealing(is_sealable)?;
    }
    let file = inode.open(OpenFlags::RDWR)?;
    let directory: Arc<dyn Inode> = home.clone();
    let place = Place {
        directory,
        name: [b"memfd:", name].concat(),
    };
    Ok(Description::at_place(
        file,
        OpenFlags::RDWR | OpenFlags::LARGEFILE,
        Some(place),
    ))
}
