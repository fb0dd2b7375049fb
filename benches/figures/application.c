/* A program of the desktop that scans, for the part hang: one thread asks for the page, as long as it takes, and a person's
 * Cancel comes as SIGINT or SIGTERM. With the argument "thread" another thread hears of it and calls sane_cancel, as a window's
 * button does; with "handler" the signal handler itself does, as SANE allows. Then the reading thread ends, and sane_close and
 * sane_exit follow. Prints nothing; ends with 0 where all of that went as SANE says. */
#include <pthread.h>
#include <sane/sane.h>
#include <sane/saneopts.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

static SANE_Handle handle;

static void must(int right)
{
	if (!right)
		exit(1);
}

static SANE_Int number_of(const char *name)
{
	const SANE_Option_Descriptor *option;
	for (SANE_Int at = 1; (option = sane_get_option_descriptor(handle, at)) != NULL; at++)
		if (option->type != SANE_TYPE_GROUP && strcmp(option->name, name) == 0)
			return at;
	exit(1);
}

static void *scan(void *unused)
{
	static SANE_Byte bytes[1 << 15];
	SANE_Int length = 0;
	must(sane_start(handle) == SANE_STATUS_GOOD);
	while (sane_read(handle, bytes, sizeof bytes, &length) == SANE_STATUS_GOOD)
		;
	return unused;
}

static void cancel(int signal)
{
	(void)signal;
	sane_cancel(handle);
}

int main(int count, char **arguments)
{
	const SANE_Device **devices = NULL;
	SANE_Word dpi = 300;
	char mode[] = SANE_VALUE_SCAN_MODE_COLOR;
	pthread_t scanning;
	sigset_t ends;
	int heard;

	must(count == 2);
	sigemptyset(&ends);
	sigaddset(&ends, SIGINT);
	sigaddset(&ends, SIGTERM);
	must(sane_init(NULL, NULL) == SANE_STATUS_GOOD);
	must(sane_get_devices(&devices, SANE_TRUE) == SANE_STATUS_GOOD && devices[0] != NULL);
	must(sane_open(devices[0]->name, &handle) == SANE_STATUS_GOOD);
	must(sane_control_option(handle, number_of(SANE_NAME_SCAN_MODE), SANE_ACTION_SET_VALUE, mode, NULL) == 0);
	must(sane_control_option(handle, number_of(SANE_NAME_SCAN_RESOLUTION), SANE_ACTION_SET_VALUE, &dpi, NULL) == 0);
	if (strcmp(arguments[1], "thread") == 0) {
		pthread_sigmask(SIG_BLOCK, &ends, NULL);
		must(pthread_create(&scanning, NULL, scan, NULL) == 0);
		/* The scan may end by itself, when somebody else has cancelled it. */
		struct timespec pause = {0, 5000000};
		while ((heard = sigtimedwait(&ends, NULL, &pause)) < 0)
			if (pthread_tryjoin_np(scanning, NULL) == 0)
				break;
		sane_cancel(handle);
		if (heard >= 0)
			must(pthread_join(scanning, NULL) == 0);
	} else {
		struct sigaction action;
		memset(&action, 0, sizeof action);
		action.sa_handler = cancel;
		sigaction(SIGINT, &action, NULL);
		sigaction(SIGTERM, &action, NULL);
		scan(NULL);
		sane_cancel(handle);
	}
	sane_close(handle);
	sane_exit();
	return 0;
}
