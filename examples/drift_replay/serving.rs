//! A version that nothing serves: of one, the watcher asks for its name and its features only.

use sidegate::drift::{Feature, Kind, Layout};
use sidegate::model::{ModelName, Version};
use sidegate::serving::watch::Watch;

pub(crate) struct ServedVersion {
    pub(crate) model: ModelName,
    pub(crate) version: Version,
    pub(crate) watch: Watch,
}

impl ServedVersion {
    /// Of numbers with these names, the prediction last.
    pub(crate) fn of<'a>(columns: impl Iterator<Item = &'a str>) -> Self {
        let features: Vec<Feature> =
            columns.map(|name| Feature { name: name.to_owned(), kind: Kind::Number }).collect();
        let widths = vec![features.len() - 1];
        Self {
            model: ModelName::sanitized("replay"),
            version: Version::new(1).expect("it is a version"),
            watch: Watch::new(Layout { features, widths, left_out: 0 }, None),
        }
    }
}
