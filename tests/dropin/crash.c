/* A backend of SANE whose scanner is one that crashes it, or hangs it: what `usbscan-sane-host` is for. */
#include <signal.h>
#include <stddef.h>
#include <unistd.h>
#include <sane/sane.h>

static const SANE_Device device = {"it", "Nobody", "Crasher", "virtual device"};
static const SANE_Device *devices[] = {&device, NULL};
static const SANE_Option_Descriptor count = {
    .name = "", .title = "", .desc = "", .type = SANE_TYPE_INT, .size = sizeof(SANE_Word), .cap = SANE_CAP_SOFT_DETECT};

SANE_Status sane_crash_init(SANE_Int *version, SANE_Auth_Callback authorize)
{
    (void)authorize;
    *version = SANE_VERSION_CODE(1, 0, 0);
    return SANE_STATUS_GOOD;
}

void sane_crash_exit(void)
{
}

SANE_Status sane_crash_get_devices(const SANE_Device ***list, SANE_Bool local)
{
    (void)local;
    *list = devices;
    return SANE_STATUS_GOOD;
}

SANE_Status sane_crash_open(SANE_String_Const name, SANE_Handle *handle)
{
    (void)name;
    *handle = devices;
    return SANE_STATUS_GOOD;
}

void sane_crash_close(SANE_Handle handle)
{
    (void)handle;
}

const SANE_Option_Descriptor *sane_crash_get_option_descriptor(SANE_Handle handle, SANE_Int option)
{
    (void)handle;
    return option == 0 ? &count : NULL;
}

SANE_Status sane_crash_control_option(SANE_Handle handle, SANE_Int option, SANE_Action action, void *value,
                                      SANE_Int *info)
{
    (void)handle;
    (void)info;
    if (option != 0 || action != SANE_ACTION_GET_VALUE)
        return SANE_STATUS_INVAL;
    *(SANE_Word *)value = 1;
    return SANE_STATUS_GOOD;
}

SANE_Status sane_crash_get_parameters(SANE_Handle handle, SANE_Parameters *parameters)
{
    (void)handle;
    *parameters = (SANE_Parameters){SANE_FRAME_GRAY, SANE_TRUE, 8, 8, 8, 8};
    return SANE_STATUS_GOOD;
}

SANE_Status sane_crash_start(SANE_Handle handle)
{
    (void)handle;
    return SANE_STATUS_GOOD;
}

/* Some lines, and then the end of the process. */
SANE_Status sane_crash_read(SANE_Handle handle, SANE_Byte *bytes, SANE_Int most, SANE_Int *length)
{
    static int calls;
    (void)handle;
    (void)most;
    if (calls++ > 0)
        raise(SIGSEGV);
    for (*length = 0; *length < 16; ++*length)
        bytes[*length] = 0x80;
    return SANE_STATUS_GOOD;
}

void sane_crash_cancel(SANE_Handle handle)
{
    (void)handle;
}
