//! Memory that devices read and write: `DmaBuffer`.
//!
//! A buffer's frames are in a row and stay where they are. They go back when `dma_free` says so or when
//! the object dies, whichever is first; never while somebody looks at them. Threads may share a buffer: the
//! count of those who look decides, in one atomic word.

use core::ffi::{c_int, c_void};
use core::ptr::null_mut;
use core::sync::atomic::{AtomicIsize, Ordering};

use cpython_sys as py;
use cpython_sys::PyObject;

use super::call::Call;
use super::enter::enter;
use super::module::State;
use super::object::{self, Error, Object, Result};
use crate::memory::{Frame, PAGE_SIZE, physical};

/// The largest buffer: what the largest block of frames holds.
const MAX_SIZE: u64 = (PAGE_SIZE as u64) << 14;

/// What `exports` holds once the frames are gone.
const FREED: isize = -1;

/// The object; `_ob_base` is the interpreter's, the rest ours.
#[repr(C)]
struct DmaBuffer {
    _ob_base: PyObject,
    first: Frame,
    count: usize,
    size: usize,
    /// How many buffers of the object are in use, or [`FREED`].
    exports: AtomicIsize,
}

impl DmaBuffer {
    /// Marks the frames as gone, if nobody looks at them.
    fn take(&self) -> core::result::Result<(), isize> {
        // Acquire pairs with the Release in `release_buffer`: whoever looked has finished.
        self.exports
            .compare_exchange(0, FREED, Ordering::Acquire, Ordering::Relaxed)
            .map(|_| ())
    }

    fn is_freed(&self) -> bool {
        self.exports.load(Ordering::Relaxed) == FREED
    }
}

/// `dma_alloc(size, align=4096)`.
pub fn alloc(call: &Call) -> Result {
    let (size, align) = (
        call.int(0, u64::MAX)?,
        call.int_or(1, MAX_SIZE, PAGE_SIZE as u64)?,
    );
    if size == 0 || !align.is_power_of_two() {
        return Err(Error::Value(c"size is at least 1 and align a power of two"));
    }
    if size > MAX_SIZE {
        return Err(Error::Memory);
    }
    let count = (size as usize).div_ceil(PAGE_SIZE);
    let align_frames = (align as usize).div_ceil(PAGE_SIZE);
    let kind = State::of(call.module()).dma_buffer;
    // SAFETY: the type is alive as long as the module; the memory comes zeroed but for its head.
    let made = Object::from_new(unsafe { py::PyType_GenericAlloc(kind, 0) })?;
    let buffer = made.as_ptr().cast::<DmaBuffer>();
    // SAFETY: nobody else knows the new object. Until it has frames it counts as freed.
    unsafe { (&raw mut (*buffer).exports).write(AtomicIsize::new(FREED)) };
    let first = enter(|| physical::alloc_frames(count, align_frames)).ok_or(Error::Memory)?;
    // SAFETY: as above.
    unsafe {
        (&raw mut (*buffer).first).write(first);
        (&raw mut (*buffer).count).write(count);
        (&raw mut (*buffer).size).write(size as usize);
        (*buffer).exports.store(0, Ordering::Release);
    }
    Ok(made)
}

/// `dma_free(buffer)`.
pub fn free(call: &Call) -> Result {
    let object = call.object(0);
    let kind = State::of(call.module()).dma_buffer;
    // SAFETY: the argument is alive.
    if unsafe { py::Py_TYPE(object) } != kind {
        return Err(Error::Type(c"dma_free wants what dma_alloc gave"));
    }
    // SAFETY: its type says what it is.
    let buffer = unsafe { &*object.cast::<DmaBuffer>() };
    buffer.take().map_err(|exports| {
        if exports == FREED {
            Error::Value(c"the memory has been freed already")
        } else {
            Error::Buffer(c"the memory is in use: release its memoryviews first")
        }
    })?;
    give_back(buffer);
    object::none()
}

/// Gives the frames back, which nobody else does: `take` has succeeded.
fn give_back(buffer: &DmaBuffer) {
    let (first, count) = (buffer.first, buffer.count);
    // Nothing is left to do where `frames_free` was told their address before.
    let _ = enter(|| physical::free_frames(first, count));
}

/// The object dies: nobody has a reference, so nobody looks.
unsafe extern "C" fn dealloc(object: *mut PyObject) {
    // SAFETY: the interpreter calls this for objects of our type.
    let buffer = unsafe { &*object.cast::<DmaBuffer>() };
    if buffer.take().is_ok() {
        give_back(buffer);
    }
    // SAFETY: as a heap type's dealloc does (Python/C API, "Type Object Structures", tp_dealloc): memory,
    // then the reference to the type that the object held.
    unsafe {
        let kind = py::Py_TYPE(object);
        let free = py::PyType_GetSlot(kind, py::Py_tp_free as c_int);
        let free = core::mem::transmute::<*mut c_void, unsafe extern "C" fn(*mut c_void)>(free);
        free(object.cast());
        py::Py_DecRef(kind.cast());
    }
}

unsafe extern "C" fn get_buffer(
    object: *mut PyObject,
    view: *mut py::Py_buffer,
    flags: c_int,
) -> c_int {
    // SAFETY: the interpreter calls this for objects of our type.
    let buffer = unsafe { &*object.cast::<DmaBuffer>() };
    let count_up = |exports: isize| (exports != FREED).then(|| exports + 1);
    let counted = buffer
        .exports
        // Acquire pairs with the Release in `alloc`.
        .fetch_update(Ordering::Acquire, Ordering::Relaxed, count_up);
    if counted.is_err() {
        Error::Buffer(c"the memory has been freed").raise();
        // SAFETY: the view is the caller's.
        unsafe { (*view).obj = null_mut() };
        return -1;
    }
    let address = physical::address_of(buffer.first);
    let start = core::ptr::with_exposed_provenance_mut::<c_void>(address);
    // SAFETY: the frames are there as long as the count is above 0.
    let filled =
        unsafe { py::PyBuffer_FillInfo(view, object, start, buffer.size as isize, 0, flags) };
    if filled != 0 {
        buffer.exports.fetch_sub(1, Ordering::Release);
    }
    filled
}

unsafe extern "C" fn release_buffer(object: *mut PyObject, _: *mut py::Py_buffer) {
    // SAFETY: the interpreter calls this once for each view that `get_buffer` filled.
    let buffer = unsafe { &*object.cast::<DmaBuffer>() };
    // Release pairs with the Acquire in `take`.
    buffer.exports.fetch_sub(1, Ordering::Release);
}

fn attribute(object: *mut PyObject, value: impl FnOnce(&DmaBuffer) -> u64) -> *mut PyObject {
    // SAFETY: the interpreter calls getters for objects of our type.
    let buffer = unsafe { &*object.cast::<DmaBuffer>() };
    let result = if buffer.is_freed() {
        Err(Error::Value(c"the memory has been freed"))
    } else {
        object::int(value(buffer))
    };
    result.map_or_else(object::failed, Object::into_ptr)
}

unsafe extern "C" fn get_physical(object: *mut PyObject, _: *mut c_void) -> *mut PyObject {
    attribute(object, |buffer| buffer.first.start())
}

unsafe extern "C" fn get_size(object: *mut PyObject, _: *mut c_void) -> *mut PyObject {
    attribute(object, |buffer| buffer.size as u64)
}

/// A table of C structures that nobody writes.
struct Table<T>(T);

// SAFETY: the interpreter reads the tables and never changes them.
unsafe impl<T> Sync for Table<T> {}

static ATTRIBUTES: Table<[py::PyGetSetDef; 3]> = Table([
    py::PyGetSetDef {
        name: c"phys".as_ptr(),
        get: Some(get_physical),
        set: None,
        doc: c"The physical address of the first byte: what a device is told.".as_ptr(),
        closure: null_mut(),
    },
    py::PyGetSetDef {
        name: c"size".as_ptr(),
        get: Some(get_size),
        set: None,
        doc: c"The length in bytes.".as_ptr(),
        closure: null_mut(),
    },
    py::PyGetSetDef {
        name: core::ptr::null(),
        get: None,
        set: None,
        doc: core::ptr::null(),
        closure: null_mut(),
    },
]);

/// Makes the type, for a module.
pub fn make_type(module: *mut PyObject) -> Result {
    let doc = c"Memory for devices: physical frames in a row, zeros at first. It has the buffer protocol.";
    let slot = |slot: u32, function: *const c_void| py::PyType_Slot {
        slot: slot as c_int,
        pfunc: function.cast_mut(),
    };
    let mut slots = [
        slot(py::Py_tp_dealloc, dealloc as *const c_void),
        slot(py::Py_bf_getbuffer, get_buffer as *const c_void),
        slot(py::Py_bf_releasebuffer, release_buffer as *const c_void),
        slot(py::Py_tp_getset, (&raw const ATTRIBUTES.0).cast()),
        slot(py::Py_tp_doc, doc.as_ptr().cast()),
        slot(0, core::ptr::null()),
    ];
    let mut spec = py::PyType_Spec {
        name: c"_hal.DmaBuffer".as_ptr(),
        basicsize: size_of::<DmaBuffer>() as c_int,
        itemsize: 0,
        flags: py::Py_TPFLAGS_DISALLOW_INSTANTIATION | py::Py_TPFLAGS_IMMUTABLETYPE,
        slots: slots.as_mut_ptr(),
    };
    // SAFETY: the interpreter copies what it needs of the slots, but for the table of attributes and the
    // name, which stay.
    Object::from_new(unsafe { py::PyType_FromModuleAndSpec(module, &raw mut spec, null_mut()) })
}
