/* Every entry point with scanners behind it, in the orders that applications call them, and in odd ones. Needs a daemon
   with two virtual flatbeds at USBSCAN_SOCKET. A part is named on the command line, or all run. */
#include "pages.h"
#include <dirent.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <unistd.h>

/* ---- options ---- */

static void is_well_formed(SANE_Handle handle, SANE_Int at, const SANE_Option_Descriptor *option)
{
	CHECK(option->name != NULL && option->title != NULL && option->desc != NULL);
	CHECK(strlen(option->title) > 0);
	CHECK(!(option->cap & SANE_CAP_SOFT_SELECT) || !(option->cap & SANE_CAP_HARD_SELECT));
	CHECK(!(option->cap & SANE_CAP_SOFT_SELECT) || (option->cap & SANE_CAP_SOFT_DETECT));
	switch (option->type) {
	case SANE_TYPE_BOOL:
		CHECK(option->size == sizeof(SANE_Word) && option->constraint_type == SANE_CONSTRAINT_NONE);
		break;
	case SANE_TYPE_INT:
	case SANE_TYPE_FIXED:
		CHECK(option->size > 0 && option->size % (SANE_Int)sizeof(SANE_Word) == 0);
		CHECK(option->constraint_type != SANE_CONSTRAINT_STRING_LIST);
		break;
	case SANE_TYPE_STRING:
		CHECK(option->size > 1);
		CHECK(option->constraint_type == SANE_CONSTRAINT_STRING_LIST || option->constraint_type == SANE_CONSTRAINT_NONE);
		break;
	case SANE_TYPE_BUTTON:
	case SANE_TYPE_GROUP:
		CHECK(option->size == 0 && option->constraint_type == SANE_CONSTRAINT_NONE);
		CHECK(option->type != SANE_TYPE_GROUP || option->cap == 0);
		return;
	}
	if (option->constraint_type == SANE_CONSTRAINT_STRING_LIST)
		for (const SANE_String_Const *word = option->constraint.string_list; *word != NULL; word++)
			CHECK((SANE_Int)strlen(*word) < option->size);
	if (option->constraint_type == SANE_CONSTRAINT_WORD_LIST)
		CHECK(option->constraint.word_list[0] > 0);
	if (option->constraint_type == SANE_CONSTRAINT_RANGE)
		CHECK(option->constraint.range->min <= option->constraint.range->max);

	/* What is set to the value it has stays as it is, and nothing has to be loaded again. */
	void *value = calloc(1, (size_t)option->size);
	SANE_Int info = -1;
	if (!SANE_OPTION_IS_ACTIVE(option->cap)) {
		STATUS(sane_control_option(handle, at, SANE_ACTION_GET_VALUE, value, NULL), SANE_STATUS_INVAL);
		STATUS(sane_control_option(handle, at, SANE_ACTION_SET_VALUE, value, NULL), SANE_STATUS_INVAL);
	} else {
		STATUS(sane_control_option(handle, at, SANE_ACTION_GET_VALUE, value, &info), SANE_STATUS_GOOD);
		if (SANE_OPTION_IS_SETTABLE(option->cap)) {
			STATUS(sane_control_option(handle, at, SANE_ACTION_SET_VALUE, value, &info), SANE_STATUS_GOOD);
			CHECK(info == 0);
		} else {
			STATUS(sane_control_option(handle, at, SANE_ACTION_SET_VALUE, value, &info), SANE_STATUS_INVAL);
		}
	}
	free(value);
	STATUS(sane_control_option(handle, at, SANE_ACTION_GET_VALUE, NULL, NULL), SANE_STATUS_INVAL);
	STATUS(sane_control_option(handle, at, SANE_ACTION_SET_VALUE, NULL, NULL), SANE_STATUS_INVAL);
}

static void options(const char *name)
{
	SANE_Handle handle = only(name);
	SANE_Word count = 0, word;
	const SANE_Option_Descriptor *option;
	SANE_Int at, info;

	STATUS(sane_control_option(handle, 0, SANE_ACTION_GET_VALUE, &count, &info), SANE_STATUS_GOOD);
	option = sane_get_option_descriptor(handle, 0);
	CHECK(option->type == SANE_TYPE_INT && option->size == sizeof(SANE_Word) && strcmp(option->name, "") == 0);
	STATUS(sane_control_option(handle, 0, SANE_ACTION_SET_VALUE, &count, NULL), SANE_STATUS_INVAL);
	for (at = 1; (option = sane_get_option_descriptor(handle, at)) != NULL; at++) {
		CHECK(option == sane_usbscan_get_option_descriptor(handle, at));
		is_well_formed(handle, at, option);
	}
	CHECK(at == count);

	word = 0;
	CHECK(sane_get_option_descriptor(handle, -1) == NULL && sane_get_option_descriptor(handle, count) == NULL);
	STATUS(sane_control_option(handle, -1, SANE_ACTION_GET_VALUE, &word, NULL), SANE_STATUS_INVAL);
	STATUS(sane_control_option(handle, count, SANE_ACTION_GET_VALUE, &word, NULL), SANE_STATUS_INVAL);
	STATUS(sane_control_option(handle, 2, (SANE_Action)77, &word, NULL), SANE_STATUS_INVAL);
	STATUS(sane_control_option(handle, 2, SANE_ACTION_SET_AUTO, NULL, NULL), SANE_STATUS_INVAL);

	/* Lineart has one bit: the depth has nothing to say then, and the threshold has. */
	SANE_Int depth = number_of(handle, SANE_NAME_BIT_DEPTH);
	set_text(handle, SANE_NAME_SCAN_MODE, SANE_VALUE_SCAN_MODE_COLOR);
	info = set_text(handle, SANE_NAME_SCAN_MODE, SANE_VALUE_SCAN_MODE_LINEART);
	CHECK(info == (SANE_INFO_RELOAD_OPTIONS | SANE_INFO_RELOAD_PARAMS));
	CHECK(!SANE_OPTION_IS_ACTIVE(sane_get_option_descriptor(handle, depth)->cap));
	info = set_text(handle, SANE_NAME_SCAN_MODE, SANE_VALUE_SCAN_MODE_GRAY);
	CHECK(info == (SANE_INFO_RELOAD_OPTIONS | SANE_INFO_RELOAD_PARAMS));
	CHECK(SANE_OPTION_IS_ACTIVE(sane_get_option_descriptor(handle, depth)->cap));
	info = set_text(handle, SANE_NAME_SCAN_MODE, SANE_VALUE_SCAN_MODE_COLOR);
	CHECK(info & SANE_INFO_RELOAD_PARAMS);
	word = 8;
	CHECK(set_word(handle, SANE_NAME_BIT_DEPTH, &word) == 0);
	word = 16;
	CHECK(set_word(handle, SANE_NAME_BIT_DEPTH, &word) == SANE_INFO_RELOAD_PARAMS);

	/* Off the glass becomes the edge, and it says so; a mode that there is none of is refused. */
	word = SANE_FIX(10000);
	info = set_word(handle, SANE_NAME_SCAN_BR_X, &word);
	CHECK(info & SANE_INFO_INEXACT);
	option = sane_get_option_descriptor(handle, number_of(handle, SANE_NAME_SCAN_BR_X));
	CHECK(word == option->constraint.range->max && word == get_word(handle, SANE_NAME_SCAN_BR_X));
	CHECK(option->type == SANE_TYPE_FIXED && option->unit == SANE_UNIT_MM);
	char mode[16] = "Sepia";
	at = number_of(handle, SANE_NAME_SCAN_MODE);
	STATUS(sane_control_option(handle, at, SANE_ACTION_SET_VALUE, mode, NULL), SANE_STATUS_INVAL);
	STATUS(sane_control_option(handle, at, SANE_ACTION_GET_VALUE, mode, NULL), SANE_STATUS_GOOD);
	CHECK(strcmp(mode, SANE_VALUE_SCAN_MODE_COLOR) == 0);
	sane_close(handle);
}

/* ---- pages ---- */

static void pages(const char *name)
{
	SANE_Handle handle = only(name);
	SANE_Byte room[16];
	SANE_Int length = 5, fd = -1;

	/* Before a page there is nothing to read, and after it its end, as often as one asks. */
	STATUS(sane_read(handle, room, sizeof room, &length), SANE_STATUS_INVAL);
	CHECK(length == 0);
	STATUS(sane_set_io_mode(handle, SANE_TRUE), SANE_STATUS_INVAL);
	STATUS(sane_get_select_fd(handle, &fd), SANE_STATUS_INVAL);
	sane_cancel(handle);
	choose_small_page(handle);
	struct page first = scan_page(handle);
	STATUS(sane_start(handle), SANE_STATUS_GOOD);
	STATUS(sane_start(handle), SANE_STATUS_DEVICE_BUSY);
	STATUS(sane_read(handle, NULL, 1, &length), SANE_STATUS_INVAL);
	STATUS(sane_read(handle, room, -1, &length), SANE_STATUS_INVAL);
	STATUS(sane_read(handle, room, 1, NULL), SANE_STATUS_INVAL);
	STATUS(sane_get_select_fd(handle, NULL), SANE_STATUS_INVAL);
	struct page by_bytes = read_page(handle, 1);
	is_equal(&first, &by_bytes);
	STATUS(sane_read(handle, room, sizeof room, &length), SANE_STATUS_EOF);
	STATUS(sane_usbscan_read(handle, room, sizeof room, &length), SANE_STATUS_EOF);
	/* The next page may begin without a cancel between. */
	STATUS(sane_usbscan_start(handle), SANE_STATUS_GOOD);
	struct page again = read_page(handle, 100000);
	is_equal(&first, &again);
	sane_cancel(handle);
	sane_cancel(handle);
	STATUS(sane_read(handle, room, sizeof room, &length), SANE_STATUS_CANCELLED);
	free(first.bytes);
	free(by_bytes.bytes);
	free(again.bytes);
	sane_close(handle);
}

static void choosing_while_scanning(const char *name)
{
	SANE_Handle handle = only(name);
	SANE_Word dpi = 300;
	SANE_Parameters parameters;

	choose_large_page(handle);
	STATUS(sane_start(handle), SANE_STATUS_GOOD);
	STATUS(sane_control_option(handle, number_of(handle, SANE_NAME_SCAN_RESOLUTION), SANE_ACTION_SET_VALUE, &dpi, NULL),
	       SANE_STATUS_DEVICE_BUSY);
	CHECK(get_word(handle, SANE_NAME_SCAN_RESOLUTION) == 600);
	STATUS(sane_get_parameters(handle, &parameters), SANE_STATUS_GOOD);
	CHECK(parameters.format == SANE_FRAME_RGB && parameters.depth == 8);
	sane_cancel(handle);
	set_word(handle, SANE_NAME_SCAN_RESOLUTION, &dpi);
	STATUS(sane_get_parameters(handle, &parameters), SANE_STATUS_GOOD);
	CHECK(parameters.pixels_per_line < 2400);
	sane_close(handle);
}

static void not_waiting(const char *name)
{
	SANE_Handle handle = only(name);
	struct page page = { 0 };
	SANE_Byte room[777];
	SANE_Int length;
	SANE_Status status;
	struct pollfd ready = { .events = POLLIN };

	choose_small_page(handle);
	struct page expected = scan_page(handle);
	STATUS(sane_start(handle), SANE_STATUS_GOOD);
	STATUS(sane_get_parameters(handle, &page.parameters), SANE_STATUS_GOOD);
	STATUS(sane_set_io_mode(handle, SANE_TRUE), SANE_STATUS_GOOD);
	STATUS(sane_get_select_fd(handle, &ready.fd), SANE_STATUS_GOOD);
	for (;;) {
		CHECK(poll(&ready, 1, -1) == 1);
		status = sane_read(handle, room, sizeof room, &length);
		if (status == SANE_STATUS_EOF)
			break;
		/* It was readable, so there is something. */
		CHECK(status == SANE_STATUS_GOOD && length > 0);
		add(&page, room, length);
	}
	is_whole(&page);
	is_equal(&page, &expected);
	sane_cancel(handle);

	/* A new page waits again, until it is told not to. */
	STATUS(sane_start(handle), SANE_STATUS_GOOD);
	struct page waiting = read_page(handle, 32768);
	is_equal(&waiting, &expected);
	free(page.bytes);
	free(expected.bytes);
	free(waiting.bytes);
	sane_close(handle);
}

/* ---- cancelling ---- */

static SANE_Handle handlers_scanner;

static void cancel_in_handler(int number)
{
	(void)number;
	sane_cancel(handlers_scanner);
}

static void *cancel_in_thread(void *scanner)
{
	sane_cancel(scanner);
	return NULL;
}

static void *signal_the_main_thread(void *main_thread)
{
	pthread_kill(*(pthread_t *)main_thread, SIGUSR1);
	return NULL;
}

static SANE_Status read_until_it_ends(SANE_Handle handle)
{
	static SANE_Byte room[65536];
	SANE_Int length;
	SANE_Status status;
	do
		status = sane_read(handle, room, sizeof room, &length);
	while (status == SANE_STATUS_GOOD);
	CHECK(length == 0);
	return status;
}

static void cancelling(const char *name)
{
	SANE_Handle handle = only(name);
	SANE_Byte room[16];
	SANE_Int length;
	pthread_t thread, self = pthread_self();
	struct sigaction action = { .sa_handler = cancel_in_handler };

	choose_small_page(handle);
	struct page expected = scan_page(handle);
	handlers_scanner = handle;
	sigaction(SIGUSR1, &action, NULL);

	for (int round = 0; round < 6; round++) {
		choose_large_page(handle);
		STATUS(sane_start(handle), SANE_STATUS_GOOD);
		STATUS(sane_read(handle, room, sizeof room, &length), SANE_STATUS_GOOD);
		switch (round % 3) {
		case 0: /* on this thread */
			sane_cancel(handle);
			STATUS(sane_read(handle, room, sizeof room, &length), SANE_STATUS_CANCELLED);
			CHECK(length == 0);
			break;
		case 1: /* from another, while this one reads */
			CHECK(pthread_create(&thread, NULL, cancel_in_thread, handle) == 0);
			STATUS(read_until_it_ends(handle), SANE_STATUS_CANCELLED);
			CHECK(pthread_join(thread, NULL) == 0);
			break;
		case 2: /* from a handler, in the middle of whatever this thread does then */
			CHECK(pthread_create(&thread, NULL, signal_the_main_thread, &self) == 0);
			STATUS(read_until_it_ends(handle), SANE_STATUS_CANCELLED);
			CHECK(pthread_join(thread, NULL) == 0);
			break;
		}
		sane_cancel(handle);
		choose_small_page(handle);
		struct page next = scan_page(handle);
		is_equal(&next, &expected);
		free(next.bytes);
	}
	/* A cancel before the start is none of it; one while it starts may come before or after its end. */
	sane_cancel(handle);
	CHECK(pthread_create(&thread, NULL, cancel_in_thread, handle) == 0);
	SANE_Status started = sane_start(handle);
	CHECK(started == SANE_STATUS_GOOD || started == SANE_STATUS_CANCELLED);
	CHECK(pthread_join(thread, NULL) == 0);
	sane_close(handle);

	handle = only(name);
	choose_small_page(handle);
	struct page last = scan_page(handle);
	is_equal(&last, &expected);
	free(last.bytes);
	free(expected.bytes);
	sane_close(handle);
}

static void closing_in_mid_page(const char *name)
{
	SANE_Handle handle = only(name);
	SANE_Parameters parameters;
	SANE_Int version;

	choose_large_page(handle);
	STATUS(sane_start(handle), SANE_STATUS_GOOD);
	sane_close(handle);
	STATUS(sane_get_parameters(handle, &parameters), SANE_STATUS_INVAL);
	sane_cancel(handle);
	handle = only(name);
	choose_large_page(handle);
	STATUS(sane_start(handle), SANE_STATUS_GOOD);
	sane_exit();
	STATUS(sane_get_parameters(handle, &parameters), SANE_STATUS_INVAL);
	STATUS(sane_init(&version, NULL), SANE_STATUS_GOOD);
	handle = only(name);
	choose_small_page(handle);
	free(scan_page(handle).bytes);
	sane_close(handle);
}

/* ---- several scanners ---- */

static void two_scanners(const char *first_name, const char *second_name)
{
	SANE_Handle first = only(first_name), second = only(second_name), again;
	const SANE_Device **devices;

	choose_large_page(first);
	STATUS(sane_start(first), SANE_STATUS_GOOD);
	/* One is in mid-page: the list is there, the other one scans, and the busy one says so. */
	STATUS(sane_get_devices(&devices, SANE_TRUE), SANE_STATUS_GOOD);
	CHECK(devices[0] != NULL && devices[1] != NULL && devices[2] == NULL);
	choose_small_page(second);
	free(scan_page(second).bytes);
	STATUS(sane_open(first_name, &again), SANE_STATUS_DEVICE_BUSY);
	sane_cancel(first);
	STATUS(read_until_it_ends(first), SANE_STATUS_CANCELLED);

	/* Open but idle it keeps nobody off. */
	choose_small_page(first);
	free(scan_page(first).bytes);
	again = only(first_name);
	choose_large_page(again);
	STATUS(sane_start(again), SANE_STATUS_GOOD);
	STATUS(sane_start(first), SANE_STATUS_DEVICE_BUSY);
	sane_close(again);
	choose_small_page(first);
	free(scan_page(first).bytes);
	sane_close(first);
	sane_close(second);
	sane_close(second);
}

/* ---- what is left behind ---- */

static int entries_of(const char *folder)
{
	DIR *entries = opendir(folder);
	int count = 0;
	CHECK(entries != NULL);
	while (readdir(entries) != NULL)
		count++;
	closedir(entries);
	return count;
}

/* However often a scanner is opened, used in mid-page and closed: no descriptor stays, and no thread. */
static void nothing_is_left_behind(const char *name)
{
	int descriptors = 0, threads = 0;

	for (int round = 0; round < 20; round++) {
		SANE_Handle handle = only(name);
		choose_large_page(handle);
		STATUS(sane_start(handle), SANE_STATUS_GOOD);
		if (round % 2)
			sane_cancel(handle);
		sane_close(handle);
		if (round == 0) {
			descriptors = entries_of("/proc/self/fd");
			threads = entries_of("/proc/self/task");
		}
		CHECK(entries_of("/proc/self/fd") == descriptors);
		CHECK(entries_of("/proc/self/task") <= threads);
	}
}

/* ---- any order ---- */

static unsigned int seed;

static int any(int below)
{
	/* The generator of the C standard's own example: the same on every machine. */
	seed = seed * 1103515245u + 12345u;
	return (int)(seed / 65536u % 32768u) % below;
}

/* Calls at random on two handles, of one scanner or of two, and on one that is none. Whatever comes, it is a status that SANE
   has, and lengths are those of what was read. */
static void any_order(const char *name, const char *other, int calls)
{
	static SANE_Byte room[200000];
	SANE_Handle handles[3] = { NULL, NULL, (SANE_Handle)0x4711 };
	SANE_Word value[1024];
	SANE_Parameters parameters;

	for (int call = 0; call < calls; call++) {
		SANE_Handle *handle = &handles[any(3)];
		SANE_Int length = -5, option = any(32) - 1, most = any((int)sizeof room), fd;
		SANE_Status status = SANE_STATUS_GOOD;
		memset(value, 0, sizeof value);
		switch (any(24)) {
		case 0:
			if (*handle == NULL)
				status = sane_open(handle == &handles[1] ? other : name, handle);
			break;
		case 1:
			if (any(4) == 0 && handle != &handles[2]) {
				sane_close(*handle);
				*handle = NULL;
			}
			break;
		case 2:
		case 3:
			status = sane_start(*handle);
			break;
		case 4:
			sane_cancel(*handle);
			break;
		case 5:
			status = sane_set_io_mode(*handle, any(3) == 0);
			break;
		case 6:
			status = sane_get_select_fd(*handle, &fd);
			break;
		case 7:
		case 8:
			status = sane_get_parameters(*handle, any(5) ? &parameters : NULL);
			break;
		case 9:
		case 10:
			status = sane_control_option(*handle, option, SANE_ACTION_GET_VALUE, value, any(2) ? &length : NULL);
			break;
		case 11:
		case 12:
			for (size_t at = 0; at < sizeof value / sizeof *value; at++)
				value[at] = any(3) ? any(300) : SANE_FIX(any(400) - 50);
			if (any(2))
				strcpy((char *)value, any(2) ? "Gray" : "Lineart");
			/* A page of any area, but none that takes minutes. */
			if (option != 5)
				status = sane_control_option(*handle, option, SANE_ACTION_SET_VALUE, value, &length);
			break;
		case 13:
			(void)sane_get_option_descriptor(*handle, option);
			break;
		default:
			status = sane_read(*handle, room, most, &length);
			CHECK(length >= 0 && length <= most);
			CHECK(status == SANE_STATUS_GOOD || length == 0);
		}
		CHECK(status >= SANE_STATUS_GOOD && status <= SANE_STATUS_ACCESS_DENIED && status != SANE_STATUS_IO_ERROR);
	}
	sane_close(handles[0]);
	sane_close(handles[1]);
	SANE_Handle handle = only(name);
	choose_small_page(handle);
	free(scan_page(handle).bytes);
	sane_close(handle);
}

int main(int argc, char **argv)
{
	const SANE_Device **devices;
	SANE_Int version;
	SANE_Handle handle;
	char first[256], second[256];
	const char *part = argc > 1 ? argv[1] : "all";
	int all = strcmp(part, "all") == 0;

	STATUS(sane_usbscan_init(&version, NULL), SANE_STATUS_GOOD);
	STATUS(sane_usbscan_get_devices(&devices, SANE_FALSE), SANE_STATUS_GOOD);
	CHECK(devices[0] != NULL && devices[1] != NULL && devices[2] == NULL);
	for (int at = 0; at < 2; at++) {
		CHECK(strlen(devices[at]->name) > 0 && strlen(devices[at]->vendor) > 0 && strlen(devices[at]->model) > 0);
		CHECK(strcmp(devices[at]->type, "flatbed scanner") == 0);
	}
	snprintf(first, sizeof first, "%s", devices[0]->name);
	snprintf(second, sizeof second, "%s", devices[1]->name);
	CHECK(strcmp(first, second) != 0);
	STATUS(sane_open("nobody", &handle), SANE_STATUS_INVAL);
	handle = only("");
	sane_close(handle);
	sane_close(handle);

	if (all || strcmp(part, "options") == 0)
		options(first);
	if (all || strcmp(part, "pages") == 0)
		pages(first);
	if (all || strcmp(part, "choosing") == 0)
		choosing_while_scanning(first);
	if (all || strcmp(part, "not-waiting") == 0)
		not_waiting(first);
	if (all || strcmp(part, "cancelling") == 0)
		cancelling(first);
	if (all || strcmp(part, "closing") == 0)
		closing_in_mid_page(first);
	if (all || strcmp(part, "two") == 0)
		two_scanners(first, second);
	if (all || strcmp(part, "left-behind") == 0)
		nothing_is_left_behind(first);
	if (all || strcmp(part, "any-order") == 0) {
		for (unsigned int began = 1; began <= 3; began++) {
			seed = began;
			any_order(first, second, 3000);
		}
		/* One scanner for both: who finds it in use waits a moment each time. */
		any_order(first, first, 100);
	}
	sane_usbscan_exit();
	return 0;
}
