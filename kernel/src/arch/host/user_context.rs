//! Signal handlers on the host: Rust functions that a test hands in, called as they are.

/// No test looks at registers.
pub struct Registers;

/// What a handler may change: the mask.
#[repr(C)]
pub struct UserContext {
    mask: u64,
}

impl UserContext {
    /// A context after which `mask` holds.
    pub fn new(
        mask: u64,
        _stack_base: usize,
        _stack_len: usize,
        _registers: Option<&Registers>,
    ) -> Self {
        Self { mask }
    }

    /// The mask to set after the handler.
    pub fn mask(&self) -> u64 {
        self.mask
    }

    /// There are no registers to store.
    pub fn store_registers(&self, _registers: &mut Registers) {}
}

/// Returns an address on this stack: tests call the kernel where C code would.
pub fn user_stack_pointer() -> usize {
    let here = 0u8;
    core::ptr::from_ref(&here).addr()
}

/// Calls `function` on this stack.
///
/// # Safety
///
/// `function` may be called with these arguments.
pub unsafe fn call_on_stack(
    function: unsafe extern "C" fn(usize, usize, usize),
    arguments: [usize; 3],
    _stack_top: usize,
) {
    // SAFETY: the caller's contract.
    unsafe { function(arguments[0], arguments[1], arguments[2]) };
}

/// Calls `entry(arg)` on this stack.
///
/// # Safety
///
/// `entry` may be called with `arg`.
pub unsafe fn enter_user(entry: extern "C" fn(usize) -> !, arg: usize, _stack_top: usize) -> ! {
    entry(arg)
}
