/* The one function of CPython that the kernel calls before `main`, for an image without CPython. */

int
PyImport_AppendInittab(const char *name, void *(*init)(void))
{
    (void)name;
    (void)init;
    return 0;
}
