//! `pthread_attr_t`: what a thread is created with.

use core::{ffi::c_int, ptr};

use linux_raw_sys::{
    errno::{EINVAL, EOPNOTSUPP as ENOTSUP},
    general::{SCHED_BATCH, SCHED_DEADLINE, SCHED_FIFO, SCHED_IDLE, SCHED_NORMAL, SCHED_RR},
};

use super::{scheduling::Parameters, stack};
use crate::prim::{AtomicU32, Ordering};

/// `PTHREAD_STACK_MIN` of musl's `<limits.h>`.
const STACK_MIN: usize = 2048;
/// musl's limit, which keeps sums of sizes from overflowing.
const SIZE_LIMIT: usize = usize::MAX / 4;

/// The stack size of threads that ask for none. musl raises it to what the program's
/// PT_GNU_STACK header asks for.
#[unsafe(no_mangle)]
static __default_stacksize: AtomicU32 = AtomicU32::new(stack::SMALLEST as u32);
/// The guard size of threads that ask for none.
#[unsafe(no_mangle)]
static __default_guardsize: AtomicU32 = AtomicU32::new(4096);

/// The largest default that can be asked for: `DEFAULT_GUARD_MAX` of musl.
const DEFAULT_GUARD_MAX: usize = 1 << 20;
/// Likewise for stacks.
const DEFAULT_STACK_MAX: usize = 1 << 30;

/// `pthread_attr_t`.
#[repr(C)]
#[derive(Clone)]
pub struct Attributes {
    /// The size of the stack, without guard.
    pub stack_size: usize,
    /// The size of the guard below it.
    pub guard_size: usize,
    /// The upper end of the creator's own stack; null to have one made.
    pub stack_top: *mut u8,
    /// `PTHREAD_CREATE_DETACHED` or 0.
    pub is_detached: c_int,
    /// `PTHREAD_EXPLICIT_SCHED` or 0.
    pub is_scheduling_explicit: c_int,
    /// `SCHED_*`.
    pub policy: c_int,
    /// `sched_priority`.
    pub priority: c_int,
    /// Room that musl's type has.
    pub _unused: [u64; 2],
}

const _: () = assert!(
    size_of::<Attributes>() == 56 && align_of::<Attributes>() == 8,
    "musl's pthread_attr_t"
);

impl Attributes {
    /// Returns what a thread gets that is created without attributes.
    pub fn new() -> Self {
        Self {
            stack_size: __default_stacksize.load(Ordering::Relaxed) as usize,
            guard_size: __default_guardsize.load(Ordering::Relaxed) as usize,
            stack_top: ptr::null_mut(),
            is_detached: 0,
            is_scheduling_explicit: 0,
            policy: 0,
            priority: 0,
            _unused: [0; 2],
        }
    }
}

fn set_flag(field: &mut c_int, value: c_int) -> c_int {
    if !(0..=1).contains(&value) {
        return EINVAL.cast_signed();
    }
    *field = value;
    0
}

/// Initialises attributes; see `pthread_attr_init`.
#[unsafe(no_mangle)]
extern "C" fn pthread_attr_init(attributes: &mut core::mem::MaybeUninit<Attributes>) -> c_int {
    attributes.write(Attributes::new());
    0
}

/// Ends the use of attributes; see `pthread_attr_destroy`.
#[unsafe(no_mangle)]
extern "C" fn pthread_attr_destroy(_attributes: &mut Attributes) -> c_int {
    0
}

/// See `pthread_attr_getdetachstate`.
#[unsafe(no_mangle)]
extern "C" fn pthread_attr_getdetachstate(attributes: &Attributes, state: &mut c_int) -> c_int {
    *state = attributes.is_detached;
    0
}

/// See `pthread_attr_setdetachstate`.
#[unsafe(no_mangle)]
extern "C" fn pthread_attr_setdetachstate(attributes: &mut Attributes, state: c_int) -> c_int {
    set_flag(&mut attributes.is_detached, state)
}

/// See `pthread_attr_getguardsize`.
#[unsafe(no_mangle)]
extern "C" fn pthread_attr_getguardsize(attributes: &Attributes, size: &mut usize) -> c_int {
    *size = attributes.guard_size;
    0
}

/// See `pthread_attr_setguardsize`.
#[unsafe(no_mangle)]
extern "C" fn pthread_attr_setguardsize(attributes: &mut Attributes, size: usize) -> c_int {
    if size > SIZE_LIMIT {
        return EINVAL.cast_signed();
    }
    attributes.guard_size = size;
    0
}

/// See `pthread_attr_getstacksize`.
#[unsafe(no_mangle)]
extern "C" fn pthread_attr_getstacksize(attributes: &Attributes, size: &mut usize) -> c_int {
    *size = attributes.stack_size;
    0
}

/// Asks for a stack of at least this size; see `pthread_attr_setstacksize`. The thread may
/// get a larger one (`stack::SMALLEST`).
#[unsafe(no_mangle)]
extern "C" fn pthread_attr_setstacksize(attributes: &mut Attributes, size: usize) -> c_int {
    if !(STACK_MIN..=SIZE_LIMIT).contains(&size) {
        return EINVAL.cast_signed();
    }
    attributes.stack_top = ptr::null_mut();
    attributes.stack_size = size;
    0
}

/// See `pthread_attr_getstack`.
#[unsafe(no_mangle)]
extern "C" fn pthread_attr_getstack(
    attributes: &Attributes,
    low: &mut *mut u8,
    size: &mut usize,
) -> c_int {
    if attributes.stack_top.is_null() {
        return EINVAL.cast_signed();
    }
    *low = attributes.stack_top.wrapping_sub(attributes.stack_size);
    *size = attributes.stack_size;
    0
}

/// Gives the thread this stack; see `pthread_attr_setstack`.
#[unsafe(no_mangle)]
extern "C" fn pthread_attr_setstack(
    attributes: &mut Attributes,
    low: *mut u8,
    size: usize,
) -> c_int {
    if !(STACK_MIN..=SIZE_LIMIT).contains(&size) || low.is_null() {
        return EINVAL.cast_signed();
    }
    attributes.stack_top = low.wrapping_add(size);
    attributes.stack_size = size;
    0
}

/// See `pthread_attr_getscope`: all threads compete system-wide.
#[unsafe(no_mangle)]
extern "C" fn pthread_attr_getscope(_attributes: &Attributes, scope: &mut c_int) -> c_int {
    *scope = 0;
    0
}

/// See `pthread_attr_setscope`: `PTHREAD_SCOPE_SYSTEM` is all there is.
#[unsafe(no_mangle)]
extern "C" fn pthread_attr_setscope(_attributes: &mut Attributes, scope: c_int) -> c_int {
    match scope {
        0 => 0,
        1 => ENOTSUP.cast_signed(),
        _ => EINVAL.cast_signed(),
    }
}

/// See `pthread_attr_getinheritsched`.
#[unsafe(no_mangle)]
extern "C" fn pthread_attr_getinheritsched(attributes: &Attributes, inherit: &mut c_int) -> c_int {
    *inherit = attributes.is_scheduling_explicit;
    0
}

/// See `pthread_attr_setinheritsched`.
#[unsafe(no_mangle)]
extern "C" fn pthread_attr_setinheritsched(attributes: &mut Attributes, inherit: c_int) -> c_int {
    set_flag(&mut attributes.is_scheduling_explicit, inherit)
}

/// See `pthread_attr_getschedpolicy`.
#[unsafe(no_mangle)]
extern "C" fn pthread_attr_getschedpolicy(attributes: &Attributes, policy: &mut c_int) -> c_int {
    *policy = attributes.policy;
    0
}

/// See `pthread_attr_setschedpolicy`.
#[unsafe(no_mangle)]
extern "C" fn pthread_attr_setschedpolicy(attributes: &mut Attributes, policy: c_int) -> c_int {
    match policy.cast_unsigned() {
        SCHED_NORMAL | SCHED_FIFO | SCHED_RR | SCHED_BATCH | SCHED_IDLE | SCHED_DEADLINE => {
            attributes.policy = policy;
            0
        }
        _ => EINVAL.cast_signed(),
    }
}

/// See `pthread_attr_getschedparam`.
#[unsafe(no_mangle)]
extern "C" fn pthread_attr_getschedparam(
    attributes: &Attributes,
    parameters: &mut Parameters,
) -> c_int {
    parameters.priority = attributes.priority;
    0
}

/// See `pthread_attr_setschedparam`; the range depends on the policy, so creation checks it.
#[unsafe(no_mangle)]
extern "C" fn pthread_attr_setschedparam(
    attributes: &mut Attributes,
    parameters: &Parameters,
) -> c_int {
    attributes.priority = parameters.priority;
    0
}

/// Returns the defaults of threads without attributes; see GNU's page of this name.
#[unsafe(no_mangle)]
extern "C" fn pthread_getattr_default_np(
    attributes: &mut core::mem::MaybeUninit<Attributes>,
) -> c_int {
    attributes.write(Attributes::new());
    0
}

/// Raises the defaults of threads without attributes: of stack and guard, as in musl.
#[unsafe(no_mangle)]
extern "C" fn pthread_setattr_default_np(attributes: &Attributes) -> c_int {
    let only_sizes = attributes.stack_top.is_null()
        && [
            attributes.is_detached,
            attributes.is_scheduling_explicit,
            attributes.policy,
            attributes.priority,
        ]
        .iter()
        .all(|&field| field == 0);
    if !only_sizes {
        return EINVAL.cast_signed();
    }
    let raise = |default: &AtomicU32, size: usize, limit: usize| {
        let size = u32::try_from(size.min(limit)).expect("the limits fit");
        default.fetch_max(size, Ordering::Relaxed);
    };
    raise(
        &__default_stacksize,
        attributes.stack_size,
        DEFAULT_STACK_MAX,
    );
    raise(
        &__default_guardsize,
        attributes.guard_size,
        DEFAULT_GUARD_MAX,
    );
    0
}
