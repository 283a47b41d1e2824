//! The `ucontext_t` that C's signal handlers receive.
//!
//! The layout is musl's `bits/signal.h`, which is Linux's `struct ucontext` with room at the end.

use super::trap_stubs::TrapFrame;

/// The registers of C code that a fault interrupted.
pub type Registers = TrapFrame;

/// How many registers `gregset_t` has.
const REGISTERS: usize = 23;
/// Words of `sigset_t`: 1024 bits, of which the kernel uses 64.
const MASK_WORDS: usize = 16;
/// Words that musl keeps for floating-point state.
const FLOATING_POINT_WORDS: usize = 64;

// Places in `gregset_t`.
const RSP: usize = 15;
const RIP: usize = 16;
const RFLAGS: usize = 17;
const SEGMENTS: usize = 18;
const ERROR: usize = 19;
const VECTOR: usize = 20;

/// `ucontext_t`: where the handler was called from and what returns when it does.
#[repr(C)]
pub struct UserContext {
    flags: u64,
    link: u64,
    stack: [u64; 3],
    registers: [u64; REGISTERS],
    /// Null: no floating-point state is shown. It is kept where no handler changes it.
    floating_point: u64,
    reserved: [u64; 8],
    mask: [u64; MASK_WORDS],
    floating_point_memory: [u64; FLOATING_POINT_WORDS],
}

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
            registers: [0; REGISTERS],
            floating_point: 0,
            reserved: [0; 8],
            mask: [0; MASK_WORDS],
            floating_point_memory: [0; FLOATING_POINT_WORDS],
        };
        context.mask[0] = mask;
        if let Some(frame) = registers {
            context.registers[..RSP].copy_from_slice(&[
                frame.r8, frame.r9, frame.r10, frame.r11, frame.r12, frame.r13, frame.r14,
                frame.r15, frame.rdi, frame.rsi, frame.rbp, frame.rbx, frame.rdx, frame.rax,
                frame.rcx,
            ]);
            context.registers[RSP] = frame.rsp;
            context.registers[RIP] = frame.rip;
            context.registers[RFLAGS] = frame.rflags;
            context.registers[SEGMENTS] = frame.cs | frame.ss << 48;
            context.registers[ERROR] = frame.error;
            context.registers[VECTOR] = frame.vector;
        }
        context
    }

    /// The mask to set after the handler, which may have changed it.
    pub fn mask(&self) -> u64 {
        self.mask[0]
    }

    /// Puts what the handler left in the context into the registers that C code continues with.
    /// Of the flags only those that arithmetic sets, and the direction, are taken.
    pub fn store_registers(&self, frame: &mut Registers) {
        const FLAGS_OF_C: u64 = 0xcd5;
        let [
            r8,
            r9,
            r10,
            r11,
            r12,
            r13,
            r14,
            r15,
            rdi,
            rsi,
            rbp,
            rbx,
            rdx,
            rax,
            rcx,
            rsp,
            rip,
            rflags,
            ..,
        ] = self.registers;
        (frame.r8, frame.r9, frame.r10, frame.r11) = (r8, r9, r10, r11);
        (frame.r12, frame.r13, frame.r14, frame.r15) = (r12, r13, r14, r15);
        (frame.rdi, frame.rsi, frame.rbp, frame.rbx) = (rdi, rsi, rbp, rbx);
        (frame.rdx, frame.rax, frame.rcx) = (rdx, rax, rcx);
        (frame.rsp, frame.rip) = (rsp, rip);
        frame.rflags = frame.rflags & !FLAGS_OF_C | rflags & FLAGS_OF_C;
    }
}
