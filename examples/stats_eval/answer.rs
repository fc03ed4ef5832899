//! A case of the reference vectors, `{"fn", "args"}`, to the fields that it asks for.

use serde_json::{Map, Value, json};
use sidegate::score::{Average, Classes, Numbers};
use sidegate::stats::{
    Edges, Joint, Lack, Method, Moments, assign, chi2, divergence, growthbook, ks, mann_whitney,
    multiplicity, ratio, sequential, srm, tails, wasserstein, welch,
};

/// The answers to a file of cases by id; what cannot be answered says why.
pub(crate) fn answers(file: &Value) -> Value {
    let cases = file["cases"].as_array().into_iter().flatten();
    let answered = cases.map(|case| {
        let id = case["id"].as_str().unwrap_or_default().to_owned();
        let function = case["fn"].as_str().unwrap_or_default();
        (id, answer(function, &case["args"]).unwrap_or_else(|lack| json!({ "status": lack.to_string() })))
    });
    Value::Object(answered.collect::<Map<String, Value>>())
}

fn answer(function: &str, args: &Value) -> Result<Value, Lack> {
    let numbers = |name: &str| numbers(&args[name]);
    let counts = |name: &str| {
        args[name].as_array().into_iter().flatten().filter_map(Value::as_u64).collect::<Vec<_>>()
    };
    let number = |name: &str| self::number(&args[name]);
    let text = |name: &str| args[name].as_str().unwrap_or_default();
    let method = if text("method") == "exact" { Method::Exact } else { Method::Asymptotic };
    let moments = |name: &str| numbers(name).into_iter().collect::<Moments>();
    let joint = |x: &str, y: &str| numbers(x).into_iter().zip(numbers(y)).collect::<Joint>();
    let p = |p: f64| Ok(json!({ "p": p }));
    match function {
        "ks_2samp" => {
            let found = ks::two_sample(&numbers("x"), &numbers("y"), method)?;
            Ok(json!({ "statistic": found.statistic, "pvalue": found.p }))
        }
        "kstwo_sf" => p(ks::kstwo_sf(number("d"), number("n") as u64)),
        "kolmogorov_sf" => p(ks::kolmogorov_sf(number("x"))),
        "chi2_sf" => p(tails::chi2_sf(number("x"), number("df"))),
        "t_sf2" => p(tails::t_sf2(number("t"), number("df"))),
        "norm_sf" => p(tails::norm_sf(number("x"))),
        "norm_ppf" => Ok(json!({ "x": float(tails::norm_ppf(number("p"))) })),
        "chi2_contingency" => {
            let table = chi2::Table::new(&counts("ref"), &counts("cur"));
            Ok(chi2_fields(&table, args["correction"] == true))
        }
        "chi2_drift" => Ok(chi2_fields(&chi2::Table::new(&counts("ref"), &counts("cur")).pooled(), false)),
        "srm" => {
            let found = srm::mismatch(&counts("counts"), &numbers("weights"))?;
            Ok(json!({ "statistic": float(found.statistic), "pvalue": found.p }))
        }
        "ttest_welch" => Ok(welch_fields(&moments("x"), &moments("y"))),
        "mannwhitneyu" => {
            let found = mann_whitney::mann_whitney(&numbers("x"), &numbers("y"), method)?;
            Ok(json!({ "u1": found.u1, "pvalue": found.p }))
        }
        "wasserstein" => {
            let found = wasserstein::wasserstein(&numbers("x"), &numbers("y"))?;
            Ok(
                json!({ "distance": found.distance, "normalized": found.normalized.map_or(json!("nan"), float) }),
            )
        }
        "psi" => {
            let (reference, current) = (numbers("ref"), numbers("cur"));
            let edges = Edges::quantiles(&reference, number("bins") as usize)?;
            let (before, now) = (edges.count(&reference), edges.count(&current));
            let found = divergence::psi(&before, &now)?;
            Ok(json!({
                "edges": edges.as_slice(), "ref_counts": before, "cur_counts": now,
                "psi": found.psi, "pvalue": found.p,
            }))
        }
        "divergence" => divergence_fields(&counts("ref"), &counts("cur")),
        "classification" => Ok(classification_fields(args)),
        "binary_scores" => Ok(binary_fields(&counts("y_true"), &numbers("score"))),
        "regression" => {
            let numbers = Numbers { truth: numbers("y_true"), predicted: numbers("y_pred") };
            Ok(json!({
                "mse": float(numbers.mse()), "rmse": float(numbers.rmse()), "mae": float(numbers.mae()),
                "median_ae": float(numbers.median_ae()), "max_error": float(numbers.max_error()),
                "r2": float(numbers.r2()), "mape": float(numbers.mape()),
            }))
        }
        "fdr" => {
            let p = numbers("p");
            Ok(json!({
                "bh": multiplicity::benjamini_hochberg(&p), "by": multiplicity::benjamini_yekutieli(&p),
            }))
        }
        "asymptotic_cs" => {
            let arm = |side: u8| {
                let of = |name: &str| number(&format!("{name}{side}"));
                sequential::Arm { n: of("n") as u64, mean: of("mean"), variance: of("var") }
            };
            let sequence = sequential::ConfidenceSequence::new(number("alpha"), number("n_star"));
            let look = sequence.ok_or(Lack::InsufficientData)?.look(arm(1), arm(2))?;
            Ok(json!({
                "diff": look.difference, "halfwidth": look.halfwidth,
                "p_always_valid": look.p, "ln_p_unclipped": look.ln_p,
            }))
        }
        "cuped" => {
            let found = welch::cuped(&joint("x", "cov_x"), &joint("y", "cov_y"))?;
            let mut fields = estimate_fields(&found.welch);
            fields["theta"] = json!(found.theta);
            Ok(fields)
        }
        "ratio_metric" => {
            let found = ratio::ratio(&joint("num", "den"))?;
            Ok(json!({ "ratio": found.ratio, "variance": found.variance, "se": found.standard_error }))
        }
        "assign" => {
            let bound = |range: &Value, end: usize| range[end].as_u64().unwrap_or_default() as u32;
            let ranges = args["ranges_ppm"].as_array().into_iter().flatten();
            let ranges: Vec<_> = ranges.map(|range| bound(range, 0)..bound(range, 1)).collect();
            let found = assign::assign(text("salt"), text("key"), number("coverage_ppm") as u32, &ranges);
            Ok(json!({
                "hash": found.hash.to_string(), "slot": found.slot, "enrol_slot": found.enrol_slot,
                "enrolled": found.enrolled, "variant": found.variant,
            }))
        }
        "growthbook_hash" => {
            let (seed, value) = (text("seed"), text("value"));
            Ok(json!({ "v1": growthbook::hash_v1(seed, value), "v2": growthbook::hash_v2(seed, value) }))
        }
        _ => Ok(json!({ "status": "unknown function" })),
    }
}

/// Where a row is empty the vectors want the numbers of "no difference".
fn chi2_fields(table: &chi2::Table, correction: bool) -> Value {
    let found = table.test(correction);
    let [statistic, p, v] =
        found.map_or([0.0, 1.0, 0.0], |found| [found.statistic, found.p, found.cramers_v]);
    json!({
        "statistic": statistic, "pvalue": p, "dof": table.columns().saturating_sub(1),
        "columns": table.columns(), "cramers_v": v,
    })
}

fn welch_fields(x: &Moments, y: &Moments) -> Value {
    match welch::welch(x, y) {
        Ok(found) => estimate_fields(&found),
        Err(_) => json!({
            "statistic": "nan", "pvalue": "nan", "df": "nan", "diff": float(y.mean - x.mean),
            "ci95_low": "nan", "ci95_high": "nan",
        }),
    }
}

fn estimate_fields(found: &welch::Welch) -> Value {
    let estimate = found.estimate;
    let [low, high] = found.interval(0.05).unwrap_or([f64::NAN; 2]);
    json!({
        "statistic": float(estimate.map_or(f64::NAN, |e| e.statistic)), "pvalue": found.p,
        "df": float(estimate.map_or(f64::NAN, |e| e.df)), "diff": found.difference,
        "ci95_low": float(low), "ci95_high": float(high),
    })
}

fn divergence_fields(reference: &[u64], current: &[u64]) -> Result<Value, Lack> {
    let index = divergence::psi(reference, current)?;
    let found = divergence::divergence(reference, current)?;
    Ok(json!({
        "psi": index.psi, "psi_pvalue": index.p, "psi_floor1e-4": divergence::psi_floored(reference, current, 1e-4)?,
        "js_distance_base2": found.js_distance_bits(), "js_divergence_base2": found.js_bits(),
        "js_distance_nat": found.js_distance_nats(), "hellinger": found.hellinger,
        "l_infinity": found.l_infinity, "tvd": found.total_variation,
    }))
}

fn classification_fields(args: &Value) -> Value {
    let classes = |name: &str| {
        args[name].as_array().into_iter().flatten().filter_map(Value::as_i64).collect::<Vec<_>>()
    };
    let (truth, predicted) = (classes("y_true"), classes("y_pred"));
    let mut labels: Vec<i64> = truth.iter().chain(&predicted).copied().collect();
    labels.sort_unstable();
    labels.dedup();
    let places =
        |classes: Vec<i64>| classes.iter().map(|class| labels.partition_point(|l| l < class)).collect();
    let classes = Classes { truth: places(truth), predicted: places(predicted), ..Classes::default() };
    let tally = classes.tally();
    let mut fields = json!({
        "labels": labels, "confusion": classes.confusion(), "accuracy": float(tally.accuracy()),
        "balanced_accuracy": float(tally.balanced_accuracy()), "mcc": tally.matthews(),
    });
    for (name, average) in
        [("weighted", Average::Weighted), ("macro", Average::Macro), ("micro", Average::Micro)]
    {
        fields[format!("precision_{name}")] = float(tally.precision(average));
        fields[format!("recall_{name}")] = float(tally.recall(average));
        fields[format!("f1_{name}")] = float(tally.f1(average));
    }
    fields
}

fn binary_fields(truth: &[u64], scores: &[f64]) -> Value {
    let truth: Vec<usize> = truth.iter().map(|class| *class as usize).collect();
    let probabilities = scores.iter().flat_map(|p| [1.0 - p, *p]).collect();
    let classes = Classes { predicted: truth.clone(), truth, probabilities, width: 2 };
    let field = |value: Result<f64, String>| value.map_or(json!("nan"), float);
    json!({
        "roc_auc": field(classes.auc()), "average_precision": field(classes.average_precision()),
        "log_loss": field(classes.log_loss()), "brier": field(classes.brier()),
    })
}

/// What JSON has no number for is a text.
fn float(value: f64) -> Value {
    if value.is_nan() {
        json!("nan")
    } else if value.is_infinite() {
        json!(if value > 0.0 { "inf" } else { "-inf" })
    } else {
        json!(value)
    }
}

fn number(value: &Value) -> f64 {
    value.as_f64().or_else(|| value.as_str()?.parse().ok()).unwrap_or(f64::NAN)
}

/// A list, or what a generator makes: `u_i` of splitmix64 (README of the vectors).
fn numbers(value: &Value) -> Vec<f64> {
    if let Some(list) = value.as_array() {
        return list.iter().map(number).collect();
    }
    let (a, b, n) = (number(&value["a"]), number(&value["b"]), number(&value["n"]) as u64);
    let seed = value["seed"].as_u64().unwrap_or_default();
    let u = |i: u64| {
        let mut z = seed.wrapping_add(i.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((z ^ (z >> 31)) >> 11) as f64 * 2_f64.powi(-53)
    };
    let one = |i: u64| match value["gen"].as_str() {
        Some("u2") => a + b * (u(i) * u(i)),
        Some("tri") => a + b * (u(2 * i - 1) + u(2 * i)),
        Some("int") => a + (b * u(i)).floor(),
        _ => a + b * u(i),
    };
    (1..=n).map(one).collect()
}
