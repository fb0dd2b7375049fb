/* A document feeder as an application meets it: page after page, both sides of a sheet, the end of the paper, a cancel between
   two pages; and the scanner's buttons. Needs a daemon with one virtual scanner at USBSCAN_SOCKET, with three sheets in
   its duplex feeder and button 2 just pressed. */
#include "pages.h"

static void is_different(const struct page *one, const struct page *other)
{
	CHECK(one->length != other->length || memcmp(one->bytes, other->bytes, one->length) != 0);
}

static void choose_feeder(SANE_Handle handle, const char *source)
{
	SANE_Word dpi = 50;

	set_text(handle, SANE_NAME_SCAN_SOURCE, source);
	set_text(handle, SANE_NAME_SCAN_MODE, SANE_VALUE_SCAN_MODE_GRAY);
	set_word(handle, SANE_NAME_SCAN_RESOLUTION, &dpi);
}

static struct page next_page(SANE_Handle handle)
{
	STATUS(sane_start(handle), SANE_STATUS_GOOD);
	return read_page(handle, 32768);
}

/* Reading asks the scanner, once a press, and between pages alone; setting is not possible. */
static void button(SANE_Handle handle)
{
	SANE_Int at = number_of(handle, "button");
	const SANE_Option_Descriptor *option = sane_get_option_descriptor(handle, at);
	SANE_Word value = 1;

	CHECK(option->type == SANE_TYPE_INT && !SANE_OPTION_IS_SETTABLE(option->cap) && SANE_OPTION_IS_ACTIVE(option->cap));
	CHECK(get_word(handle, "button") == 2);
	CHECK(get_word(handle, "button") == 0);
	STATUS(sane_control_option(handle, at, SANE_ACTION_SET_VALUE, &value, NULL), SANE_STATUS_INVAL);
	STATUS(sane_start(handle), SANE_STATUS_GOOD);
	CHECK(get_word(handle, "button") == 0);
	sane_cancel(handle);
	CHECK(get_word(handle, "button") == 0);
}

/* Three sheets have six sides, each another picture; behind the last there is no more paper, as often as one asks. */
static void both_sides(SANE_Handle handle)
{
	struct page sides[6];

	choose_feeder(handle, "ADF Duplex");
	for (int at = 0; at < 6; at++) {
		sides[at] = next_page(handle);
		/* What is chosen again or asked between two pages does not end the batch. */
		choose_feeder(handle, "ADF Duplex");
		CHECK(get_word(handle, "button") == 0);
		for (int before = 0; before < at; before++)
			is_different(&sides[before], &sides[at]);
	}
	STATUS(sane_start(handle), SANE_STATUS_NO_DOCS);
	sane_cancel(handle);
	for (int at = 0; at < 6; at++)
		free(sides[at].bytes);
}

/* Between two pages the scanner is ours; a cancel there ends the batch, and it is everybody's again. */
static void cancel_between_pages(SANE_Handle handle, const char *name)
{
	SANE_Handle other = only(name);
	struct page page;

	choose_feeder(handle, "ADF Duplex");
	free(next_page(handle).bytes);
	STATUS(sane_start(other), SANE_STATUS_DEVICE_BUSY);
	sane_cancel(handle);
	/* The sheet is being put out, and who wants to scan waits for that. */
	choose_feeder(other, "Flatbed");
	page = next_page(other);
	free(page.bytes);
	sane_close(other);

	/* The same when an option was set after the page. */
	free(next_page(handle).bytes);
	choose_feeder(handle, "ADF Duplex");
	sane_cancel(handle);
	other = only(name);
	choose_feeder(other, "Flatbed");
	free(next_page(other).bytes);
	sane_close(other);
}

/* A handle that is closed between two pages leaves the scanner to the next. */
static void close_between_pages(const char *name)
{
	SANE_Handle handle = only(name);

	choose_feeder(handle, "Automatic Document Feeder");
	free(next_page(handle).bytes);
	sane_close(handle);
	handle = only(name);
	choose_feeder(handle, "Flatbed");
	free(next_page(handle).bytes);
	sane_close(handle);
}

int main(void)
{
	const SANE_Device **devices;
	SANE_Handle handle;
	char name[256];

	STATUS(sane_usbscan_init(NULL, NULL), SANE_STATUS_GOOD);
	STATUS(sane_usbscan_get_devices(&devices, SANE_FALSE), SANE_STATUS_GOOD);
	CHECK(devices[0] != NULL && devices[1] == NULL);
	snprintf(name, sizeof name, "%s", devices[0]->name);
	handle = only(name);
	button(handle);
	both_sides(handle);
	cancel_between_pages(handle, name);
	sane_close(handle);
	close_between_pages(name);
	sane_usbscan_exit();
	return 0;
}
