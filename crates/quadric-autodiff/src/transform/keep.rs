//! What to keep of a computation for another one that needs some of its values.
//!
//! Arithmetic costs less than memory: what follows from kept values by a few additions and multiplications is computed again.
//! The smallest set that is worth keeping is a minimum cut between the values that are costly to compute and those that are
//! needed, where cutting a value costs its size.

use crate::ops::{Binary, Op, Unary};
use crate::program::Equation;
use crate::types::{Type, Var};
use std::collections::{HashMap, HashSet, VecDeque};

/// What is computed again where that spares memory.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Again {
    /// Arithmetic with at most one argument as large as its result: it reads no more than it makes.
    OneByOne,
    /// All arithmetic.
    Arithmetic,
    /// Everything: nothing is kept for the directions.
    Everything,
}

/// A value that is this much smaller than another costs nothing beside it.
const SMALL: usize = 8;

/// Equations of one computation.
pub(crate) struct Computation<'a> {
    pub(crate) equations: &'a [Equation],
    pub(crate) type_of: &'a dyn Fn(Var) -> &'a Type,
    /// Values that the other computation has anyway.
    pub(crate) is_given: &'a dyn Fn(Var) -> bool,
    pub(crate) again: Again,
}

/// True for operations that only show a value in another way.
fn is_view(op: &Op) -> bool {
    matches!(
        op,
        Op::Broadcast(_)
            | Op::Permute(_)
            | Op::Reshape(_)
            | Op::Slice(_)
            | Op::Reverse(_)
            | Op::Detach(_)
    )
}

/// True for additions, multiplications, and what only shows a value in another way.
fn is_arithmetic(op: &Op) -> bool {
    match op {
        Op::Unary(f) => matches!(f, Unary::Neg | Unary::Abs | Unary::Sign),
        Op::Binary(f) => *f != Binary::Div,
        Op::Select(_) | Op::Constant(_) => true,
        op => is_view(op),
    }
}

impl Computation<'_> {
    fn is_cheap(&self, e: &Equation, makers: &HashMap<Var, &Equation>) -> bool {
        let entries = |mut v: Var| {
            while let Some(e) = makers.get(&v).filter(|e| is_view(&e.op)) {
                v = e.args[0];
            }
            let is_constant = makers
                .get(&v)
                .is_some_and(|e| matches!(e.op, Op::Constant(_)));
            if is_constant {
                0
            } else {
                (self.type_of)(v).len()
            }
        };
        let whole = (self.type_of)(e.results[0]).len();
        let large = e
            .args
            .iter()
            .filter(|&&a| entries(a) * SMALL > whole)
            .count();
        is_arithmetic(&e.op) && (large <= 1 || self.again != Again::OneByOne)
    }

    /// The values to keep.
    pub(crate) fn keep(&self, needed: &[Var]) -> HashSet<Var> {
        let mut flow = Flow::new();
        let mut makers: HashMap<Var, &Equation> = HashMap::new();
        for e in self.equations {
            makers.extend(e.results.iter().map(|&v| (v, e)));
        }
        let mut open: Vec<Var> = needed.to_vec();
        let mut seen: HashSet<Var> = HashSet::new();
        for &v in needed {
            flow.connect(Node::After(v), Node::Needed, Flow::NEVER);
        }
        while let Some(v) = open.pop() {
            if (self.is_given)(v) || !seen.insert(v) {
                continue;
            }
            let maker = makers.get(&v).filter(|e| self.is_cheap(e, &makers));
            let size = match maker {
                Some(e) if is_view(&e.op) => Flow::NEVER,
                _ => (self.type_of)(v).len().max(1),
            };
            flow.connect(Node::Before(v), Node::After(v), size);
            match maker {
                Some(e) => {
                    for &a in &e.args {
                        flow.connect(Node::After(a), Node::Before(v), Flow::NEVER);
                        open.push(a);
                    }
                }
                None => flow.connect(Node::Costly, Node::Before(v), Flow::NEVER),
            }
        }
        while flow.augment() {}
        let side = flow.reaching();
        let cut = |v: &Var| {
            side.contains(&flow.number(Node::After(*v)))
                && !side.contains(&flow.number(Node::Before(*v)))
        };
        seen.iter().copied().filter(cut).collect()
    }
}

/// A place in the network: before a value is kept, or after.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Node {
    Costly,
    Needed,
    Before(Var),
    After(Var),
}

/// A flow from what is costly to what is needed; augmented until it fills a smallest cut (Edmonds and Karp).
struct Flow {
    numbers: HashMap<Node, usize>,
    /// For every node its edges; an edge and its reverse have neighbouring numbers.
    edges: Vec<Vec<usize>>,
    /// Where an edge leads, and what it can still take.
    ends: Vec<(usize, usize)>,
}

impl Flow {
    /// The capacity of what is never cut.
    const NEVER: usize = usize::MAX / 4;

    fn new() -> Self {
        Self {
            numbers: HashMap::from([(Node::Costly, 0), (Node::Needed, 1)]),
            edges: vec![Vec::new(); 2],
            ends: Vec::new(),
        }
    }

    fn number(&self, node: Node) -> usize {
        self.numbers[&node]
    }

    fn node(&mut self, node: Node) -> usize {
        let next = self.edges.len();
        let number = *self.numbers.entry(node).or_insert(next);
        if number == next {
            self.edges.push(Vec::new());
        }
        number
    }

    fn connect(&mut self, from: Node, to: Node, capacity: usize) {
        let (from, to) = (self.node(from), self.node(to));
        for (a, b, room) in [(from, to, capacity), (to, from, 0)] {
            self.edges[a].push(self.ends.len());
            self.ends.push((b, room));
        }
    }

    /// Sends more along a shortest path with room; false if there is none.
    fn augment(&mut self) -> bool {
        let mut by: Vec<Option<usize>> = vec![None; self.edges.len()];
        let mut queue = VecDeque::from([0]);
        while let Some(at) = queue.pop_front() {
            for &edge in &self.edges[at] {
                let (to, room) = self.ends[edge];
                if room > 0 && to != 0 && by[to].is_none() {
                    by[to] = Some(edge);
                    queue.push_back(to);
                }
            }
        }
        let mut at = 1;
        let path: Vec<usize> = std::iter::from_fn(|| {
            let edge = by[at]?;
            at = self.ends[edge ^ 1].0;
            Some(edge)
        })
        .collect();
        let Some(most) = path.iter().map(|&e| self.ends[e].1).min() else {
            return false;
        };
        for edge in path {
            self.ends[edge].1 -= most;
            self.ends[edge ^ 1].1 += most;
        }
        true
    }

    /// The nodes from which more could still be sent to what is needed: of all smallest cuts, theirs computes the least again.
    fn reaching(&self) -> HashSet<usize> {
        let mut found = HashSet::from([1]);
        let mut open = vec![1];
        while let Some(at) = open.pop() {
            for &edge in &self.edges[at] {
                let from = self.ends[edge].0;
                if self.ends[edge ^ 1].1 > 0 && found.insert(from) {
                    open.push(from);
                }
            }
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::{Again, Computation};
    use crate::program::Program;
    use crate::types::Var;
    use std::collections::HashSet;

    /// What is kept of a traced function of `x` and `y`, both of four numbers, for its outputs.
    fn kept(again: Again, f: fn(&crate::Tracer) -> Vec<crate::Tensor<'_>>) -> HashSet<Var> {
        let program = Program::trace(f).expect("shapes fit");
        let computation = Computation {
            equations: &program.equations,
            type_of: &|v| &program.types[v.index()],
            is_given: &|v| v == program.inputs[0].var,
            again,
        };
        computation.keep(&program.outputs)
    }

    fn three(t: &crate::Tracer) -> Vec<crate::Tensor<'_>> {
        let x = t.input("x", [4]);
        let (a, b) = (x.exp(), x.sin());
        vec![a * b, a + b, a - b]
    }

    #[test]
    fn the_smaller_side_is_kept() {
        // y is not given: one value that follows from y and x, or three that follow from y.
        let all = kept(Again::Arithmetic, |t| {
            let (x, y) = (t.input("x", [4]), t.input("y", [4]));
            vec![x * y, x - y, (x + y) * y]
        });
        assert_eq!(all, HashSet::from([Var(1)]));
        // The exponential is costly, its square follows from it; their sum over all is small.
        let all = kept(Again::Arithmetic, |t| {
            let y = t.input("x", [4]).exp();
            vec![y, y.square(), y.sum_all().expand(0) * 2.0]
        });
        assert_eq!(all.len(), 2);
        // One product of two costly values is less than these, three results are more; not where only few are read at a time.
        let all = kept(Again::Arithmetic, |t| {
            let x = t.input("x", [4]);
            vec![x.exp() * x.sin()]
        });
        assert_eq!(all.len(), 1);
        assert_eq!(kept(Again::Arithmetic, three).len(), 2);
        assert_eq!(kept(Again::OneByOne, three).len(), 3);
    }
}
