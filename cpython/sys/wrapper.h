/* What bindgen reads: CPython's C API, and the values of macros that it cannot evaluate itself. */
#include <Python.h>

#ifdef Py_GIL_DISABLED
static const unsigned short PYTHONOS_STATIC_FLAGS = _Py_STATICALLY_ALLOCATED_FLAG;
static const unsigned PYTHONOS_IMMORTAL_LOCAL = _Py_IMMORTAL_REFCNT_LOCAL;
#else
static const long long PYTHONOS_IMMORTAL_FULL = _Py_STATIC_IMMORTAL_INITIAL_REFCNT;
#endif
