//! Threads of the kernel itself: no C code, no signals, no part of the process.

use smp::{Thread, ThreadConfig, ThreadRef};

/// Starts one that runs `entry(argument)`; `None` if there is no memory for its stack.
pub fn spawn(name: &str, entry: extern "C" fn(usize) -> !, argument: usize) -> Option<ThreadRef> {
    let config = ThreadConfig {
        on_reap: free_stack,
        ..ThreadConfig::new(name, entry, argument, alloc_stack()?)
    };
    Some(smp::spawn(config))
}

#[cfg(target_os = "none")]
fn alloc_stack() -> Option<usize> {
    crate::memory::alloc_kernel_stack()
}

#[cfg(target_os = "none")]
fn free_stack(thread: &Thread) {
    // SAFETY: the stack came from `alloc_stack`, and the thread has left it for good.
    unsafe { crate::memory::free_kernel_stack(thread.kernel_stack_top()) }
}

/// A host thread brings its own stack.
#[cfg(not(target_os = "none"))]
fn alloc_stack() -> Option<usize> {
    Some(0)
}

#[cfg(not(target_os = "none"))]
fn free_stack(_: &Thread) {}
