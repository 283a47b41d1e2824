//! The interrupt controller: a GICv2 or GICv3 by the `arm-gic` crate. Its registers count as the
//! kernel's alone; all interrupts have the same priority, and none interrupts a handler.
//!
//! But one: what stops a CPU for a fault report is a fast interrupt (group 0) of the highest priority, which CPUs
//! take with interrupts off and in handlers. Where the firmware keeps group 0 for itself it is one like
//! the others.

use core::cell::UnsafeCell;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicBool, Ordering};

use aarch64_cpu::asm::barrier;
use arm_gic::gicv2::registers::{Gicc, Gicd as GicdV2};
use arm_gic::gicv2::{GicV2, SgiTarget as SgiTargetV2, SgiTargetListFilter};
use arm_gic::gicv3::registers::{Gicd, GicrSgi};
use arm_gic::gicv3::{GicCpuInterface, GicV3, Group, SecureIntGroup, SgiTarget, SgiTargetGroup};
use arm_gic::{IntId, InterruptGroup, UniqueMmioPointer};
use smp::{MAX_CPUS, SpinLock};
use spin::Once;

use super::cpu::without_interrupts;
use super::device_tree::{Controller, machine};
use super::irq::IrqError;
use super::per_cpu::{self, CpuLocal};
use crate::memory::{self, PhysAddr};

/// What CPUs send each other.
pub const SGI_RESCHEDULE: u32 = 0;
pub const SGI_SHOOTDOWN: u32 = 1;
pub const SGI_STOP: u32 = 2;

const SGIS: [u32; 3] = [SGI_RESCHEDULE, SGI_SHOOTDOWN, SGI_STOP];
/// What an acknowledged number has beyond it in a GICv2: the CPU that sent it.
const NUMBER_MASK: u32 = 0x3ff;
/// From here on numbers are no interrupts.
const FIRST_SPECIAL: u32 = 1020;
/// The lowest priority: everything passes.
const PASS_ALL: u8 = 0xff;
/// Where a GICv2's distributor keeps the priorities of interrupts, and which CPUs they go to, a byte each (GICv2
/// 4.3.11, 4.3.12).
const PRIORITIES_V2: usize = 0x400;
const TARGETS_V2: usize = 0x800;
/// Both groups enabled, group 0 as fast interrupts, and the registers of group 0 for both (GICC_CTLR, GICv2 4.4.1):
/// QEMU does not have those of group 1.
const BOTH_GROUPS_V2: u32 = 0b1111;
/// The private interrupts of a CPU.
const PRIVATE: core::ops::Range<u32> = 0..32;
/// Of a GICv3's distributor: there is one security state, so both groups are ours (GICD_CTLR.DS).
const ONE_SECURITY_STATE: u32 = 1 << 6;
/// What interrupts have: a GICv3's driver gives it to all.
const USUAL_PRIORITY: u8 = 0x80;
const HIGHEST_PRIORITY: u8 = 0;

/// One CPU's view of a GICv2, whose CPU interface and first distributor registers are banked.
struct SlotV2(UnsafeCell<Option<GicV2<'static>>>);

// SAFETY: `with_v2` hands slot `i` to CPU `i` alone, with interrupts off.
unsafe impl Sync for SlotV2 {}

static SLOTS_V2: [SlotV2; MAX_CPUS] = [const { SlotV2(UnsafeCell::new(None)) }; MAX_CPUS];
/// Where a GICv2's registers are seen: distributor, CPU interface.
static REGISTERS_V2: Once<(usize, usize)> = Once::new();

/// Whether the boot CPU's part is set up.
static IS_SET_UP: AtomicBool = AtomicBool::new(false);
/// Whether there are fast interrupts.
static HAS_FAST: AtomicBool = AtomicBool::new(false);

struct SharedV3(GicV3<'static>);

// SAFETY: it holds addresses of registers that every CPU may use.
unsafe impl Send for SharedV3 {}

static V3: SpinLock<Option<SharedV3>> = SpinLock::new(None);

/// An interrupt that this CPU has taken.
pub struct Interrupt(IntId);

impl Interrupt {
    /// Its number.
    pub fn number(&self) -> u32 {
        u32::from(self.0) & NUMBER_MASK
    }

    /// Tells the controller that it has been handled.
    pub fn end(&self) {
        if is_v2() {
            with_v2(|gic| gic.end_interrupt(self.0, InterruptGroup::Group0));
        } else {
            GicCpuInterface::end_interrupt(self.0, InterruptGroup::Group1);
        }
    }
}

fn is_v2() -> bool {
    matches!(machine().controller, Some(Controller::V2 { .. }))
}

/// Runs `f` on this CPU's view of the GICv2.
fn with_v2<R>(f: impl FnOnce(&mut GicV2<'static>) -> R) -> R {
    without_interrupts(|| {
        let slot = SLOTS_V2[per_cpu::this_cpu_id().index()].0.get();
        // SAFETY: interrupts are off, so nothing else on this CPU uses the slot,
        // and other CPUs use theirs.
        f(unsafe { (*slot).as_mut() }.expect("the CPU's interrupts are set up"))
    })
}

/// Maps the registers and sets up the controller and the boot CPU's part of it.
///
/// # Panics
///
/// If the machine has no GIC.
pub fn init_boot_cpu() {
    let controller = machine().controller.expect("the device tree names a GIC");
    match controller {
        Controller::V2 {
            distributor,
            cpu_interface,
        } => {
            let &registers = REGISTERS_V2.call_once(|| {
                // SAFETY: the device tree says that the registers are there; this module drives them.
                unsafe {
                    (
                        memory::map_mmio(PhysAddr(distributor.start), distributor.len() as usize)
                            .addr(),
                        memory::map_mmio(
                            PhysAddr(cpu_interface.start),
                            cpu_interface.len() as usize,
                        )
                        .addr(),
                    )
                }
            });
            let mut gic = driver_v2(registers);
            gic.setup();
            if !gic.typer().has_security_extension() {
                gic.enable_group1(true);
                HAS_FAST.store(true, Ordering::Relaxed);
            }
        }
        Controller::V3 {
            distributor,
            redistributors,
        } => {
            // SAFETY: as above.
            let registers = unsafe {
                memory::map_mmio(PhysAddr(distributor.start), distributor.len() as usize)
            };
            // SAFETY: as above.
            let gic = unsafe {
                let redistributors = memory::map_mmio(
                    PhysAddr(redistributors.start),
                    redistributors.len() as usize,
                );
                let registers = NonNull::new(registers.cast::<Gicd>()).expect("a mapped address");
                GicV3::new(
                    UniqueMmioPointer::new(registers),
                    NonNull::new(redistributors.cast::<GicrSgi>()).expect("a mapped address"),
                    machine().cpus().len(),
                )
            };
            let mut gic = gic.expect("a redistributor of a kind that the driver knows");
            let index = redistributor_of(&mut gic, per_cpu::this_cpu().affinity());
            gic.setup(index);
            // SAFETY: the distributor's first register, mapped above.
            let control = unsafe { registers.cast::<u32>().read_volatile() };
            if control & ONE_SECURITY_STATE != 0 {
                gic.distributor().enable_group0(true);
                HAS_FAST.store(true, Ordering::Relaxed);
            }
            *V3.lock() = Some(SharedV3(gic));
        }
    }
    init_this_cpu();
    IS_SET_UP.store(true, Ordering::Relaxed);
}

fn driver_v2((distributor, cpu_interface): (usize, usize)) -> GicV2<'static> {
    // SAFETY: mapped by `init_boot_cpu`. Each CPU has a driver of its own, and uses of it what is banked
    // per CPU, or written whole (the register that sends); what is shared is set up by the boot CPU alone, and
    // shared interrupts one at a time by `enable_shared`.
    unsafe {
        GicV2::new(
            core::ptr::with_exposed_provenance_mut::<GicdV2>(distributor),
            core::ptr::with_exposed_provenance_mut::<Gicc>(cpu_interface),
        )
    }
}

/// Sets one of the registers of a GICv2's distributor that have a byte for each interrupt.
fn set_byte_v2(registers: usize, interrupt: u32, value: u8) {
    let (distributor, _) = *REGISTERS_V2.get().expect("it is a GICv2");
    // SAFETY: a byte of the distributor's, mapped by `init_boot_cpu`.
    unsafe {
        ((distributor + registers + interrupt as usize) as *mut u8).write_volatile(value);
    }
}

/// Sets up the part of the CPU that runs this: its timer and what other CPUs send get through.
pub fn init_this_cpu() {
    match REGISTERS_V2.get() {
        Some(&registers) => init_this_cpu_v2(registers),
        None => init_this_cpu_v3(),
    }
}

/// The private interrupts that are in use.
fn private() -> impl Iterator<Item = IntId> {
    SGIS.map(IntId::sgi).into_iter().chain([timer()])
}

fn init_this_cpu_v2(registers: (usize, usize)) {
    let cpu = per_cpu::this_cpu();
    let mut gic = driver_v2(registers);
    let has_fast = HAS_FAST.load(Ordering::Relaxed);
    if has_fast {
        for number in PRIVATE.filter(|&number| number != SGI_STOP) {
            let interrupt = match number.checked_sub(u32::from(IntId::ppi(0))) {
                Some(peripheral) => IntId::ppi(peripheral),
                None => IntId::sgi(number),
            };
            gic.set_group(interrupt, InterruptGroup::Group1);
            set_byte_v2(PRIORITIES_V2, number, USUAL_PRIORITY);
        }
        set_byte_v2(PRIORITIES_V2, SGI_STOP, HIGHEST_PRIORITY);
    }
    let (distributor, cpu_interface) = registers;
    let control = if has_fast { BOTH_GROUPS_V2 } else { 1 };
    // SAFETY: the first register of this CPU's interface, mapped by `init_boot_cpu`.
    unsafe { (cpu_interface as *mut u32).write_volatile(control) };
    gic.set_priority_mask(PASS_ALL);
    for interrupt in private() {
        gic.enable_interrupt(interrupt, true)
            .expect("every GIC has private interrupts");
    }
    // The targets of a private interrupt are this CPU: that tells its bit.
    // SAFETY: a register of the distributor, which has a byte for each interrupt.
    let target = unsafe { ((distributor + TARGETS_V2) as *const u8).read_volatile() };
    // With one CPU there is nothing to choose, and it reads as zero.
    cpu.gic_target.store(target.max(1), Ordering::Relaxed);
    without_interrupts(|| {
        // SAFETY: as in `with_v2`.
        unsafe { *SLOTS_V2[cpu.id().index()].0.get() = Some(gic) };
    });
}

fn init_this_cpu_v3() {
    let mut shared = V3.lock();
    let gic = &mut shared.as_mut().expect("the boot CPU has set it up").0;
    let index = redistributor_of(gic, per_cpu::this_cpu().affinity());
    gic.init_cpu(index);
    GicCpuInterface::enable_group1(true);
    GicCpuInterface::set_priority_mask(PASS_ALL);
    if HAS_FAST.load(Ordering::Relaxed) {
        let stop = IntId::sgi(SGI_STOP);
        gic.set_group(stop, Some(index), Group::Secure(SecureIntGroup::Group0))
            .and_then(|()| gic.set_interrupt_priority(stop, Some(index), HIGHEST_PRIORITY))
            .expect("every GIC has private interrupts");
        GicCpuInterface::enable_group0(true);
    }
    for interrupt in private() {
        gic.enable_interrupt(interrupt, Some(index), true)
            .expect("every GIC has private interrupts");
    }
}

fn timer() -> IntId {
    IntId::ppi(machine().timer - u32::from(IntId::ppi(0)))
}

/// Finds a CPU's redistributor.
fn redistributor_of(gic: &mut GicV3, affinity: u64) -> usize {
    (0..machine().cpus().len())
        .find(|&index| {
            gic.gicr_typer(index)
                .is_ok_and(|typer| typer.core_mpidr() == affinity)
        })
        .expect("every CPU has a redistributor")
}

/// The controller's name, for the log.
pub fn name() -> &'static str {
    if is_v2() { "GICv2" } else { "GICv3" }
}

/// Lets a device's interrupt through, to the boot CPU.
pub fn enable_shared(number: u32) -> Result<(), IrqError> {
    let first_shared = u32::from(IntId::spi(0));
    if !(first_shared..FIRST_SPECIAL).contains(&number) {
        return Err(IrqError::NoSuchInterrupt);
    }
    let interrupt = IntId::spi(number - first_shared);
    let boot_cpu = per_cpu::cpu(smp::CpuId(0)).expect("the boot CPU is up");
    // Also what keeps others from setting up an interrupt of a GICv2 meanwhile.
    let mut shared = V3.lock();
    if is_v2() {
        set_byte_v2(
            TARGETS_V2,
            number,
            boot_cpu.gic_target.load(Ordering::Relaxed),
        );
        set_byte_v2(PRIORITIES_V2, number, USUAL_PRIORITY);
        return with_v2(|gic| {
            gic.set_group(interrupt, InterruptGroup::Group1);
            gic.enable_interrupt(interrupt, true)
        })
        .map_err(|_| IrqError::NoSuchInterrupt);
    }
    let gic = &mut shared.as_mut().expect("the boot CPU has set it up").0;
    gic.distributor()
        .set_routing(interrupt, Some(boot_cpu.affinity()))
        .and_then(|()| gic.enable_interrupt(interrupt, None, true))
        .map_err(|_| IrqError::NoSuchInterrupt)
}

/// Stops a device's interrupt, which `enable_shared` let through.
pub fn disable_shared(number: u32) {
    let interrupt = IntId::spi(number - u32::from(IntId::spi(0)));
    // Also what keeps others from setting up an interrupt of a GICv2 meanwhile.
    let mut shared = V3.lock();
    let result = if is_v2() {
        with_v2(|gic| gic.enable_interrupt(interrupt, false)).is_ok()
    } else {
        let gic = &mut shared.as_mut().expect("the boot CPU has set it up").0;
        gic.enable_interrupt(interrupt, None, false).is_ok()
    };
    debug_assert!(result, "it could be enabled");
}

/// Takes the interrupt that waits; `None` if it has gone.
pub fn acknowledge() -> Option<Interrupt> {
    let taken = if is_v2() {
        with_v2(|gic| gic.get_and_acknowledge_interrupt(InterruptGroup::Group0))
    } else {
        GicCpuInterface::get_and_acknowledge_interrupt(InterruptGroup::Group1)
    };
    taken
        .map(Interrupt)
        .filter(|interrupt| interrupt.number() < FIRST_SPECIAL)
}

/// Takes the fast interrupt that waits; `None` if it has gone.
pub fn acknowledge_fast() -> Option<Interrupt> {
    let taken = if is_v2() {
        with_v2(|gic| gic.get_and_acknowledge_interrupt(InterruptGroup::Group0))
    } else {
        GicCpuInterface::get_and_acknowledge_interrupt(InterruptGroup::Group0)
    };
    taken
        .map(Interrupt)
        .filter(|interrupt| interrupt.number() < FIRST_SPECIAL)
}

/// Lets nothing through to this CPU any more: a pending interrupt, masked or not, would end each wait of a CPU that
/// has stopped.
pub fn silence_this_cpu() {
    /// Where a GICv2's CPU interface keeps the priority mask.
    const PRIORITY_MASK_V2: usize = 4;
    if !IS_SET_UP.load(Ordering::Relaxed) {
        return;
    }
    match REGISTERS_V2.get() {
        // SAFETY: a register of this CPU's interface, mapped by `init_boot_cpu`.
        Some(&(_, cpu_interface)) => unsafe {
            ((cpu_interface + PRIORITY_MASK_V2) as *mut u32).write_volatile(0);
        },
        None => GicCpuInterface::set_priority_mask(0),
    }
}

/// Interrupts another CPU, which finds what was written before.
pub fn send(target: &CpuLocal, number: u32) {
    barrier::dsb(barrier::ISHST);
    let interrupt = IntId::sgi(number);
    if is_v2() {
        let target = SgiTargetV2::List {
            target_list_filter: SgiTargetListFilter::CPUTargetList,
            target_list: target.gic_target.load(Ordering::Relaxed).into(),
        };
        with_v2(|gic| gic.send_sgi(interrupt, target));
        return;
    }
    let [affinity0, affinity1, affinity2, _, affinity3, ..] = target.affinity().to_le_bytes();
    let target = SgiTarget::List {
        affinity3,
        affinity2,
        affinity1,
        target_list: 1 << (affinity0 & 0xf),
    };
    let group = if number == SGI_STOP && HAS_FAST.load(Ordering::Relaxed) {
        SgiTargetGroup::Group0
    } else {
        SgiTargetGroup::CurrentGroup1
    };
    GicCpuInterface::send_sgi(interrupt, target, group)
        .expect("the numbers above are those of software interrupts");
    barrier::isb(barrier::SY);
}
