//! Files, folders and patterns.

use std::fs;
use std::path::{Component, Path, PathBuf};

use super::Files;
use crate::data::config::FileFormat;
use crate::data::error::DataError;

impl FileFormat {
    pub(crate) fn of(name: &str) -> Option<Self> {
        let extension = Path::new(name).extension()?.to_str()?;
        if extension.eq_ignore_ascii_case("parquet") {
            Some(Self::Parquet)
        } else if extension.eq_ignore_ascii_case("csv") {
            Some(Self::Csv)
        } else {
            None
        }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Parquet => "Parquet",
            Self::Csv => "CSV",
        }
    }
}

/// The files of a path by name, so that their order is the same everywhere.
pub(crate) fn find(path: &str, format: Option<FileFormat>) -> Result<Files, DataError> {
    let unreadable = |error: std::io::Error| DataError::of_io(path, &error);
    let mut named: Vec<PathBuf> = Vec::new();
    if Path::new(path).is_file() {
        named.push(path.into());
    } else if Path::new(path).is_dir() {
        below(Path::new(path), &mut named).map_err(unreadable)?;
    } else {
        let matches = glob::glob(path).map_err(|error| {
            DataError::Config(format!("data.path: `{path}` is no file, no folder and no pattern: {error}"))
        })?;
        for found in matches {
            let found = found.map_err(|error| DataError::of_io(path, error.error()))?;
            if found.is_file() && is_finished(path, &found) {
                named.push(found);
            }
        }
    }
    named.sort();
    let absolute = named.iter().map(|file| real(file)).collect::<Result<Vec<_>, _>>().map_err(unreadable)?;
    let (paths, format) = of_format(path, absolute, format, |path| path.to_str().unwrap_or_default())?;
    Ok(Files { paths, format, origin: path.to_owned(), statement: None })
}

/// An absolute path without `..`, which DataFusion takes none of. A file keeps its name, though it be a link: the name says
/// what format it has.
fn real(file: &Path) -> std::io::Result<PathBuf> {
    let absolute = std::path::absolute(file)?;
    match (absolute.parent(), absolute.file_name()) {
        (Some(folder), Some(name)) => Ok(fs::canonicalize(folder)?.join(name)),
        _ => Ok(absolute),
    }
}

/// Writers keep what is unfinished in `_temporary`, `.part` and the like.
fn is_hidden(name: &str) -> bool {
    name.starts_with(['.', '_'])
}

/// Whether what a path or pattern led to is no unfinished one. Names that are written out are wanted as they are.
pub(super) fn is_finished(pattern: &str, found: &Path) -> bool {
    let names = |path: &Path| {
        let normal = path.components().filter(|part| !matches!(part, Component::CurDir));
        normal.map(|part| part.as_os_str().to_str().unwrap_or_default().to_owned()).collect::<Vec<_>>()
    };
    let (pattern, found) = (names(Path::new(pattern)), names(found));
    let literal = pattern.iter().take_while(|name| !name.contains(['*', '?', '['])).count();
    let asked = |names: &[String]| names.iter().skip(literal).any(|name| is_hidden(name));
    asked(&pattern) || !asked(&found)
}

/// Those of a format; of the only format there is when none is said.
pub(crate) fn of_format<T>(
    path: &str,
    found: Vec<T>,
    asked: Option<FileFormat>,
    name: impl Fn(&T) -> &str,
) -> Result<(Vec<T>, FileFormat), DataError> {
    // A single file may be named as it likes when its format is said.
    if let (Some(format), [only]) = (asked, found.as_slice())
        && Path::new(name(only)).file_name() == Path::new(path).file_name()
    {
        return Ok((found, format));
    }
    let has = |wanted| found.iter().any(|file| FileFormat::of(name(file)) == Some(wanted));
    let format = match (asked, has(FileFormat::Parquet), has(FileFormat::Csv)) {
        (Some(format), ..) => format,
        (None, true, true) => {
            return Err(DataError::Config(format!(
                "data.format: `{path}` has Parquet and CSV files; say which are meant"
            )));
        }
        (None, false, true) => FileFormat::Csv,
        (None, ..) => FileFormat::Parquet,
    };
    let files: Vec<T> = found.into_iter().filter(|file| FileFormat::of(name(file)) == Some(format)).collect();
    if files.is_empty() {
        let format = asked.map_or("Parquet or CSV", FileFormat::name);
        return Err(DataError::NoFiles { path: path.to_owned(), format });
    }
    Ok((files, format))
}

fn below(folder: &Path, found: &mut Vec<PathBuf>) -> std::io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_name().to_str().is_some_and(is_hidden) {
            continue;
        }
        if entry.path().is_dir() {
            below(&entry.path(), found)?;
        } else {
            found.push(entry.path());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_may_go_up() {
        let folder = fs::canonicalize(env!("CARGO_MANIFEST_DIR")).unwrap();
        assert_eq!(real(&folder.join("src/../Cargo.toml")).unwrap(), folder.join("Cargo.toml"));
        let files =
            find(&format!("{}/src/../models/_data/../_data/penguins.csv", folder.display()), None).unwrap();
        assert_eq!(files.paths, [folder.join("models/_data/penguins.csv")]);
    }

    #[test]
    fn unfinished_files_are_left_out_unless_they_are_asked_for() {
        let check = |pattern, found, expected| {
            assert_eq!(is_finished(pattern, Path::new(found)), expected, "{pattern}: {found}");
        };
        check("rides/*/*.parquet", "rides/month=1/a.parquet", true);
        check("rides/*/*.parquet", "rides/_temporary/a.parquet", false);
        check("rides", "rides/month=1/.a.parquet", false);
        check("../_new/*.csv", "../_new/a.csv", true);
        check("./data/*.csv", "data/a.csv", true);
        check("rides/*/_final/*.csv", "rides/1/_final/a.csv", true);
        check("", "_temporary/a.csv", false);
    }
}
