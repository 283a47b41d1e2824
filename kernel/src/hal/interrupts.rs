//! Interrupts into Python: the events of watched vectors, and the thread that hands them to the router.
//!
//! The interrupt thread is a POSIX thread. It waits in the kernel, detached from the interpreter, so a
//! stop-the-world pause does not wait for it; it attaches itself to call the router. Router and event loop
//! are kept in a dict, which Python locks.

use core::ffi::{CStr, c_int, c_void};
use core::ptr::null_mut;
use core::sync::atomic::{AtomicBool, Ordering};

use cpython_sys as py;
use cpython_sys::PyObject;

use super::call::Call;
use super::enter::{enter, enter_owned};
use super::module::State;
use super::object::{self, Error, Object, Result, detached};
use crate::arch;
use crate::arch::irq::{self, IrqError};
use crate::arch::serial;
use crate::interrupts::{self, Event};
use crate::libc::errno::Errno;
use crate::process;

/// Events that are taken at a time.
const BATCH: usize = 32;
/// The most that `drain_interrupts` returns.
const MAX_DRAINED: usize = 4096;
/// Messages that a device can tell apart (PCI Local Bus Specification 3.0, 6.8.1.3).
const MAX_MESSAGES: u64 = 32;
const MAX_VECTOR: u64 = irq::VECTORS as u64 - 1;

const ROUTER: &CStr = c"router";
const LOOP: &CStr = c"loop";

static HAS_THREAD: AtomicBool = AtomicBool::new(false);
/// There is a router: else events wait for `drain_interrupts`.
static HAS_ROUTER: AtomicBool = AtomicBool::new(false);

unsafe extern "C" {
    fn pthread_sigmask(how: c_int, set: *const u64, old: *mut u64) -> c_int;
}

fn set(settings: *mut PyObject, name: &CStr, value: *mut PyObject) -> Result<()> {
    // SAFETY: the dict and the value are alive.
    match unsafe { py::PyDict_SetItemString(settings, name.as_ptr(), value) } {
        0 => Ok(()),
        _ => Err(Error::Raised),
    }
}

/// Returns a setting that is not `None`.
fn get(settings: *mut PyObject, name: &CStr) -> Result<Option<Object>> {
    let mut found = null_mut();
    // SAFETY: the dict is alive; what is found is a new reference.
    if unsafe { py::PyDict_GetItemStringRef(settings, name.as_ptr(), &raw mut found) } < 0 {
        return Err(Error::Raised);
    }
    if found.is_null() {
        return Ok(None);
    }
    let found = Object::from_new(found)?;
    Ok((found.as_ptr() != object::none()?.as_ptr()).then_some(found))
}

/// `set_interrupt_router(router)`.
pub fn set_router(call: &Call) -> Result {
    let (router, settings) = (call.object(0), State::of(call.module()).settings);
    let is_none = router == object::none()?.as_ptr();
    // SAFETY: the argument is alive.
    if !is_none && unsafe { py::PyCallable_Check(router) } == 0 {
        return Err(Error::Type(c"the router is a callable or None"));
    }
    set(settings, ROUTER, router)?;
    HAS_ROUTER.store(!is_none, Ordering::Release);
    if !is_none && !HAS_THREAD.swap(true, Ordering::Relaxed) {
        start_thread(settings)?;
    }
    enter(interrupts::wake);
    object::none()
}

fn start_thread(settings: *mut PyObject) -> Result<()> {
    // SAFETY: the dict is alive; the reference is the thread's.
    unsafe { py::Py_IncRef(settings) };
    // SAFETY: `run` takes the dict.
    let thread = unsafe { py::PyThread_start_new_thread(Some(run), settings.cast()) };
    // PYTHREAD_INVALID_THREAD_ID
    if thread == u64::MAX {
        // SAFETY: there is no thread that would give it up.
        unsafe { py::Py_DecRef(settings) };
        HAS_THREAD.store(false, Ordering::Relaxed);
        return Err(Error::Os(
            Errno::EAGAIN,
            c"the interrupt thread cannot be started",
        ));
    }
    Ok(())
}

/// The interrupt thread. It ends with the machine: the interpreter keeps it from attaching once it ends.
unsafe extern "C" fn run(settings: *mut c_void) {
    let settings = settings.cast::<PyObject>();
    const SIG_BLOCK: c_int = 0;
    let all = [u64::MAX; 16];
    // SAFETY: a set of musl's sigset_t size. Signals are for threads that do something about them.
    unsafe { pthread_sigmask(SIG_BLOCK, all.as_ptr(), null_mut()) };
    enter(|| smp::current().set_name(smp::ThreadName::new("interrupts")));
    // SAFETY: attaches this new thread to the interpreter, which has started.
    unsafe { py::PyGILState_Ensure() };
    let mut events = [Event::default(); BATCH];
    loop {
        let wants_any = || HAS_ROUTER.load(Ordering::Acquire);
        let count = detached(|| enter(|| interrupts::wait_for_events(&mut events, wants_any)));
        for event in &events[..count] {
            if let Err(error) = route(settings, event) {
                error.raise();
                // SAFETY: an exception is set; the hook that reports it never raises.
                unsafe { py::PyErr_WriteUnraisable(settings) };
            }
        }
    }
}

/// Hands an event to the router: in this thread, or in that of the event loop if one is set.
fn route(settings: *mut PyObject, event: &Event) -> Result<()> {
    let Some(router) = get(settings, ROUTER)? else {
        return Ok(());
    };
    let [vector, cpu, time, lost] = numbers(event).map(object::int);
    let (function, arguments) = match get(settings, LOOP)? {
        None => (router, object::tuple([vector, cpu, time, lost])?),
        Some(event_loop) => {
            let (name, event_loop) = (c"call_soon_threadsafe", event_loop.as_ptr());
            // SAFETY: the loop is alive.
            let function = unsafe { py::PyObject_GetAttrString(event_loop, name.as_ptr()) };
            let arguments = object::tuple([Ok(router), vector, cpu, time, lost])?;
            (Object::from_new(function)?, arguments)
        }
    };
    // SAFETY: both are alive.
    let result = unsafe { py::PyObject_CallObject(function.as_ptr(), arguments.as_ptr()) };
    Object::from_new(result).map(|_| ())
}

fn numbers(event: &Event) -> [u64; 4] {
    [
        event.vector.into(),
        event.cpu.into(),
        event.time_ns,
        event.lost,
    ]
}

/// `set_event_loop(loop)`.
pub fn set_loop(call: &Call) -> Result {
    let (event_loop, settings) = (call.object(0), State::of(call.module()).settings);
    let name = c"call_soon_threadsafe";
    let is_none = event_loop == object::none()?.as_ptr();
    // SAFETY: the argument is alive.
    if !is_none && unsafe { py::PyObject_HasAttrString(event_loop, name.as_ptr()) } == 0 {
        return Err(Error::Type(
            c"an event loop has call_soon_threadsafe, as asyncio's have",
        ));
    }
    set(settings, LOOP, event_loop)?;
    object::none()
}

/// `drain_interrupts()`.
pub fn drain(_: &Call) -> Result {
    let events = enter_owned(|| {
        let mut events = alloc::vec![Event::default(); MAX_DRAINED];
        let count = interrupts::take_events(&mut events);
        events.truncate(count);
        events
    });
    object::list(events.iter(), |event| {
        object::tuple(numbers(event).map(object::int))
    })
}

/// `interrupts()`.
pub fn list(_: &Call) -> Result {
    let rows = enter_owned(interrupts::collect);
    object::list(rows.iter(), |row| {
        object::tuple([
            object::int(row.vector.into()),
            object::str(row.name.as_bytes()),
            object::tuple_of_ints(&row.per_cpu),
            object::int(row.lost),
        ])
    })
}

/// `interrupt_watch(vector, on=True)`.
pub fn watch(call: &Call) -> Result {
    let vector = call.int(0, MAX_VECTOR)? as u32;
    let is_on = call.int_or(1, 1, 1)? != 0;
    if !enter(|| interrupts::watch(vector, is_on)) {
        return Err(Error::Value(c"nothing interrupts by this vector"));
    }
    object::none()
}

fn irq_error(error: IrqError) -> Error {
    match error {
        IrqError::NoVector => Error::Os(Errno::ENOSPC, c"no vector is free for this"),
        IrqError::NoSuchInterrupt => Error::Os(Errno::ENXIO, c"the machine has no such interrupt"),
        IrqError::Taken => Error::Os(Errno::EBUSY, c"the interrupt has a handler already"),
    }
}

/// `msi_alloc(count=1)`.
pub fn alloc_messages(call: &Call) -> Result {
    let count = call.int_or(0, MAX_MESSAGES, 1)? as u8;
    if !count.is_power_of_two() {
        return Err(Error::Value(c"the count is a power of two"));
    }
    let (first, (address, data)) = enter(|| {
        let first = irq::allocate_messages("python", count)?;
        for vector in first..first + count {
            interrupts::watch(vector.into(), true);
        }
        Ok((first, irq::message(first)))
    })
    .map_err(irq_error)?;
    object::tuple([first.into(), address, data.into()].map(object::int))
}

/// `irq_route(kind, number)`.
pub fn route_line(call: &Call) -> Result {
    let kind = core::str::from_utf8(call.text(0)?).unwrap_or("");
    let number = call.int(1, u32::MAX.into())? as u32;
    let routed = enter(|| {
        let routed = irq::route(kind, number, "python")?;
        Some(routed.inspect(|&vector| {
            interrupts::watch(vector, true);
        }))
    });
    let vector = routed
        .ok_or(Error::Value(
            c"this machine has no lines of that kind (isa and gsi, or spi)",
        ))?
        .map_err(irq_error)?;
    object::int(vector.into())
}

/// `irq_unmask(vector)`.
pub fn unmask(call: &Call) -> Result {
    let vector = call.int(0, MAX_VECTOR)? as u32;
    object::bool(enter(|| irq::unmask(vector)))
}

/// `vector_free(vector)`: only of what Python took.
pub fn free(call: &Call) -> Result {
    let vector = call.int(0, MAX_VECTOR)? as u32;
    if !enter(|| interrupts::is_named(vector, "python") && irq::free(vector)) {
        return Err(Error::Value(
            c"msi_alloc and irq_route did not give this vector",
        ));
    }
    enter(|| {
        interrupts::watch(vector, false);
        interrupts::add(vector, "free", None);
    });
    object::none()
}

/// `thread_raise(ident, exception)`.
pub fn raise_in_thread(call: &Call) -> Result {
    let (ident, exception) = (call.int(0, u64::MAX)?, call.object(1));
    // SAFETY: the argument is alive, and the type lives as long as the interpreter. What is no class
    // raises a TypeError.
    match unsafe { py::PyObject_IsSubclass(exception, py::PyExc_BaseException) } {
        1 => {}
        0 => return Err(Error::Type(c"the exception is a class of exceptions")),
        _ => return Err(Error::Raised), // a TypeError
    }
    // SAFETY: a number that is no thread's is found to be none.
    if unsafe { py::PyThreadState_SetAsyncExc(ident, exception) } == 0 {
        return Err(Error::Lookup(c"no Python thread has this ident"));
    }
    enter(|| process::interrupt_waits(arch::registers::thread_pointer_of(ident as usize)));
    object::none()
}

/// The vectors of the timer and the console; the latter is 0 on a machine without.
pub fn vectors() -> [(&'static CStr, u64); 2] {
    [
        (c"VECTOR_TIMER", irq::timer_vector().into()),
        (c"VECTOR_CONSOLE", serial::vector().unwrap_or(0).into()),
    ]
}
