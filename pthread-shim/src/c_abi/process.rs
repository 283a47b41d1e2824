//! Processes, as far as threads have a part in them. The machine has one process, and its
//! kernel says so with ENOSYS; in hosted mode Linux makes more, by copying.

use core::{
    ffi::{c_int, c_void},
    mem, ptr,
};

use linux_raw_sys::{
    errno::{ENOMEM, ENOSYS},
    general::{__NR_clone, __NR_exit, CLONE_SETTLS, CLONE_THREAD, CLONE_VFORK, CLONE_VM},
};

use crate::{
    futex::Scope,
    lock,
    prim::{AtomicU32, Cell},
    sys,
};

unsafe extern "C" {
    /// musl's fork without handlers.
    safe fn _Fork() -> c_int;
    /// musl's own malloc, which fork keeps in order.
    fn __libc_malloc(size: usize) -> *mut c_void;
}

/// Makes a child process; see `vfork(2)`, which may do what `fork` does.
///
/// It cannot share the caller's stack: this function's own frame, and the kernel's entry
/// below it, would be gone when the child is done.
#[unsafe(no_mangle)]
extern "C" fn vfork() -> c_int {
    _Fork()
}

/// Makes a child process that runs `function(argument)`; see musl's `__clone`.
///
/// Where it asks for shared memory only until the child runs another program, a copy does.
/// Threads are made by `pthread_create` only. Returns the child's id or a negated error
/// number.
#[unsafe(no_mangle)]
unsafe extern "C" fn __clone(
    function: unsafe extern "C" fn(*mut c_void) -> c_int,
    _stack: *mut c_void,
    flags: c_int,
    argument: *mut c_void,
    _parent_id: *mut c_int,
    _thread_pointer: *mut c_void,
    _child_id: *mut c_int,
) -> c_int {
    let flags = flags.cast_unsigned();
    let shares_memory = flags & CLONE_VM != 0 && flags & CLONE_VFORK == 0;
    if shares_memory || flags & (CLONE_THREAD | CLONE_SETTLS) != 0 {
        return -ENOSYS.cast_signed();
    }
    let flags = flags & !(CLONE_VM | CLONE_VFORK);
    match sys::call_plain(__NR_clone, [flags as usize, 0, 0, 0, 0]) {
        Ok(0) => {
            // SAFETY: the caller's contract.
            let status = unsafe { function(argument) };
            loop {
                let _ = sys::call_plain(__NR_exit, [status as usize]);
            }
        }
        Ok(child) => child as c_int,
        Err(error) => -error.code(),
    }
}

type Handler = Option<unsafe extern "C" fn()>;

/// One registration of `pthread_atfork`.
struct Handlers {
    prepare: Handler,
    parent: Handler,
    child: Handler,
    older: *const Handlers,
    newer: Cell<*const Handlers>,
}

/// All registrations.
struct Registry {
    lock: AtomicU32,
    newest: Cell<*const Handlers>,
    oldest: Cell<*const Handlers>,
}

// SAFETY: the list is touched under `lock` only, and its members are never freed.
unsafe impl Sync for Registry {}

static REGISTRY: Registry = Registry {
    lock: AtomicU32::new(lock::FREE),
    newest: Cell::new(ptr::null()),
    oldest: Cell::new(ptr::null()),
};

/// Registers handlers for fork; see `pthread_atfork`.
#[unsafe(no_mangle)]
extern "C" fn pthread_atfork(prepare: Handler, parent: Handler, child: Handler) -> c_int {
    // SAFETY: musl's malloc; what it returns is checked.
    let memory = unsafe { __libc_malloc(mem::size_of::<Handlers>()) }.cast::<Handlers>();
    if memory.is_null() {
        return ENOMEM.cast_signed();
    }
    lock::lock_internal(&REGISTRY.lock);
    let older = REGISTRY.newest.get();
    // SAFETY: fresh memory of this size, aligned as malloc does.
    unsafe {
        memory.write(Handlers {
            prepare,
            parent,
            child,
            older,
            newer: Cell::new(ptr::null()),
        })
    };
    // SAFETY: members of the list are never freed.
    match unsafe { older.as_ref() } {
        Some(older) => older.newer.set(memory),
        None => REGISTRY.oldest.set(memory),
    }
    REGISTRY.newest.set(memory);
    lock::unlock(&REGISTRY.lock, Scope::Private);
    0
}

/// Runs the handlers around a fork, for musl: before it (`who` < 0), in the parent (0) or
/// in the child. The registry stays locked in between.
#[unsafe(no_mangle)]
unsafe extern "C" fn __fork_handler(who: c_int) {
    if who < 0 {
        lock::lock_internal(&REGISTRY.lock);
    }
    let mut next = if who < 0 {
        REGISTRY.newest.get()
    } else {
        REGISTRY.oldest.get()
    };
    // SAFETY: members of the list are never freed; handlers are valid by the contract of
    // `pthread_atfork`.
    unsafe {
        while let Some(handlers) = next.as_ref() {
            let (handler, following) = match who {
                ..0 => (handlers.prepare, handlers.older),
                0 => (handlers.parent, handlers.newer.get()),
                1.. => (handlers.child, handlers.newer.get()),
            };
            if let Some(handler) = handler {
                handler();
            }
            next = following;
        }
    }
    if who >= 0 {
        lock::unlock(&REGISTRY.lock, Scope::Private);
    }
}
