//! What the device tree tells of the machine (Devicetree Specification 0.4), read once at boot.
//!
//! Nothing here points into the tree: its memory is the kernel's once it has been read.

use arm_gic::IntId;
use fdt::Fdt;
use fdt::node::FdtNode;
use smp::MAX_CPUS;
use spin::Once;

use crate::boot::{BootInfo, MemoryKind, MemoryRegion, PhysRange, VirtioPlace};

const NAME_SIZE: usize = 48;
/// So many places for virtio devices are looked at: QEMU's machine has 32.
const MAX_VIRTIO: usize = 64;
/// So many lines for interrupts of PCI functions are known: four devices' pins, which others share.
const MAX_PCI_LINES: usize = 16;

/// How the firmware is called (PSCI, Arm DEN 0022).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Conduit {
    Hvc,
    Smc,
}

/// Which interrupt controller there is, and where its registers are.
#[derive(Clone, Copy, Debug)]
pub enum Controller {
    V2 {
        distributor: PhysRange,
        cpu_interface: PhysRange,
    },
    V3 {
        distributor: PhysRange,
        redistributors: PhysRange,
    },
}

/// The console's port.
#[derive(Clone, Copy, Debug)]
pub struct SerialPort {
    pub registers: PhysRange,
    pub interrupt: u32,
    /// The rate of the clock that feeds it, where the tree tells.
    pub clock_hz: Option<u32>,
}

/// The PCI host bridge.
#[derive(Clone, Copy, Debug)]
pub struct PciHost {
    /// The buses' configuration space (ECAM).
    pub configuration: PhysRange,
    /// Addresses for devices, the same on the bus and for CPUs: below 4 GiB, and anywhere. Empty if there
    /// are none.
    pub low_memory: PhysRange,
    pub high_memory: PhysRange,
    lines: [PciLine; MAX_PCI_LINES],
    /// Which bits of a function's address say what lines it has.
    line_mask: u32,
}

/// What a pin of a function leads to.
#[derive(Clone, Copy, Debug, Default)]
struct PciLine {
    /// The function, as the first word of its address on the bus says it, after the mask.
    function: u32,
    /// 1 to 4; 0 where there is no line.
    pin: u32,
    /// The number in the interrupt controller.
    number: u32,
}

impl PciHost {
    /// Returns the interrupt that a pin, 1 to 4, of a device on the first bus leads to.
    pub fn line(&self, bus: u8, device: u8, pin: u8) -> Option<u32> {
        let function = u32::from(bus) << 16 | u32::from(device) << 11;
        self.lines
            .iter()
            .find(|line| line.pin == pin.into() && line.function == function & self.line_mask)
            .filter(|_| bus == 0 && pin != 0)
            .map(|line| line.number)
    }
}

/// The machine.
pub struct Machine {
    cpus: [u64; MAX_CPUS],
    cpu_count: usize,
    /// CPUs beyond those.
    pub ignored_cpus: usize,
    cpu_name: [u8; NAME_SIZE],
    cpu_name_len: usize,
    pub psci: Option<Conduit>,
    pub controller: Option<Controller>,
    /// The interrupt of each CPU's virtual timer.
    pub timer: u32,
    pub serial: Option<SerialPort>,
    /// The PL031 real-time clock.
    pub rtc: Option<PhysRange>,
    pub pci: Option<PciHost>,
    virtio: [VirtioPlace; MAX_VIRTIO],
    virtio_count: usize,
}

static MACHINE: Once<Machine> = Once::new();

/// The machine, once the tree has been read.
pub fn machine() -> &'static Machine {
    MACHINE
        .get()
        .expect("the boot CPU has read the device tree")
}

/// The machine; `None` before the tree has been read.
pub fn try_machine() -> Option<&'static Machine> {
    MACHINE.get()
}

impl Machine {
    /// The affinities of the CPUs.
    pub fn cpus(&self) -> &[u64] {
        &self.cpus[..self.cpu_count]
    }

    /// The registers of places for virtio devices; there may be none in them.
    pub fn virtio(&self) -> &[VirtioPlace] {
        &self.virtio[..self.virtio_count]
    }

    /// What the tree calls the boot CPU.
    pub fn cpu_name(&self) -> &str {
        str::from_utf8(&self.cpu_name[..self.cpu_name_len]).unwrap_or("arm64")
    }
}

/// Reads the tree.
///
/// # Safety
///
/// `tree` points to the device tree that the boot loader passed, and nothing writes there meanwhile.
pub unsafe fn read(tree: *const u8) -> BootInfo {
    let mut boot_info = BootInfo::new("Linux Image");
    // SAFETY: the caller's contract.
    let Ok(tree) = (unsafe { Fdt::from_ptr(tree) }) else {
        return boot_info;
    };
    read_memory(&tree, &mut boot_info);
    read_chosen(&tree, &mut boot_info);
    MACHINE.call_once(|| read_machine(&tree));
    boot_info
}

fn read_memory(tree: &Fdt, boot_info: &mut BootInfo) {
    let add = |boot_info: &mut BootInfo, node: FdtNode, kind| {
        ranges(node).for_each(|range| boot_info.add_region(MemoryRegion { range, kind }));
    };
    for node in tree
        .find_node("/")
        .into_iter()
        .flat_map(|root| root.children())
    {
        if text(node, "device_type") == Some("memory") {
            add(boot_info, node, MemoryKind::Usable);
        }
    }
    for node in tree
        .find_node("/reserved-memory")
        .into_iter()
        .flat_map(|node| node.children())
    {
        add(boot_info, node, MemoryKind::Reserved);
    }
    for reserved in tree.memory_reservations() {
        boot_info.add_region(MemoryRegion {
            range: PhysRange::new(reserved.address() as u64, reserved.size() as u64),
            kind: MemoryKind::Reserved,
        });
    }
}

fn read_chosen(tree: &Fdt, boot_info: &mut BootInfo) {
    let Some(chosen) = tree.find_node("/chosen") else {
        return;
    };
    if let Some(line) = text(chosen, "bootargs") {
        boot_info.set_command_line(line.as_bytes());
    }
    let number = |name| {
        chosen
            .property(name)
            .and_then(|property| property.as_usize())
    };
    if let (Some(start), Some(end)) = (number("linux,initrd-start"), number("linux,initrd-end")) {
        boot_info.add_module(PhysRange {
            start: start as u64,
            end: end as u64,
        });
    }
}

fn read_machine(tree: &Fdt) -> Machine {
    let mut machine = Machine {
        cpus: [0; MAX_CPUS],
        cpu_count: 0,
        ignored_cpus: 0,
        cpu_name: [0; NAME_SIZE],
        cpu_name_len: 0,
        psci: read_psci(tree),
        controller: read_controller(tree),
        timer: read_timer(tree),
        serial: read_serial(tree),
        rtc: tree
            .find_compatible(&["arm,pl031"])
            .and_then(|node| ranges(node).next()),
        pci: tree
            .find_compatible(&["pci-host-ecam-generic"])
            .and_then(|node| read_pci(tree, node)),
        virtio: [VirtioPlace {
            registers: PhysRange::new(0, 0),
            interrupt: None,
        }; MAX_VIRTIO],
        virtio_count: 0,
    };
    let virtio = tree.all_nodes().filter(|node| {
        node.compatible()
            .is_some_and(|names| names.all().any(|name| name == "virtio,mmio"))
    });
    let places = virtio.filter_map(|node| {
        Some(VirtioPlace {
            registers: ranges(node).next()?,
            interrupt: interrupt(node, 0),
        })
    });
    for (place, found) in machine.virtio.iter_mut().zip(places) {
        *place = found;
        machine.virtio_count += 1;
    }
    let cpus = tree.find_node("/cpus");
    for node in cpus.into_iter().flat_map(|node| node.children()) {
        if text(node, "device_type") != Some("cpu") {
            continue;
        }
        let Some(id) = node.property("reg").and_then(|reg| reg.as_usize()) else {
            continue;
        };
        if machine.cpu_count == MAX_CPUS {
            machine.ignored_cpus += 1;
            continue;
        }
        if machine.cpu_count == 0
            && let Some(name) = text(node, "compatible")
        {
            let len = name.len().min(NAME_SIZE);
            machine.cpu_name[..len].copy_from_slice(&name.as_bytes()[..len]);
            machine.cpu_name_len = len;
        }
        machine.cpus[machine.cpu_count] = id as u64;
        machine.cpu_count += 1;
    }
    machine
}

fn read_psci(tree: &Fdt) -> Option<Conduit> {
    let node = tree.find_compatible(&["arm,psci-1.0", "arm,psci-0.2"])?;
    match text(node, "method")? {
        "hvc" => Some(Conduit::Hvc),
        "smc" => Some(Conduit::Smc),
        _ => None,
    }
}

fn read_controller(tree: &Fdt) -> Option<Controller> {
    if let Some(node) = tree.find_compatible(&["arm,gic-v3"]) {
        let mut ranges = ranges(node);
        return Some(Controller::V3 {
            distributor: ranges.next()?,
            redistributors: ranges.next()?,
        });
    }
    let node = tree.find_compatible(&["arm,cortex-a15-gic", "arm,gic-400"])?;
    let mut ranges = ranges(node);
    Some(Controller::V2 {
        distributor: ranges.next()?,
        cpu_interface: ranges.next()?,
    })
}

/// Reads what a host bridge passes on. Each entry of `ranges` has three cells for the bus's address, of which the
/// first tells the kind, two for the CPUs', and two for the length (PCI Bus Binding to Open Firmware, 2.2.1.1).
fn read_pci(tree: &Fdt, node: FdtNode) -> Option<PciHost> {
    const KIND: u32 = 3 << 24;
    const BELOW_4_GIB: u32 = 2 << 24;
    const ANYWHERE: u32 = 3 << 24;
    let none = PhysRange::new(0, 0);
    let mut host = PciHost {
        configuration: ranges(node).next()?,
        low_memory: none,
        high_memory: none,
        lines: [PciLine::default(); MAX_PCI_LINES],
        line_mask: 0,
    };
    read_pci_lines(tree, node, &mut host);
    let words: &[u8] = node
        .property("ranges")
        .map_or(&[], |property| property.value);
    for entry in words.as_chunks::<28>().0 {
        let word = |index: usize| {
            u32::from_be_bytes(*entry[index * 4..].first_chunk().expect("seven words"))
        };
        let long = |index: usize| u64::from(word(index)) << 32 | u64::from(word(index + 1));
        let (on_bus, for_cpus, len) = (long(1), long(3), long(5));
        // Drivers take what a BAR says for a physical address.
        if on_bus != for_cpus {
            continue;
        }
        let range = PhysRange::new(on_bus, len);
        match word(0) & KIND {
            BELOW_4_GIB if range.end <= 1 << 32 => host.low_memory = range,
            ANYWHERE => host.high_memory = range,
            _ => {}
        }
    }
    Some(host)
}

/// Reads where the pins lead. An entry of `interrupt-map` has three cells for a function, one for its pin, then
/// the controller's handle, its address (as many cells as it says) and the interrupt there (Devicetree
/// Specification 0.4, 2.4.3).
fn read_pci_lines(tree: &Fdt, node: FdtNode, host: &mut PciHost) {
    let words = |name| {
        node.property(name)
            .map_or(&[][..], |property| property.value)
    };
    let word = |bytes: &[u8], index: usize| {
        let bytes = bytes.get(index * 4..)?.first_chunk()?;
        Some(u32::from_be_bytes(*bytes))
    };
    host.line_mask = word(words("interrupt-map-mask"), 0).unwrap_or(0);
    let mut rest = words("interrupt-map");
    let mut places = host.lines.iter_mut();
    while let (Some(function), Some(pin), Some(handle)) =
        (word(rest, 0), word(rest, 3), word(rest, 4))
    {
        let controller = tree.find_phandle(handle);
        let cells = controller
            .and_then(|node| node.property("#address-cells")?.as_usize())
            .unwrap_or(0);
        let after_address = 5 + cells;
        let (Some(kind), Some(number), Some(place)) = (
            word(rest, after_address),
            word(rest, after_address + 1),
            places.next(),
        ) else {
            return;
        };
        // 0: an interrupt that the CPUs share.
        if kind == 0 {
            *place = PciLine {
                function,
                pin,
                number: u32::from(IntId::spi(number)),
            };
        }
        rest = rest.get((after_address + 3) * 4..).unwrap_or(&[]);
    }
}

/// The third interrupt of the timer's node is the virtual timer's.
fn read_timer(tree: &Fdt) -> u32 {
    const VIRTUAL: usize = 2;
    const USUAL: u32 = 27;
    tree.find_compatible(&["arm,armv8-timer", "arm,armv7-timer"])
        .and_then(|node| interrupt(node, VIRTUAL))
        .unwrap_or(USUAL)
}

fn read_serial(tree: &Fdt) -> Option<SerialPort> {
    const PL011: &str = "arm,pl011";
    let is_pl011 = |node: &FdtNode| {
        node.compatible()
            .is_some_and(|names| names.all().any(|name| name == PL011))
    };
    let node = tree
        .chosen()
        .stdout()
        .filter(is_pl011)
        .or_else(|| tree.find_compatible(&[PL011]))?;
    let clock_hz = cells(node, "clocks")
        .next()
        .and_then(|handle| tree.find_phandle(handle))
        .and_then(|clock| cells(clock, "clock-frequency").next());
    Some(SerialPort {
        registers: ranges(node).next()?,
        interrupt: interrupt(node, 0)?,
        clock_hz,
    })
}

/// The memory that a node names in `reg`.
fn ranges<'a>(node: FdtNode<'_, 'a>) -> impl Iterator<Item = PhysRange> + use<'a> {
    node.reg().into_iter().flatten().filter_map(|region| {
        Some(PhysRange::new(
            region.starting_address as u64,
            region.size? as u64,
        ))
    })
}

/// A property that is text: the first of several.
fn text<'a>(node: FdtNode<'_, 'a>, name: &str) -> Option<&'a str> {
    let value = node.property(name)?.value;
    let end = value.iter().position(|&byte| byte == 0)?;
    str::from_utf8(&value[..end]).ok()
}

/// A property that is 32-bit numbers.
fn cells<'a>(node: FdtNode<'_, 'a>, name: &str) -> impl Iterator<Item = u32> + use<'a> {
    let value = node
        .property(name)
        .map_or(&[][..], |property| property.value);
    value
        .as_chunks()
        .0
        .iter()
        .map(|&bytes| u32::from_be_bytes(bytes))
}

/// The number, as the GIC knows it, of an interrupt of a node. Each has three cells: kind, number and
/// trigger (the kernel's `arm,gic` bindings).
fn interrupt(node: FdtNode, index: usize) -> Option<u32> {
    const SHARED: u32 = 0;
    const PRIVATE: u32 = 1;
    let mut cells = cells(node, "interrupts").skip(index * 3);
    match (cells.next()?, cells.next()?) {
        (SHARED, number) if number < 988 => Some(u32::from(IntId::spi(number))),
        (PRIVATE, number) if number < 16 => Some(u32::from(IntId::ppi(number))),
        _ => None,
    }
}
