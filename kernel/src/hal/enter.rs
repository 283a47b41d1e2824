//! From Python's side of `_hal` into the kernel.
//!
//! A function of `_hal` runs where C code runs: on C's stack, where a page may be missing, an
//! interrupt may switch threads and a signal handler may run. So it holds no lock and uses no heap. What
//! needs either goes through [`enter`], which makes it on the thread's kernel stack as a system call
//! is made, signals delivered after it.

use core::mem::ManuallyDrop;
use core::ops::Deref;

use crate::libc::errno::SysResult;

/// The number of the call, far beyond Linux's. Its arguments are a function of [`run`]'s kind and what
/// that function is to be called with.
pub const NUMBER: usize = isize::MAX as usize;

unsafe extern "C" {
    fn kernel_syscall(
        number: usize,
        function: usize,
        task: usize,
        c: usize,
        d: usize,
        e: usize,
        f: usize,
    ) -> isize;
}

struct Task<F, R> {
    function: Option<F>,
    result: Option<R>,
}

/// Runs a task, once; it lies on the stack of [`enter_raw`].
fn run<F: FnOnce() -> R, R>(task: usize) {
    let task = core::ptr::with_exposed_provenance_mut::<Task<F, R>>(task);
    // SAFETY: `enter_raw` waits for this call and leaves the task alone meanwhile.
    let task = unsafe { &mut *task };
    if let Some(function) = task.function.take() {
        task.result = Some(function());
    }
}

fn enter_raw<F: FnOnce() -> R, R>(function: F) -> R {
    let mut task = Task {
        function: Some(function),
        result: None,
    };
    let runner: fn(usize) = run::<F, R>;
    let place = (&raw mut task).expose_provenance();
    // SAFETY: the number is that of a call that takes these two arguments.
    unsafe { kernel_syscall(NUMBER, runner as usize, place, 0, 0, 0, 0) };
    task.result.expect("the call runs the task")
}

/// Makes the call: the dispatcher's side.
///
/// Whoever can make system calls by number can call any function here, as ctypes can: there is one
/// privilege level.
pub fn call(&[function, task, ..]: &[usize; 6]) -> SysResult {
    let function = core::ptr::with_exposed_provenance::<()>(function);
    // SAFETY: `enter_raw` passes a `fn(usize)`.
    let function = unsafe { core::mem::transmute::<*const (), fn(usize)>(function) };
    function(task);
    Ok(0)
}

/// Runs `function` on the kernel stack. What it takes and returns is plain data, so nothing is freed on
/// C's stack.
pub fn enter<R: Copy>(function: impl FnOnce() -> R) -> R {
    enter_raw(function)
}

/// Runs `function` on the kernel stack; what it returns may own memory of the kernel's heap.
pub fn enter_owned<R>(function: impl FnOnce() -> R) -> Owned<R> {
    Owned(ManuallyDrop::new(enter_raw(function)))
}

/// Something of the kernel's heap that code on C's stack may look at: it is freed in the kernel.
pub struct Owned<T>(ManuallyDrop<T>);

impl<T> Deref for Owned<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T> Drop for Owned<T> {
    fn drop(&mut self) {
        let value = &mut self.0;
        // SAFETY: nobody uses it after this.
        enter_raw(|| unsafe { ManuallyDrop::drop(value) });
    }
}
