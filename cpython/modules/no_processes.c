/* _posixsubprocess where there are no processes.
 *
 * subprocess imports `fork_exec` from here, and CPython's own _posixsubprocess.c compiles only
 * where configure finds fork (it calls functions that exist only then). So this is the module
 * without fork: everything that would start a process says why it cannot.
 */
#include <Python.h>

#include <errno.h>

static PyObject *
fork_exec(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(args))
{
    PyObject *reason = Py_BuildValue("is", ENOSYS, "PythonOS has no processes");
    if (reason != NULL) {
        PyErr_SetObject(PyExc_OSError, reason);
        Py_DECREF(reason);
    }
    return NULL;
}

static PyMethodDef methods[] = {
    {"fork_exec", fork_exec, METH_VARARGS,
     PyDoc_STR("Raises OSError with ENOSYS: there is one program and one address space.")},
    {NULL, NULL, 0, NULL},
};

static PyModuleDef_Slot slots[] = {
    {Py_mod_multiple_interpreters, Py_MOD_PER_INTERPRETER_GIL_SUPPORTED},
    {Py_mod_gil, Py_MOD_GIL_NOT_USED},
    {0, NULL},
};

static struct PyModuleDef module = {
    PyModuleDef_HEAD_INIT,
    .m_name = "_posixsubprocess",
    .m_doc = PyDoc_STR("What subprocess needs to say that there are no processes."),
    .m_methods = methods,
    .m_slots = slots,
};

PyMODINIT_FUNC
PyInit__posixsubprocess(void)
{
    return PyModuleDef_Init(&module);
}
