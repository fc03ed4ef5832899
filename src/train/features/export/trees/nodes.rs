//! The nodes of a tree as ONNX knows them, with float32 thresholds that let every float32 go where it went.
//!
//! A split by category becomes a chain of comparisons, one for each border between categories that go this way and
//! that: categories are whole numbers from 0 up. So the whole forest compares in one mode, which engines walk fastest,
//! and neighbouring categories cost nothing.

use sidegate::booster::{Node, Test};

/// A node; children are places in the same tree.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Step {
    Leaf(f32),
    Branch { feature: u32, mode: Mode, value: f32, yes: usize, no: usize, missing: bool },
}

/// How a branch compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    Below,
    AtMost,
    AtLeast,
    Above,
}

/// What trees are made of.
pub(super) trait Number: Copy {
    /// The library of float32 compares by "below", the other by "at most".
    const MODE: Mode;
    fn wide(self) -> f64;
}

impl Number for f32 {
    const MODE: Mode = Mode::Below;
    fn wide(self) -> f64 {
        self.into()
    }
}

impl Number for f64 {
    const MODE: Mode = Mode::AtMost;
    fn wide(self) -> f64 {
        self
    }
}

impl Mode {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Below => "BRANCH_LT",
            Self::AtMost => "BRANCH_LEQ",
            Self::AtLeast => "BRANCH_GTE",
            Self::Above => "BRANCH_GT",
        }
    }

    /// The opposite.
    const fn negated(self) -> Self {
        match self {
            Self::Below => Self::AtLeast,
            Self::AtMost => Self::Above,
            Self::AtLeast => Self::Below,
            Self::Above => Self::AtMost,
        }
    }
}

/// The steps of one tree, whose root is the first. `root` is the place of its first node.
pub(super) fn steps<T: Number>(nodes: &[Node<T>], root: u32, sets: &[Vec<u32>]) -> Result<Vec<Step>, String> {
    let mut steps: Vec<Step> = Vec::with_capacity(nodes.len());
    let mut chains = Vec::new();
    for (at, node) in nodes.iter().enumerate() {
        let step = match *node {
            Node::Leaf(value) => Step::Leaf(value.wide() as f32),
            Node::Split { feature, test, missing, yes, no } => {
                let child = |place: u32| {
                    let place = place.checked_sub(root).map(|place| place as usize);
                    place
                        .filter(|place| *place < nodes.len())
                        .ok_or_else(|| format!("leads out of itself at node {at}"))
                };
                let (yes, no) = (child(yes)?, child(no)?);
                let branch = |mode, value| Step::Branch { feature, mode, value, yes, no, missing };
                match test {
                    Test::Below(value) => branch(Mode::Below, not_below(value.wide())),
                    Test::AtMost(value) => branch(Mode::AtMost, not_above(value.wide())),
                    Test::OneOf(set) => {
                        let set = sets
                            .get(set as usize)
                            .ok_or_else(|| format!("has no set of categories at node {at}"))?;
                        chains.push((at, Chain { feature, mode: T::MODE, members: set, yes, no, missing }));
                        // Its own step is put in below.
                        branch(T::MODE, 0.0)
                    }
                }
            }
        };
        steps.push(step);
    }
    for (at, chain) in chains {
        chain.put(at, &mut steps);
    }
    turn(&mut steps);
    Ok(steps)
}

/// The largest float32 that is not above the number.
fn not_above(number: f64) -> f32 {
    let near = number as f32;
    if f64::from(near) > number { near.next_down() } else { near }
}

/// The least float32 that is not below the number.
fn not_below(number: f64) -> f32 {
    let near = number as f32;
    if f64::from(near) < number { near.next_up() } else { near }
}

/// A split by category on its way to a chain.
struct Chain<'a> {
    feature: u32,
    mode: Mode,
    members: &'a [u32],
    yes: usize,
    no: usize,
    missing: bool,
}

impl Chain<'_> {
    /// Where the way changes: the last category of each stretch of categories, and where that stretch goes. Beyond the
    /// last one all go to `no`.
    fn borders(&self) -> Vec<(u32, usize)> {
        let mut members = self.members.to_vec();
        members.sort_unstable();
        members.dedup();
        let mut borders: Vec<(u32, usize)> = Vec::new();
        for member in members {
            match borders.last_mut() {
                Some((last, _)) if *last + 1 == member => *last = member,
                _ => {
                    borders.extend(member.checked_sub(1).map(|before| (before, self.no)));
                    borders.push((member, self.yes));
                }
            }
        }
        borders
    }

    fn put(&self, at: usize, steps: &mut Vec<Step>) {
        let mut borders = self.borders();
        if borders.is_empty() {
            // No category passes; only what is missing may.
            borders.push((0, self.no));
            if self.missing {
                borders.push((0, self.yes));
            }
        }
        // NaN passes no comparison. It leaves the chain where it first may to `yes`, or falls out at its end to `no`.
        let leaves = borders.iter().position(|(_, to)| self.missing && *to == self.yes);
        let count = borders.len();
        let mut place = at;
        for (number, (category, yes)) in borders.into_iter().enumerate() {
            let no = if number + 1 == count { self.no } else { steps.len().max(place + 1) };
            let value = if self.mode == Mode::Below { category as f32 + 1.0 } else { category as f32 };
            let missing = leaves == Some(number);
            let step = Step::Branch { feature: self.feature, mode: self.mode, value, yes, no, missing };
            match steps.get_mut(place) {
                Some(own) => *own = step,
                None => steps.push(step),
            }
            place = no;
        }
    }
}

/// ONNX Runtime lets several nodes lead to one, but all except one by their true branch. Where a node that several lead
/// to is on the false side of one whose other side is its own, the comparison is turned round.
fn turn(steps: &mut [Step]) {
    let mut parents = vec![0_u32; steps.len()];
    for step in steps.iter() {
        if let Step::Branch { yes, no, .. } = step {
            [yes, no].into_iter().for_each(|child| {
                if let Some(parents) = parents.get_mut(*child) {
                    *parents += 1;
                }
            });
        }
    }
    let shared = |place: usize| parents.get(place).is_some_and(|parents| *parents > 1);
    for step in steps {
        if let Step::Branch { mode, yes, no, missing, .. } = step
            && shared(*no)
            && !shared(*yes)
        {
            std::mem::swap(yes, no);
            *mode = mode.negated();
            *missing = !*missing;
        }
    }
}
