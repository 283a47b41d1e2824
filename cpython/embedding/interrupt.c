/* Ctrl-C in a thread that is not Python's main one.
 *
 * CPython looks for signals in the main thread alone; elsewhere a call that a signal breaks off
 * (EINTR) is made again. A session is a thread, and Ctrl-C is to end what its thread waits for. So:
 *
 *   Ctrl-C -> kernel -> signal to the session's thread -> pythonos_interrupt_thread: the thread's
 *   asynchronous exception, as PyThreadState_SetAsyncExc sets it, is KeyboardInterrupt
 *
 * The interpreter raises it between bytecodes by itself. Where C code asks whether to go on after
 * EINTR, the linker puts the two __wrap_ functions between (its option --wrap), and they raise it.
 * When the signal comes after the interpreter's last look and before C code begins to wait, there
 * is no EINTR: then the kernel looks at what pythonos_waiting_exception names, and ends the wait.
 * CPython's sources stay as they are. */

#define Py_BUILD_CORE
#include "Python.h"
#include "pycore_ceval.h"
#include "pycore_pyatomic_ft_wrappers.h"

int __real_PyErr_CheckSignals(void);
int __real_Py_MakePendingCalls(void);

/* A signal handler. What it calls takes no lock and frees nothing: an exception that is already
 * there stays, and KeyboardInterrupt is immortal. */
void
pythonos_interrupt_thread(int signum)
{
    (void)signum;
    PyThreadState *tstate = PyGILState_GetThisThreadState();
    if (tstate == NULL) {
        return;
    }
    PyObject *expected = NULL;
    if (_Py_atomic_compare_exchange_ptr(&tstate->async_exc, &expected, PyExc_KeyboardInterrupt)) {
        _Py_set_eval_breaker_bit(tstate, _PY_ASYNC_EXCEPTION_BIT);
    }
}

/* Returns where the exception is kept that waits for this thread: NULL is kept there when none
 * does, and only this thread takes one away. NULL if this is no thread of the interpreter. */
PyObject *const *
pythonos_waiting_exception(void)
{
    PyThreadState *tstate = PyGILState_GetThisThreadState();
    return tstate == NULL ? NULL : &tstate->async_exc;
}

/* Raises the exception that waits for this thread; 0 if there is none. The interpreter finds its
 * bit set later and nothing behind it, which it expects. */
static int
raise_waiting(void)
{
    PyThreadState *tstate = PyThreadState_GetUnchecked();
    if (tstate == NULL || _Py_atomic_load_ptr(&tstate->async_exc) == NULL) {
        return 0;
    }
    PyObject *exception = _Py_atomic_exchange_ptr(&tstate->async_exc, NULL);
    if (exception == NULL) {
        return 0;
    }
    PyErr_SetNone(exception);
    Py_DECREF(exception);
    return -1;
}

int
__wrap_PyErr_CheckSignals(void)
{
    int result = __real_PyErr_CheckSignals();
    return result != 0 ? result : raise_waiting();
}

int
__wrap_Py_MakePendingCalls(void)
{
    int result = __real_Py_MakePendingCalls();
    return result != 0 ? result : raise_waiting();
}
