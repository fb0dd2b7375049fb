/* Reads without a timeout what nobody sends, and says how that ended. */
#include "usb.h"

int main(void)
{
    libusb_context *context = NULL;
    must(libusb_init(&context) == 0, "it begins");
    libusb_device_handle *handle = open_loopback(context);
    must(libusb_claim_interface(handle, 0) == 0, "it can be claimed");
    puts("reads");
    fflush(stdout);
    unsigned char bytes[512];
    int moved = -1;
    int code = libusb_bulk_transfer(handle, BULK_IN, bytes, sizeof bytes, &moved, 0);
    printf("%s %d\n", libusb_error_name(code), moved);
    libusb_close(handle);
    libusb_exit(context);
    return 0;
}
