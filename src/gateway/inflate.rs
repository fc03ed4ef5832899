//! Compressed bodies: every limit counts decompressed bytes, and a bomb is recognised by its ratio.

use std::io::Read;

use flate2::bufread::{MultiGzDecoder, ZlibDecoder};

use super::http::{Coding, Refusal};

/// Largest ratio of decompressed to compressed bytes.
const MAX_RATIO: usize = 100;
/// Bodies below this are not judged by their ratio: a few zeros compress well.
const RATIO_FROM: usize = 64 << 10;

/// Decompresses `body` into `out`.
///
/// # Errors
/// 400 for data that is not what it claims, 413 beyond `limit` bytes or the ratio.
pub(super) fn inflate(coding: Coding, body: &[u8], limit: usize, out: &mut Vec<u8>) -> Result<(), Refusal> {
    let limit = limit.min((body.len().saturating_mul(MAX_RATIO)).max(RATIO_FROM));
    out.clear();
    let read = match coding {
        Coding::Identity => {
            out.extend_from_slice(body);
            return Ok(());
        }
        // A gzip body is a series of members (RFC 1952, 2.2); what is no member is an error.
        Coding::Gzip => MultiGzDecoder::new(body).take(limit as u64 + 1).read_to_end(out),
        Coding::Deflate => {
            let mut decoder = ZlibDecoder::new(body);
            let read = (&mut decoder).take(limit as u64 + 1).read_to_end(out);
            match read {
                Ok(length) if length <= limit && !decoder.into_inner().is_empty() => {
                    return Err(Refusal::malformed("bytes follow the end of the compressed body"));
                }
                read => read,
            }
        }
    };
    match read {
        Ok(length) if length > limit => Err(Refusal::new(
            413,
            "body_too_large",
            format!("the body is larger than {limit} bytes once decompressed"),
        )),
        Ok(_) => Ok(()),
        Err(_) => Err(Refusal::malformed("the body is not valid in its Content-Encoding")),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::{GzEncoder, ZlibEncoder};

    use super::*;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn both_codings_round_trip() {
        let mut zlib = ZlibEncoder::new(Vec::new(), Compression::fast());
        zlib.write_all(b"hello").unwrap();
        for (coding, body) in [(Coding::Gzip, gzip(b"hello")), (Coding::Deflate, zlib.finish().unwrap())] {
            let mut out = Vec::new();
            inflate(coding, &body, 5, &mut out).unwrap();
            assert_eq!(out, b"hello");
            assert_eq!(inflate(coding, &body, 4, &mut out).unwrap_err().status, 413);
            assert_eq!(
                inflate(coding, &body[..body.len() - 3], 5, &mut out).unwrap_err().status,
                400,
                "truncated"
            );
        }
    }

    #[test]
    fn nothing_behind_the_first_part_is_dropped() {
        let mut out = Vec::new();
        let two = [gzip(b"[1,2,"), gzip(b"3]")].concat();
        inflate(Coding::Gzip, &two, 7, &mut out).unwrap();
        assert_eq!(out, b"[1,2,3]");
        assert_eq!(inflate(Coding::Gzip, &two, 6, &mut out).unwrap_err().status, 413);
        let mut zlib = ZlibEncoder::new(Vec::new(), Compression::fast());
        zlib.write_all(b"[1]").unwrap();
        let zlib = [zlib.finish().unwrap(), b"[2]".to_vec()].concat();
        assert_eq!(inflate(Coding::Deflate, &zlib, 99, &mut out).unwrap_err().status, 400);
        let behind = [gzip(b"[1]"), b"[2]".to_vec()].concat();
        assert_eq!(inflate(Coding::Gzip, &behind, 99, &mut out).unwrap_err().status, 400);
    }

    #[test]
    fn a_bomb_is_refused_early() {
        let bomb = gzip(&vec![0; 64 << 20]);
        let mut out = Vec::new();
        assert_eq!(inflate(Coding::Gzip, &bomb, usize::MAX / 2, &mut out).unwrap_err().status, 413);
        assert!(out.capacity() < 32 << 20, "{}", out.capacity());
    }
}
