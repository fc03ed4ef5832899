//! Keys with a few allowed words.

use super::key::Scope;
use super::setting::{Named, Setting};
use super::value::{Value, quoted};

macro_rules! choices {
    ($($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $word:literal,)* })*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $name { $($(#[$vdoc])* $variant,)* }

        impl $name {
            /// The words, in the order of the enum.
            pub const WORDS: &[&str] = &[$($word,)*];

            /// Every choice, in the order of the enum.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// The word as written in configurations and flags.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $word,)* }
            }
        }

        impl Named for $name {
            const EXPECTED: &str = concat!("one of:" $(, " ", $word)*);

            fn parse(text: &str) -> Result<Self, String> {
                match text {
                    $($word => Ok(Self::$variant),)*
                    _ => Err(Value::Text(text.into()).expected(Self::EXPECTED)),
                }
            }

            fn text(&self) -> String {
                self.name().into()
            }
        }

        impl Setting for $name {
            fn read(value: &Value, scope: &Scope<'_>) -> Result<Self, String> {
                Self::parse(&String::read(value, scope)?)
            }

            fn write(&self) -> String {
                quoted(self.name())
            }
        }
    )*};
}

choices! {
    /// Which engine is asked to load a model.
    EngineChoice {
        /// `trees` if it runs the whole graph, else `ort`, else `tract`.
        Auto = "auto",
        /// Our own tree-ensemble engine.
        Trees = "trees",
        /// ONNX Runtime.
        Ort = "ort",
        /// tract.
        Tract = "tract",
    }
    /// What a version can be made to show before it serves, beyond what every version shows.
    ModelCheck {
        /// It answers, and its outputs are those it declares.
        Interface = "interface",
        /// As many predictions as rows.
        Shape = "shape",
        /// Predictions lie within a range.
        Range = "range",
        /// The same input gives the same answer.
        Determinism = "determinism",
        /// Empty input, NaN, infinities and the like break nothing.
        EdgeCases = "edge_cases",
    }
    /// Whether a bucket stands in the path of a URL or in its host.
    PathStyle {
        /// In the path where an endpoint is named.
        Auto = "auto",
        /// In the path.
        On = "on",
        /// In the host.
        Off = "off",
    }
    /// Whether a version is loaded by a process of its own before this one loads it.
    TrialLoad {
        /// Where the system allows it.
        Auto = "auto",
        /// Always.
        On = "on",
        /// Never.
        Off = "off",
    }
    /// What segments of the prediction log are.
    SegmentFormat {
        /// Lines of JSON, compressed by zstd.
        Ndjson = "ndjson",
        /// Columns, in builds with the feature `parquet`.
        Parquet = "parquet",
    }
    /// How log lines look.
    LogFormat {
        /// For people.
        Text = "text",
        /// For collectors.
        Json = "json",
    }
    /// The least severe log lines that are written.
    LogLevel {
        /// Nothing.
        Off = "off",
        /// What needs someone.
        Error = "error",
        /// What may need someone.
        Warn = "warn",
        /// What changed.
        Info = "info",
        /// Why it changed.
        Debug = "debug",
        /// Everything.
        Trace = "trace",
    }
}
