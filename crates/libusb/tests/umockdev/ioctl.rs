//! usbfs' requests and structures (linux/usbdevice_fs.h), 64-bit.

pub const GET_DRIVER: u32 = 0x4104_5508;
pub const SUBMIT_URB: u32 = 0x8038_550a;
pub const DISCARD_URB: u32 = 0x550b;
pub const REAP_URB_NO_DELAY: u32 = 0x4008_550d;
pub const SET_INTERFACE: u32 = 0x8008_5504;
pub const SET_CONFIGURATION: u32 = 0x8004_5505;
pub const CLAIM_INTERFACE: u32 = 0x8004_550f;
pub const RELEASE_INTERFACE: u32 = 0x8004_5510;
pub const IOCTL: u32 = 0xc010_5512;
pub const RESET: u32 = 0x5514;
pub const CLEAR_HALT: u32 = 0x8004_5515;
pub const CONNECT: i32 = 0x5517;
pub const GET_CAPABILITIES: u32 = 0x8004_551a;
pub const DISCONNECT_CLAIM: u32 = 0x8108_551b;
pub const GET_SPEED: u32 = 0x551f;

/// `struct usbdevfs_urb`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Urb {
    pub kind: u8,
    pub endpoint: u8,
    pub status: i32,
    pub flags: u32,
    pub buffer: *mut u8,
    pub buffer_length: i32,
    pub actual_length: i32,
    pub start_frame: i32,
    pub stream_id: u32,
    pub error_count: i32,
    pub signal: u32,
    pub user_context: *mut u8,
}

/// `struct usbdevfs_setinterface`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct SetInterface {
    pub interface: u32,
    pub alternate: u32,
}

/// `struct usbdevfs_getdriver`.
#[repr(C)]
pub struct GetDriver {
    pub interface: u32,
    pub driver: [u8; 256],
}

/// `struct usbdevfs_ioctl`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Ioctl {
    pub interface: i32,
    pub code: i32,
    pub data: *mut u8,
}
