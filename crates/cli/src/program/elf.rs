//! What an ELF file says about how it is loaded: its interpreter, the libraries that it needs, where it looks for them.
//! A function of bytes at offsets; whatever the file holds, it reads a bounded part of it.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;

/// The most that is read of one table of a file. Those of the largest programs are a tenth of it.
const TABLE_LIMIT: u64 = 4 << 20;
/// Program headers; a program has some fifteen.
const HEADER_LIMIT: usize = 512;
/// A path.
const PATH_LIMIT: u64 = 4096;

const PT_LOAD: u32 = 1;
const PT_DYNAMIC: u32 = 2;
const PT_INTERP: u32 = 3;
const DT_NEEDED: u64 = 1;
const DT_STRTAB: u64 = 5;
const DT_STRSZ: u64 = 10;
const DT_RPATH: u64 = 15;
const DT_RUNPATH: u64 = 29;

/// How a file is loaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Elf {
    /// It is no ELF file.
    Other,
    /// For another processor, or for another word size, than this program.
    Foreign,
    /// It needs no loader, so nobody can give it a library.
    Static,
    /// The loader (`ld.so`) brings its libraries along.
    Dynamic(Dynamic),
}

/// What the loader finds in a file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Dynamic {
    /// A program has one, a library does not.
    pub has_interpreter: bool,
    /// Names of the libraries that it needs.
    pub needed: Vec<OsString>,
    /// Folders that come before LD_LIBRARY_PATH (`DT_RPATH`); empty where there are newer ones.
    pub rpath: Vec<OsString>,
    /// Folders that come behind it (`DT_RUNPATH`).
    pub runpath: Vec<OsString>,
}

/// One program header.
#[derive(Debug, Clone, Copy)]
struct Segment {
    kind: u32,
    offset: u64,
    address: u64,
    length: u64,
}

/// Reads a file through `read`, which gives the bytes at an offset, all of them or nothing. `None` where the file is cut
/// off, or contradicts itself.
pub fn read(read: impl Fn(u64, usize) -> Option<Vec<u8>>) -> Option<Elf> {
    let Some(ident) = read(0, 20).filter(|ident| ident.starts_with(b"\x7fELF")) else { return Some(Elf::Other) };
    let own_class = if size_of::<usize>() == 8 { 2 } else { 1 };
    let own_order = if cfg!(target_endian = "little") { 1 } else { 2 };
    let is_own =
        ident[4] == own_class && ident[5] == own_order && own_machine().is_none_or(|own| own == half(&ident, 18));
    // Only 64 bits are understood: every machine that this is built for has them.
    if !is_own || own_class != 2 {
        return Some(Elf::Foreign);
    }
    let header = read(0, 64)?;
    let (at, size, count) = (long(&header, 32), usize::from(half(&header, 54)), usize::from(half(&header, 56)));
    if size < 56 || count > HEADER_LIMIT {
        return None;
    }
    let table = read(at, size * count)?;
    let segments: Vec<Segment> = table.chunks_exact(size).map(segment).collect();
    let of_kind = |kind: u32| segments.iter().find(|segment| segment.kind == kind);
    let has_interpreter = of_kind(PT_INTERP).is_some_and(|segment| segment.length <= PATH_LIMIT);
    let Some(dynamic) = of_kind(PT_DYNAMIC) else { return Some(Elf::Static) };
    let entries = read(dynamic.offset, usize::try_from(dynamic.length.min(TABLE_LIMIT)).ok()?)?;
    let entries: Vec<(u64, u64)> = entries
        .chunks_exact(16)
        .map(|entry| (long(entry, 0), long(entry, 8)))
        .take_while(|(tag, _)| *tag != 0)
        .collect();
    let strings = strings(&read, &segments, &entries)?;
    let texts =
        |tag: u64| entries.iter().filter(move |entry| entry.0 == tag).filter_map(|entry| text(&strings, entry.1));
    let folders = |tag: u64| -> Vec<OsString> {
        let lists = texts(tag);
        lists
            .flat_map(|list| list.split(|byte| *byte == b':').map(<[u8]>::to_vec).collect::<Vec<_>>())
            .map(OsString::from_vec)
            .collect()
    };
    let runpath = folders(DT_RUNPATH);
    // The loader ignores the old one where both are there.
    let rpath = if runpath.is_empty() { folders(DT_RPATH) } else { Vec::new() };
    let needed = texts(DT_NEEDED).map(|name| OsString::from_vec(name.to_vec())).collect();
    Some(Elf::Dynamic(Dynamic { has_interpreter, needed, rpath, runpath }))
}

/// `e_machine` of this program, where it is known.
fn own_machine() -> Option<u16> {
    match std::env::consts::ARCH {
        "x86_64" => Some(62),
        "aarch64" => Some(183),
        "riscv64" => Some(243),
        _ => None,
    }
}

fn segment(entry: &[u8]) -> Segment {
    Segment { kind: word(entry, 0), offset: long(entry, 8), address: long(entry, 16), length: long(entry, 32) }
}

/// The table of strings: the dynamic section has its address in memory, the segments say where that is in the file.
fn strings(
    read: &impl Fn(u64, usize) -> Option<Vec<u8>>,
    segments: &[Segment],
    entries: &[(u64, u64)],
) -> Option<Vec<u8>> {
    let value = |tag: u64| entries.iter().find(|entry| entry.0 == tag).map(|entry| entry.1);
    let (Some(address), Some(length)) = (value(DT_STRTAB), value(DT_STRSZ)) else { return Some(Vec::new()) };
    let loaded = segments.iter().filter(|segment| segment.kind == PT_LOAD);
    let within = |segment: &&Segment| address.checked_sub(segment.address).is_some_and(|at| at < segment.length);
    let segment = loaded.into_iter().find(within)?;
    read(segment.offset.checked_add(address - segment.address)?, usize::try_from(length.min(TABLE_LIMIT)).ok()?)
}

fn text(strings: &[u8], at: u64) -> Option<&[u8]> {
    let rest = strings.get(usize::try_from(at).ok()?..)?;
    let end = rest.iter().position(|byte| *byte == 0)?;
    Some(&rest[..end])
}

fn half(bytes: &[u8], at: usize) -> u16 {
    u16::from_ne_bytes([bytes[at], bytes[at + 1]])
}

fn word(bytes: &[u8], at: usize) -> u32 {
    u32::from_ne_bytes(std::array::from_fn(|i| bytes[at + i]))
}

fn long(bytes: &[u8], at: usize) -> u64 {
    u64::from_ne_bytes(std::array::from_fn(|i| bytes[at + i]))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(bytes: &[u8]) -> Option<Elf> {
        read(|at, length| {
            let at = usize::try_from(at).ok()?;
            bytes.get(at..at.checked_add(length)?).map(<[u8]>::to_vec)
        })
    }

    fn put(bytes: &mut [u8], at: usize, value: u64, size: usize) {
        bytes[at..at + size].copy_from_slice(&value.to_ne_bytes()[..size]);
    }

    /// A program of one segment, with these strings and this dynamic section.
    fn program(strings: &[u8], dynamic: &[(u64, u64)]) -> Vec<u8> {
        const BASE: u64 = 0x40_0000;
        let mut bytes = vec![0; 64 + 3 * 56];
        bytes[..6].copy_from_slice(b"\x7fELF\x02\x01");
        put(&mut bytes, 18, own_machine().unwrap_or(0).into(), 2);
        put(&mut bytes, 32, 64, 8);
        put(&mut bytes, 54, 56, 2);
        put(&mut bytes, 56, 3, 2);
        let strings_at = bytes.len() as u64;
        bytes.extend(strings);
        let dynamic_at = bytes.len() as u64;
        let table = [(DT_STRTAB, BASE + strings_at), (DT_STRSZ, strings.len() as u64)];
        for (tag, value) in table.iter().chain(dynamic).chain(&[(0, 0), (DT_NEEDED, 1)]) {
            bytes.extend(tag.to_ne_bytes());
            bytes.extend(value.to_ne_bytes());
        }
        let total = bytes.len() as u64;
        for (at, [kind, offset, length]) in [
            [PT_LOAD.into(), 0, total],
            [PT_INTERP.into(), strings_at, 1],
            [PT_DYNAMIC.into(), dynamic_at, total - dynamic_at],
        ]
        .into_iter()
        .enumerate()
        {
            let at = 64 + at * 56;
            put(&mut bytes, at, kind, 4);
            put(&mut bytes, at + 8, offset, 8);
            put(&mut bytes, at + 16, BASE + offset, 8);
            put(&mut bytes, at + 32, length, 8);
        }
        bytes
    }

    #[test]
    fn a_program_names_its_libraries_and_folders() {
        let bytes = program(b"\0libsane.so.1\0/opt/a:$ORIGIN\0", &[(DT_NEEDED, 1), (DT_RPATH, 14)]);
        let Some(Elf::Dynamic(found)) = of(&bytes) else { panic!("{:?}", of(&bytes)) };
        assert!(found.has_interpreter);
        assert_eq!((found.needed, found.rpath), (vec!["libsane.so.1".into()], vec!["/opt/a".into(), "$ORIGIN".into()]));
    }

    #[test]
    fn the_newer_list_of_folders_makes_the_loader_ignore_the_old_one() {
        let Some(Elf::Dynamic(found)) = of(&program(b"\0/old\0/new\0", &[(DT_RPATH, 1), (DT_RUNPATH, 6)])) else {
            panic!("it is a program")
        };
        assert_eq!((found.rpath, found.runpath), (vec![], vec!["/new".into()]));
    }

    #[test]
    fn this_program_is_dynamic_and_needs_the_c_library() {
        let bytes = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        let Some(Elf::Dynamic(found)) = of(&bytes) else { panic!("it is a program") };
        assert!(found.needed.iter().any(|name| name.to_string_lossy().starts_with("libc.")), "{found:?}");
    }

    #[test]
    fn what_is_no_program_of_this_machine_is_told_apart() {
        assert_eq!(of(b"#!/bin/sh\nexit 0 # and more\n"), Some(Elf::Other));
        assert_eq!(of(b""), Some(Elf::Other));
        let mut other = program(b"\0", &[]);
        other[4] = 1;
        assert_eq!(of(&other), Some(Elf::Foreign));
        assert_eq!(of(&program(b"\0", &[])[..100]), None);
    }

    proptest! {
        #[test]
        fn no_bytes_do_any_harm(changes in prop::collection::vec((0_usize..400, any::<u8>()), 0..12), cut in 0_usize..500) {
            let mut bytes = program(b"\0libsane.so.1\0/opt/a:$ORIGIN\0", &[(DT_NEEDED, 1), (DT_RPATH, 14)]);
            for (at, value) in changes {
                let at = at % bytes.len();
                bytes[at] = value;
            }
            bytes.truncate(cut.max(20));
            let _ = of(&bytes);
        }
    }
}
