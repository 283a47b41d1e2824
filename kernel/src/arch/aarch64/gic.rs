//! The interrupt controller: a GICv2 or GICv3 by the `arm-gic` crate. Its registers count as the
//! kernel's alone; all interrupts have the same priority, and none interrupts a handler.

use core::cell::UnsafeCell;
use core::ptr::NonNull;
use core::sync::atomic::Ordering;

use aarch64_cpu::asm::barrier;
use arm_gic::gicv2::registers::{Gicc, Gicd as GicdV2};
use arm_gic::gicv2::{GicV2, SgiTarget as SgiTargetV2, SgiTargetListFilter};
use arm_gic::gicv3::registers::{Gicd, GicrSgi};
use arm_gic::gicv3::{GicCpuInterface, GicV3, SgiTarget, SgiTargetGroup};
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
/// Where a GICv2's distributor keeps which CPUs an interrupt goes to, a byte each (GICv2 4.3.12).
const TARGETS_V2: usize = 0x800;

/// One CPU's view of a GICv2, whose CPU interface and first distributor registers are banked.
struct SlotV2(UnsafeCell<Option<GicV2<'static>>>);

// SAFETY: `with_v2` hands slot `i` to CPU `i` alone, with interrupts off.
unsafe impl Sync for SlotV2 {}

static SLOTS_V2: [SlotV2; MAX_CPUS] = [const { SlotV2(UnsafeCell::new(None)) }; MAX_CPUS];
/// Where a GICv2's registers are seen: distributor, CPU interface.
static REGISTERS_V2: Once<(usize, usize)> = Once::new();

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
            REGISTERS_V2.call_once(|| {
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
        }
        Controller::V3 {
            distributor,
            redistributors,
        } => {
            // SAFETY: as above.
            let gic = unsafe {
                let registers =
                    memory::map_mmio(PhysAddr(distributor.start), distributor.len() as usize);
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
            *V3.lock() = Some(SharedV3(gic));
        }
    }
    init_this_cpu();
}

/// Sets up the part of the CPU that runs this: its timer and what other CPUs send get through.
pub fn init_this_cpu() {
    let private = || SGIS.map(IntId::sgi).into_iter().chain([timer()]);
    if let Some(&(distributor, cpu_interface)) = REGISTERS_V2.get() {
        let cpu = per_cpu::this_cpu();
        // SAFETY: mapped by `init_boot_cpu`. Each CPU has a driver of its own, and uses of it what is banked
        // per CPU, or written whole (the register that sends); shared interrupts are set up one at a
        // time by `enable_shared`.
        let mut gic = unsafe {
            GicV2::new(
                core::ptr::with_exposed_provenance_mut::<GicdV2>(distributor),
                core::ptr::with_exposed_provenance_mut::<Gicc>(cpu_interface),
            )
        };
        gic.setup();
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
        return;
    }
    let mut shared = V3.lock();
    let gic = &mut shared.as_mut().expect("the boot CPU has set it up").0;
    let index = redistributor_of(gic, per_cpu::this_cpu().affinity());
    gic.init_cpu(index);
    GicCpuInterface::enable_group1(true);
    GicCpuInterface::set_priority_mask(PASS_ALL);
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
    if let Some(&(distributor, _)) = REGISTERS_V2.get() {
        let target = boot_cpu.gic_target.load(Ordering::Relaxed);
        // SAFETY: the register that says where this interrupt goes.
        unsafe {
            ((distributor + TARGETS_V2 + number as usize) as *mut u8).write_volatile(target);
        }
        return with_v2(|gic| gic.enable_interrupt(interrupt, true))
            .map_err(|_| IrqError::NoSuchInterrupt);
    }
    let gic = &mut shared.as_mut().expect("the boot CPU has set it up").0;
    gic.distributor()
        .set_routing(interrupt, Some(boot_cpu.affinity()))
        .and_then(|()| gic.enable_interrupt(interrupt, None, true))
        .map_err(|_| IrqError::NoSuchInterrupt)
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
    GicCpuInterface::send_sgi(interrupt, target, SgiTargetGroup::CurrentGroup1)
        .expect("the numbers above are those of software interrupts");
    barrier::isb(barrier::SY);
}
