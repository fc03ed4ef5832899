use std::os::unix::fs::symlink;

use tempfile::TempDir;

use super::*;

const KEYS: [&str; 4] = ["model.onnx", "manifest.json", "golden.json", "profile.json"];

/// A root with the folder of a model, and a shelf for it.
fn shelf() -> (TempDir, Shelf) {
    let dir = tempfile::tempdir().unwrap();
    let shelf = Shelf::new(dir.path().join("models"));
    lay(&dir.path().join("models/a/model"));
    (dir, shelf)
}

fn lay(folder: &Path) {
    fs::create_dir_all(folder).unwrap();
    fs::write(folder.join("model.onnx"), b"m").unwrap();
}

fn url(dir: &TempDir, path: &str) -> String {
    dir.path().join(path).display().to_string()
}

/// The model file that is found at a url, or what is said of it.
fn said(shelf: &Shelf, url: &str) -> Result<String, String> {
    let claim = shelf.put("m", url, 9).unwrap();
    let keys = shelf.keys(claim.model.as_str()).map_err(|error| error.to_string())?;
    Ok(keys.into_iter().next().unwrap_or_default())
}

#[test]
fn a_slot_is_loading_then_loaded_then_unloading_then_empty() {
    let (dir, shelf) = shelf();
    let url = url(&dir, "models/a/model");
    let taken = || assert_eq!(shelf.put("a", &url, 9).err(), Some(NotPut::Taken));
    let claim = shelf.put("a", &url, 9).unwrap();
    taken();
    assert!(shelf.get("a").is_none() && shelf.take("a").is_none(), "it is not loaded yet");
    claim.keep();
    taken();
    assert_eq!(shelf.get("a").unwrap(), Placed { name: "a".into(), url: url.clone() });
    let claim = shelf.take("a").unwrap();
    taken();
    assert!(shelf.get("a").is_none() && shelf.take("a").is_none(), "one unloads it");
    drop(claim);
    // A load that fails leaves nothing behind.
    drop(shelf.put("a", &url, 9).unwrap());
    assert!(shelf.list("").unwrap().is_empty());
    assert!(shelf.put("a", &url, 9).is_ok());
}

#[test]
fn there_are_no_more_than_are_allowed() {
    let (dir, shelf) = shelf();
    let url = url(&dir, "models/a/model");
    shelf.put("a", &url, 2).unwrap().keep();
    let loading = shelf.put("b", &url, 2).unwrap();
    assert_eq!(shelf.put("c", &url, 2).err(), Some(NotPut::Full(2)));
    assert_eq!(shelf.put("a", &url, 2).err(), Some(NotPut::Taken), "room would not help");
    drop(loading);
    assert!(shelf.put("c", &url, 2).is_ok());
    for (name, url) in [("", "/x"), ("x", ""), (&*"x".repeat(5000), "/x"), ("x", &*"/".repeat(5000))] {
        assert_eq!(shelf.put(name, url, 9).err(), Some(NotPut::Unfit));
    }
}

#[test]
fn any_text_is_a_name_of_its_own() {
    let digested = Shelf::called("../x").to_string();
    let names =
        ["../x", "/x", "x/../y", "", " ", "a\"}\n", "ü", "_x", &"x".repeat(65), &digested, "x@1", "."];
    let mut called: Vec<String> = names.iter().map(|name| Shelf::called(name).to_string()).collect();
    for name in &called {
        assert!(name.starts_with(DIGESTED) && name.parse::<ModelName>().is_ok(), "{name}");
    }
    called.sort();
    called.dedup();
    assert_eq!(called.len(), names.len());
    for plain in ["5b1df9a4", &"f".repeat(64), "churn.tar.gz"] {
        assert_eq!(Shelf::called(plain).as_str(), plain);
    }
}

#[test]
fn pages_are_all_of_it_once() {
    let (_dir, shelf) = shelf();
    let names = ["a", "b", "../c", "d", "e"];
    names.iter().for_each(|name| shelf.put(name, "/x", 9).unwrap().keep());
    let _loading = shelf.put("f", "/x", 9).unwrap();
    let (mut found, mut after) = (Vec::new(), None);
    for left in [3, 1, 0] {
        let (page, token) = shelf.page(after.as_deref(), 2);
        assert_eq!((page.len(), token.is_some()), (2.min(left + 1).min(5), left > 0));
        found.extend(page.into_iter().map(|placed| placed.name));
        after = token;
    }
    found.sort();
    assert_eq!(found, ["../c", "a", "b", "d", "e"]);
    assert_eq!(shelf.page(Some("zzz"), 9), (Vec::new(), None));
}

#[test]
fn what_is_on_it_is_version_one_of_its_model() {
    let (dir, shelf) = shelf();
    assert_eq!(shelf.read("a/1/model.onnx", 9, None).unwrap(), Read::Absent, "nobody has asked for it");
    shelf.put("a", &url(&dir, "models/a/model"), 9).unwrap().keep();
    assert_eq!(shelf.list("").unwrap(), ["a"]);
    assert_eq!(shelf.list("a").unwrap(), ["1"]);
    assert_eq!(shelf.keys("a").unwrap(), KEYS.map(|name| format!("a/1/{name}")));
    assert_eq!(shelf.keys("").unwrap(), shelf.keys("a").unwrap());
    // Examples count without a manifest, as in a registry, and another tool's manifest is none.
    for (name, found) in [("golden.json", true), ("manifest.json", false)] {
        let read = || shelf.read(&format!("a/1/{name}"), 99, None).unwrap();
        assert_eq!(read(), Read::Absent);
        fs::write(dir.path().join("models/a/model").join(name), b"{}").unwrap();
        assert_eq!(read().bytes().is_some(), found, "{name}");
    }
    assert_eq!(shelf.read("a/1/model.onnx", 9, None).unwrap().bytes().unwrap(), b"m");
    assert!(shelf.stat("a/1/model.onnx").unwrap().unwrap().settled);
    for absent in ["a/model.json", "a/2/model.onnx", "b/1/model.onnx", "ab/1/model.onnx", ""] {
        assert_eq!(shelf.read(absent, 9, None).unwrap(), Read::Absent, "{absent}");
    }
    assert!(shelf.write("a/model.json", Body::Bytes(b"{}"), Condition::None).is_err());
    assert!(shelf.delete("a/1/model.onnx").is_err());
}

#[test]
fn a_folder_elsewhere_is_not_read() {
    let (dir, shelf) = shelf();
    let path = |name: &str| dir.path().join(name);
    lay(&path("elsewhere"));
    lay(&path("models-too/a"));
    symlink(path("elsewhere"), path("models/link")).unwrap();
    symlink(path("models/a"), path("models/inside")).unwrap();
    for wrong in
        ["elsewhere", "models/../elsewhere", "models/link", "models-too/a", "models", "models/a/..", "gone"]
    {
        let said = said(&shelf, &url(&dir, wrong));
        assert!(said.as_ref().is_err_and(|said| said.contains("no folder below")), "{wrong}: {said:?}");
    }
    for relative in ["a/model", ".", "..", "models/a/model"] {
        assert!(said(&shelf, relative).unwrap_err().contains("no folder below"), "{relative}");
    }
    for right in ["models/a/model", "models/a/../a/model", "models/inside/model"] {
        assert_eq!(said(&shelf, &url(&dir, right)), Ok("m/1/model.onnx".to_owned()), "{right}");
    }
}

#[test]
fn a_file_elsewhere_is_not_read() {
    let (dir, shelf) = shelf();
    let folder = dir.path().join("models/a/model");
    let secret = dir.path().join("models/b.json");
    fs::write(&secret, b"{}").unwrap();
    let whole = url(&dir, "models/a/model");
    let claim = shelf.put("a", &whole, 9).unwrap();
    for name in BESIDE {
        symlink(&secret, folder.join(name)).unwrap();
        let error = shelf.read("a/1/model.onnx", 9, None).unwrap_err().to_string();
        assert!(error.contains(&format!("{name} is a link")), "{error}");
        fs::remove_file(folder.join(name)).unwrap();
    }
    // As volumes are made of files that are replaced at once.
    fs::create_dir(folder.join("data")).unwrap();
    fs::rename(folder.join("model.onnx"), folder.join("data/model.onnx")).unwrap();
    symlink("data/model.onnx", folder.join("model.onnx")).unwrap();
    assert_eq!(shelf.read("a/1/model.onnx", 9, None).unwrap().bytes().unwrap(), b"m");
    // It is looked at with every access.
    fs::remove_file(folder.join("model.onnx")).unwrap();
    symlink(&secret, folder.join("model.onnx")).unwrap();
    assert!(shelf.stat("a/1/model.onnx").is_err() && shelf.keys("a").is_err());
    drop(claim);
}

#[test]
fn a_folder_has_one_model_file() {
    let (dir, shelf) = shelf();
    let folder = dir.path().join("models/a/model");
    fs::write(folder.join("model.txt"), b"tree").unwrap();
    assert!(said(&shelf, &url(&dir, "models/a/model")).unwrap_err().contains("several model files"));
    fs::remove_file(folder.join("model.onnx")).unwrap();
    assert_eq!(said(&shelf, &url(&dir, "models/a/model")), Ok("m/1/model.txt".to_owned()));
    fs::remove_file(folder.join("model.txt")).unwrap();
    assert!(said(&shelf, &url(&dir, "models/a/model")).unwrap_err().contains("has no model.onnx"));
}
