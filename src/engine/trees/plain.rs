//! Trees laid out for walking step by step, on any processor: small nodes, whole runs of trees walked alike.

use super::forest::{Forest, Link, Sets};
use super::layout::{GROUP, Run};
use super::real::{Key, Real};

/// A node of a full tree: its children stand at twice its place, and one after.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Full<K> {
    pub(super) threshold: K,
    pub(super) column: u16,
}

/// A node that says where its children are. A leaf leads to itself: column 0 is below whatever stands in the
/// place of its threshold, which is its value's bits.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Linked<K> {
    pub(super) threshold: K,
    /// The left child; the right one comes next.
    pub(super) left: u32,
    pub(super) column: u16,
}

/// Marks the column of a split by category; the threshold's place holds where its set begins.
pub(super) const CATEGORY: u16 = 1 << 15;

/// A forest in this form.
#[derive(Debug)]
pub(super) struct Plain<T: Real> {
    pub(super) fulls: Vec<Full<T::Key>>,
    pub(super) leaves: Vec<T>,
    pub(super) linked: Vec<Linked<T::Key>>,
    pub(super) roots: Vec<u32>,
    pub(super) sets: Sets,
}

/// Full trees double with each level.
pub(super) const MAX_FULL_LEVELS: u32 = 8;
/// A full tree may take so many times the places of a linked one: it needs fewer instructions per level, but
/// more of the cache.
const MAX_FULL_WASTE: usize = 4;
/// Places that are always granted.
const SMALL: usize = 4096;

impl<T: Real> Plain<T> {
    /// Nothing, where the trees have another form.
    pub(super) const fn empty() -> Self {
        Self {
            fulls: Vec::new(),
            leaves: Vec::new(),
            linked: Vec::new(),
            roots: Vec::new(),
            sets: Sets { words: Vec::new() },
        }
    }

    pub(super) fn new(forest: &Forest<T>) -> (Self, Vec<Run>) {
        let (mut out, mut runs) = (Self::empty(), Vec::new());
        let mut pairs = vec![0; forest.links.len()];
        for roots in forest.roots.chunks(GROUP) {
            // A tree of nothing but a leaf is walked like any other.
            let levels = roots.iter().map(|root| forest.heights[*root as usize]).max().unwrap_or(0).max(1);
            let nodes = |places| roots.iter().map(|root| size(forest, *root, places)).sum::<usize>();
            let fits = |places: usize| {
                // Trees may share nodes, which a full tree cannot: all together must stay in proportion too.
                out.fulls.len() + places <= (forest.links.len() + SMALL) * MAX_FULL_WASTE
                    && places <= nodes(places) * MAX_FULL_WASTE
            };
            let categories = !forest.sets.words.is_empty();
            if !categories && levels <= MAX_FULL_LEVELS && fits(roots.len() << levels) {
                runs.push(out.full(forest, roots, levels));
            } else {
                runs.push(out.link(forest, roots, levels, &mut pairs));
            }
        }
        (out, runs)
    }

    /// Bytes held.
    pub(super) fn bytes(&self) -> usize {
        size_of_val(&*self.fulls)
            + size_of_val(&*self.leaves)
            + size_of_val(&*self.linked)
            + size_of_val(&*self.roots)
            + size_of_val(&*self.sets.words)
    }

    fn full(&mut self, forest: &Forest<T>, roots: &[u32], levels: u32) -> Run {
        let places = 1 << levels;
        let run =
            Run::Full { levels, trees: roots.len(), nodes: self.fulls.len(), leaves: self.leaves.len() };
        for &root in roots {
            let nodes = self.fulls.len();
            self.fulls.resize(nodes + places, Full::default());
            let leaves = self.leaves.len();
            self.leaves.resize(leaves + places, T::default());
            let mut todo = vec![(1_usize, root)];
            while let Some((at, place)) = todo.pop() {
                let link = forest.links[place as usize];
                if at >= places {
                    if let Link::Leaf(value) = link {
                        self.leaves[leaves + at - places] = value;
                    }
                    continue;
                }
                match link {
                    Link::Split { column, threshold, left, right } => {
                        self.fulls[nodes + at] = Full { threshold, column: column as u16 };
                        todo.extend([(2 * at, left), (2 * at + 1, right)]);
                    }
                    // A default node compares column 0: what is below a leaf always goes left.
                    _ => todo.push((2 * at, place)),
                }
            }
        }
        run
    }

    /// `pairs` remembers where the children of a split stand: several parents may lead to one node.
    fn link(&mut self, forest: &Forest<T>, roots: &[u32], levels: u32, pairs: &mut [u32]) -> Run {
        let (first, trees) = (self.roots.len(), roots.len());
        for &root in roots {
            let mut at = self.linked.len();
            self.roots.push(at as u32);
            self.linked.push(Linked::default());
            // Level by level; the places from `at` on are laid out, but do not know their children yet.
            let mut todo = std::collections::VecDeque::from([root]);
            while let Some(place) = todo.pop_front() {
                self.linked[at] = match forest.links[place as usize] {
                    Link::Split { column, threshold, left, right } => {
                        if pairs[place as usize] == 0 {
                            pairs[place as usize] = self.linked.len() as u32;
                            self.linked.extend([Linked::default(); 2]);
                            todo.extend([left, right]);
                        }
                        Linked { threshold, left: pairs[place as usize], column: column as u16 }
                    }
                    Link::Member { column, set, left, right } => {
                        if pairs[place as usize] == 0 {
                            pairs[place as usize] = self.linked.len() as u32;
                            self.linked.extend([Linked::default(); 2]);
                            todo.extend([left, right]);
                        }
                        let (threshold, column) = (T::Key::of_index(set), column as u16 | CATEGORY);
                        Linked { threshold, left: pairs[place as usize], column }
                    }
                    Link::Leaf(value) => Linked { threshold: value.bits(), left: at as u32, column: 0 },
                };
                at += 1;
            }
        }
        if forest.sets.words.is_empty() {
            Run::Linked { levels, trees, first }
        } else {
            Run::Mixed { trees, first }
        }
    }
}

/// Nodes below a root, counted up to `most`.
fn size<T: Real>(forest: &Forest<T>, root: u32, most: usize) -> usize {
    let mut count = 0;
    let mut todo = vec![root];
    while let Some(place) = todo.pop() {
        count += 1;
        if count >= most {
            break;
        }
        if let Link::Split { left, right, .. } | Link::Member { left, right, .. } =
            forest.links[place as usize]
        {
            todo.extend([left, right]);
        }
    }
    count
}
