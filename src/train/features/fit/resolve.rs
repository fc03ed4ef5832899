//! From what is configured and what was seen to the recipe. Always in this order: missing values are filled in,
//! features are made, columns are scaled; how members are called plays no part.

use super::check::pairs;
use super::encode::{self, Fill, number};
use super::summary::Summary;
use crate::features::error::{Error, data};
use crate::features::raw::{Field, Kind};
use crate::features::recipe::{Block, FORMAT, Feature, Input, Keys, Make, Recipe, Scale};
use crate::features::spec::{Impute, Member, Spec, Strategy};

/// A column with all that is known of it.
struct Seen<'a> {
    field: &'a Field,
    summary: &'a Summary,
    fill: Option<Fill>,
    scale: Option<Scale>,
    /// What is done to it: all members that name it.
    members: Vec<&'a Member>,
}

pub(super) fn resolve(spec: &Spec, fields: &[Field], summaries: &[Summary]) -> Result<Recipe, Error> {
    let seen: Vec<Seen<'_>> = fields
        .iter()
        .zip(summaries)
        .map(|(field, summary)| Seen::new(spec, field, summary))
        .collect::<Result<_, _>>()?;
    let mut blocks = Vec::new();
    for column in &seen {
        blocks.extend(column.itself()?);
    }
    let made = spec.members.iter().map(|(_, member)| make(member, &seen)).collect::<Result<Vec<_>, _>>()?;
    order(&mut blocks, made.into_iter().flatten().collect(), fields)?;
    let recipe = Recipe { format: FORMAT, inputs: inputs(&seen, &blocks), blocks };
    unique(&recipe)?;
    Ok(recipe)
}

/// The raw columns that are needed.
fn inputs(seen: &[Seen<'_>], blocks: &[Block]) -> Vec<Input> {
    let used = |name: &String| blocks.iter().any(|block| block.make.of().contains(name));
    let needed = seen.iter().filter(|column| used(&column.field.name));
    let input = |column: &Seen<'_>| {
        let (kind, impute) = (column.field.kind, column.impute().is_some());
        Input {
            name: column.field.name.clone(),
            kind,
            nullable: matches!(kind, Kind::Integer | Kind::Time)
                && (impute || column.field.nullable || column.summary.missing > 0),
            fill: match column.fill {
                Some(Fill::Number(number)) => Some(number),
                _ => None,
            },
        }
    };
    needed.map(input).collect()
}

/// Puts what takes features behind what makes them.
fn order(blocks: &mut Vec<Block>, mut made: Vec<Block>, fields: &[Field]) -> Result<(), Error> {
    while !made.is_empty() {
        let ready = |block: &Block| {
            block.make.of().iter().all(|name| {
                let made =
                    || blocks.iter().flat_map(|block| &block.features).any(|feature| feature.name == *name);
                fields.iter().any(|field| field.name == *name) || made()
            })
        };
        let (now, later): (Vec<Block>, Vec<Block>) = made.into_iter().partition(ready);
        if now.is_empty() {
            let name = later.first().and_then(|block| {
                block.make.of().iter().find(|name| !fields.iter().any(|f| f.name == **name))
            });
            let name = name.map_or("", String::as_str);
            return Err(Error::Config(format!("features: `{name}` is neither a column nor made of columns")));
        }
        blocks.extend(now);
        made = later;
    }
    Ok(())
}

fn unique(recipe: &Recipe) -> Result<(), Error> {
    let mut names: Vec<&str> = recipe.features().map(|feature| feature.name.as_str()).collect();
    names.sort_unstable();
    match names.windows(2).find(|pair| pair.first() == pair.last()) {
        _ if names.is_empty() => Err(Error::Config("features: all columns are dropped".to_owned())),
        Some(pair) => Err(Error::Config(format!(
            "features: two are called `{}`; rename a column, or drop one",
            pair.first().copied().unwrap_or_default()
        ))),
        None => Ok(()),
    }
}

impl<'a> Seen<'a> {
    fn new(spec: &'a Spec, field: &'a Field, summary: &'a Summary) -> Result<Self, Error> {
        let members = spec.members.iter().map(|(_, member)| member);
        let members: Vec<&Member> =
            members.filter(|member| member.columns().contains(&&field.name)).collect();
        let mut seen = Self { field, summary, fill: None, scale: None, members };
        seen.fill = seen.impute().map(|impute| seen.filled(impute)).transpose()?;
        seen.scale = seen.scaled()?;
        Ok(seen)
    }

    fn find<T>(&self, pick: impl Fn(&'a Member) -> Option<T>) -> Option<T> {
        self.members.iter().find_map(|member| pick(member))
    }

    fn impute(&self) -> Option<&'a Impute> {
        self.find(|member| if let Member::Impute(impute) = member { Some(impute) } else { None })
    }

    fn filled(&self, impute: &Impute) -> Result<Fill, Error> {
        let (name, text) = (&self.field.name, self.field.kind == Kind::Text);
        let nothing =
            || data!("column `{name}` has no values to fill it from; give strategy \"constant\" a `value`");
        let value = impute.value.as_ref();
        match impute.strategy {
            Strategy::Constant if text => {
                let text = value.and_then(toml::Value::as_str).filter(|text| !text.is_empty());
                text.map(|text| Fill::Text(text.to_owned()))
            }
            Strategy::Constant => value.and_then(number).map(Fill::Number),
            Strategy::Mean if self.summary.moments.n == 0 => return Err(nothing()),
            Strategy::Mean => Some(Fill::Number(self.summary.moments.mean as f32)),
            Strategy::Median => {
                let median = self.summary.quantiles(&[0.5]).ok_or_else(nothing)?;
                median.first().copied().map(Fill::Number)
            }
            Strategy::MostFrequent => match self.summary.keys(1) {
                Keys::Texts(keys) => keys.into_iter().next().map(Fill::Text),
                Keys::Integers(keys) => keys.first().map(|key| Fill::Number(*key as f32)),
                Keys::Numbers(keys) => keys.first().copied().map(Fill::Number),
            },
        }
        .ok_or_else(|| match impute.strategy {
            Strategy::Constant => Error::Config(format!(
                "column `{name}` holds {}, which the `value` to impute is not",
                self.field.kind.name()
            )),
            _ => nothing(),
        })
    }

    /// How it is scaled, once missing values are filled in.
    fn scaled(&self) -> Result<Option<Scale>, Error> {
        let (mut moments, mut least, mut most) =
            (self.summary.moments, self.summary.least, self.summary.most);
        if let (Some(Fill::Number(fill)), missing @ 1..) = (&self.fill, self.summary.missing) {
            moments.merge(&sidegate::stats::Moments { n: missing, mean: f64::from(*fill), m2: 0.0 });
            (least, most) = (least.min(*fill), most.max(*fill));
        }
        let (offset, divisor) = match self
            .find(|member| matches!(member, Member::Standardize(_) | Member::Minmax(_)).then_some(member))
        {
            None => return Ok(None),
            Some(_) if moments.n == 0 => {
                return Err(data!("column `{}` has no values to scale it by", self.field.name));
            }
            Some(Member::Standardize(_)) => {
                (moments.mean as f32, moments.population_deviation().unwrap_or_default() as f32)
            }
            Some(_) => (least, most - least),
        };
        // What does not vary becomes zero.
        let divisor = if divisor.is_normal() { divisor } else { 1.0 };
        Ok(Some(Scale { offset, divisor }))
    }

    /// The feature that it is itself.
    fn itself(&self) -> Result<Option<Block>, Error> {
        let name = &self.field.name;
        let dropped = self.members.iter().any(|member| member.dropped().contains(name));
        let has = |pick: fn(&Member) -> bool| self.members.iter().any(|member| pick(member));
        let ordinal = self.find(|member| if let Member::Ordinal(spec) = member { Some(spec) } else { None });
        let block = match (ordinal, self.field.kind) {
            _ if dropped => return self.unscaled(None),
            (Some(spec), _) => encode::ordinal(spec, self.field, self.summary, self.fill.as_ref())?,
            (None, Kind::Text) if has(|member| matches!(member, Member::OneHot(_))) => return Ok(None),
            (None, Kind::Text) => {
                encode::ordinal(&encode::by_default(), self.field, self.summary, self.fill.as_ref())?
            }
            (None, Kind::Time) if has(|member| matches!(member, Member::TimeBased(_))) => return Ok(None),
            (None, Kind::Time | Kind::Number | Kind::Integer) => {
                return Ok(Some(Block {
                    features: vec![Feature { name: name.clone(), categories: None, scale: self.scale }],
                    make: Make::Number { of: name.clone() },
                }));
            }
        };
        self.unscaled(Some(block))
    }

    fn unscaled(&self, block: Option<Block>) -> Result<Option<Block>, Error> {
        if self.scale.is_none() {
            return Ok(block);
        }
        Err(Error::Config(format!("column `{}` is to be scaled, but is dropped or encoded", self.field.name)))
    }
}

/// What a member makes of the columns it names.
fn make(member: &Member, seen: &[Seen<'_>]) -> Result<Vec<Block>, Error> {
    let one = |name: String, categories, make| Block {
        features: vec![Feature { name, categories, scale: None }],
        make,
    };
    let of_data = |name: &String| seen.iter().find(|column| column.field.name == *name);
    let mut blocks = Vec::new();
    match member {
        Member::Polynomial(spec) => {
            for of in &spec.columns {
                let power = |degree| {
                    one(format!("{of}_power_{degree}"), None, Make::Power { of: of.clone(), degree })
                };
                blocks.extend((2..=spec.degree).map(power));
            }
        }
        Member::Interaction(spec) => blocks.extend(
            pairs(&spec.columns)
                .map(|(a, b)| one(format!("{a}_x_{b}"), None, Make::Product { of: [a.clone(), b.clone()] })),
        ),
        Member::TimeBased(spec) => {
            for of in spec.all() {
                let part = |part: &_| {
                    one(
                        format!("{of}_{}", crate::features::spec::TimePart::name(*part)),
                        None,
                        Make::Time { of: of.clone(), part: *part },
                    )
                };
                blocks.extend(spec.parts.iter().map(part));
            }
        }
        Member::Log1p(spec) => {
            let log = |of: &String| one(format!("{of}_log1p"), None, Make::Log1p { of: of.clone() });
            blocks.extend(spec.columns.iter().map(log));
        }
        Member::Bins(spec) => {
            for of in &spec.columns {
                let edges = match (&spec.edges, spec.quantiles, of_data(of)) {
                    (None, Some(bins), Some(column)) => column.edges(bins)?,
                    (edges, ..) => edges.clone().unwrap_or_default(),
                };
                let categories = spec.categorical.then_some(edges.len() as u32 + 1);
                blocks.push(one(format!("{of}_bin"), categories, Make::Bin { of: of.clone(), edges }));
            }
        }
        Member::OneHot(spec) => {
            for column in spec.columns.iter().filter_map(of_data) {
                blocks.push(encode::one_hot(spec, column.field, column.summary, column.fill.as_ref())?);
            }
        }
        Member::Impute(spec) if spec.indicator => blocks.extend(
            spec.columns
                .iter()
                .map(|of| one(format!("{of}_missing"), None, Make::Missing { of: of.clone() })),
        ),
        _ => {}
    }
    Ok(blocks)
}

impl Seen<'_> {
    /// The edges of so many bins of equally many rows; fewer where values repeat.
    fn edges(&self, bins: u32) -> Result<Vec<f32>, Error> {
        let shares: Vec<f64> = (1..bins).map(|at| f64::from(at) / f64::from(bins)).collect();
        let mut edges = self.summary.quantiles(&shares);
        if let Some(edges) = &mut edges {
            edges.dedup();
        }
        edges.ok_or_else(|| data!("column `{}` has no values to make bins of", self.field.name))
    }
}
