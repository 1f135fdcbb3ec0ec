//! Parts of a batch that go through several operations while they are in the cache.
//!
//! Most of a network treats every example alike. Sums over the batch, as gradients of weights or the statistics of a
//! normalisation, end what can be done for some examples without knowing the others: they cut a program in levels. What
//! belongs to one level becomes a scan over parts of the batch; values that no other level reads never leave the cache. What
//! another level reads is stored, unless it follows from stored values by a little arithmetic; then it is computed again.

mod emit;
#[cfg(test)]
mod tests;

use super::divide::{Along, Rules, is_entrywise};
use super::keep::{Again, Computation};
use super::stage::Staged;
use crate::ops::Op;
use crate::program::{Equation, Program};
use crate::types::{Kind, Shape, Var};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

/// When parts are worth it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Bytes of the values of a part, about.
    pub(crate) cache: usize,
    /// Bytes that parts must spare the memory.
    pub(crate) worth: usize,
    /// Multiplications with every entry of a weight in a part, at least: it has to be packed for each.
    pub(crate) uses: usize,
    /// Rows of a part that goes through the steps of a scan, at least; none if scans stay whole.
    pub(crate) scanned: Option<usize>,
}

impl Limits {
    /// For less memory: scans, which cut their rows themselves for speed, are cut with what surrounds them.
    pub(crate) fn compact() -> Self {
        Self {
            scanned: Some(16),
            ..Self::default()
        }
    }
}

impl Default for Limits {
    /// For a second-level cache.
    fn default() -> Self {
        Self {
            cache: 1 << 20,
            worth: 1 << 22,
            uses: 128,
            scanned: None,
        }
    }
}

/// Where a value lives.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Home {
    /// All of it is there after the parts of a level have run; level 0 runs nothing.
    Whole { after: usize },
    /// Its rows, along an axis, are computed in the parts of a level; those of level 0 are given.
    Rows { axis: usize, level: usize },
}

/// A program cut in levels.
struct Levels<'a> {
    program: &'a Program,
    late: &'a [bool],
    rows: usize,
    again: Again,
    /// Whether scans are cut.
    scans: bool,
    /// For every value.
    homes: Vec<Home>,
    /// For every equation the level that it belongs to; none if it is computed whole.
    level: Vec<Option<usize>>,
    /// The first level of the second stage.
    second: usize,
    makers: HashMap<Var, usize>,
}

/// What is computed in parts together.
struct Segment {
    level: usize,
    /// Numbers of equations, in order; some may belong to lower levels and be computed again.
    equations: Vec<usize>,
    /// Values that all parts read, and values of which each reads its rows.
    same: Vec<Var>,
    sliced: Vec<Var>,
    /// Values that the parts add up to, and values of which each makes its rows.
    sums: Vec<Var>,
    stacks: Vec<Var>,
}

/// The same program with scans over parts of its batch, where that spares memory.
pub(crate) fn tile(staged: Staged, again: Again, limits: Limits) -> Staged {
    let program = &staged.program;
    let inputs = program.inputs.iter().enumerate();
    let candidates = inputs.filter(|(i, input)| {
        let t = program.input_type(*i);
        !input.direction && t.shape.first().is_some_and(|&n| n > 1)
    });
    for (i, _) in candidates {
        if let Some(levels) = Levels::new(&staged, i, again, limits)
            && levels.is_most()
        {
            return emit::emit(&levels, limits);
        }
    }
    staged
}

impl<'a> Levels<'a> {
    /// Cuts a program, with the rows of an input and of whatever meets them.
    fn new(staged: &'a Staged, first: usize, again: Again, limits: Limits) -> Option<Self> {
        let Staged { program, late } = staged;
        let rows = program.input_type(first).shape[0];
        let mut makers = HashMap::new();
        for (i, e) in program.equations.iter().enumerate() {
            makers.extend(e.results.iter().map(|&v| (v, i)));
        }
        let mut divided = HashSet::from([program.inputs[first].var]);
        loop {
            let mut this = Self {
                program,
                late,
                rows,
                again,
                scans: limits.scanned.is_some(),
                homes: vec![Home::Whole { after: 0 }; program.types.len()],
                level: vec![None; program.equations.len()],
                second: usize::MAX,
                makers: makers.clone(),
            };
            for v in &divided {
                this.homes[v.index()] = Home::Rows { axis: 0, level: 0 };
            }
            match this.classify() {
                Ok(()) => {
                    this.delay();
                    return Some(this);
                }
                // An input that rows meet has rows as well.
                Err(input) if divided.insert(input) => {}
                Err(_) => return None,
            }
        }
    }

    fn classify(&mut self) -> Result<(), Var> {
        let mut base = 1;
        for (i, e) in self.program.equations.iter().enumerate() {
            let late = e.results.iter().any(|v| self.late[v.index()]);
            if late && self.second == usize::MAX {
                // Everything of the first stage runs before.
                base = 1 + self.last();
                self.second = base;
            }
            let homes: Vec<Home> = e.args.iter().map(|v| self.homes[v.index()]).collect();
            let ready = homes.iter().map(|h| match *h {
                Home::Whole { after } => after + 1,
                Home::Rows { level, .. } => level,
            });
            let level = ready.max().unwrap_or(0).max(base);
            let after = homes.iter().map(|h| match *h {
                Home::Whole { after } => after,
                Home::Rows { level, .. } => level,
            });
            let after = after.max().unwrap_or(0).max(base - 1);
            let along = self.along(e, &homes)?;
            self.level[i] = along.iter().any(|&a| a != Along::Same).then_some(level);
            for (v, along) in e.results.iter().zip(along) {
                self.homes[v.index()] = match along {
                    Along::Rows(axis) => Home::Rows { axis, level },
                    Along::Term => Home::Whole { after: level },
                    Along::Same => Home::Whole { after },
                };
            }
        }
        Ok(())
    }

    /// Moves what the first level of a stage need not compute to where it is needed first: so it need not be stored.
    fn delay(&mut self) {
        let mut first = vec![usize::MAX; self.program.types.len()];
        for v in &self.program.outputs {
            first[v.index()] = 0;
        }
        for (i, e) in self.program.equations.iter().enumerate().rev() {
            let has_rows = |v: &Var| self.level_of(*v).is_some();
            if let (Some(level), true) = (self.level[i], e.results.iter().all(has_rows)) {
                let needed = e.results.iter().map(|v| first[v.index()]).min();
                let needed = needed.unwrap_or(0);
                let stage = |level: usize| level >= self.second;
                let starts = level == 1 || level == self.second;
                if starts && needed != usize::MAX && needed > level && stage(needed) == stage(level)
                {
                    self.level[i] = Some(needed);
                    for v in &e.results {
                        if let Home::Rows { level, .. } = &mut self.homes[v.index()] {
                            *level = needed;
                        }
                    }
                }
            }
            let level = self.level[i].unwrap_or(0);
            for v in &e.args {
                first[v.index()] = first[v.index()].min(level);
            }
        }
    }

    fn last(&self) -> usize {
        self.level.iter().flatten().max().copied().unwrap_or(0)
    }

    /// What an equation makes of rows: the same as ever if it needs all of them at once. The error is an input that must have
    /// rows, too.
    fn along(&self, e: &Equation, homes: &[Home]) -> Result<Vec<Along>, Var> {
        let along = homes.iter().map(|h| match *h {
            Home::Whole { .. } => Along::Same,
            Home::Rows { axis, .. } => Along::Rows(axis),
        });
        let along: Vec<Along> = along.collect();
        let whole = vec![Along::Same; e.results.len()];
        let stays = matches!(e.op, Op::Scan(_)) && !self.scans;
        if stays || along.iter().all(|&a| a == Along::Same) {
            return Ok(whole);
        }
        let rules = Rules {
            program: self.program,
            all: self.rows,
            rows: self.rows,
        };
        let mut op = e.op.clone();
        let Some(fit) = rules.apply(&mut op, e, &along) else {
            return Ok(whole);
        };
        for (i, axis) in fit.wanted {
            if along[i] == Along::Rows(axis) || self.is_repeated(e.args[i], axis) {
                continue;
            }
            let owner = self.owner(e.args[i]).filter(|_| axis == 0);
            return owner.map_or(Ok(whole), Err);
        }
        Ok(fit.results)
    }

    /// An input without rows that a value is computed from, entry by entry.
    fn owner(&self, v: Var) -> Option<Var> {
        let Some(&maker) = self.makers.get(&v) else {
            let mut inputs = self.program.inputs.iter();
            let is_point = inputs.any(|i| i.var == v && !i.direction);
            let rows = self.shape(v).first() == Some(&self.rows);
            return (is_point && rows && self.level_of(v).is_none()).then_some(v);
        };
        let e = &self.program.equations[maker];
        match &e.op {
            Op::Broadcast(p) if p.axes.first() == Some(&0) => self.owner(e.args[0]),
            Op::ReduceSum(p) if !p.axes.contains(&0) => self.owner(e.args[0]),
            op if is_entrywise(op) => e.args.iter().find_map(|&a| self.owner(a)),
            _ => None,
        }
    }

    /// True if a whole value is the same for all rows along an axis, and can be seen to be.
    fn is_repeated(&self, v: Var, axis: usize) -> bool {
        let Some(&maker) = self.makers.get(&v) else {
            return false;
        };
        let e = &self.program.equations[maker];
        match &e.op {
            Op::Broadcast(p) => !p.axes.contains(&axis),
            Op::Constant(c) => c.resized(axis, 1).is_some(),
            op => is_entrywise(op) && e.args.iter().all(|&a| self.is_repeated(a, axis)),
        }
    }

    /// True if a whole value is made of repetitions, entry by entry: parts make their own.
    fn is_repetition(&self, v: Var) -> bool {
        let Some(&maker) = self.makers.get(&v) else {
            return false;
        };
        let e = &self.program.equations[maker];
        match &e.op {
            Op::Broadcast(_) | Op::Constant(_) => true,
            op => is_entrywise(op) && e.args.iter().all(|&a| self.is_repetition(a)),
        }
    }

    fn shape(&self, v: Var) -> &'a Shape {
        &self.program.types[v.index()].shape
    }

    fn bytes(&self, v: Var) -> usize {
        self.program.types[v.index()].len() * size_of::<f32>()
    }

    /// True if most of the arithmetic is done in parts.
    fn is_most(&self) -> bool {
        let cost = |i: usize| self.program.cost(&self.program.equations[i]);
        let all: u64 = (0..self.level.len()).map(cost).sum();
        let parts = (0..self.level.len()).filter(|&i| self.level[i].is_some());
        2 * parts.map(cost).sum::<u64>() > all
    }

    /// The level in which rows are computed, if they are.
    fn level_of(&self, v: Var) -> Option<usize> {
        match self.homes[v.index()] {
            Home::Rows { level, .. } => Some(level),
            Home::Whole { .. } => None,
        }
    }

    /// Rows that have to be there as a whole: for other stages, outputs, and what is computed whole.
    fn exposed(&self) -> HashSet<Var> {
        let mut exposed: HashSet<Var> = self.program.outputs.iter().copied().collect();
        for (e, level) in self.program.equations.iter().zip(&self.level) {
            let other = |v: &Var| match (self.level_of(*v), level) {
                (Some(made), Some(level)) => made < self.second && *level >= self.second,
                (made, _) => made.is_some(),
            };
            exposed.extend(e.args.iter().copied().filter(other));
        }
        exposed.retain(|&v| self.level_of(v).is_some_and(|l| l > 0));
        exposed
    }

    /// Rows that are stored: the exposed, and those from which others that cross levels follow.
    fn stored(&self) -> HashSet<Var> {
        let exposed = self.exposed();
        let mut stored = exposed.clone();
        for stage in [false, true] {
            let here = |level: usize| (level >= self.second) == stage;
            let mut crossing = Vec::new();
            for (e, level) in self.program.equations.iter().zip(&self.level) {
                let Some(level) = *level else { continue };
                let crosses = |v: &&Var| {
                    let made = self.level_of(**v);
                    made.is_some_and(|m| m > 0 && m < level && here(m)) && !exposed.contains(v)
                };
                crossing.extend(e.args.iter().filter(crosses));
            }
            let made = |i: &usize| {
                let e = &self.program.equations[*i];
                let is_here = |v: &Var| self.level_of(*v).is_some_and(here);
                e.results.iter().any(is_here) || self.is_repetition(e.results[0])
            };
            let numbers = (0..self.program.equations.len()).filter(made);
            let equations = numbers.map(|i| self.program.equations[i].clone());
            let equations: Vec<Equation> = equations.collect();
            let own: HashSet<Var> = equations.iter().flat_map(|e| &e.results).copied().collect();
            let computation = Computation {
                equations: &equations,
                type_of: &|v| &self.program.types[v.index()],
                is_given: &|v| !own.contains(&v) || exposed.contains(&v),
                again: self.again,
            };
            stored.extend(computation.keep(&crossing));
        }
        stored
    }

    fn segments(&self) -> Vec<Segment> {
        let stored = self.stored();
        let mut levels: BTreeMap<usize, BTreeSet<usize>> = BTreeMap::new();
        for (i, level) in self.level.iter().enumerate() {
            if let Some(level) = level {
                levels.entry(*level).or_default().insert(i);
            }
        }
        let segment = |(level, own): (usize, BTreeSet<usize>)| {
            let mut all = BTreeSet::new();
            for &i in &own {
                self.complete(i, level, &stored, &mut all);
            }
            self.segment(level, &all, &stored)
        };
        levels.into_iter().map(segment).collect()
    }

    /// Adds an equation, and those that have to be computed again for it.
    fn complete(&self, i: usize, level: usize, stored: &HashSet<Var>, all: &mut BTreeSet<usize>) {
        if !all.insert(i) {
            return;
        }
        for &v in &self.program.equations[i].args {
            let Some(&maker) = self.makers.get(&v) else {
                continue;
            };
            let again = match self.homes[v.index()] {
                Home::Rows { level: made, .. } => {
                    made == level || (made > 0 && !stored.contains(&v))
                }
                Home::Whole { .. } => self.is_repetition(v),
            };
            if again {
                self.complete(maker, level, stored, all);
            }
        }
    }

    fn segment(&self, level: usize, all: &BTreeSet<usize>, stored: &HashSet<Var>) -> Segment {
        let equations = || all.iter().map(|&i| &self.program.equations[i]);
        let made: HashSet<Var> = equations().flat_map(|e| &e.results).copied().collect();
        let mut segment = Segment {
            level,
            equations: all.iter().copied().collect(),
            same: Vec::new(),
            sliced: Vec::new(),
            sums: Vec::new(),
            stacks: Vec::new(),
        };
        let mut seen = HashSet::new();
        for &v in equations().flat_map(|e| &e.args) {
            if made.contains(&v) || !seen.insert(v) {
                continue;
            }
            match self.homes[v.index()] {
                Home::Whole { .. } => segment.same.push(v),
                Home::Rows { .. } => segment.sliced.push(v),
            }
        }
        for (&i, e) in all.iter().zip(equations()) {
            if self.level[i] != Some(level) {
                continue;
            }
            for &v in &e.results {
                match self.homes[v.index()] {
                    Home::Whole { .. } => segment.sums.push(v),
                    Home::Rows { .. } if stored.contains(&v) => segment.stacks.push(v),
                    Home::Rows { .. } => {}
                }
            }
        }
        segment
    }

    /// In how many parts a segment is computed; one if that spares nothing.
    fn parts(&self, segment: &Segment, limits: Limits) -> usize {
        let is_index = |v: &Var| self.program.types[v.index()].kind == Kind::Index;
        if segment.stacks.iter().any(is_index) {
            return 1;
        }
        let outside: HashSet<Var> = segment.stacks.iter().copied().collect();
        let (mut inside, mut all) = (0, 0);
        let (mut work, mut weights) = (0, 0);
        let (mut seen, mut most) = (HashSet::new(), self.rows);
        for &i in &segment.equations {
            let e = &self.program.equations[i];
            if let (Op::Scan(_), Some(rows)) = (&e.op, limits.scanned) {
                most = self.rows / rows;
            }
            let packed = self.weights(e);
            if packed > 0 {
                work += self.program.cost(e) as usize / 2;
                weights += packed;
            }
            if !is_step(&e.op) {
                continue;
            }
            for &v in e.args.iter().chain(&e.results) {
                if self.level_of(v).is_none() || !seen.insert(v) {
                    continue;
                }
                all += self.bytes(v);
                if !outside.contains(&v) && !segment.sliced.contains(&v) {
                    inside += self.bytes(v);
                }
            }
        }
        let wanted = all.div_ceil(limits.cache).min(self.rows);
        let most = most.min(work.checked_div(limits.uses * weights).unwrap_or(most));
        let fits = |&n: &usize| self.rows.is_multiple_of(n) && n <= most;
        let Some(parts) = (wanted..=most)
            .find(fits)
            .or_else(|| (2..=most).rev().find(fits))
        else {
            return 1;
        };
        let terms: usize = segment.sums.iter().map(|&v| self.bytes(v)).sum();
        let spared = (2 * inside).saturating_sub(3 * parts * terms);
        if spared < limits.worth { 1 } else { parts }
    }

    /// Entries of what is the same for all parts in a product, or in the products of a scan's steps.
    fn weights(&self, e: &Equation) -> usize {
        let may_be = match &e.op {
            Op::MatMul(_) | Op::Convolution(_) => 0..e.args.len(),
            Op::Scan(scan) => 0..scan.consts,
            _ => 0..0,
        };
        let whole = e.args[may_be].iter();
        let whole = whole.filter(|&&v| self.level_of(v).is_none());
        whole.map(|&v| self.entries(v)).sum()
    }

    /// Entries of a value without repetitions.
    fn entries(&self, v: Var) -> usize {
        match self.makers.get(&v).map(|&i| &self.program.equations[i]) {
            Some(e) if matches!(e.op, Op::Broadcast(_)) => self.entries(e.args[0]),
            _ => self.program.types[v.index()].len(),
        }
    }
}

/// True for operations whose arguments and results are in memory.
fn is_step(op: &Op) -> bool {
    matches!(
        op,
        Op::MatMul(_)
            | Op::Convolution(_)
            | Op::ReduceSum(_)
            | Op::ReduceMax(_)
            | Op::CumulativeSum(_)
            | Op::Pad(_)
            | Op::Concat(_)
            | Op::Gather(_)
            | Op::Scan(_)
    )
}
