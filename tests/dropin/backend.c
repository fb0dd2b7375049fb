/* Calls one of SANE's backends as a frontend does, and says what each call answers:
 *
 *   backend FILE NAME        load it, list, end
 *   backend FILE NAME open   then open the first scanner, scan, read a little, and end in order
 *
 * SIGINT sets a flag that is looked at between two calls, and a second one ends it, as in scanimage: with code 4. */
#include <dlfcn.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <sane/sane.h>

static volatile sig_atomic_t interrupted;

static void on_interrupt(int signal)
{
    (void)signal;
    if (interrupted)
        _exit(4);
    interrupted = 1;
}

static void *library;
static const char *backend;

static void *entry(const char *call)
{
    char name[128];
    snprintf(name, sizeof name, "sane_%s_%s", backend, call);
    void *found = dlsym(library, name);
    if (!found) {
        printf("missing %s\n", name);
        exit(3);
    }
    return found;
}

static void scan(const char *name)
{
    SANE_Status (*open)(SANE_String_Const, SANE_Handle *) = entry("open");
    SANE_Status (*start)(SANE_Handle) = entry("start");
    SANE_Status (*read)(SANE_Handle, SANE_Byte *, SANE_Int, SANE_Int *) = entry("read");
    void (*cancel)(SANE_Handle) = entry("cancel");
    void (*close)(SANE_Handle) = entry("close");

    SANE_Handle handle = NULL;
    SANE_Status status = open(name, &handle);
    printf("open %d\n", status);
    if (status != SANE_STATUS_GOOD)
        return;
    if (!interrupted) {
        status = start(handle);
        printf("start %d\n", status);
        SANE_Byte bytes[32768];
        SANE_Int length = 0;
        for (int reads = 0; status == SANE_STATUS_GOOD && !interrupted && reads < 1000; reads++)
            status = read(handle, bytes, sizeof bytes, &length);
        printf("read %d\n", status);
    }
    cancel(handle);
    puts("cancelled");
    close(handle);
    puts("closed");
}

int main(int count, char **arguments)
{
    if (count < 3)
        return 2;
    setvbuf(stdout, NULL, _IOLBF, 0);
    struct sigaction action = {.sa_handler = on_interrupt};
    sigaction(SIGINT, &action, NULL);
    backend = arguments[2];
    library = dlopen(arguments[1], RTLD_NOW | RTLD_LOCAL);
    if (!library) {
        puts(dlerror());
        return 3;
    }
    SANE_Status (*init)(SANE_Int *, SANE_Auth_Callback) = entry("init");
    SANE_Status (*get_devices)(const SANE_Device ***, SANE_Bool) = entry("get_devices");
    void (*end)(void) = entry("exit");

    SANE_Int version = 0;
    SANE_Status status = init(&version, NULL);
    printf("init %d\n", status);
    if (status != SANE_STATUS_GOOD)
        return 0;
    const SANE_Device **devices = NULL;
    status = get_devices(&devices, SANE_TRUE);
    int listed = 0;
    const char *first = NULL;
    for (; status == SANE_STATUS_GOOD && devices && devices[listed]; listed++)
        if (!first)
            first = devices[listed]->name;
    printf("listed %d %d\n", status, listed);
    if (first)
        printf("scanner %s\n", first);
    if (first && count > 3 && !interrupted) {
        char *name = strdup(first);
        scan(name);
        free(name);
    }
    end();
    puts("ended");
    return 0;
}
