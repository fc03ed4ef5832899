use super::*;
use crate::registry::index::Index;

/// Made by `openssl genpkey -algorithm ed25519` and `openssl pkey -pubout`, and a signature by `openssl pkeyutl`.
const PRIVATE: &str = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIMYZFQWQQa0UYTMNUlqFLXfAPbY0C1tsw1Ce02OgJOMg\n-----END PRIVATE KEY-----\n";
const PUBLIC: &str = "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAPVMWxvSD4PjmDcVxdtn0PQk2rQJFQ3rAbSjZoQhiKuM=\n-----END PUBLIC KEY-----\n";
const BY_OPENSSL: &str = "fc8ad01dd591ee583ef670f6c5f048c86fef380cd997e32f0b8d03703766b7f49cbcae214bac8f3c6a9591c31278f093abb521b3d1704305a5e5b873e8c12e0b";

struct Case {
    folder: tempfile::TempDir,
    key: SigningKey,
    model: ModelName,
    index: Index,
    digest: Digest,
}

const SEVEN: Version = match Version::new(7) {
    Some(version) => version,
    None => panic!("it is not 0"),
};

/// Version 7 in Production, signed and promoted at epoch 1, generation 12.
fn case() -> Case {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("key"), PRIVATE).unwrap();
    let key = SigningKey::load(&folder.path().join("key")).unwrap();
    let model: ModelName = "churn".parse().unwrap();
    let digest = Digest::of(b"manifest", &mut || ());
    let mut index = Index::new(&model);
    index.add_signature(key.sign_version(&model, SEVEN, &digest));
    index.add_signature(key.sign_promotion(&model, SEVEN, Stage::Production, (1, 12), &digest));
    Case { folder, key, model, index, digest }
}

impl Case {
    fn keys(&self) -> Keys {
        [self.key.public()].into_iter().collect()
    }

    fn check(&self, promoted: Option<Stage>, seen: Option<(u64, u64)>) -> Result<Verified, String> {
        let checked = self.keys().check(&self.index, &self.model, SEVEN, &self.digest, promoted, seen);
        checked.map_err(|error| {
            assert_eq!(error.code, Reason::BadSignature);
            error.detail
        })
    }

    fn edit(&mut self, change: impl Fn(&mut Signed)) {
        for entry in &mut self.index.signatures {
            if let SignatureEntry::Known(signed) = entry {
                change(signed);
            }
        }
    }
}

#[test]
fn keys_and_signatures_are_those_of_openssl() {
    let Case { folder, key, model, .. } = case();
    std::fs::write(folder.path().join("ci.pub"), PUBLIC).unwrap();
    std::fs::write(folder.path().join("notes.txt"), "no key").unwrap();
    let keys = Keys::load(folder.path()).unwrap();
    let statement = key.sign_version(&"m".parse().unwrap(), Version::FIRST, &Digest::of(b"", &mut || ()));
    assert_eq!(statement.sig, BY_OPENSSL, "of\n{}", statement.text(&"m".parse().unwrap()));
    assert_eq!(keys.made(&"m".parse().unwrap(), &statement), Some(true));
    assert_eq!(keys.made(&model, &statement), Some(false), "another model's");
    assert_eq!(key.public_pem().unwrap(), PUBLIC);
    assert_eq!(key.to_pem().unwrap(), PRIVATE);
    assert_eq!(key.id().len(), 16);
}

#[test]
fn a_file_that_is_no_key_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let check = |name: &str, text: &str, expected: &str| {
        std::fs::write(folder.path().join(name), text).unwrap();
        let error = Keys::load(folder.path()).unwrap_err().to_string();
        assert!(error.starts_with(&format!("key {name}: {expected}")), "{error}");
        std::fs::remove_file(folder.path().join(name)).unwrap();
    };
    check("a.pub", "x", "no public Ed25519 key");
    check("b.pem", PRIVATE, "it is a private key");
    check("c.pem", &PUBLIC.replace('M', "N"), "no public Ed25519 key");
    check("d.pem", &"x".repeat(100_000), "100000 bytes");
    assert!(Keys::load(folder.path()).unwrap().is_empty());
    assert!(Keys::load(&folder.path().join("none")).is_err());
    std::fs::write(folder.path().join("key"), PUBLIC).unwrap();
    let error = SigningKey::load(&folder.path().join("key")).err().unwrap().to_string();
    assert!(error.starts_with("key key: no private Ed25519 key"), "{error}");
}

#[test]
fn a_signed_and_promoted_version_is_good() {
    let case = case();
    let verified = case.check(Some(Stage::Production), Some((1, 12))).unwrap();
    assert_eq!(verified.promotion_generation, Some((1, 12)));
    assert_eq!(case.check(None, Some((9, 9))).unwrap().promotion_generation, None);
}

#[test]
fn what_is_missing_or_wrong_is_said() {
    let check = |change: &dyn Fn(&mut Case), promoted, seen, expected: &str| {
        let mut case = case();
        change(&mut case);
        let error = case.check(promoted, seen).unwrap_err();
        assert!(error.contains(expected) && error.contains("version 7 of `"), "{expected}: {error}");
    };
    let production = Some(Stage::Production);
    check(
        &|c| c.index.signatures.clear(),
        None,
        None,
        "its signature is missing; `sidegate registry sign churn 7 --key FILE`",
    );
    check(
        &|c| c.index.signatures.truncate(1),
        production,
        None,
        "the record of its promotion to Production is missing",
    );
    check(&|_| (), Some(Stage::Staging), None, "is that of other content or of another stage");
    check(&|_| (), Some(Stage::None), None, "was never promoted");
    check(&|c| c.digest = Digest::of(b"other", &mut || ()), None, None, "is that of other content");
    check(&|c| c.model = "other".parse().unwrap(), None, None, "does not fit");
    check(&|c| c.edit(|s| s.version = 8), None, None, "its signature is missing");
    check(&|c| c.edit(|s| s.sig = "00".repeat(64)), None, None, "does not fit");
    check(&|c| c.edit(|s| s.sig = "zz".into()), None, None, "does not fit");
    check(&|c| c.edit(|s| s.key = "0123456789abcdef".into()), None, None, "not in registry.public_keys_dir");
    check(&|c| c.key = SigningKey::generate(), None, None, "not in registry.public_keys_dir");
    // A record cannot be made newer, nor one of a version pass as one of a promotion.
    check(&|c| c.edit(|s| s.generation = s.generation.map(|g| g + 1)), production, None, "does not fit");
    check(&|c| c.edit(|s| s.kind = Kind::Promotion), None, None, "its signature is missing");
    check(&|_| (), production, Some((1, 13)), "(epoch 1, generation 12) is older than the last");
    check(&|_| (), production, Some((2, 1)), "is older than the last");
}

#[test]
fn a_key_signs_a_thing_once_and_leaves_what_it_does_not_know() {
    let Case { key, model, mut index, digest, .. } = case();
    index.signatures.push(SignatureEntry::Other(serde_json::json!({"kind": "future", "x": 1}).into()));
    index.add_signature(key.sign_promotion(&model, SEVEN, Stage::Production, (1, 20), &digest));
    index.add_signature(SigningKey::generate().sign_version(&model, SEVEN, &digest));
    let kinds: Vec<Option<Kind>> =
        index.signatures.iter().map(|entry| entry.known().map(|s| s.kind)).collect();
    assert_eq!(kinds, [Some(Kind::Version), None, Some(Kind::Promotion), Some(Kind::Version)]);
    let text = serde_json::to_string(&index.signatures).unwrap();
    let back: Vec<SignatureEntry> = serde_json::from_str(&text).unwrap();
    assert_eq!(back, index.signatures);
}
