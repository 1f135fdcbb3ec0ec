//! The program of the segments: scans, and what shows their arguments and results as what they are.

use super::super::divide::{Along, Walk};
use super::{Home, Levels, Limits, Segment, Staged};
use crate::ops::{Op, Permute, Reshape, Scan};
use crate::program::{Equation, Input, Program};
use crate::types::{Shape, Type, Var};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

/// The program with its segments as scans.
pub(super) fn emit(levels: &Levels<'_>, limits: Limits) -> Staged {
    let mut out = Output {
        levels,
        types: levels.program.types.clone(),
        late: levels.late.to_vec(),
        equations: Vec::new(),
        stacks: HashMap::new(),
        done: HashSet::new(),
    };
    let mut whole: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for (i, e) in levels.program.equations.iter().enumerate() {
        if let (None, Home::Whole { after }) = (levels.level[i], levels.homes[e.results[0].index()])
        {
            whole.entry(after).or_default().push(i);
        }
    }
    let mut segments = levels.segments().into_iter().peekable();
    for level in 0..=levels.last() {
        while let Some(segment) = segments.next_if(|s| s.level == level) {
            match levels.parts(&segment, limits) {
                1 => segment
                    .equations
                    .iter()
                    .for_each(|&i| out.plain(i, out.is_late(level))),
                parts => out.scan(&segment, parts),
            }
        }
        for &i in whole.get(&level).into_iter().flatten() {
            let first = levels.program.equations[i].results[0];
            out.plain(i, levels.late[first.index()]);
        }
    }
    let (program, late) = out.finish();
    Staged { program, late }
}

/// The program that is put together.
struct Output<'a> {
    levels: &'a Levels<'a>,
    types: Vec<Type>,
    late: Vec<bool>,
    equations: Vec<Equation>,
    /// For rows that parts have made, all of them with the rows in front.
    stacks: HashMap<Var, Var>,
    /// Values that are there as a whole.
    done: HashSet<Var>,
}

impl Output<'_> {
    fn new_value(&mut self, t: Type, late: bool) -> Var {
        self.types.push(t);
        self.late.push(late);
        Var(self.types.len() as u32 - 1)
    }

    fn is_late(&self, level: usize) -> bool {
        level >= self.levels.second
    }

    /// An equation as it was.
    fn plain(&mut self, i: usize, late: bool) {
        let e = &self.levels.program.equations[i];
        if e.results.iter().any(|v| self.done.contains(v)) {
            return;
        }
        self.done.extend(&e.results);
        for v in &e.results {
            self.late[v.index()] = late;
        }
        self.equations.push(e.clone());
    }

    fn push(&mut self, op: impl Into<Op>, args: &[Var], t: Type, late: bool) -> Var {
        let result = self.new_value(t, late);
        self.equations.push(Equation {
            op: op.into(),
            args: args.iter().copied().collect(),
            results: std::iter::once(result).collect(),
        });
        result
    }

    fn axis(&self, v: Var) -> usize {
        match self.levels.homes[v.index()] {
            Home::Rows { axis, .. } => axis,
            Home::Whole { .. } => unreachable!("the value has rows"),
        }
    }

    /// A value with the rows in front.
    fn canonical(&mut self, v: Var, late: bool) -> Var {
        if let Some(&stack) = self.stacks.get(&v) {
            return stack;
        }
        let axis = self.axis(v);
        if axis == 0 {
            return v;
        }
        let t = self.types[v.index()].clone();
        let axes = to_front(axis, t.shape.len());
        let t = in_front(&t, axis);
        self.push(Permute { axes }, &[v], t, late)
    }

    fn scan(&mut self, segment: &Segment, parts: usize) {
        let late = self.is_late(segment.level);
        let body = self.body(segment, parts);
        let mut args: Vec<Var> = segment.same.clone();
        for &v in &segment.sliced {
            let whole = self.canonical(v, late);
            let t = self.types[whole.index()].clone();
            let mut shape = t.shape.clone();
            shape[0] /= parts;
            shape.insert(0, parts);
            let t = Type { shape, ..t };
            let op = Reshape {
                shape: t.shape.clone(),
            };
            args.push(self.push(op, &[whole], t, late));
        }
        let mut results = segment.sums.clone();
        for v in &segment.sums {
            self.late[v.index()] = late;
        }
        for (i, _) in segment.stacks.iter().enumerate() {
            let mut t = body.output_type(segment.sums.len() + i).clone();
            t.shape.insert(0, parts);
            results.push(self.new_value(t, late));
        }
        let scan = Scan {
            body: Arc::new(body),
            length: parts,
            consts: segment.same.len(),
            carries: 0,
            sums: segment.sums.len(),
            from_end: false,
        };
        self.equations.push(Equation {
            op: scan.into(),
            args: args.into_iter().collect(),
            results: results.iter().copied().collect(),
        });
        self.done.extend(&segment.sums);
        for (&v, &stack) in segment.stacks.iter().zip(&results[segment.sums.len()..]) {
            self.unstack(v, stack, late);
        }
    }

    /// Shows what parts have stacked as the value that it is.
    fn unstack(&mut self, v: Var, stack: Var, late: bool) {
        let axis = self.axis(v);
        let whole = in_front(&self.types[v.index()], axis);
        let axes = from_front(axis, whole.shape.len());
        let shape = whole.shape.clone();
        let whole = self.push(Reshape { shape }, &[stack], whole, late);
        self.stacks.insert(v, whole);
        self.late[v.index()] = late;
        self.done.insert(v);
        self.equations.push(Equation {
            op: Permute { axes }.into(),
            args: std::iter::once(whole).collect(),
            results: std::iter::once(v).collect(),
        });
    }

    /// What one part computes.
    fn body(&self, segment: &Segment, parts: usize) -> Program {
        let levels = self.levels;
        let rows = levels.rows / parts;
        let mut walk = Walk::new(levels.program, levels.rows, rows);
        let mut inputs = Vec::new();
        for &v in &segment.same {
            let own = walk.graph.input(self.types[v.index()].clone());
            inputs.push(Input::unnamed(own));
            walk.known.insert(v, (own, Along::Same));
        }
        for &v in &segment.sliced {
            let axis = self.axis(v);
            let mut t = in_front(&levels.program.types[v.index()], axis);
            t.shape[0] /= parts;
            let back = from_front(axis, t.shape.len());
            let own = walk.graph.input(t);
            inputs.push(Input::unnamed(own));
            let own = walk.graph.permute(own, &back);
            walk.known.insert(v, (own, Along::Rows(axis)));
        }
        for &i in &segment.equations {
            let emitted = walk.emit(&levels.program.equations[i]);
            assert!(emitted.is_ok(), "rows were found before");
        }
        let mut outputs: Vec<Var> = segment.sums.iter().map(|v| walk.known[v].0).collect();
        for &v in &segment.stacks {
            let own = walk.known[&v].0;
            let front = to_front(self.axis(v), levels.shape(v).len());
            outputs.push(walk.graph.permute(own, &front));
        }
        Program::extract(&walk.graph, &inputs, &outputs)
    }

    fn finish(self) -> (Program, Vec<bool>) {
        let program = self.levels.program;
        let program = Program {
            types: self.types,
            equations: self.equations,
            inputs: program.inputs.clone(),
            outputs: program.outputs.clone(),
        };
        (program, self.late)
    }
}

/// The order of axes in which one is the first.
fn to_front(axis: usize, rank: usize) -> Shape {
    std::iter::once(axis)
        .chain((0..rank).filter(|&a| a != axis))
        .collect()
}

/// The order of axes that takes the first one to `axis` again.
fn from_front(axis: usize, rank: usize) -> Shape {
    (1..=axis).chain([0]).chain(axis + 1..rank).collect()
}

/// The type of a value with one of its axes in front.
fn in_front(t: &Type, axis: usize) -> Type {
    let axes = to_front(axis, t.shape.len());
    Type {
        shape: axes.iter().map(|&a| t.shape[a]).collect(),
        kind: t.kind,
    }
}
