//! What replicas publish of an experiment: a line of JSON that says what it is, then sums, compressed.
//!
//! `{"format":1,"experiment":…}\n`, then a raw deflate stream (RFC 1951) of [`Sums::to_bytes`].

use std::io::{Read as _, Write as _};

use flate2::Compression;
use flate2::read::DeflateDecoder;
use flate2::write::DeflateEncoder;
use serde::{Deserialize, Serialize};

use crate::experiment::Layout;
use crate::experiment::sums::{Sums, Unreadable};
use crate::experiment::verdict::Standing;

/// The version of these forms; a higher one is refused.
pub const FORMAT: u32 = 1;
/// Most bytes that are unpacked.
const MAX_BYTES: u64 = 256 << 20;
/// Most bytes of the first line.
const MAX_LINE: usize = 64 << 10;

/// What published sums are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// [`FORMAT`]
    pub format: u32,
    /// The experiment.
    pub experiment: String,
    /// Its model.
    pub model: String,
    /// What its definition and versions were; only equal phases add up.
    pub phase: String,
    /// Whether requests were in it at that time.
    pub current: bool,
    /// Version by variant, in the order of the definition; none where a variant could not answer.
    pub versions: Vec<Option<u64>>,
    /// The process, by a name that no other has.
    pub replica: String,
    /// When, in milliseconds since 1970.
    pub at: u64,
    /// Since when it has counted.
    pub since: u64,
    /// Records that were lost because they came faster than they were counted.
    pub dropped: u64,
    /// Whether the process has ended: nothing more will come from it.
    pub closed: bool,
}

/// A standing as it is stored.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Stored {
    /// [`FORMAT`]
    format: u32,
    /// The standing.
    #[serde(flatten)]
    standing: Standing,
}

impl Stored {
    /// The stored form.
    pub fn of(standing: &Standing) -> Self {
        Self { format: FORMAT, standing: standing.clone() }
    }

    /// Reads one.
    ///
    /// # Errors
    /// When it is of a later format, or none.
    pub fn read(bytes: &[u8]) -> Result<Standing, Unusable> {
        match serde_json::from_slice(bytes) {
            Ok(Format { format }) if format > FORMAT => Err(Unusable::Newer(format)),
            _ => serde_json::from_slice::<Self>(bytes)
                .map(|stored| stored.standing)
                .map_err(|_| Unusable::Header),
        }
    }
}

#[derive(Deserialize)]
struct Format {
    format: u32,
}

/// Why something published cannot be used.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unusable {
    /// Of a later version of sidegate.
    #[error("it has format {0}, which this sidegate does not know: use a newer one")]
    Newer(u32),
    /// No line of JSON of this form at its beginning.
    #[error("its first line is not what is published")]
    Header,
    /// Its sums.
    #[error(transparent)]
    Sums(#[from] Unreadable),
}

/// The published form.
pub fn encode(header: &Header, sums: &Sums) -> Vec<u8> {
    // Writing into a vector cannot fail.
    let mut bytes = serde_json::to_vec(header).unwrap_or_default();
    bytes.push(b'\n');
    let mut packed = DeflateEncoder::new(bytes, Compression::fast());
    drop(packed.write_all(&sums.to_bytes()));
    packed.finish().unwrap_or_default()
}

/// Reads the line that says what it is; the rest is for [`sums`].
///
/// # Errors
/// [`Unusable`]
pub fn header(bytes: &[u8]) -> Result<(Header, &[u8]), Unusable> {
    let end = bytes.iter().take(MAX_LINE).position(|b| *b == b'\n').ok_or(Unusable::Header)?;
    let (line, rest) = (&bytes[..end], &bytes[end + 1..]);
    match serde_json::from_slice(line) {
        Ok(Format { format }) if format > FORMAT => Err(Unusable::Newer(format)),
        _ => Ok((serde_json::from_slice(line).map_err(|_| Unusable::Header)?, rest)),
    }
}

/// Reads the sums behind the line.
///
/// # Errors
/// [`Unusable`]
pub fn sums(packed: &[u8], layout: &Layout) -> Result<Sums, Unusable> {
    let mut bytes = Vec::new();
    let read = DeflateDecoder::new(packed).take(MAX_BYTES).read_to_end(&mut bytes);
    read.map_err(|_| Unreadable::Damaged("it cannot be unpacked"))?;
    Ok(Sums::from_bytes(&bytes, layout)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::experiment::{Definition, Track};

    /// Both were written by this version; they are never replaced, only joined by those of later ones.
    #[test]
    fn what_was_published_by_every_version_is_read() {
        let definition = Definition {
            model: Some("flight-delay".parse().unwrap()),
            unit: Some("header:x-user".parse().unwrap()),
            variants: [("rule", "production"), ("trees", "2")]
                .map(|(name, serve)| (name.into(), serve.parse().unwrap()))
                .into(),
            default: "rule".into(),
            metric: Some("squared_error".parse().unwrap()),
            guardrails: ["errors", "latency_p99 within 50%"].map(|text| text.parse().unwrap()).into(),
            planned_units: 5000,
            confidence: "95%".parse().unwrap(),
            ..Definition::default()
        };
        let experiment = definition.check(&"trees".parse().unwrap()).unwrap();
        let (read, packed) = header(include_bytes!("../../tests/fixtures/formats/experiment.sums")).unwrap();
        let track = Track::new(experiment, read.versions.clone());
        assert_eq!((read.format, &*read.experiment, &read.phase), (1, "trees", &track.phase));
        let sums = sums(packed, &track.layout).unwrap();
        assert_eq!(sums.arms.iter().map(|arm| arm.requests).sum::<u64>(), 240);
        let standing = Stored::read(include_bytes!("../../tests/fixtures/formats/standing.json")).unwrap();
        let replayed = Standing::replay(&track.experiment, standing.since, &standing.log).unwrap();
        assert_eq!((replayed.stage, standing.log.is_empty()), (standing.stage, false));
    }

    #[test]
    fn what_is_not_published_is_refused() {
        assert_eq!(header(b"{\"format\":2}\n"), Err(Unusable::Newer(2)));
        for bad in [&b""[..], b"{}", b"{}\n", b"\xff\n", b"{\"format\":1}\n"] {
            assert_eq!(header(bad), Err(Unusable::Header), "{bad:?}");
        }
    }
}
