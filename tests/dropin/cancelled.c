/* A thread that is blocked in libusb without a timeout is cancelled and joined, as five of SANE's backends do with their
 * reader. What it waited for is not left behind: the next read gets the next bytes. */
#include <pthread.h>
#include <unistd.h>
#include "usb.h"

enum { ROUNDS = 20 };

static libusb_device_handle *handle;
static int says[2];

static void *blocked(void *kind)
{
    unsigned char bytes[512];
    int moved;
    must(write(says[1], "b", 1) == 1, "it says that it begins");
    if (kind == NULL)
        libusb_bulk_transfer(handle, BULK_IN, bytes, sizeof bytes, &moved, 0);
    else
        libusb_control_transfer(handle, 0xc0, HANG, 0, 0, bytes, 16, 0);
    return NULL;
}

static void cancel(void *kind, int is_cancelled_first)
{
    pthread_t reader;
    char word;
    void *result = NULL;
    must(pthread_create(&reader, NULL, blocked, kind) == 0, "a thread");
    must(read(says[0], &word, 1) == 1, "it has begun");
    if (!is_cancelled_first)
        usleep(20000);
    must(pthread_cancel(reader) == 0, "it can be cancelled");
    must(pthread_join(reader, &result) == 0, "it can be joined");
    must(result == PTHREAD_CANCELED, "it was cancelled");
}

int main(void)
{
    libusb_context *context = NULL;
    must(pipe(says) == 0, "a pipe");
    must(libusb_init(&context) == 0, "it begins");
    handle = open_loopback(context);
    must(libusb_claim_interface(handle, 0) == 0, "it can be claimed");
    for (int round = 0; round < ROUNDS; round++) {
        cancel(NULL, round % 2);
        unsigned char bytes[512] = {0};
        int moved = 0;
        must(libusb_bulk_transfer(handle, BULK_OUT, (unsigned char *)"hello", 5, &moved, LONG) == 0, "it takes bytes");
        must(libusb_bulk_transfer(handle, BULK_IN, bytes, sizeof bytes, &moved, LONG) == 0, "the next read succeeds");
        must(moved == 5 && memcmp(bytes, "hello", 5) == 0, "it gets what was written after the cancel");
    }
    cancel(&says, 0);
    must(tell(handle, FORGET, 0) == 0, "control requests go on");
    libusb_close(handle);
    libusb_exit(context);
    puts("ended");
    return 0;
}
