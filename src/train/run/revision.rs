//! The revision of the code that a training is of: of the folder where its configuration is, wherever it is started.

use std::path::Path;
use std::process::Command;

/// `git:` and the commit, with `-dirty` behind it where what is tracked was changed since; none outside of a repository, or
/// without git.
pub(super) fn of(folder: &Path) -> Option<String> {
    let mut git = Command::new("git");
    // Hooks of git say by variables which repository is meant, which is another one.
    for name in ["GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY", "GIT_COMMON_DIR"] {
        git.env_remove(name);
    }
    git.arg("-C").arg(folder);
    // No tag is near enough to stand for a commit.
    let told = git.args(["describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"]).output().ok()?;
    let text = String::from_utf8(told.stdout).ok().filter(|_| told.status.success())?;
    Some(format!("git:{}", text.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_that_of_the_folder_and_says_what_is_not_committed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        let git = |args: &[&str]| {
            let mut git = Command::new("git");
            let git = git.arg("-C").arg(path).env_remove("GIT_DIR").env_remove("GIT_WORK_TREE");
            let told = git.args(["-c", "user.name=a", "-c", "user.email=a@b"]).args(args).output();
            told.map(|told| {
                assert!(told.status.success(), "{args:?}: {}", String::from_utf8_lossy(&told.stderr));
                String::from_utf8(told.stdout).unwrap()
            })
        };
        if git(&["--version"]).is_err() {
            eprintln!("skipped: there is no git");
            return;
        }
        assert_eq!(of(path), None, "no repository");
        git(&["init", "--quiet"]).unwrap();
        assert_eq!(of(path), None, "nothing is committed");
        std::fs::create_dir(path.join("config")).unwrap();
        let file = path.join("config/train.toml");
        std::fs::write(&file, "seed = 1").unwrap();
        git(&["add", "."]).unwrap();
        git(&["commit", "--quiet", "-m", "first"]).unwrap();
        git(&["tag", "-a", "v1", "-m", "v1"]).unwrap();
        let commit = format!("git:{}", &git(&["rev-parse", "HEAD"]).unwrap()[..12]);
        assert_eq!(of(&path.join("config")), Some(commit.clone()));
        std::fs::write(path.join("report.html"), "what a run leaves behind").unwrap();
        assert_eq!(of(path), Some(commit.clone()));
        std::fs::write(&file, "seed = 2").unwrap();
        assert_eq!(of(path), Some(format!("{commit}-dirty")));
    }
}
