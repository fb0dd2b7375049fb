/* A program that has a libusb, and says which. */
#include <dlfcn.h>
#include <stdio.h>

extern const char *libusb_error_name(int code);

int main(void)
{
    Dl_info where;
    if (dladdr((void *)libusb_error_name, &where) == 0)
        return 1;
    puts(where.dli_fname);
    return 0;
}
