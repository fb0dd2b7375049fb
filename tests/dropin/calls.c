/* What libusb's functions answer, row by row. It names no library: it can be linked with the real one too. */
#include <pthread.h>
#include "usb.h"

static libusb_device_handle *handle;
static unsigned char room[4 << 20];
static unsigned char packet[2048];

static void row(const char *what, int code, int moved)
{
    printf("%-48s %s %d\n", what, code > 0 ? "count" : libusb_error_name(code), code > 0 ? code : moved);
}

static int put(int length)
{
    int moved = -1;
    must(libusb_bulk_transfer(handle, BULK_OUT, packet, length, &moved, LONG) == 0 && moved == length, "it takes bytes");
    return moved;
}

static void get(const char *what, int length, unsigned int timeout)
{
    int moved = -1;
    memset(room, 0, sizeof room);
    int code = libusb_bulk_transfer(handle, BULK_IN, room, length, &moved, timeout);
    row(what, code, moved);
    must(code == -8 || moved <= 0 || memcmp(room, packet, moved) == 0, "the bytes are those that were written");
}

static void bulk(void)
{
    get("bulk in: nothing comes", 512, SHORT);
    put(5);
    get("bulk in: a short packet ends it", 4096, LONG);
    put(512);
    get("bulk in: a full packet fills it", 512, LONG);
    put(1024 + 7);
    get("bulk in: full packets and a short one", 4096, LONG);
    put(1024);
    get("bulk in: a part, then the time is up", 4096, SHORT);
    put(512);
    put(0);
    get("bulk in: an empty packet ends it", 4096, LONG);
    put(0);
    get("bulk in: an empty packet alone", 4096, LONG);
    put(512);
    int moved = -1;
    int code = libusb_bulk_transfer(handle, BULK_IN, room, 100, &moved, LONG);
    row("bulk in: less room than a packet", code, 0);
    tell(handle, FORGET, 0);
    libusb_clear_halt(handle, BULK_IN);
    code = libusb_bulk_transfer(handle, 0x85, room, 64, &moved, LONG);
    row("bulk in: no such endpoint", code, 0);
    code = libusb_bulk_transfer(handle, BULK_OUT, packet, 0, &moved, LONG);
    row("bulk out: an empty packet", code, moved);
    tell(handle, FORGET, 0);
}

static void large(void)
{
    must(tell(handle, PATTERN, 4096) == 0, "it has a pattern");
    int moved = -1;
    int code = libusb_bulk_transfer(handle, BULK_IN, room, 3 << 20, &moved, LONG);
    row("bulk in: 3 MiB", code, moved);
    for (int i = 0; i < moved; i++)
        must(room[i] == i % 251, "the pattern comes whole and in order");
    tell(handle, FORGET, 0);
}

static void halts(void)
{
    int moved = -1;
    tell(handle, HALT, BULK_IN);
    int code = libusb_bulk_transfer(handle, BULK_IN, room, 512, &moved, LONG);
    row("halted: bulk in", code, moved);
    code = libusb_bulk_transfer(handle, BULK_IN, room, 512, &moved, LONG);
    row("halted: bulk in, again", code, moved);
    put(3);
    row("halted: clear", libusb_clear_halt(handle, BULK_IN), 0);
    get("halted: what came before is there", 512, LONG);
    tell(handle, HALT, BULK_OUT);
    code = libusb_bulk_transfer(handle, BULK_OUT, packet, 10, &moved, LONG);
    row("halted: bulk out", code, moved);
    row("halted: clear bulk out", libusb_clear_halt(handle, BULK_OUT), 0);
    put(4);
    get("halted: bulk out goes on", 512, LONG);
    row("clear a halt that is none", libusb_clear_halt(handle, BULK_IN), 0);
    row("clear the halt of no endpoint", libusb_clear_halt(handle, 0x8e), 0);
}

static void control(void)
{
    int code = libusb_control_transfer(handle, 0xc0, COUNT, 7, 0, room, 16, LONG);
    row("control in: 16 bytes", code, 0);
    must(code != 16 || (room[0] == 7 && room[15] == 22), "it counts");
    row("control in: no such request", libusb_control_transfer(handle, 0xc0, 0x77, 0, 0, room, 16, LONG), 0);
    row("control out: no data", libusb_control_transfer(handle, 0x40, FORGET, 0, 0, NULL, 0, LONG), 0);
    row("control in: never answered", libusb_control_transfer(handle, 0xc0, HANG, 0, 0, room, 16, SHORT), 0);
    row("control in: and the next one", libusb_control_transfer(handle, 0xc0, COUNT, 7, 0, room, 16, LONG), 0);
    row("control in: device descriptor", libusb_control_transfer(handle, 0x80, 6, 0x0100, 0, room, 18, LONG), 0);
    row("control in: class request, unknown", libusb_control_transfer(handle, 0xa1, 0x67, 0, 0, room, 4, LONG), 0);
}

static void interrupt(void)
{
    int moved = -1;
    int code = libusb_interrupt_transfer(handle, INTERRUPT_IN, room, 64, &moved, SHORT);
    row("interrupt in: nothing comes", code, moved);
    code = libusb_control_transfer(handle, 0x40, EVENT, 0, 0, (unsigned char *)"button 1", 8, LONG);
    row("an event is made", code, 0);
    code = libusb_interrupt_transfer(handle, INTERRUPT_IN, room, 64, &moved, LONG);
    row("interrupt in: an event", code, moved);
    libusb_control_transfer(handle, 0x40, EVENT, 0, 0, (unsigned char *)"button 2", 8, LONG);
    code = libusb_bulk_transfer(handle, INTERRUPT_IN, room, 64, &moved, LONG);
    row("interrupt in, called bulk", code, moved);
}

static void interfaces(void)
{
    int value = -1;
    int code = libusb_get_configuration(handle, &value);
    row("get the configuration", code, value);
    row("claim what is claimed", libusb_claim_interface(handle, 0), 0);
    row("claim no interface", libusb_claim_interface(handle, 7), 0);
    row("release what is not claimed", libusb_release_interface(handle, 3), 0);
    row("alternate setting 0", libusb_set_interface_alt_setting(handle, 0, 0), 0);
    row("no such alternate setting", libusb_set_interface_alt_setting(handle, 0, 5), 0);
    row("release", libusb_release_interface(handle, 0), 0);
    row("claim again", libusb_claim_interface(handle, 0), 0);
}

static void *get_for_ever(void *nothing)
{
    get("bulk in: no timeout, until another thread writes", 512, 0);
    return nothing;
}

static void threads(void)
{
    pthread_t reader;
    must(pthread_create(&reader, NULL, get_for_ever, NULL) == 0, "a thread");
    put(9);
    pthread_join(reader, NULL);
}

/* The device falls off the bus in the middle of the pattern. */
static void unplugged(void)
{
    int moved = -1;
    must(tell(handle, PATTERN, 1024) == 0, "it has a pattern");
    int code = libusb_bulk_transfer(handle, BULK_IN, room, 1 << 20, &moved, LONG);
    row("unplugged: bulk in", code, 0);
    /* The first one may be told of what ended before the device was known to be gone. */
    code = libusb_bulk_transfer(handle, BULK_IN, room, 512, &moved, LONG);
    row("unplugged: bulk in, later", code, 0);
    row("unplugged: bulk out", libusb_bulk_transfer(handle, BULK_OUT, packet, 5, &moved, LONG), 0);
    row("unplugged: control", libusb_control_transfer(handle, 0xc0, COUNT, 7, 0, room, 16, LONG), 0);
    row("unplugged: clear a halt", libusb_clear_halt(handle, BULK_IN), 0);
}

int main(int count, char **arguments)
{
    for (size_t i = 0; i < sizeof packet; i++)
        packet[i] = i % 241 + 1;
    libusb_context *context = NULL;
    must(libusb_init(&context) == 0, "it begins");
    handle = open_loopback(context);
    row("claim", libusb_claim_interface(handle, 0), 0);
    if (count > 1 && strcmp(arguments[1], "unplug") == 0) {
        unplugged();
    } else {
        bulk();
        large();
        halts();
        control();
        interrupt();
        interfaces();
        threads();
    }
    libusb_close(handle);
    libusb_exit(context);
    puts("ended");
    return 0;
}
