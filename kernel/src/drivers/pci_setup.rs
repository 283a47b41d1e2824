//! Numbering of PCI buses and addresses for PCI devices, where no firmware has given them (PCI Local Bus
//! Specification 3.0, 6.2.5; PCI-to-PCI Bridge Architecture Specification 1.2, 3.2.5).
//!
//! Buses are numbered depth first, and addresses given in the same order, so what lies behind a bridge is in
//! one piece. Interrupt numbers and I/O ports are not given.

use alloc::vec::Vec;

use virtio_drivers::transport::pci::bus::{
    BarInfo, Command, ConfigurationAccess, DeviceFunction, HeaderType, MemoryBarType, PciRoot,
};

use crate::boot::PhysRange;

/// A bridge's registers: its buses, and what it passes on of I/O ports, memory and prefetchable memory.
const BUS_NUMBERS: u8 = 0x18;
const IO_WINDOW: u8 = 0x1c;
const MEMORY_WINDOW: u8 = 0x20;
const PREFETCHABLE_WINDOW: u8 = 0x24;
/// A memory window that ends before it begins: the bridge passes nothing on.
const CLOSED_MEMORY: u32 = 0x0000_fff0;
const CLOSED_IO: u32 = 0x0000_00f0;
/// Windows of bridges begin and end at multiples of this.
const GRANULE: u64 = 1 << 20;
const BARS: u8 = 6;
const BRIDGE_BARS: u8 = 2;

/// What a host bridge passes on to devices; addresses on the bus are physical ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Windows {
    /// Memory below 4 GiB, which every device can decode.
    pub low: PhysRange,
    /// Memory for devices that find no room there and know 64-bit addresses.
    pub high: PhysRange,
    /// The number of the last bus that can be reached.
    pub last_bus: u8,
}

/// Numbers all buses and gives every memory BAR an address. Returns the BARs, by index, for which there was
/// no room: they keep address 0.
pub fn set_up<C: ConfigurationAccess>(
    configuration: C,
    windows: Windows,
) -> Vec<(DeviceFunction, u8)> {
    let mut setup = Setup {
        // SAFETY: both are used by this function alone, one access at a time.
        root: PciRoot::new(unsafe { configuration.unsafe_clone() }),
        configuration,
        windows,
        newest_bus: 0,
        without_room: Vec::new(),
    };
    setup.bus(0);
    setup.without_room
}

struct Setup<C: ConfigurationAccess> {
    root: PciRoot<C>,
    configuration: C,
    /// What is left of them.
    windows: Windows,
    newest_bus: u8,
    without_room: Vec<(DeviceFunction, u8)>,
}

impl<C: ConfigurationAccess> Setup<C> {
    fn bus(&mut self, bus: u8) {
        let functions: Vec<_> = self.root.enumerate_bus(bus).collect();
        for (function, info) in functions {
            match info.header_type {
                HeaderType::Standard => self.bars(function, BARS),
                HeaderType::PciPciBridge => {
                    self.bars(function, BRIDGE_BARS);
                    self.bridge(function);
                }
                // CardBus bridges and what nobody knows answer at no address.
                _ => {}
            }
        }
    }

    fn bars(&mut self, function: DeviceFunction, count: u8) {
        let mut index = 0;
        while index < count {
            let info = self.root.bar_info(function, index).ok().flatten();
            let is_wide = info.as_ref().is_some_and(BarInfo::takes_two_entries);
            if let Some(BarInfo::Memory {
                size, address_type, ..
            }) = info
            {
                self.bar(function, index, size, address_type);
            }
            index += if is_wide { 2 } else { 1 };
        }
    }

    fn bar(&mut self, function: DeviceFunction, index: u8, size: u64, kind: MemoryBarType) {
        let mut place = match kind {
            MemoryBarType::Below1MiB => None,
            _ => take(&mut self.windows.low, size),
        };
        // A bridge passes on memory of the low window.
        if place.is_none() && kind == MemoryBarType::Width64 && function.bus == 0 {
            place = take(&mut self.windows.high, size);
        }
        match (place, kind) {
            (Some(place), MemoryBarType::Width64) => self.root.set_bar_64(function, index, place),
            (Some(place), _) => self.root.set_bar_32(function, index, place as u32),
            (None, _) => self.without_room.push((function, index)),
        }
    }

    fn bridge(&mut self, function: DeviceFunction) {
        if self.newest_bus == self.windows.last_bus {
            return;
        }
        self.newest_bus += 1;
        let behind = self.newest_bus;
        let buses =
            |last: u8| u32::from(function.bus) | u32::from(behind) << 8 | u32::from(last) << 16;
        let begin = self.align_low();
        // While what is behind it is looked at, it passes every bus on that has no number yet.
        self.write(function, BUS_NUMBERS, buses(self.windows.last_bus));
        self.bus(behind);
        self.write(function, BUS_NUMBERS, buses(self.newest_bus));
        let end = self.align_low();
        let memory = if begin < end {
            (begin >> 16) as u32 & 0xfff0 | (end - 1) as u32 & 0xfff0_0000
        } else {
            CLOSED_MEMORY
        };
        self.write(function, MEMORY_WINDOW, memory);
        self.write(function, PREFETCHABLE_WINDOW, CLOSED_MEMORY);
        self.write(function, IO_WINDOW, CLOSED_IO);
        let (_, command) = self.root.get_status_command(function);
        self.root.set_command(
            function,
            command | Command::MEMORY_SPACE | Command::BUS_MASTER,
        );
    }

    /// Gives up the rest of a granule, and returns where the next begins.
    fn align_low(&mut self) -> u64 {
        let low = &mut self.windows.low;
        low.start = low.start.next_multiple_of(GRANULE).min(low.end);
        low.start
    }

    fn write(&mut self, function: DeviceFunction, offset: u8, word: u32) {
        self.configuration.write_word(function, offset, word);
    }
}

/// Takes `size` bytes, a power of two, from the beginning of a window, aligned as a BAR wants it.
fn take(window: &mut PhysRange, size: u64) -> Option<u64> {
    let start = window.start.checked_next_multiple_of(size)?;
    let end = start.checked_add(size)?;
    if end > window.end {
        return None;
    }
    window.start = end;
    Some(start)
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::collections::BTreeMap;
    use std::rc::Rc;

    use super::*;

    const LOW: PhysRange = PhysRange {
        start: 0x1000_0000,
        end: 0x1080_0000,
    };
    const HIGH: PhysRange = PhysRange {
        start: 0x80_0000_0000,
        end: 0x81_0000_0000,
    };

    /// A function: its registers, and which bits of them can be written.
    struct Function {
        words: [u32; 64],
        writable: [u32; 64],
        /// The place it was built in: the bridge that leads there, and its device number.
        behind: Option<usize>,
        device: u8,
    }

    /// Configuration space as bridges show it: a function is seen under the number that the bridge before
    /// it was given.
    #[derive(Clone, Default)]
    struct Fake(Rc<RefCell<Vec<Function>>>);

    impl Fake {
        fn add(&self, behind: Option<usize>, device: u8, is_bridge: bool) -> usize {
            let mut function = Function {
                words: [0; 64],
                writable: [0; 64],
                behind,
                device,
            };
            function.words[0] = 0x1041_1af4;
            function.writable[1] = 0xffff;
            if is_bridge {
                function.words[3] = 1 << 16;
                function.writable[6..10].fill(u32::MAX);
            }
            let mut all = self.0.borrow_mut();
            all.push(function);
            all.len() - 1
        }

        fn add_bar(&self, function: usize, index: usize, size: u64, flags: u32) {
            let function = &mut self.0.borrow_mut()[function];
            function.words[4 + index] = flags;
            function.writable[4 + index] = !(size.min(1 << 32) as u32).wrapping_sub(1);
            if flags & 0b100 != 0 {
                function.writable[5 + index] = !((size >> 32) as u32).saturating_sub(1);
            }
        }

        fn bar(&self, function: usize, index: usize) -> u64 {
            let words = &self.0.borrow()[function].words;
            let low = u64::from(words[4 + index] & !0xf);
            match words[4 + index] & 0b100 {
                0 => low,
                _ => low | u64::from(words[5 + index]) << 32,
            }
        }

        fn word(&self, function: usize, offset: u8) -> u32 {
            self.0.borrow()[function].words[usize::from(offset) / 4]
        }

        fn find(&self, wanted: DeviceFunction) -> Option<usize> {
            let all = self.0.borrow();
            all.iter().position(|function| {
                let bus = function
                    .behind
                    .map_or(0, |bridge| (all[bridge].words[6] >> 8) as u8);
                let is_reached = function.behind.is_none() || bus != 0;
                let at = (bus, function.device, 0);
                is_reached && at == (wanted.bus, wanted.device, wanted.function)
            })
        }
    }

    impl ConfigurationAccess for Fake {
        fn read_word(&self, function: DeviceFunction, offset: u8) -> u32 {
            self.find(function)
                .map_or(u32::MAX, |found| self.word(found, offset))
        }

        fn write_word(&mut self, function: DeviceFunction, offset: u8, data: u32) {
            if let Some(found) = self.find(function) {
                let function = &mut self.0.borrow_mut()[found];
                let index = usize::from(offset) / 4;
                let writable = function.writable[index];
                function.words[index] = function.words[index] & !writable | data & writable;
            }
        }

        unsafe fn unsafe_clone(&self) -> Self {
            self.clone()
        }
    }

    fn windows() -> Windows {
        Windows {
            low: LOW,
            high: HIGH,
            last_bus: 255,
        }
    }

    #[test]
    fn bars_get_aligned_places_that_do_not_meet() {
        let fake = Fake::default();
        let first = fake.add(None, 1, false);
        fake.add_bar(first, 0, 0x20, 1);
        fake.add_bar(first, 1, 0x1000, 0);
        fake.add_bar(first, 4, 0x4000, 0xc);
        let second = fake.add(None, 2, false);
        fake.add_bar(second, 0, 0x10_0000, 0);
        assert_eq!(set_up(fake.clone(), windows()), []);
        let mut taken = BTreeMap::new();
        for (function, index, size) in [
            (first, 1, 0x1000),
            (first, 4, 0x4000),
            (second, 0, 0x10_0000u64),
        ] {
            let place = fake.bar(function, index);
            assert!(place.is_multiple_of(size) && LOW.start <= place && place + size <= LOW.end);
            taken.insert(place, place + size);
        }
        let places: Vec<_> = taken.into_iter().collect();
        assert!(places.windows(2).all(|pair| pair[0].1 <= pair[1].0));
        assert_eq!(fake.bar(first, 0), 0, "an I/O BAR is left alone");
    }

    #[test]
    fn what_is_too_large_goes_high_or_stays_without_address() {
        let fake = Fake::default();
        let wide = fake.add(None, 1, false);
        fake.add_bar(wide, 0, 0x4000_0000, 0xc);
        fake.add_bar(wide, 2, 0x100_0000, 0);
        let function = DeviceFunction {
            bus: 0,
            device: 1,
            function: 0,
        };
        assert_eq!(set_up(fake.clone(), windows()), [(function, 2)]);
        assert_eq!(fake.bar(wide, 0), HIGH.start);
        assert_eq!(fake.bar(wide, 2), 0);
    }

    #[test]
    fn bridges_pass_on_what_is_behind_them() {
        let fake = Fake::default();
        let outer = fake.add(None, 1, true);
        let inner = fake.add(Some(outer), 0, true);
        let deep = fake.add(Some(inner), 3, false);
        fake.add_bar(deep, 0, 0x4000, 0xc);
        let empty = fake.add(None, 2, true);
        let last = fake.add(None, 3, false);
        fake.add_bar(last, 0, 0x1000, 0);
        assert_eq!(set_up(fake.clone(), windows()), []);
        assert_eq!(fake.word(outer, BUS_NUMBERS), 0x02_01_00);
        assert_eq!(fake.word(inner, BUS_NUMBERS), 0x02_02_01);
        assert_eq!(fake.word(empty, BUS_NUMBERS), 0x03_03_00);
        for bridge in [outer, inner] {
            let window = fake.word(bridge, MEMORY_WINDOW);
            let start = u64::from(window & 0xfff0) << 16;
            let end = u64::from(window & 0xfff0_0000) + GRANULE;
            assert!(start <= fake.bar(deep, 0) && fake.bar(deep, 0) + 0x4000 <= end);
            assert!(!(start..end).contains(&fake.bar(last, 0)));
            assert_eq!(fake.word(bridge, 4) & 0b110, 0b110, "it passes accesses on");
        }
        assert_eq!(fake.word(empty, MEMORY_WINDOW), CLOSED_MEMORY);
    }

    #[test]
    fn there_are_no_more_buses_than_can_be_reached() {
        let fake = Fake::default();
        let first = fake.add(None, 1, true);
        let second = fake.add(None, 2, true);
        let one_bus = Windows {
            last_bus: 1,
            ..windows()
        };
        set_up(fake.clone(), one_bus);
        assert_eq!(fake.word(first, BUS_NUMBERS), 0x01_01_00);
        assert_eq!(fake.word(second, BUS_NUMBERS), 0);
    }
}
