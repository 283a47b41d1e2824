//! The arguments of a call, checked: a wrong type is a `TypeError`, a number out of range a `ValueError`.

use core::ffi::CStr;
use core::ptr::null_mut;

use cpython_sys as py;
use cpython_sys::PyObject;

use super::object::{self, Buffer, Error, Object, Result};

/// The most parameters that a function has.
const MAX_PARAMETERS: usize = 6;

/// The arguments of one call, by parameter. They are borrowed: the caller keeps them alive.
pub struct Call {
    module: *mut PyObject,
    values: [*mut PyObject; MAX_PARAMETERS],
}

/// A function of `_hal`.
pub type Function = fn(&Call) -> Result;

impl Call {
    /// Sorts the arguments by parameter name, as Python passes them to a `METH_FASTCALL | METH_KEYWORDS`
    /// function.
    ///
    /// # Safety
    ///
    /// They are those of such a call.
    unsafe fn bind(
        module: *mut PyObject,
        arguments: *const *mut PyObject,
        count: usize,
        keywords: *mut PyObject,
        names: &[&CStr],
        required: usize,
    ) -> Result<Call> {
        let mut values = [null_mut(); MAX_PARAMETERS];
        if count > names.len() {
            return Err(Error::Type(c"too many arguments"));
        }
        for (index, value) in values.iter_mut().enumerate().take(count) {
            // SAFETY: there are `count` of them.
            *value = unsafe { arguments.add(index).read() };
        }
        if !keywords.is_null() {
            // SAFETY: it is a tuple of names, whose values follow the others.
            let keyword_count = unsafe { py::PyTuple_Size(keywords) } as usize;
            for index in 0..keyword_count {
                // SAFETY: as above.
                let (keyword, value) = unsafe {
                    (
                        py::PyTuple_GetItem(keywords, index as isize),
                        arguments.add(count + index).read(),
                    )
                };
                let found = names.iter().position(|name| {
                    // SAFETY: names of keywords are strings; ours are ASCII.
                    unsafe { py::PyUnicode_CompareWithASCIIString(keyword, name.as_ptr()) == 0 }
                });
                let place = found.ok_or(Error::Type(c"no parameter has this name"))?;
                if !values[place].is_null() {
                    return Err(Error::Type(c"an argument is given twice"));
                }
                values[place] = value;
            }
        }
        if values[..required].iter().any(|value| value.is_null()) {
            return Err(Error::Type(c"an argument is missing"));
        }
        Ok(Call { module, values })
    }

    /// Returns the module.
    pub fn module(&self) -> *mut PyObject {
        self.module
    }

    /// Returns an argument, null if it was left out.
    pub fn object(&self, index: usize) -> *mut PyObject {
        self.values[index]
    }

    /// Returns an integer from 0 to `max`.
    pub fn int(&self, index: usize, max: u64) -> Result<u64> {
        // SAFETY: the argument is alive; what is no integer raises a TypeError.
        let number = Object::from_new(unsafe { py::PyNumber_Index(self.values[index]) })?;
        // SAFETY: it is an int.
        let value = unsafe { py::PyLong_AsUnsignedLongLong(number.as_ptr()) };
        if value == u64::MAX {
            // SAFETY: the caller is attached to the interpreter.
            unsafe {
                if !py::PyErr_Occurred().is_null() {
                    // An OverflowError: below 0, or more than 64 bits.
                    py::PyErr_Clear();
                    return Err(Error::Value(c"a number is out of range"));
                }
            }
        }
        if value > max {
            return Err(Error::Value(c"a number is out of range"));
        }
        Ok(value)
    }

    /// Returns an integer from 0 to `max`, or `default` if it was left out.
    pub fn int_or(&self, index: usize, max: u64, default: u64) -> Result<u64> {
        if self.values[index].is_null() {
            Ok(default)
        } else {
            self.int(index, max)
        }
    }

    /// Returns an address or a size.
    pub fn word(&self, index: usize) -> Result<usize> {
        Ok(self.int(index, usize::MAX as u64)? as usize)
    }

    /// Returns a string's UTF-8, which lives as long as the argument.
    pub fn text(&self, index: usize) -> Result<&[u8]> {
        // SAFETY: the argument is alive as long as this call.
        unsafe { text_of(self.values[index]) }
    }

    /// Tells whether an argument was left out or is `None`.
    fn is_none(&self, index: usize) -> bool {
        let value = self.values[index];
        // SAFETY: the constant is immortal.
        value.is_null() || value == unsafe { py::Py_GetConstantBorrowed(py::Py_CONSTANT_NONE) }
    }

    /// Returns a string's UTF-8; `None` if it was left out or is `None`.
    pub fn optional_text(&self, index: usize) -> Result<Option<&[u8]>> {
        if self.is_none(index) {
            return Ok(None);
        }
        self.text(index).map(Some)
    }

    /// Returns a `bool`; `None` if it was left out or is `None`.
    pub fn bool(&self, index: usize) -> Result<Option<bool>> {
        if self.is_none(index) {
            return Ok(None);
        }
        // SAFETY: the constants are immortal.
        let constant = |which| unsafe { py::Py_GetConstantBorrowed(which) };
        let value = self.values[index];
        if value == constant(py::Py_CONSTANT_TRUE) {
            Ok(Some(true))
        } else if value == constant(py::Py_CONSTANT_FALSE) {
            Ok(Some(false))
        } else {
            Err(Error::Type(c"True, False or None is wanted"))
        }
    }

    /// Returns the items of a list or another sequence; `None` if it was left out or is `None`.
    pub fn sequence(&self, index: usize) -> Result<Option<Sequence>> {
        if self.is_none(index) {
            return Ok(None);
        }
        // SAFETY: the argument is alive; what is no sequence raises a TypeError.
        let tuple = Object::from_new(unsafe { py::PySequence_Tuple(self.values[index]) })?;
        Ok(Some(Sequence(tuple)))
    }

    /// Returns the buffer of an argument.
    pub fn buffer(&self, index: usize, writable: bool) -> Result<Buffer> {
        Buffer::of(self.values[index], writable)
    }
}

/// The items of a sequence, as they were at the call.
pub struct Sequence(Object);

impl Sequence {
    /// Returns how many there are.
    pub fn len(&self) -> usize {
        // SAFETY: it is a tuple.
        unsafe { py::PyTuple_Size(self.0.as_ptr()) as usize }
    }

    /// Returns the UTF-8 of an item that is a string, which lives as long as this does.
    pub fn text(&self, index: usize) -> Result<&[u8]> {
        // SAFETY: it is a tuple, which keeps its items alive; an index that it has not raises an IndexError.
        unsafe {
            let item = py::PyTuple_GetItem(self.0.as_ptr(), index as isize);
            if item.is_null() {
                return Err(Error::Raised);
            }
            text_of(item)
        }
    }
}

/// Returns a string's UTF-8.
///
/// # Safety
///
/// The object is alive as long as what is returned.
unsafe fn text_of<'a>(object: *mut PyObject) -> Result<&'a [u8]> {
    let mut len = 0;
    // SAFETY: the object is alive; what is no string raises a TypeError.
    let start = unsafe { py::PyUnicode_AsUTF8AndSize(object, &raw mut len) };
    if start.is_null() {
        return Err(Error::Raised);
    }
    // SAFETY: the string keeps its UTF-8 as long as it lives.
    Ok(unsafe { core::slice::from_raw_parts(start.cast(), len as usize) })
}

/// Calls a function with the arguments that Python gave.
///
/// # Safety
///
/// As for [`Call::bind`].
pub unsafe fn run(
    (module, arguments, count, keywords): (
        *mut PyObject,
        *const *mut PyObject,
        isize,
        *mut PyObject,
    ),
    names: &[&CStr],
    required: usize,
    function: Function,
) -> *mut PyObject {
    // SAFETY: the caller's contract.
    let call = unsafe { Call::bind(module, arguments, count as usize, keywords, names, required) };
    match call.and_then(|call| function(&call)) {
        Ok(result) => result.into_ptr(),
        Err(error) => object::failed(error),
    }
}

/// Makes the entry of a function in the module's table.
macro_rules! function {
    ($name:literal, [$($parameter:literal),*], $required:literal, $function:path, $doc:literal) => {{
        unsafe extern "C" fn entry(
            module: *mut cpython_sys::PyObject,
            arguments: *const *mut cpython_sys::PyObject,
            count: isize,
            keywords: *mut cpython_sys::PyObject,
        ) -> *mut cpython_sys::PyObject {
            const NAMES: &[&core::ffi::CStr] = &[$($parameter),*];
            // SAFETY: Python calls this as the flags below say.
            unsafe {
                $crate::hal::call::run((module, arguments, count, keywords), NAMES, $required, $function)
            }
        }
        type Entry = unsafe extern "C" fn(
            *mut cpython_sys::PyObject,
            *const *mut cpython_sys::PyObject,
            isize,
            *mut cpython_sys::PyObject,
        ) -> *mut cpython_sys::PyObject;
        cpython_sys::PyMethodDef {
            ml_name: $name.as_ptr(),
            // SAFETY: the flags tell Python the function's real type.
            ml_meth: Some(unsafe {
                core::mem::transmute::<
                    Entry,
                    unsafe extern "C" fn(
                        *mut cpython_sys::PyObject,
                        *mut cpython_sys::PyObject,
                    ) -> *mut cpython_sys::PyObject,
                >(entry)
            }),
            ml_flags: (cpython_sys::METH_FASTCALL | cpython_sys::METH_KEYWORDS) as i32,
            ml_doc: $doc.as_ptr(),
        }
    }};
}
pub(super) use function;
