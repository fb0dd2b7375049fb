//! The part of vscan that others use: USB/IP as values. The fuzz targets feed it what a client may send.

pub mod usbip;
