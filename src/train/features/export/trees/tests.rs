use sidegate::booster::{Node, Test};

use super::nodes::{Mode, Step, steps};

/// Where a value goes: ONNX's rules, step by step.
fn walk(steps: &[Step], value: f32) -> f32 {
    let mut at = 0;
    loop {
        match steps[at] {
            Step::Leaf(weight) => return weight,
            Step::Branch { mode, value: threshold, yes, no, missing, .. } => {
                let passes = match mode {
                    Mode::Below => value < threshold,
                    Mode::AtMost => value <= threshold,
                    Mode::AtLeast => value >= threshold,
                    Mode::Above => value > threshold,
                };
                at = if passes || value.is_nan() && missing { yes } else { no };
            }
        }
    }
}

fn by_set<T: super::Number>(set: &[u32], missing: bool, leaves: [T; 2]) -> Vec<Step> {
    let nodes = [
        Node::Split { feature: 0, test: Test::OneOf(0), missing, yes: 11, no: 12 },
        Node::Leaf(leaves[0]),
        Node::Leaf(leaves[1]),
    ];
    steps(&nodes, 10, &[set.to_vec()]).unwrap()
}

#[test]
fn categories_go_where_their_set_says() {
    for set in [&[][..], &[0], &[1], &[0, 1, 2], &[2, 5, 3], &[0, 2, 4, 6], &[9, 9, 1], &[16_777_215]] {
        for missing in [true, false] {
            let check = |steps: &[Step]| {
                for category in (0..12).chain([16_777_214, 16_777_215]) {
                    let wanted = if set.contains(&category) { 1.0 } else { 2.0 };
                    assert_eq!(walk(steps, category as f32), wanted, "{category} in {set:?}");
                }
                assert_eq!(walk(steps, f32::NAN), if missing { 1.0 } else { 2.0 }, "NaN in {set:?}");
            };
            check(&by_set(set, missing, [1.0_f32, 2.0]));
            check(&by_set(set, missing, [1.0_f64, 2.0]));
        }
    }
}

#[test]
fn neighbours_share_a_comparison() {
    let branches = |set: &[u32]| by_set(set, false, [1.0_f64, 2.0]).len() - 2;
    assert_eq!(branches(&[0, 1, 2, 3]), 1);
    assert_eq!(branches(&[4, 5, 6]), 2);
    assert_eq!(branches(&[1, 3, 4]), 4);
}

#[test]
fn thresholds_let_float32_go_where_float64_let_them() {
    for threshold in [0.1, 1.0 / 3.0, 1e300, -1e300, 1e-35, -1e-35_f64.next_down(), 16_777_217.0, -0.7] {
        for below in [true, false] {
            let test = if below { Test::Below(threshold) } else { Test::AtMost(threshold) };
            let nodes = [
                Node::Split { feature: 0, test, missing: false, yes: 1, no: 2 },
                Node::Leaf(1.0),
                Node::Leaf(2.0),
            ];
            let steps = steps(&nodes, 0, &[]).unwrap();
            let near = threshold as f32;
            for value in [near, near.next_up(), near.next_down(), f32::INFINITY, f32::NEG_INFINITY, 0.0] {
                let passes = if below { f64::from(value) < threshold } else { f64::from(value) <= threshold };
                assert_eq!(walk(&steps, value), if passes { 1.0 } else { 2.0 }, "{value} beside {threshold}");
            }
        }
    }
}

#[test]
fn several_nodes_lead_to_one_by_their_true_branch() {
    // As LightGBM's splits become that take zero for missing.
    let split = |threshold, missing, yes, no| Node::Split {
        feature: 0,
        test: Test::AtMost(threshold),
        missing,
        yes,
        no,
    };
    let nodes = [
        split(0.5, true, 3, 2),
        Node::Leaf(1.0),
        Node::Leaf(2.0),
        split(-0.5, false, 4, 1),
        split(-3.0, false, 1, 2),
    ];
    let steps = steps(&nodes, 0, &[]).unwrap();
    for (value, wanted) in [(-4.0, 1.0), (-2.0, 2.0), (0.0, 1.0), (1.0, 2.0), (f32::NAN, 1.0)] {
        assert_eq!(walk(&steps, value), wanted, "{value}");
    }
    // In the order in which ONNX Runtime walks, false first, a false branch must lead to what was not met before.
    let mut met = vec![false; steps.len()];
    let mut todo = vec![(0, false)];
    while let Some((at, by_true)) = todo.pop() {
        if std::mem::replace(&mut met[at], true) {
            assert!(by_true, "node {at}");
            continue;
        }
        if let Step::Branch { yes, no, .. } = steps[at] {
            todo.extend([(yes, true), (no, false)]);
        }
    }
}

#[test]
fn children_outside_of_the_tree_are_refused() {
    let nodes = [
        Node::Split { feature: 0, test: Test::Below(0.0_f32), missing: false, yes: 4, no: 1 },
        Node::Leaf(0.0),
    ];
    assert!(steps(&nodes, 0, &[]).is_err());
    assert!(steps(&nodes, 1, &[]).is_err());
}
