//! Makes physical memory above 4 GiB visible through the boot page tables.
//!
//! Firmware may keep its tables anywhere. The boot tables map the first 4 GiB;
//! whoever reads tables before `memory::init` asks here for more.

use core::cell::UnsafeCell;

use super::entry;

/// How many more GiB can be made visible.
const WINDOWS: usize = 4;
const GIB: u64 = 1 << 30;
/// Present, writable, 2 MiB page (Intel SDM volume 3, table 4-17).
const LARGE_PAGE: u64 = 0x83;
const TABLE: u64 = 3;

#[repr(C, align(4096))]
struct Table(UnsafeCell<[u64; 512]>);

// SAFETY: only the boot CPU, alone, changes the tables.
unsafe impl Sync for Table {}

static TABLES: [Table; WINDOWS] = [const { Table(UnsafeCell::new([0; 512])) }; WINDOWS];

/// Makes `len` bytes at physical `address` readable at the same virtual
/// address. Used by the boot CPU alone, before `memory::init`.
///
/// Panics if the firmware's tables are spread over too many GiB, or lie above
/// 512 GiB.
pub fn ensure(address: u64, len: u64) {
    let pdpt = (&raw const entry::boot_pdpt).cast_mut().cast::<u64>();
    for gib in address / GIB..=(address + len.max(1) - 1) / GIB {
        assert!(
            gib < 512,
            "a firmware table lies at {address:#x}, above 512 GiB"
        );
        // SAFETY: the table has 512 entries, and nobody else uses it meanwhile.
        let place = unsafe { pdpt.add(gib as usize) };
        // SAFETY: as above.
        if unsafe { place.read() } != 0 {
            continue;
        }
        let table = TABLES
            .iter()
            // SAFETY: as above.
            .find(|table| unsafe { (*table.0.get())[0] } == 0)
            .expect("firmware tables lie in few places");
        // SAFETY: as above; the table is unused until it is entered.
        unsafe {
            for (i, slot) in (*table.0.get()).iter_mut().enumerate() {
                *slot = (gib * GIB + i as u64 * (GIB / 512)) | LARGE_PAGE;
            }
            place.write_volatile(table.0.get() as u64 | TABLE);
        }
    }
}
