/* What the C programs that scan share: an open scanner, its options by name, and whole pages. */
#ifndef PAGES_H
#define PAGES_H
#include "calls.h"

static inline SANE_Handle only(const char *name)
{
	SANE_Handle handle = NULL;
	STATUS(sane_usbscan_open(name, &handle), SANE_STATUS_GOOD);
	CHECK(handle != NULL);
	return handle;
}

static inline SANE_Int number_of(SANE_Handle handle, const char *name)
{
	const SANE_Option_Descriptor *option;
	for (SANE_Int at = 1; (option = sane_get_option_descriptor(handle, at)) != NULL; at++)
		if (option->type != SANE_TYPE_GROUP && strcmp(option->name, name) == 0)
			return at;
	printf("there is no option %s\n", name);
	exit(1);
}

static inline SANE_Int set_text(SANE_Handle handle, const char *name, const char *value)
{
	char room[64];
	SANE_Int info = -1;
	strcpy(room, value);
	STATUS(sane_control_option(handle, number_of(handle, name), SANE_ACTION_SET_VALUE, room, &info), SANE_STATUS_GOOD);
	return info;
}

static inline SANE_Int set_word(SANE_Handle handle, const char *name, SANE_Word *value)
{
	SANE_Int info = -1;
	STATUS(sane_usbscan_control_option(handle, number_of(handle, name), SANE_ACTION_SET_VALUE, value, &info),
	       SANE_STATUS_GOOD);
	return info;
}

static inline SANE_Word get_word(SANE_Handle handle, const char *name)
{
	SANE_Word value = -1;
	STATUS(sane_control_option(handle, number_of(handle, name), SANE_ACTION_GET_VALUE, &value, NULL), SANE_STATUS_GOOD);
	return value;
}

/* 60 x 40 mm in gray: small enough to be quick under valgrind, many blocks all the same. */
static inline void choose_small_page(SANE_Handle handle)
{
	SANE_Word dpi = 100, left = SANE_FIX(10), top = SANE_FIX(10), right = SANE_FIX(70), bottom = SANE_FIX(50);
	set_text(handle, SANE_NAME_SCAN_MODE, SANE_VALUE_SCAN_MODE_GRAY);
	set_word(handle, SANE_NAME_SCAN_RESOLUTION, &dpi);
	set_word(handle, SANE_NAME_SCAN_TL_X, &left);
	set_word(handle, SANE_NAME_SCAN_TL_Y, &top);
	set_word(handle, SANE_NAME_SCAN_BR_X, &right);
	set_word(handle, SANE_NAME_SCAN_BR_Y, &bottom);
}

/* The whole glass, finer than any buffer on its way holds. */
static inline void choose_large_page(SANE_Handle handle)
{
	SANE_Word dpi = 600, zero = 0, right = SANE_FIX(200), bottom = SANE_FIX(280);
	set_text(handle, SANE_NAME_SCAN_MODE, SANE_VALUE_SCAN_MODE_COLOR);
	set_word(handle, SANE_NAME_SCAN_RESOLUTION, &dpi);
	set_word(handle, SANE_NAME_SCAN_TL_X, &zero);
	set_word(handle, SANE_NAME_SCAN_TL_Y, &zero);
	set_word(handle, SANE_NAME_SCAN_BR_X, &right);
	set_word(handle, SANE_NAME_SCAN_BR_Y, &bottom);
}

struct page {
	SANE_Parameters parameters;
	size_t length;
	SANE_Byte *bytes;
};

static inline void add(struct page *page, const SANE_Byte *bytes, SANE_Int length)
{
	page->bytes = realloc(page->bytes, page->length + (size_t)length);
	memcpy(page->bytes + page->length, bytes, (size_t)length);
	page->length += (size_t)length;
}

static inline void is_whole(const struct page *page)
{
	CHECK(page->length == (size_t)page->parameters.bytes_per_line * (size_t)page->parameters.lines);
	CHECK(page->parameters.last_frame == SANE_TRUE);
}

static inline struct page read_page(SANE_Handle handle, SANE_Int at_a_time)
{
	struct page page = { 0 };
	SANE_Byte *room = malloc((size_t)at_a_time);
	SANE_Int length = -1;
	SANE_Status status;

	STATUS(sane_get_parameters(handle, &page.parameters), SANE_STATUS_GOOD);
	while ((status = sane_read(handle, room, at_a_time, &length)) == SANE_STATUS_GOOD) {
		CHECK(length > 0 && length <= at_a_time);
		add(&page, room, length);
	}
	CHECK(status == SANE_STATUS_EOF && length == 0);
	free(room);
	is_whole(&page);
	return page;
}

static inline struct page scan_page(SANE_Handle handle)
{
	SANE_Parameters before;
	struct page page;

	STATUS(sane_get_parameters(handle, &before), SANE_STATUS_GOOD);
	STATUS(sane_start(handle), SANE_STATUS_GOOD);
	page = read_page(handle, 32768);
	CHECK(memcmp(&before, &page.parameters, sizeof before) == 0);
	sane_cancel(handle);
	return page;
}

static inline void is_equal(const struct page *one, const struct page *other)
{
	CHECK(one->length == other->length && memcmp(one->bytes, other->bytes, one->length) == 0);
}
#endif
