/* A program that forks in mid-page, as one that runs helpers does. In the child the parent's handle is not open: its calls
   say so, and what it closes and ends is its own. Needs a daemon with two virtual flatbeds at USBSCAN_SOCKET. */
#include "pages.h"
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

static void the_parents_handle_is_not_open(SANE_Handle handle)
{
	SANE_Parameters parameters;
	SANE_Byte byte;
	SANE_Int word = 7, fd;

	STATUS(sane_start(handle), SANE_STATUS_INVAL);
	STATUS(sane_read(handle, &byte, 1, &word), SANE_STATUS_INVAL);
	CHECK(word == 0);
	STATUS(sane_get_parameters(handle, &parameters), SANE_STATUS_INVAL);
	STATUS(sane_control_option(handle, 0, SANE_ACTION_GET_VALUE, &word, NULL), SANE_STATUS_INVAL);
	STATUS(sane_set_io_mode(handle, SANE_TRUE), SANE_STATUS_INVAL);
	STATUS(sane_get_select_fd(handle, &fd), SANE_STATUS_INVAL);
	CHECK(sane_get_option_descriptor(handle, 0) == NULL);
	sane_cancel(handle);
	sane_close(handle);
	sane_close(handle);
}

/* A child may use the backend anew, with scanners of its own. */
static void it_scans_with_the_other(const char *other)
{
	SANE_Handle handle = only(other);
	choose_small_page(handle);
	free(scan_page(handle).bytes);
	STATUS(sane_start(handle), SANE_STATUS_GOOD);
	sane_cancel(handle);
	sane_close(handle);
}

static void child(int which, SANE_Handle handle, const char *other)
{
	SANE_Int version;

	the_parents_handle_is_not_open(handle);
	switch (which) {
	case 0: /* it ends as programs do */
		exit(0);
	case 1: /* it uses what it has inherited */
		it_scans_with_the_other(other);
		exit(0);
	default: /* it ends everything, and begins anew */
		sane_exit();
		sane_exit();
		the_parents_handle_is_not_open(handle);
		STATUS(sane_init(&version, NULL), SANE_STATUS_GOOD);
		it_scans_with_the_other(other);
		sane_exit();
		exit(0);
	}
}

int main(void)
{
	const SANE_Device **devices;
	SANE_Int version, length;
	SANE_Byte room[1000];
	char first[256], second[256];

	STATUS(sane_init(&version, NULL), SANE_STATUS_GOOD);
	STATUS(sane_get_devices(&devices, SANE_FALSE), SANE_STATUS_GOOD);
	CHECK(devices[0] != NULL && devices[1] != NULL);
	snprintf(first, sizeof first, "%s", devices[0]->name);
	snprintf(second, sizeof second, "%s", devices[1]->name);
	SANE_Handle handle = only(first);
	/* A slot that was used and is free again in the child. */
	sane_close(only(second));
	choose_small_page(handle);
	struct page expected = scan_page(handle);

	for (int which = 0; which < 3; which++) {
		struct page page = { 0 };
		SANE_Status status;
		int how;

		STATUS(sane_start(handle), SANE_STATUS_GOOD);
		STATUS(sane_get_parameters(handle, &page.parameters), SANE_STATUS_GOOD);
		STATUS(sane_read(handle, room, sizeof room, &length), SANE_STATUS_GOOD);
		add(&page, room, length);
		fflush(NULL);
		pid_t pid = fork();
		CHECK(pid >= 0);
		if (pid == 0)
			child(which, handle, second);
		CHECK(waitpid(pid, &how, 0) == pid);
		CHECK(WIFEXITED(how) && WEXITSTATUS(how) == 0);
		while ((status = sane_read(handle, room, sizeof room, &length)) == SANE_STATUS_GOOD)
			add(&page, room, length);
		CHECK(status == SANE_STATUS_EOF);
		is_whole(&page);
		is_equal(&page, &expected);
		free(page.bytes);
	}
	/* And its own cancel is still heard. */
	choose_large_page(handle);
	STATUS(sane_start(handle), SANE_STATUS_GOOD);
	sane_cancel(handle);
	STATUS(sane_read(handle, room, sizeof room, &length), SANE_STATUS_CANCELLED);
	free(expected.bytes);
	sane_close(handle);
	sane_exit();
	return 0;
}
