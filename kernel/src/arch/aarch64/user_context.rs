//! The `ucontext_t` that C's signal handlers receive.
//!
//! The layout is musl's `bits/signal.h`, which is Linux's `struct ucontext`.

use super::vectors::TrapFrame;

/// The registers of C code that a fault interrupted.
pub type Registers = TrapFrame;

/// Words of `sigset_t`: 1024 bits, of which the kernel uses 64.
const MASK_WORDS: usize = 16;
/// Bytes for records of further state, which a record of size 0 ends.
const RECORDS_SIZE: usize = 4096;

/// `mcontext_t`.
#[repr(C, align(16))]
struct MachineContext {
    fault_address: u64,
    x: [u64; 31],
    sp: u64,
    pc: u64,
    pstate: u64,
    /// None: no floating-point state is shown. It is kept where no handler changes it.
    records: Records,
}

#[repr(C, align(16))]
struct Records([u8; RECORDS_SIZE]);

/// `ucontext_t`: where the handler was called from and what returns when it does.
#[repr(C)]
pub struct UserContext {
    flags: u64,
    link: u64,
    stack: [u64; 3],
    mask: [u64; MASK_WORDS],
    machine: MachineContext,
}

const _: () = assert!(core::mem::offset_of!(UserContext, machine) == 176);

/// `SS_DISABLE` of sigaltstack(2).
const NO_ALTERNATE_STACK: u64 = 2;

impl UserContext {
    /// The context of a handler after which `mask` holds, in a thread with this alternate stack
    /// (length 0: none); `registers` are those that a fault found.
    pub fn new(
        mask: u64,
        stack_base: usize,
        stack_len: usize,
        registers: Option<&Registers>,
    ) -> Self {
        let stack_flags = if stack_len == 0 {
            NO_ALTERNATE_STACK
        } else {
            0
        };
        let mut context = Self {
            flags: 0,
            link: 0,
            stack: [stack_base as u64, stack_flags, stack_len as u64],
            mask: [0; MASK_WORDS],
            machine: MachineContext {
                fault_address: 0,
                x: [0; 31],
                sp: 0,
                pc: 0,
                pstate: 0,
                records: Records([0; RECORDS_SIZE]),
            },
        };
        context.mask[0] = mask;
        if let Some(frame) = registers {
            context.machine.fault_address = frame.address;
            context.machine.x = frame.x;
            context.machine.sp = frame.sp;
            context.machine.pc = frame.pc;
            context.machine.pstate = frame.pstate;
        }
        context
    }

    /// The mask to set after the handler, which may have changed it.
    pub fn mask(&self) -> u64 {
        self.mask[0]
    }

    /// Puts what the handler left in the context into the registers that C code continues with.
    /// Of PSTATE only the flags of arithmetic are taken.
    pub fn store_registers(&self, frame: &mut Registers) {
        const FLAGS_OF_C: u64 = 0xf << 28;
        frame.x = self.machine.x;
        frame.sp = self.machine.sp;
        frame.pc = self.machine.pc;
        frame.pstate = frame.pstate & !FLAGS_OF_C | self.machine.pstate & FLAGS_OF_C;
    }
}
