//! Reads the multiboot2 boot information: what GRUB hands over, under BIOS and
//! under UEFI. The tags are parsed by the `multiboot2` crate.

use multiboot2::{BootInformation, BootInformationHeader, MemoryAreaType};

use crate::boot::{BootInfo, Framebuffer, MemoryKind, MemoryRegion, PhysRange};

/// Bytes of a tag before its content: type and size.
const TAG_HEADER: usize = 8;

/// Reads the boot information at `info`.
///
/// # Safety
///
/// `info` is the physical address that a multiboot2 loader passed, and is still
/// mapped 1:1.
pub unsafe fn read(info: u64) -> BootInfo {
    let mut boot_info = BootInfo::new("multiboot2");
    // SAFETY: the caller's contract; nothing writes there while we read.
    let Ok(tags) = (unsafe { BootInformation::load(info as *const BootInformationHeader) }) else {
        return boot_info;
    };
    if let Some(Ok(line)) = tags.command_line_tag().map(|tag| tag.cmdline()) {
        boot_info.set_command_line(line.as_bytes());
    }
    for module in tags.module_tags() {
        boot_info.add_module(PhysRange {
            start: module.start_address().into(),
            end: module.end_address().into(),
        });
    }
    if let Some(map) = tags.memory_map_tag() {
        for area in map.memory_areas() {
            boot_info.add_region(MemoryRegion {
                range: PhysRange::new(area.start_address(), area.size()),
                kind: match area.typ() {
                    MemoryAreaType::Available => MemoryKind::Usable,
                    MemoryAreaType::AcpiAvailable => MemoryKind::AcpiReclaimable,
                    MemoryAreaType::ReservedHibernate => MemoryKind::AcpiNvs,
                    MemoryAreaType::Defective => MemoryKind::Bad,
                    _ => MemoryKind::Reserved,
                },
            });
        }
    }
    // The tags carry copies of the RSDP right behind their headers; the newer
    // one knows the 64-bit table.
    if let Some(tag) = tags.rsdp_v2_tag() {
        // SAFETY: the tag holds a whole 36-byte RSDP behind its header.
        boot_info.set_rsdp_copy(unsafe { tag_content(tag, 36) });
    } else if let Some(tag) = tags.rsdp_v1_tag() {
        // SAFETY: the tag holds a whole 20-byte RSDP behind its header.
        boot_info.set_rsdp_copy(unsafe { tag_content(tag, 20) });
    }
    if let Some(Ok(framebuffer)) = tags.framebuffer_tag() {
        boot_info.framebuffer = Some(Framebuffer {
            address: framebuffer.address(),
            pitch_bytes: framebuffer.pitch(),
            width: framebuffer.width(),
            height: framebuffer.height(),
            bits_per_pixel: framebuffer.bpp(),
        });
    }
    boot_info
}

/// The first `len` bytes behind a tag's header.
///
/// # Safety
///
/// The tag's content is at least `len` bytes long.
unsafe fn tag_content<T>(tag: &T, len: usize) -> &[u8] {
    let start = core::ptr::from_ref(tag).cast::<u8>();
    // SAFETY: the caller's contract; the content lives as long as the tag.
    unsafe { core::slice::from_raw_parts(start.add(TAG_HEADER), len) }
}
