/* What the C programs of the backend's tests share: checks that print where they failed, and the backend's entry points
   under their second names. */
#ifndef CALLS_H
#define CALLS_H
#include <sane/sane.h>
#include <sane/saneopts.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CHECK(claim)                                                        \
	do {                                                                \
		if (!(claim)) {                                             \
			printf("%s:%d: not so: %s\n", __FILE__, __LINE__, #claim); \
			exit(1);                                            \
		}                                                           \
	} while (0)

#define STATUS(call, wanted)                                                         \
	do {                                                                         \
		SANE_Status got_ = (call);                                           \
		if (got_ != (wanted)) {                                              \
			printf("%s:%d: %s gave %d (%s), not %s\n", __FILE__, __LINE__, #call, \
			       (int)got_, sane_strstatus(got_), #wanted);            \
			exit(1);                                                     \
		}                                                                    \
	} while (0)

extern SANE_Status sane_usbscan_init(SANE_Int *version_code, SANE_Auth_Callback authorize);
extern void sane_usbscan_exit(void);
extern SANE_Status sane_usbscan_get_devices(const SANE_Device ***device_list, SANE_Bool local_only);
extern SANE_Status sane_usbscan_open(SANE_String_Const devicename, SANE_Handle *handle);
extern void sane_usbscan_close(SANE_Handle handle);
extern const SANE_Option_Descriptor *sane_usbscan_get_option_descriptor(SANE_Handle handle, SANE_Int option);
extern SANE_Status sane_usbscan_control_option(SANE_Handle handle, SANE_Int option, SANE_Action action, void *value,
					       SANE_Int *info);
extern SANE_Status sane_usbscan_get_parameters(SANE_Handle handle, SANE_Parameters *params);
extern SANE_Status sane_usbscan_start(SANE_Handle handle);
extern SANE_Status sane_usbscan_read(SANE_Handle handle, SANE_Byte *data, SANE_Int max_length, SANE_Int *length);
extern void sane_usbscan_cancel(SANE_Handle handle);
extern SANE_Status sane_usbscan_set_io_mode(SANE_Handle handle, SANE_Bool non_blocking);
extern SANE_Status sane_usbscan_get_select_fd(SANE_Handle handle, SANE_Int *fd);
#endif
