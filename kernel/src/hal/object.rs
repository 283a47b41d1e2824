//! Python objects and errors, as the functions of `_hal` make them. Nothing here uses the kernel's heap.

use core::ffi::{CStr, c_char};
use core::ptr::null_mut;

use cpython_sys as py;
use cpython_sys::PyObject;

use crate::libc::errno::Errno;

/// Why a function of `_hal` fails: the exception that Python sees.
#[derive(Clone, Copy, Debug)]
pub enum Error {
    /// An exception is set already.
    Raised,
    /// `TypeError`.
    Type(&'static CStr),
    /// `ValueError`.
    Value(&'static CStr),
    /// `LookupError`.
    Lookup(&'static CStr),
    /// `BufferError`.
    Buffer(&'static CStr),
    /// `OSError` with this number and text.
    Os(Errno, &'static CStr),
    /// `MemoryError`.
    Memory,
}

/// What a function of `_hal` gives: a new reference.
pub type Result<T = Object> = core::result::Result<T, Error>;

impl Error {
    /// Sets the exception.
    pub fn raise(self) {
        // SAFETY: the caller is attached to the interpreter; the exceptions' types live as long as it, and
        // the texts end with NUL.
        unsafe {
            match self {
                Error::Raised => {}
                Error::Type(text) => py::PyErr_SetString(py::PyExc_TypeError, text.as_ptr()),
                Error::Value(text) => py::PyErr_SetString(py::PyExc_ValueError, text.as_ptr()),
                Error::Lookup(text) => py::PyErr_SetString(py::PyExc_LookupError, text.as_ptr()),
                Error::Buffer(text) => py::PyErr_SetString(py::PyExc_BufferError, text.as_ptr()),
                Error::Memory => {
                    py::PyErr_NoMemory();
                }
                Error::Os(errno, text) => {
                    let values = tuple([int(errno.number() as u64), str(text.to_bytes())]);
                    if let Ok(values) = values {
                        py::PyErr_SetObject(py::PyExc_OSError, values.as_ptr());
                    }
                }
            }
        }
    }
}

/// A reference to a Python object, given up when it is dropped.
#[derive(Debug)]
pub struct Object(*mut PyObject);

impl Object {
    /// Takes over a new reference that the interpreter gave; null means that an exception is set.
    pub fn from_new(object: *mut PyObject) -> Result {
        if object.is_null() {
            Err(Error::Raised)
        } else {
            Ok(Object(object))
        }
    }

    /// Returns the object, which this reference keeps alive.
    pub fn as_ptr(&self) -> *mut PyObject {
        self.0
    }

    /// Gives the reference away.
    pub fn into_ptr(self) -> *mut PyObject {
        let object = self.0;
        core::mem::forget(self);
        object
    }
}

impl Drop for Object {
    fn drop(&mut self) {
        // SAFETY: the reference is ours.
        unsafe { py::Py_DecRef(self.0) };
    }
}

/// `None`.
pub fn none() -> Result {
    // SAFETY: the constant is immortal.
    Ok(Object(unsafe {
        py::Py_GetConstantBorrowed(py::Py_CONSTANT_NONE)
    }))
}

/// Makes an `int`.
pub fn int(value: u64) -> Result {
    // SAFETY: the caller is attached to the interpreter, as for all below.
    Object::from_new(unsafe { py::PyLong_FromUnsignedLongLong(value) })
}

/// Makes a `bool`.
pub fn bool(value: bool) -> Result {
    // SAFETY: as above.
    Object::from_new(unsafe { py::PyBool_FromLong(value.into()) })
}

/// Makes a `str` of UTF-8.
pub fn str(bytes: &[u8]) -> Result {
    let (start, len) = (bytes.as_ptr().cast::<c_char>(), bytes.len() as isize);
    // SAFETY: the bytes are there; the function checks that they are UTF-8.
    Object::from_new(unsafe { py::PyUnicode_FromStringAndSize(start, len) })
}

/// Makes `bytes`.
pub fn bytes(bytes: &[u8]) -> Result {
    let (start, len) = (bytes.as_ptr().cast::<c_char>(), bytes.len() as isize);
    // SAFETY: the bytes are there.
    Object::from_new(unsafe { py::PyBytes_FromStringAndSize(start, len) })
}

/// Makes a `dict` of names and values.
pub fn dict<const N: usize>(items: [(&CStr, Result); N]) -> Result {
    // SAFETY: as above.
    let dict = Object::from_new(unsafe { py::PyDict_New() })?;
    for (name, value) in items {
        let value = value?;
        // SAFETY: all are alive; the dict takes a reference of its own.
        if unsafe { py::PyDict_SetItemString(dict.as_ptr(), name.as_ptr(), value.as_ptr()) } != 0 {
            return Err(Error::Raised);
        }
    }
    Ok(dict)
}

/// Makes a `tuple`.
pub fn tuple<const N: usize>(items: [Result; N]) -> Result {
    // SAFETY: as above.
    let tuple = Object::from_new(unsafe { py::PyTuple_New(N as isize) })?;
    for (index, item) in items.into_iter().enumerate() {
        // SAFETY: the tuple is new, and the index within it; the item's reference goes over.
        if unsafe { py::PyTuple_SetItem(tuple.as_ptr(), index as isize, item?.into_ptr()) } != 0 {
            return Err(Error::Raised);
        }
    }
    Ok(tuple)
}

/// Makes a `tuple` of integers.
pub fn tuple_of_ints(values: &[u64]) -> Result {
    // SAFETY: as above.
    let tuple = Object::from_new(unsafe { py::PyTuple_New(values.len() as isize) })?;
    for (index, &value) in values.iter().enumerate() {
        let item = int(value)?.into_ptr();
        // SAFETY: the tuple is new, and the index within it; the item's reference goes over.
        if unsafe { py::PyTuple_SetItem(tuple.as_ptr(), index as isize, item) } != 0 {
            return Err(Error::Raised);
        }
    }
    Ok(tuple)
}

/// Makes a `list` of what `make` makes of each item.
pub fn list<T>(items: impl IntoIterator<Item = T>, make: impl Fn(T) -> Result) -> Result {
    // SAFETY: as above.
    let list = Object::from_new(unsafe { py::PyList_New(0) })?;
    for item in items {
        let item = make(item)?;
        // SAFETY: both are alive.
        if unsafe { py::PyList_Append(list.as_ptr(), item.as_ptr()) } != 0 {
            return Err(Error::Raised);
        }
    }
    Ok(list)
}

/// Calls `function` without the interpreter: it may wait.
pub fn detached<R>(function: impl FnOnce() -> R) -> R {
    // SAFETY: the caller is attached, and is again afterwards; `function` uses no object.
    unsafe {
        let state = py::PyEval_SaveThread();
        let result = function();
        py::PyEval_RestoreThread(state);
        result
    }
}

/// The buffer of an object that has one (PEP 3118), until it is dropped.
pub struct Buffer(py::Py_buffer);

impl Buffer {
    /// Asks for the buffer, to be read or written.
    pub fn of(object: *mut PyObject, writable: bool) -> Result<Buffer> {
        let flags = if writable {
            py::PyBUF_WRITABLE
        } else {
            py::PyBUF_SIMPLE
        };
        // SAFETY: zeros are a value of every field.
        let mut view: py::Py_buffer = unsafe { core::mem::zeroed() };
        // SAFETY: the object is alive; the view is ours and is filled, or an exception is set.
        if unsafe { py::PyObject_GetBuffer(object, &raw mut view, flags as i32) } != 0 {
            return Err(Error::Raised);
        }
        Ok(Buffer(view))
    }

    /// Returns where it begins.
    pub fn address(&self) -> usize {
        self.0.buf.expose_provenance()
    }

    /// Returns its length in bytes.
    pub fn len(&self) -> usize {
        self.0.len as usize
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        // SAFETY: `of` filled it, and this is the only release.
        unsafe { py::PyBuffer_Release(&raw mut self.0) };
    }
}

/// Null, for a function that has set an exception.
pub fn failed(error: Error) -> *mut PyObject {
    error.raise();
    null_mut()
}
