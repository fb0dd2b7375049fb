/* Every entry point where no daemon is: calls in odd orders, null and garbage arguments. Ends with 0 if every answer is
   the one that SANE's standard gives, or, where it gives none, an error and no crash. */
#include "calls.h"

static const void *const garbage[] = { (void *)0, (void *)1, (void *)0x101, (void *)0xdeadbeef, (void *)-1 };

static void no_handle_is_open(void)
{
	for (size_t at = 0; at < sizeof garbage / sizeof *garbage; at++) {
		SANE_Handle handle = (SANE_Handle)garbage[at];
		SANE_Parameters parameters;
		SANE_Byte byte;
		SANE_Int word = 7;

		CHECK(sane_get_option_descriptor(handle, 0) == NULL);
		CHECK(sane_usbscan_get_option_descriptor(handle, -1) == NULL);
		STATUS(sane_control_option(handle, 0, SANE_ACTION_GET_VALUE, &word, &word), SANE_STATUS_INVAL);
		STATUS(sane_usbscan_control_option(handle, 0, SANE_ACTION_GET_VALUE, NULL, NULL), SANE_STATUS_INVAL);
		STATUS(sane_get_parameters(handle, &parameters), SANE_STATUS_INVAL);
		STATUS(sane_usbscan_get_parameters(handle, NULL), SANE_STATUS_INVAL);
		STATUS(sane_start(handle), SANE_STATUS_INVAL);
		STATUS(sane_usbscan_start(handle), SANE_STATUS_INVAL);
		word = 7;
		STATUS(sane_read(handle, &byte, 1, &word), SANE_STATUS_INVAL);
		CHECK(word == 0);
		STATUS(sane_usbscan_read(handle, NULL, 1, NULL), SANE_STATUS_INVAL);
		STATUS(sane_set_io_mode(handle, SANE_TRUE), SANE_STATUS_INVAL);
		STATUS(sane_usbscan_set_io_mode(handle, SANE_FALSE), SANE_STATUS_INVAL);
		STATUS(sane_get_select_fd(handle, &word), SANE_STATUS_INVAL);
		STATUS(sane_usbscan_get_select_fd(handle, NULL), SANE_STATUS_INVAL);
		sane_cancel(handle);
		sane_usbscan_cancel(handle);
		sane_close(handle);
		sane_usbscan_close(handle);
	}
}

static void before_init(void)
{
	const SANE_Device **devices = NULL;
	SANE_Handle handle = NULL;

	STATUS(sane_get_devices(&devices, SANE_TRUE), SANE_STATUS_INVAL);
	STATUS(sane_open("", &handle), SANE_STATUS_INVAL);
	no_handle_is_open();
	sane_exit();
	sane_usbscan_exit();
}

static void nobody_is_there(void)
{
	const SANE_Device **devices = NULL;
	SANE_Handle handle = (SANE_Handle)garbage[3];

	STATUS(sane_get_devices(&devices, SANE_FALSE), SANE_STATUS_GOOD);
	CHECK(devices != NULL && devices[0] == NULL);
	devices = NULL;
	STATUS(sane_usbscan_get_devices(&devices, SANE_TRUE), SANE_STATUS_GOOD);
	CHECK(devices != NULL && devices[0] == NULL);
	STATUS(sane_get_devices(NULL, SANE_FALSE), SANE_STATUS_INVAL);

	STATUS(sane_open("", &handle), SANE_STATUS_INVAL);
	STATUS(sane_open(NULL, &handle), SANE_STATUS_INVAL);
	STATUS(sane_usbscan_open("usbscan0", &handle), SANE_STATUS_INVAL);
	STATUS(sane_open("\xff\xfe not UTF-8", &handle), SANE_STATUS_INVAL);
	STATUS(sane_open("", NULL), SANE_STATUS_INVAL);
	no_handle_is_open();
}

int main(void)
{
	SANE_Int version = 0;

	before_init();
	STATUS(sane_init(&version, NULL), SANE_STATUS_GOOD);
	CHECK(SANE_VERSION_MAJOR(version) == SANE_CURRENT_MAJOR);
	nobody_is_there();
	STATUS(sane_usbscan_init(NULL, NULL), SANE_STATUS_GOOD);
	nobody_is_there();
	sane_exit();
	before_init();
	STATUS(sane_usbscan_init(&version, NULL), SANE_STATUS_GOOD);
	nobody_is_there();
	sane_usbscan_exit();

	for (int status = -2; status < 40; status++) {
		CHECK(sane_strstatus((SANE_Status)status) != NULL);
		CHECK(strlen(sane_strstatus((SANE_Status)status)) > 3);
	}
	return 0;
}
