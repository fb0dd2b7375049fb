/* Prints whether the kernel started it in secure mode, and the scanners that it finds. */
#include "calls.h"
#include <sys/auxv.h>

int main(void)
{
	const SANE_Device **devices;
	SANE_Int version;

	printf("secure %lu\n", getauxval(AT_SECURE));
	STATUS(sane_init(&version, NULL), SANE_STATUS_GOOD);
	STATUS(sane_get_devices(&devices, SANE_TRUE), SANE_STATUS_GOOD);
	for (int at = 0; devices[at] != NULL; at++)
		printf("scanner %s\n", devices[at]->name);
	sane_exit();
	return 0;
}
