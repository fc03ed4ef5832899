//! Files of bearer tokens (`admin.token_file`, `auth.token_file`).

use std::path::{Path, PathBuf};

/// Shorter tokens can be guessed; 16 characters hold 64 bits at the very least, random base64 96.
const MIN_LENGTH: usize = 16;

/// More than any list of tokens needs; a wrong path must not read a disk image into memory.
const MAX_BYTES: u64 = 64 << 10;

/// Why a file of tokens cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TokenFileError {
    /// It is not there, or not for this user.
    #[error("token file {}: {error}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why not.
        error: std::io::Error,
    },
    /// It is there, but not as it must be.
    #[error("token file {}: {what}", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// What is wrong and where; never a token.
        what: String,
    },
}

/// Reads the tokens of a file: one a line, several so that they can be changed without a gap; empty lines and
/// lines that begin with `#` are left out.
///
/// # Errors
/// When the file cannot be read, holds no token, or holds one that is too short or could not be sent in a header.
pub fn read_tokens(path: &Path) -> Result<Vec<String>, TokenFileError> {
    let content = |what: String| TokenFileError::Content { path: path.into(), what };
    let read = |error| TokenFileError::Read { path: path.into(), error };
    let meta = std::fs::metadata(path).map_err(read)?;
    if !meta.is_file() || meta.len() > MAX_BYTES {
        return Err(content(format!("expected a file of at most {MAX_BYTES} bytes")));
    }
    let text = std::fs::read_to_string(path).map_err(read)?;
    let mut tokens = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let token = line.trim();
        if token.is_empty() || token.starts_with('#') {
            continue;
        }
        if token.len() < MIN_LENGTH {
            return Err(content(format!(
                "line {}: a token has at least {MIN_LENGTH} characters",
                number + 1
            )));
        }
        if !token.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(content(format!("line {}: a token is printable ASCII without spaces", number + 1)));
        }
        tokens.push(token.to_owned());
    }
    if tokens.is_empty() { Err(content("holds no token".into())) } else { Ok(tokens) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_stand_one_a_line() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("tokens");
        let read = |text: &str| {
            std::fs::write(&path, text).unwrap();
            read_tokens(&path).map_err(|error| error.to_string())
        };
        let tokens = read("# old\n0123456789abcdef\r\n\n  fedcba9876543210  \n").unwrap();
        assert_eq!(tokens, ["0123456789abcdef", "fedcba9876543210"]);
        for (text, message) in [
            ("", "holds no token"),
            ("# none\n", "holds no token"),
            ("0123456789abcdef\nshort\n", "line 2: a token has at least 16"),
            ("0123456789 abcdef\n", "line 1: a token is printable"),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.contains(message) && !error.contains("short\n"), "{text:?}: {error}");
        }
        assert!(read_tokens(dir.path()).unwrap_err().to_string().contains("expected a file"));
        assert!(read_tokens(&dir.path().join("gone")).unwrap_err().to_string().contains("No such file"));
    }
}
