//! `sidegate registry show`: a model, or all that is known of one version.

use serde_json::{Value, json};

use super::offer::{Detail, Offer};
use super::place::PlaceArgs;
use super::{print, remark, text};
use crate::cli::failure::Failure;
use crate::cli::table;
use crate::model::{Reference, Selector, Stage};
use crate::registry::index::State;
use crate::registry::lost;
use crate::registry::operations::VersionSummary;
use crate::registry::signature::Kind;

pub(super) const EXAMPLES: &str = "\
Examples:
  sidegate registry show churn                     a model with its versions, its hold and its rollout
  sidegate registry show churn@champion            a version, by number, stage or alias
  sidegate registry show churn@7 --json | jq .signature";

const STALE: &str = "its promotion to Production; only an older one is signed";

/// Flags of `sidegate registry show`.
#[derive(Clone, Debug, clap::Args)]
pub struct ShowArgs {
    /// A model, or one of its versions: churn, churn@7, churn@staging, churn@champion
    #[arg(value_name = "MODEL[@REF]")]
    pub reference: Reference,
    /// Where.
    #[command(flatten)]
    pub place: PlaceArgs,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// Carries the command out.
pub(super) fn run(args: &ShowArgs) -> Result<(), Failure> {
    let mut registry = args.place.find()?.reader()?;
    let offer = Offer::of(&mut registry, &args.reference.name)?;
    if args.reference.selector != Selector::Default {
        let detail = offer.detail(&registry, find(&offer, &args.reference.selector)?)?;
        let value = version(&offer, &detail);
        print(args.json, &value, || version_page(&value, &detail));
        return Ok(());
    }
    let details: Result<Vec<Detail>, _> =
        offer.versions(None).map(|version| offer.detail(&registry, version)).collect();
    let details = details?;
    let mut value = json!(offer);
    value["versions"] = details.iter().map(|detail| json!(detail)).collect();
    print(args.json, &value, || model_page(&offer, &details));
    let lost = offer.lost.then(|| lost::lost(&args.reference.name));
    remark(args.json, &lost.into_iter().collect::<Vec<_>>());
    Ok(())
}

/// The version that is meant.
fn find<'a>(offer: &'a Offer, selector: &Selector) -> Result<&'a VersionSummary, Failure> {
    let versions = &offer.summary.versions;
    let ready = || versions.iter().filter(|version| version.state == State::Ready);
    let model = &offer.summary.model;
    let (found, what) = match selector {
        Selector::Default => (None, "version".to_owned()),
        Selector::Version(number) => {
            let number = number.to_string();
            (versions.iter().find(|version| version.version == number), format!("version {number}"))
        }
        Selector::Stage(stage) => {
            (ready().rfind(|version| version.stage == *stage), format!("version in {}", stage.name()))
        }
        Selector::Alias(alias) => {
            (versions.iter().find(|version| version.aliases.contains(alias)), format!("alias `{alias}`"))
        }
    };
    found.ok_or_else(|| {
        let there = text::list(versions.iter().map(|version| &version.version));
        Failure::Failed(format!("`{model}` has no {what}; its versions are {there}"))
    })
}

fn model_page(offer: &Offer, details: &[Detail]) -> String {
    let summary = &offer.summary;
    let place = if offer.managed {
        format!("generation {}, epoch {}", summary.generation, summary.epoch)
    } else if offer.lost {
        "its model.json is lost; sidecars that saw it keep what they serve, others serve the highest version"
            .into()
    } else {
        "no model.json, so the highest version serves".into()
    };
    let mut lines = vec![("serves", text::cell(summary.default.as_deref()))];
    let aliases =
        summary.versions.iter().flat_map(|v| v.aliases.iter().map(move |a| format!("{a}={}", v.version)));
    lines.push(("aliases", text::list(aliases)));
    if let Some(hold) = &summary.hold {
        let held = format!("version {} by {} since {}: {}", hold.version, hold.by, hold.at, hold.why);
        lines.push(("hold", text::line(&held)));
    }
    if let Some(rollout) = &summary.rollout {
        let seconds = table::seconds(&json!(rollout.seconds));
        let begun =
            format!("from {} to {} since {}, within {seconds}", rollout.from, rollout.version, rollout.start);
        lines.push(("rollout", text::line(&begun)));
    }
    for version in summary.versions.iter().filter(|version| is_stale(offer, version)) {
        lines.push(("unsigned", format!("version {}: {STALE}", version.version)));
    }
    let rows: Vec<_> = details.iter().map(Detail::row).collect();
    let table = table::render(Detail::HEADS, &["SIZE"], &rows);
    format!("{}: {place}\n\n{}\n{table}", summary.model, text::page(&lines))
}

/// Whether a version is in Production by a promotion that is not signed, while an older one is.
fn is_stale(offer: &Offer, version: &VersionSummary) -> bool {
    let number = version.version.parse().ok();
    let index = offer.index.as_ref().filter(|_| version.stage == Stage::Production);
    index.zip(number).is_some_and(|(index, number)| index.has_stale_promotion(number))
}

/// What `model.json` and the manifest say of a version, side by side.
fn version(offer: &Offer, detail: &Detail) -> Value {
    let manifest = json!(detail.manifest);
    let mut value = json!({"model": offer.summary.model});
    let Value::Object(fields) = &mut value else { return value };
    fields.extend(json!(detail).as_object().cloned().unwrap_or_default());
    // Where both say something `model.json` has the last word, also over what only a newer program knows.
    for (name, value) in manifest.as_object().into_iter().flatten().filter(|(name, _)| *name != "format") {
        fields.entry(name).or_insert_with(|| value.clone());
    }
    let signed = offer.index.iter().flat_map(|index| &index.signatures).filter_map(|entry| entry.known());
    let signed = signed.filter(|signed| signed.version.to_string() == detail.summary.version);
    let signed: Vec<Value> =
        signed.map(|signed| json!({"kind": signed.kind, "stage": signed.stage, "key": signed.key})).collect();
    fields.insert("signatures".into(), json!(signed));
    fields.insert("stale_promotion".into(), json!(is_stale(offer, &detail.summary)));
    value
}

fn version_page(value: &Value, detail: &Detail) -> String {
    let field = |name: &str| table::cell(&value[name]);
    let names = |name: &str| text::list(value[name].as_array().into_iter().flatten().map(table::cell));
    let mut lines = vec![
        ("stage", field("stage")),
        ("aliases", names("aliases")),
        ("state", text::state(&detail.summary.state)),
        ("created", field("created")),
        ("manifest", field("manifest")),
    ];
    lines.extend(value["problem"].is_string().then(|| ("problem", field("problem"))));
    let files = value["files"].as_object().into_iter().flatten();
    let file = |(name, file): (&String, &Value)| {
        format!(
            "{}, {}, sha256:{}",
            text::line(name),
            table::bytes(&file["bytes"]),
            table::cell(&file["sha256"])
        )
    };
    several(&mut lines, "files", files.map(file).collect());
    for (name, side) in
        [("inputs", &value["signature"]["inputs"]), ("outputs", &value["signature"]["outputs"])]
    {
        several(&mut lines, name, side.as_array().into_iter().flatten().map(tensor).collect());
    }
    for (name, text) in [
        ("columns", names("columns")),
        ("labels", names("labels")),
        ("prediction", field("prediction")),
        ("metrics", text::pairs(&value["metrics"])),
        ("params", text::pairs(&value["params"])),
        ("tags", text::pairs(&value["tags"])),
        ("lineage", text::pairs(&value["lineage"])),
        ("gate", text::pairs(&value["gate"])),
    ] {
        lines.extend((text != "-").then_some((name, text)));
    }
    lines.extend(
        (value["breaking"] == true).then(|| ("breaking", "changed inputs or outputs are meant".into())),
    );
    let signed = value["signatures"].as_array().into_iter().flatten();
    several(&mut lines, "signed", signed.map(signature).collect());
    lines.extend((value["stale_promotion"] == true).then(|| ("unsigned", STALE.into())));
    format!("{}/{}\n\n{}", field("model"), field("version"), text::page(&lines))
}

fn several<'a>(lines: &mut Vec<(&'a str, String)>, name: &'a str, texts: Vec<String>) {
    lines.extend(texts.into_iter().enumerate().map(|(at, text)| (if at == 0 { name } else { "" }, text)));
}

fn tensor(tensor: &Value) -> String {
    let [name, datatype, shape] = ["name", "datatype", "shape"].map(|field| table::cell(&tensor[field]));
    format!("{name}: {datatype} {shape}")
}

fn signature(signed: &Value) -> String {
    let key = table::cell(&signed["key"]);
    if signed["kind"] == json!(Kind::Version) {
        format!("its content, by key {key}")
    } else {
        format!("its promotion to {}, by key {key}", table::cell(&signed["stage"]))
    }
}
