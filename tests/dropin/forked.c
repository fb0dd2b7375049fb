/* A process that uses libusb forks, with a thread blocked in it: the child can't use what is the parent's, may begin anew,
 * and ends without harm to the parent. */
#include <pthread.h>
#include <sys/wait.h>
#include <unistd.h>
#include "usb.h"

static libusb_device_handle *handle;

static void *wait_for_event(void *nothing)
{
    unsigned char bytes[64];
    int moved = 0;
    int code = libusb_interrupt_transfer(handle, INTERRUPT_IN, bytes, sizeof bytes, &moved, 0);
    must(code == 0 && moved == 8, "the parent's thread gets its event");
    return nothing;
}

static int child(libusb_context *context)
{
    unsigned char bytes[64];
    int moved = 0;
    must(libusb_bulk_transfer(handle, BULK_IN, bytes, 64, &moved, LONG) == -4, "a handle of the parent is no device");
    must(libusb_claim_interface(handle, 0) == -4, "nor can it be claimed");
    libusb_close(handle);
    libusb_exit(context);
    libusb_context *own = NULL;
    libusb_device **list = NULL;
    must(libusb_init(&own) == 0, "the child begins anew");
    must(libusb_get_device_list(own, &list) == 1, "and sees the device");
    libusb_free_device_list(list, 1);
    libusb_device_handle *other = open_loopback(own);
    must(libusb_claim_interface(other, 0) == -6, "which the parent has");
    libusb_close(other);
    libusb_exit(own);
    return 0;
}

static void both(libusb_context **context)
{
    must(libusb_init(context) == 0, "it begins");
    handle = open_loopback(context ? *context : NULL);
    must(libusb_claim_interface(handle, 0) == 0, "it can be claimed");
    pthread_t waiter;
    must(pthread_create(&waiter, NULL, wait_for_event, NULL) == 0, "a thread");
    for (int round = 0; round < 10; round++) {
        fflush(stdout);
        pid_t pid = fork();
        must(pid >= 0, "it forks");
        if (pid == 0)
            exit(child(context ? *context : NULL));
        int status = -1;
        must(waitpid(pid, &status, 0) == pid && status == 0, "the child ends in order");
        unsigned char bytes[512];
        int moved = 0;
        must(libusb_bulk_transfer(handle, BULK_OUT, (unsigned char *)"hello", 5, &moved, LONG) == 0, "the parent writes");
        must(libusb_bulk_transfer(handle, BULK_IN, bytes, 512, &moved, LONG) == 0 && moved == 5, "and reads");
    }
    must(libusb_control_transfer(handle, 0x40, EVENT, 0, 0, (unsigned char *)"button 1", 8, LONG) == 8, "an event");
    pthread_join(waiter, NULL);
    libusb_close(handle);
    libusb_exit(context ? *context : NULL);
}

int main(void)
{
    libusb_context *context = NULL;
    both(&context);
    /* And with the default context, the one global there is. */
    both(NULL);
    puts("ended");
    return 0;
}
