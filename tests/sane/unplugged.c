/* A scanner that is unplugged in mid-page while an application has it open. Needs a daemon with one virtual scanner at USBSCAN_SOCKET,
   whose cable is pulled at byte 100,000 of its image data. */
#include "pages.h"

int main(void)
{
	const SANE_Device **devices = NULL;
	SANE_Handle handle = NULL;
	SANE_Byte bytes[4096];
	SANE_Int length = 0;
	SANE_Status status;

	STATUS(sane_init(NULL, NULL), SANE_STATUS_GOOD);
	STATUS(sane_get_devices(&devices, SANE_FALSE), SANE_STATUS_GOOD);
	STATUS(sane_open(devices[0]->name, &handle), SANE_STATUS_GOOD);
	STATUS(sane_start(handle), SANE_STATUS_GOOD);
	while ((status = sane_read(handle, bytes, sizeof bytes, &length)) == SANE_STATUS_GOOD)
		;
	CHECK(status == SANE_STATUS_IO_ERROR);
	sane_cancel(handle);
	/* Each time that the application tries again. */
	for (int again = 0; again < 3; again++) {
		STATUS(sane_start(handle), SANE_STATUS_IO_ERROR);
		sane_cancel(handle);
	}
	sane_close(handle);
	sane_exit();
	return 0;
}
