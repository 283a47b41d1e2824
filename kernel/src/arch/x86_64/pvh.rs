//! Reads the PVH start info (Xen's public header `hvm/start_info.h`): what QEMU
//! hands over with `-kernel`.

use core::ffi::CStr;

use crate::boot::{BootInfo, MemoryKind, MemoryRegion, PhysRange};

const MAGIC: u32 = 0x336e_c578;

#[repr(C)]
struct StartInfo {
    magic: u32,
    version: u32,
    flags: u32,
    module_count: u32,
    modules: u64,
    command_line: u64,
    rsdp: u64,
    // Version 1 and later:
    memory_map: u64,
    memory_map_entries: u32,
    reserved: u32,
}

#[repr(C)]
struct Module {
    address: u64,
    size: u64,
    command_line: u64,
    reserved: u64,
}

#[repr(C)]
struct MapEntry {
    address: u64,
    size: u64,
    kind: u32,
    reserved: u32,
}

/// Reads the start info at `info`.
///
/// # Safety
///
/// `info` is the physical address that a PVH loader passed, and everything it
/// refers to is still mapped 1:1.
pub unsafe fn read(info: u64) -> BootInfo {
    let mut boot_info = BootInfo::new("PVH");
    // SAFETY: the caller's contract.
    let start_info = unsafe { &*(info as *const StartInfo) };
    if start_info.magic != MAGIC {
        return boot_info;
    }
    if start_info.rsdp != 0 {
        boot_info.set_rsdp(start_info.rsdp);
    }
    if start_info.command_line != 0 {
        // SAFETY: the protocol promises a NUL-terminated string.
        let line = unsafe { CStr::from_ptr(start_info.command_line as *const _) };
        boot_info.set_command_line(line.to_bytes());
    }
    for i in 0..u64::from(start_info.module_count) {
        // SAFETY: the list has `module_count` entries.
        let module = unsafe { &*(start_info.modules as *const Module).add(i as usize) };
        boot_info.add_module(PhysRange::new(module.address, module.size));
    }
    if start_info.version >= 1 {
        for i in 0..start_info.memory_map_entries as usize {
            // SAFETY: the map has `memory_map_entries` entries.
            let entry = unsafe { &*(start_info.memory_map as *const MapEntry).add(i) };
            boot_info.add_region(MemoryRegion {
                range: PhysRange::new(entry.address, entry.size),
                kind: MemoryKind::from_acpi(entry.kind),
            });
        }
    }
    boot_info
}
