//! CPython's C API, as bindgen reads it from the headers of the build that the image links: of either
//! configuration (free-threaded or with the GIL) and either architecture.
//!
//! Only what the kernel's `_hal` module uses is here; `build.rs` lists it.

#![cfg(target_os = "none")]
#![no_std]
#![expect(
    non_camel_case_types,
    non_upper_case_globals,
    clippy::all,
    clippy::undocumented_unsafe_blocks,
    clippy::missing_safety_doc,
    reason = "made from C"
)]

include!(concat!(env!("OUT_DIR"), "/bindings.rs"));

/// Whether this is the free-threaded configuration (`Py_GIL_DISABLED`).
pub const IS_FREE_THREADED: bool = cfg!(free_threaded);

/// `Py_MOD_GIL_NOT_USED`, which bindgen does not see: a cast in a macro.
pub const MOD_GIL_NOT_USED: *mut core::ffi::c_void = core::ptr::without_provenance_mut(1);
/// `Py_MOD_MULTIPLE_INTERPRETERS_NOT_SUPPORTED`, likewise.
pub const MOD_MULTIPLE_INTERPRETERS_NOT_SUPPORTED: *mut core::ffi::c_void = core::ptr::null_mut();

/// `PyModuleDef_HEAD_INIT`: the head of an object that lies in the image and never dies.
pub const MODULE_DEF_HEAD: PyModuleDef_Base = PyModuleDef_Base {
    ob_base: STATIC_OBJECT,
    m_init: None,
    m_index: 0,
    m_copy: core::ptr::null_mut(),
};

#[cfg(free_threaded)]
const STATIC_OBJECT: PyObject = {
    // SAFETY: zeros are a value of every field: numbers and a null pointer.
    let mut object: PyObject = unsafe { core::mem::zeroed() };
    object.ob_flags = PYTHONOS_STATIC_FLAGS;
    object.ob_ref_local = PYTHONOS_IMMORTAL_LOCAL;
    object
};

#[cfg(not(free_threaded))]
const STATIC_OBJECT: PyObject = {
    // SAFETY: as above.
    let mut object: PyObject = unsafe { core::mem::zeroed() };
    object.__bindgen_anon_1.ob_refcnt_full = PYTHONOS_IMMORTAL_FULL;
    object
};
