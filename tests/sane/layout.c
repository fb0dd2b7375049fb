/* Prints what Debian's sane/sane.h says of sizes, offsets and constants, a line each. tests/sane_abi.rs compares the
   lines with those of crates/sane/src/abi.rs. */
#include <sane/sane.h>
#include <stddef.h>
#include <stdio.h>

#define SIZE(type) printf("size %s %zu\n", #type, sizeof(type))
#define OFFSET(type, member) printf("offset %s.%s %zu\n", #type, #member, offsetof(type, member))
#define VALUE(name) printf("value %s %ld\n", #name, (long)(name))

int main(void)
{
	SIZE(SANE_Word);
	SIZE(SANE_Fixed);
	SIZE(SANE_Handle);
	SIZE(SANE_Status);
	SIZE(SANE_Value_Type);
	SIZE(SANE_Unit);
	SIZE(SANE_Constraint_Type);
	SIZE(SANE_Action);
	SIZE(SANE_Frame);
	SIZE(SANE_Device);
	OFFSET(SANE_Device, name);
	OFFSET(SANE_Device, vendor);
	OFFSET(SANE_Device, model);
	OFFSET(SANE_Device, type);
	SIZE(SANE_Range);
	OFFSET(SANE_Range, min);
	OFFSET(SANE_Range, max);
	OFFSET(SANE_Range, quant);
	SIZE(SANE_Option_Descriptor);
	OFFSET(SANE_Option_Descriptor, name);
	OFFSET(SANE_Option_Descriptor, title);
	OFFSET(SANE_Option_Descriptor, desc);
	OFFSET(SANE_Option_Descriptor, type);
	OFFSET(SANE_Option_Descriptor, unit);
	OFFSET(SANE_Option_Descriptor, size);
	OFFSET(SANE_Option_Descriptor, cap);
	OFFSET(SANE_Option_Descriptor, constraint_type);
	OFFSET(SANE_Option_Descriptor, constraint);
	SIZE(SANE_Parameters);
	OFFSET(SANE_Parameters, format);
	OFFSET(SANE_Parameters, last_frame);
	OFFSET(SANE_Parameters, bytes_per_line);
	OFFSET(SANE_Parameters, pixels_per_line);
	OFFSET(SANE_Parameters, lines);
	OFFSET(SANE_Parameters, depth);

	VALUE(SANE_VERSION_CODE(SANE_CURRENT_MAJOR, 0, 0));
	VALUE(SANE_FIXED_SCALE_SHIFT);
	VALUE(SANE_TRUE);
	VALUE(SANE_FALSE);
	VALUE(SANE_STATUS_GOOD);
	VALUE(SANE_STATUS_UNSUPPORTED);
	VALUE(SANE_STATUS_CANCELLED);
	VALUE(SANE_STATUS_DEVICE_BUSY);
	VALUE(SANE_STATUS_INVAL);
	VALUE(SANE_STATUS_EOF);
	VALUE(SANE_STATUS_JAMMED);
	VALUE(SANE_STATUS_NO_DOCS);
	VALUE(SANE_STATUS_COVER_OPEN);
	VALUE(SANE_STATUS_IO_ERROR);
	VALUE(SANE_STATUS_NO_MEM);
	VALUE(SANE_STATUS_ACCESS_DENIED);
	VALUE(SANE_TYPE_BOOL);
	VALUE(SANE_TYPE_INT);
	VALUE(SANE_TYPE_FIXED);
	VALUE(SANE_TYPE_STRING);
	VALUE(SANE_TYPE_BUTTON);
	VALUE(SANE_TYPE_GROUP);
	VALUE(SANE_UNIT_NONE);
	VALUE(SANE_UNIT_PIXEL);
	VALUE(SANE_UNIT_BIT);
	VALUE(SANE_UNIT_MM);
	VALUE(SANE_UNIT_DPI);
	VALUE(SANE_UNIT_PERCENT);
	VALUE(SANE_UNIT_MICROSECOND);
	VALUE(SANE_CAP_SOFT_SELECT);
	VALUE(SANE_CAP_HARD_SELECT);
	VALUE(SANE_CAP_SOFT_DETECT);
	VALUE(SANE_CAP_EMULATED);
	VALUE(SANE_CAP_AUTOMATIC);
	VALUE(SANE_CAP_INACTIVE);
	VALUE(SANE_CAP_ADVANCED);
	VALUE(SANE_INFO_INEXACT);
	VALUE(SANE_INFO_RELOAD_OPTIONS);
	VALUE(SANE_INFO_RELOAD_PARAMS);
	VALUE(SANE_CONSTRAINT_NONE);
	VALUE(SANE_CONSTRAINT_RANGE);
	VALUE(SANE_CONSTRAINT_WORD_LIST);
	VALUE(SANE_CONSTRAINT_STRING_LIST);
	VALUE(SANE_ACTION_GET_VALUE);
	VALUE(SANE_ACTION_SET_VALUE);
	VALUE(SANE_ACTION_SET_AUTO);
	VALUE(SANE_FRAME_GRAY);
	VALUE(SANE_FRAME_RGB);
	return 0;
}
