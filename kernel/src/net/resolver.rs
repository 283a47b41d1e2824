//! `/etc/resolv.conf` (resolv.conf(5)): tells musl's resolver the name servers that leases name.

use crate::fs::file::OpenFlags;
use crate::fs::io::Source;
use crate::fs::mount;
use crate::fs::open::open;
use crate::fs::walk::{self, Follow};
use crate::libc::errno::Errno;
use alloc::format;
use alloc::string::String;
use smoltcp::wire::Ipv4Address;

/// Writes the file, at once for whoever reads it meanwhile.
pub fn write(servers: &[Ipv4Address]) -> Result<(), Errno> {
    const NEW: &[u8] = b"resolv.conf.new";
    let directory = walk::resolve(mount::root(), b"/etc", Follow::Yes)?;
    let flags = OpenFlags::WRONLY | OpenFlags::CREAT | OpenFlags::TRUNC;
    let file = open(&directory, NEW, flags, 0o644)?;
    let mut text = String::from("# By DHCP.\n");
    for server in servers {
        text += &format!("nameserver {server}\n");
    }
    let mut rest = text.as_bytes();
    while rest.remaining() > 0 {
        file.write(&mut rest)?;
    }
    directory.rename(NEW, &directory, b"resolv.conf", 0)
}
