/* What the kernel calls of CPython and its allocator outside a session, for an image without CPython. */

int
PyImport_AppendInittab(const char *name, void *(*init)(void))
{
    (void)name;
    (void)init;
    return 0;
}

long
mi_option_get(int option)
{
    (void)option;
    return 0;
}

void
mi_option_set(int option, long value)
{
    (void)option;
    (void)value;
}

void *const *
pythonos_waiting_exception(void)
{
    return 0;
}
