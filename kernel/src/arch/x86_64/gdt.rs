//! Segments and interrupt stacks.
//!
//! Every vector enters on a stack of its own through the interrupt stack table,
//! because the code that is interrupted may use the 128 bytes below its stack
//! pointer (the System V ABI's red zone), and because its stack may be the very
//! thing that is broken. Each has an unmapped page below it.
//!
//! | IST | for | nesting |
//! |---|---|---|
//! | 1 | devices, timer, IPIs | never: interrupts stay off in the handler |
//! | 2 | page fault | the stub moves the entry down by one level while it runs |
//! | 3 | NMI | never: the CPU blocks NMIs until `iretq` |
//! | 4 | double fault | does not return |
//! | 5 | machine check | does not return |
//! | 6 | all other exceptions | as page fault |

use core::mem::offset_of;

use x86_64::VirtAddr;
use x86_64::instructions::segmentation::{CS, DS, ES, FS, SS, Segment};
use x86_64::instructions::tables::load_tss;
use x86_64::structures::gdt::{Descriptor, GlobalDescriptorTable};
use x86_64::structures::tss::TaskStateSegment;

use crate::memory::STACK_GUARD_SIZE;

/// IST entry (1 to 7) of devices, timer and IPIs.
pub const IST_INTERRUPT: usize = 1;
/// IST entry of page faults.
pub const IST_PAGE_FAULT: usize = 2;
/// IST entry of non-maskable interrupts.
pub const IST_NMI: usize = 3;
/// IST entry of double faults.
pub const IST_DOUBLE_FAULT: usize = 4;
/// IST entry of machine checks.
pub const IST_MACHINE_CHECK: usize = 5;
/// IST entry of all other exceptions.
pub const IST_EXCEPTION: usize = 6;

/// Bytes from one nesting level of the exception stacks to the next.
pub const LEVEL_SIZE: usize = size_of::<Stack<{ 12 * 1024 }>>();
/// Levels of the exception stacks: a fault, one in its handler, one in the report of that.
const LEVELS: usize = 3;
const INTERRUPT_STACK_SIZE: usize = 16 * 1024;
const SMALL_STACK_SIZE: usize = 8 * 1024;

/// A page that is not mapped.
#[repr(C, align(4096))]
struct Guard([u8; STACK_GUARD_SIZE]);

/// A stack above its guard page.
#[repr(C, align(4096))]
struct Stack<const N: usize> {
    guard: Guard,
    memory: [u8; N],
}

impl<const N: usize> Stack<N> {
    const fn new() -> Self {
        Self {
            guard: Guard([0; STACK_GUARD_SIZE]),
            memory: [0; N],
        }
    }
}

/// Stacks for as many faults inside each other as there are levels, the first one on the highest.
#[repr(C, align(4096))]
struct NestedStack {
    /// Where one more would begin.
    below: Guard,
    levels: [Stack<{ 12 * 1024 }>; LEVELS],
}

impl NestedStack {
    const fn new() -> Self {
        Self {
            below: Guard([0; STACK_GUARD_SIZE]),
            levels: [const { Stack::new() }; LEVELS],
        }
    }
}

/// One CPU's interrupt stacks.
#[repr(C, align(4096))]
pub struct InterruptStacks {
    interrupt: Stack<INTERRUPT_STACK_SIZE>,
    page_fault: NestedStack,
    nmi: Stack<SMALL_STACK_SIZE>,
    double_fault: Stack<SMALL_STACK_SIZE>,
    machine_check: Stack<SMALL_STACK_SIZE>,
    exception: NestedStack,
}

/// Where the guard pages are in an [`InterruptStacks`].
pub const STACK_GUARDS: [usize; 4 + 2 * (1 + LEVELS)] = {
    const fn nested(at: usize) -> [usize; 1 + LEVELS] {
        let first = at + offset_of!(NestedStack, levels);
        [at, first, first + LEVEL_SIZE, first + 2 * LEVEL_SIZE]
    }
    let page_fault = nested(offset_of!(InterruptStacks, page_fault));
    let exception = nested(offset_of!(InterruptStacks, exception));
    [
        offset_of!(InterruptStacks, interrupt),
        offset_of!(InterruptStacks, nmi),
        offset_of!(InterruptStacks, double_fault),
        offset_of!(InterruptStacks, machine_check),
        page_fault[0],
        page_fault[1],
        page_fault[2],
        page_fault[3],
        exception[0],
        exception[1],
        exception[2],
        exception[3],
    ]
};

impl InterruptStacks {
    pub const fn new() -> Self {
        Self {
            interrupt: Stack::new(),
            page_fault: NestedStack::new(),
            nmi: Stack::new(),
            double_fault: Stack::new(),
            machine_check: Stack::new(),
            exception: NestedStack::new(),
        }
    }
}

/// One CPU's global descriptor table: null, code 0x08, data 0x10, TSS 0x18.
pub type Segments = GlobalDescriptorTable<8>;

/// Fills the TSS and the GDT and loads them on this CPU.
///
/// # Safety
///
/// The three belong to this CPU, live for ever, and nothing else uses them.
pub unsafe fn load(
    segments: *mut Segments,
    tss: *mut TaskStateSegment,
    stacks: *mut InterruptStacks,
) {
    fn top<T>(stack: *mut T) -> VirtAddr {
        // SAFETY: one past the end of the same object.
        VirtAddr::from_ptr(unsafe { stack.add(1) })
    }
    // SAFETY: the caller's contract; the places are valid for writing.
    unsafe {
        let mut table = [VirtAddr::zero(); 7];
        table[IST_INTERRUPT - 1] = top(&raw mut (*stacks).interrupt);
        table[IST_PAGE_FAULT - 1] = top(&raw mut (*stacks).page_fault);
        table[IST_NMI - 1] = top(&raw mut (*stacks).nmi);
        table[IST_DOUBLE_FAULT - 1] = top(&raw mut (*stacks).double_fault);
        table[IST_MACHINE_CHECK - 1] = top(&raw mut (*stacks).machine_check);
        table[IST_EXCEPTION - 1] = top(&raw mut (*stacks).exception);
        (*tss).interrupt_stack_table = table;

        let segments = &mut *segments;
        let code = segments.append(Descriptor::kernel_code_segment());
        let data = segments.append(Descriptor::kernel_data_segment());
        let task = segments.append(Descriptor::tss_segment_unchecked(tss));
        segments.load_unsafe();
        CS::set_reg(code);
        SS::set_reg(data);
        DS::set_reg(data);
        ES::set_reg(data);
        FS::set_reg(x86_64::structures::gdt::SegmentSelector::NULL);
        load_tss(task);
    }
}
