//! Has bindgen read CPython's headers, as they were installed by the build that the image links.
//!
//! `PYTHONOS_CPYTHON` names that build's folder and `PYTHONOS_SYSROOT` musl's; the harness sets both.
//! Without them the folders are those that the last `make build` of the free-threaded configuration
//! shows below `build/`, so that clippy and editors work.

use std::env;
use std::path::{Path, PathBuf};

/// What the kernel uses. No function with a float or double may ever be here: the kernel's calling
/// convention has none.
const FUNCTIONS: &str = "PyBuffer_Release|PyBytes_AsStringAndSize|PyBytes_FromStringAndSize\
    |PyCallable_Check|PyDict_GetItemStringRef|PyDict_New|PyDict_SetItemString|PyErr_Clear|PyErr_Format|PyErr_NoMemory|PyErr_Occurred|PyErr_SetObject\
    |PyErr_SetString|PyErr_WriteUnraisable|PyEval_RestoreThread|PyEval_SaveThread|PyGILState_Ensure\
    |PyGILState_Release|PyImport_AppendInittab|PyIndex_Check|PyList_Append|PyList_New\
    |PyLong_AsLongLong|PyLong_AsUnsignedLongLong|PyLong_FromLongLong|PyLong_FromUnsignedLongLong\
    |PyModuleDef_Init|PyModule_AddIntConstant|PyModule_AddObjectRef|PyModule_GetState\
    |PyNumber_Index|PyObject_CallObject|PyObject_CheckBuffer|PyObject_GetAttrString|PyObject_GetBuffer\
    |PyObject_IsSubclass|PySequence_Tuple|PyBool_FromLong\
    |PyThreadState_SetAsyncExc|PyThread_start_new_thread|PyTuple_GetItem|PyTuple_New|PyTuple_SetItem|PyTuple_Size|PyType_FreeSlot|PyType_FromModuleAndSpec\
    |PyType_GenericAlloc|PyType_GetModuleState|PyUnicode_AsUTF8AndSize|PyUnicode_CompareWithASCIIString\
    |PyUnicode_FromStringAndSize|PyBuffer_FillInfo|PyObject_Free|PyType_GetSlot\
    |Py_DecRef|Py_GetConstantBorrowed|Py_IncRef|Py_TYPE|PyObject_HasAttrString";
const TYPES: &str = "PyMethodDef|PyModuleDef|PyModuleDef_Slot|PyObject|PyTypeObject|PyType_Slot\
    |PyType_Spec|PyGetSetDef|PyMemberDef|Py_buffer|PyGILState_STATE";
const VARIABLES: &str = "PYTHONOS_.*|METH_FASTCALL|METH_KEYWORDS|METH_NOARGS|PyExc_.*|PyBUF_WRITABLE|PyBUF_SIMPLE\
    |Py_bf_.*|Py_tp_.*|Py_nb_.*|Py_mod_.*|Py_TPFLAGS_DISALLOW_INSTANTIATION|Py_TPFLAGS_IMMUTABLETYPE\
    |Py_CONSTANT_.*";

fn main() {
    println!("cargo:rustc-check-cfg=cfg(free_threaded)");
    println!("cargo:rerun-if-changed=wrapper.h");
    if env::var("CARGO_CFG_TARGET_OS").as_deref() != Ok("none") {
        // On a host there is no CPython of ours: the crate is empty there.
        return;
    }
    let arch = env::var("CARGO_CFG_TARGET_ARCH").expect("cargo names the architecture");
    let python = folder("PYTHONOS_CPYTHON", &arch, "cpython");
    let sysroot = folder("PYTHONOS_SYSROOT", &arch, "musl/sysroot");
    let include = python.join("include");
    println!(
        "cargo:rerun-if-changed={}",
        include.join("pyconfig.h").display()
    );

    let is_free_threaded = std::fs::read_to_string(include.join("pyconfig.h"))
        .expect("CPython's pyconfig.h can be read")
        .lines()
        .any(|line| line.trim() == "#define Py_GIL_DISABLED 1");
    if is_free_threaded {
        println!("cargo:rustc-cfg=free_threaded");
    }
    let output = PathBuf::from(env::var_os("OUT_DIR").expect("cargo names the folder"));
    bindgen::Builder::default()
        .header("wrapper.h")
        .clang_arg(format!("--target={arch}-linux-musl"))
        .clang_arg("-nostdlibinc")
        .clang_arg(format!("-I{}", include.display()))
        .clang_arg(format!("-isystem{}", sysroot.join("include").display()))
        .use_core()
        .allowlist_function(FUNCTIONS)
        .allowlist_type(TYPES)
        .allowlist_var(VARIABLES)
        .opaque_type("_ts|_typeobject")
        .default_enum_style(bindgen::EnumVariation::Consts)
        .prepend_enum_name(false)
        .derive_default(false)
        .generate_comments(false)
        .generate()
        .expect("CPython's headers can be read")
        .write_to_file(output.join("bindings.rs"))
        .expect("the bindings can be written");
}

/// Returns a folder that the harness names, or its place below `build/`.
fn folder(variable: &str, arch: &str, name: &str) -> PathBuf {
    println!("cargo:rerun-if-env-changed={variable}");
    if let Some(given) = env::var_os(variable) {
        return given.into();
    }
    let arch = if arch == "aarch64" { "arm64" } else { arch };
    let built = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../../build/{arch}-ft/{name}"));
    assert!(
        built.is_dir(),
        "{} is not there: `TARGET_ARCH={arch} make build` first, or set {variable}",
        built.display()
    );
    built
}
