/* The part of libusb-1.0's interface that these programs use, and the loopback device that they use it on. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <stdint.h>

typedef struct libusb_context libusb_context;
typedef struct libusb_device libusb_device;
typedef struct libusb_device_handle libusb_device_handle;

int libusb_init(libusb_context **context);
void libusb_exit(libusb_context *context);
long libusb_get_device_list(libusb_context *context, libusb_device ***list);
void libusb_free_device_list(libusb_device **list, int unref);
libusb_device_handle *libusb_open_device_with_vid_pid(libusb_context *context, uint16_t vendor, uint16_t product);
void libusb_close(libusb_device_handle *handle);
int libusb_get_configuration(libusb_device_handle *handle, int *configuration);
int libusb_claim_interface(libusb_device_handle *handle, int interface);
int libusb_release_interface(libusb_device_handle *handle, int interface);
int libusb_set_interface_alt_setting(libusb_device_handle *handle, int interface, int alternate);
int libusb_clear_halt(libusb_device_handle *handle, unsigned char endpoint);
int libusb_bulk_transfer(libusb_device_handle *handle, unsigned char endpoint, unsigned char *data, int length,
                         int *transferred, unsigned int timeout);
int libusb_interrupt_transfer(libusb_device_handle *handle, unsigned char endpoint, unsigned char *data, int length,
                              int *transferred, unsigned int timeout);
int libusb_control_transfer(libusb_device_handle *handle, uint8_t type, uint8_t request, uint16_t value, uint16_t index,
                            unsigned char *data, uint16_t length, unsigned int timeout);
const char *libusb_error_name(int code);

enum { BULK_IN = 0x81, BULK_OUT = 0x02, INTERRUPT_IN = 0x83 };
/* Vendor requests of the loopback device. */
enum { EVENT = 0x10, HALT = 0x11, COUNT = 0x12, HANG = 0x13, FORGET = 0x14, PATTERN = 0x15 };
/* Milliseconds: what is over soon, on an emulated machine too, and what no call takes. */
enum { SHORT = 1000, LONG = 20000 };

static inline void must(int is_so, const char *what)
{
    if (!is_so) {
        printf("NOT: %s\n", what);
        exit(1);
    }
}

static inline libusb_device_handle *open_loopback(libusb_context *context)
{
    libusb_device_handle *handle = libusb_open_device_with_vid_pid(context, 0x1209, 0x0001);
    must(handle != NULL, "there is a loopback device");
    return handle;
}

static inline int tell(libusb_device_handle *handle, uint8_t request, uint16_t value)
{
    return libusb_control_transfer(handle, 0x40, request, value, 0, NULL, 0, LONG);
}
