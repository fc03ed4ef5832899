//! What a shared library says about itself, read from the file: nothing of it is loaded or run.
//!
//! Loading a wrong library can bring the process down, and loading an old ONNX Runtime before the right one
//! leaves two of them in one process. So the file is looked at first.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// The symbol every ONNX Runtime exports.
const SYMBOL: &[u8] = b"OrtGetApiBase";
/// Official builds version that symbol: `OrtGetApiBase@@VERS_1.32.0`.
const VERSION_PREFIX: &[u8] = b"VERS_";
/// Larger tables than any ONNX Runtime has; a forged size must not cost memory.
const MAX_TABLE_BYTES: u64 = 16 << 20;

const MACHINE: u16 = if cfg!(target_arch = "x86_64") {
    62
} else if cfg!(target_arch = "aarch64") {
    183
} else {
    0
};

/// Checks that `path` is a shared library for this machine that exports ONNX Runtime's symbol, and returns the
/// version it was built as, if it says so.
///
/// # Errors
/// A text that says what is wrong with the file, without naming it.
pub(super) fn version(path: &Path) -> Result<Option<String>, String> {
    let unreadable = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound => "does not exist".to_owned(),
        io::ErrorKind::UnexpectedEof => "is cut short".to_owned(),
        _ => format!("cannot be read: {error}"),
    };
    let file = File::open(path).map_err(unreadable)?;
    let metadata = file.metadata().map_err(unreadable)?;
    if !metadata.is_file() {
        return Err("is not a file".to_owned());
    }
    let mut header = [0; 64];
    if metadata.len() < 64 {
        return Err("is not a shared library".to_owned());
    }
    file.read_exact_at(&mut header, 0).map_err(unreadable)?;
    if header[..4] != *b"\x7fELF" {
        return Err("is not a shared library".to_owned());
    }
    // 64-bit, little-endian: both machines that ONNX Runtime's wheels exist for.
    if header[4] != 2 || header[5] != 1 || (MACHINE != 0 && u16_at(&header, 18) != MACHINE) {
        return Err("is built for another kind of machine".to_owned());
    }
    if u16_at(&header, 16) != 3 {
        return Err("is not a shared library".to_owned());
    }
    read_symbols(&file, &header).map_err(unreadable)?
}

fn read_symbols(file: &File, header: &[u8]) -> io::Result<Result<Option<String>, String>> {
    let (offset, entry, count) =
        (u64_at(header, 40), u64::from(u16_at(header, 58)), u64::from(u16_at(header, 60)));
    if entry != 64 || count == 0 {
        // Stripped of its section table, which only loading can tell more about.
        return Ok(Ok(None));
    }
    let sections = table(file, offset, entry * count)?;
    let section = |index: usize| sections.get(index * 64..).and_then(|rest| rest.get(..64));
    let content = |section: &[u8]| table(file, u64_at(section, 24), u64_at(section, 32));
    let dynamic_symbols = sections.chunks_exact(64).find(|section| u32_at(section, 4) == 11);
    let Some(dynamic_symbols) = dynamic_symbols else { return Ok(Ok(None)) };
    let Some(strings) = section(u32_at(dynamic_symbols, 40) as usize) else { return Ok(Ok(None)) };
    let (symbols, strings) = (content(dynamic_symbols)?, content(strings)?);
    let name = |start: usize| {
        let rest = strings.get(start..).unwrap_or_default();
        rest.split(|&byte| byte == 0).next().unwrap_or_default()
    };
    let exported = symbols
        .chunks_exact(24)
        // Section 0 marks a symbol that the library itself looks for elsewhere.
        .any(|symbol| u16_at(symbol, 6) != 0 && name(u32_at(symbol, 0) as usize) == SYMBOL);
    if !exported {
        return Ok(Err("is no ONNX Runtime: it does not export `OrtGetApiBase`".to_owned()));
    }
    let version = strings.split(|&byte| byte == 0).find_map(|name| name.strip_prefix(VERSION_PREFIX));
    Ok(Ok(version.map(|version| String::from_utf8_lossy(version).into_owned())))
}

fn table(file: &File, offset: u64, size: u64) -> io::Result<Vec<u8>> {
    if size > MAX_TABLE_BYTES {
        return Err(io::Error::other("a table in it is too large"));
    }
    let mut bytes = vec![0; size as usize];
    file.read_exact_at(&mut bytes, offset)?;
    Ok(bytes)
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    bytes.get(at..at + 2).and_then(|b| b.try_into().ok()).map_or(0, u16::from_le_bytes)
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..at + 4).and_then(|b| b.try_into().ok()).map_or(0, u32::from_le_bytes)
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    bytes.get(at..at + 8).and_then(|b| b.try_into().ok()).map_or(0, u64::from_le_bytes)
}

/// A shared library with one exported symbol and one version, and nothing to run.
#[cfg(test)]
pub(super) fn fake(symbol: &str, version: &str) -> Vec<u8> {
    let strings = format!("\0{symbol}\0GLIBC_2.28\0VERS_{version}\0");
    let mut symbols = vec![0; 48];
    symbols[24..28].copy_from_slice(&1_u32.to_le_bytes());
    symbols[30..32].copy_from_slice(&12_u16.to_le_bytes());
    let strings_at = 64 + symbols.len() as u64;
    let section = |kind: u32, offset: u64, size: usize, link: u32| {
        let mut bytes = vec![0; 64];
        bytes[4..8].copy_from_slice(&kind.to_le_bytes());
        bytes[24..32].copy_from_slice(&offset.to_le_bytes());
        bytes[32..40].copy_from_slice(&(size as u64).to_le_bytes());
        bytes[40..44].copy_from_slice(&link.to_le_bytes());
        bytes
    };
    let mut file = vec![0; 64];
    file[..6].copy_from_slice(b"\x7fELF\x02\x01");
    file[16..18].copy_from_slice(&3_u16.to_le_bytes());
    file[18..20].copy_from_slice(&MACHINE.to_le_bytes());
    file[40..48].copy_from_slice(&(strings_at + strings.len() as u64).to_le_bytes());
    file[58..60].copy_from_slice(&64_u16.to_le_bytes());
    file[60..62].copy_from_slice(&3_u16.to_le_bytes());
    file.extend(&symbols);
    file.extend(strings.as_bytes());
    file.extend(section(0, 0, 0, 0));
    file.extend(section(11, 64, symbols.len(), 2));
    file.extend(section(3, strings_at, strings.len(), 0));
    file
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn refused(content: &[u8], expected: &str) {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), content).unwrap();
        assert_eq!(version(file.path()).unwrap_err(), expected);
    }

    #[test]
    fn other_files_are_refused() {
        assert_eq!(version(Path::new("/no/such/file")).unwrap_err(), "does not exist");
        assert_eq!(version(Path::new("/")).unwrap_err(), "is not a file");
        refused(b"", "is not a shared library");
        refused(&b"not a library at all, just text. ".repeat(9), "is not a shared library");
        let good = fake("OrtGetApiBase", "1.32.0");
        let with = |at: usize, value: u8| {
            let mut bytes = good.clone();
            bytes[at] = value;
            bytes
        };
        refused(&with(16, 2), "is not a shared library");
        refused(&with(4, 1), "is built for another kind of machine");
        refused(&with(18, good[18] ^ 1), "is built for another kind of machine");
        refused(&good[..200], "is cut short");
        refused(&fake("OrtGetNothing", "1.32.0"), "is no ONNX Runtime: it does not export `OrtGetApiBase`");
    }

    #[test]
    fn forged_tables_are_survived() {
        let good = fake("OrtGetApiBase", "1.32.0");
        // Whatever a byte says, reading ends, with an answer and without a crash.
        for at in 0..good.len() {
            let mut bytes = good.clone();
            bytes[at] = 0xff;
            let file = tempfile::NamedTempFile::new().unwrap();
            std::fs::write(file.path(), &bytes).unwrap();
            let _ = version(file.path());
        }
    }

    #[test]
    fn the_version_is_read() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), fake("OrtGetApiBase", "1.22.1")).unwrap();
        assert_eq!(version(file.path()), Ok(Some("1.22.1".to_owned())));
    }

    #[test]
    fn another_shared_library_is_no_onnx_runtime() {
        let libc = ["/lib/x86_64-linux-gnu/libm.so.6", "/lib/aarch64-linux-gnu/libm.so.6"];
        if let Some(path) = libc.iter().map(Path::new).find(|path| path.exists()) {
            assert!(version(path).unwrap_err().contains("OrtGetApiBase"));
        }
    }
}
