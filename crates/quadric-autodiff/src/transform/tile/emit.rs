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
    /// For values with rows, what parts take or make, part after part, and the number of parts.
    stacks: HashMap<Var, (Var, usize)>,
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

    /// A value with rows, part after part.
    fn in_parts(&mut self, v: Var, parts: usize) -> Var {
        if let Some(&(stack, count)) = self.stacks.get(&v)
            && count == parts
        {
            return stack;
        }
        let (axis, late) = (self.axis(v), self.late[v.index()]);
        let t = cut(&self.types[v.index()], axis, parts);
        let shape = t.shape.clone();
        let stack = self.push(Reshape { shape }, &[v], t.clone(), late);
        let axes = to_front(axis, t.shape.len());
        let stack = match axis {
            0 => stack,
            _ => self.push(Permute { axes }, &[stack], in_front(&t, axis), late),
        };
        self.stacks.insert(v, (stack, parts));
        stack
    }

    fn scan(&mut self, segment: &Segment, parts: usize) {
        let late = self.is_late(segment.level);
        let body = self.body(segment, parts);
        let mut args: Vec<Var> = segment.same.clone();
        for &v in &segment.sliced {
            args.push(self.in_parts(v, parts));
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
            self.unstack(v, (stack, parts), late);
        }
    }

    /// Shows what parts have stacked as the value that it is.
    fn unstack(&mut self, v: Var, (stack, parts): (Var, usize), late: bool) {
        self.stacks.insert(v, (stack, parts));
        self.late[v.index()] = late;
        self.done.insert(v);
        let axis = self.axis(v);
        let t = self.types[v.index()].clone();
        let apart = cut(&t, axis, parts);
        let axes = from_front(axis, apart.shape.len());
        let from = match axis {
            0 => stack,
            _ => self.push(Permute { axes }, &[stack], apart, late),
        };
        self.equations.push(Equation {
            op: Reshape { shape: t.shape }.into(),
            args: std::iter::once(from).collect(),
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
            let mut t = levels.program.types[v.index()].clone();
            t.shape[axis] /= parts;
            let own = walk.graph.input(t);
            inputs.push(Input::unnamed(own));
            walk.known.insert(v, (own, Along::Rows(axis)));
        }
        for &i in &segment.equations {
            let emitted = walk.emit(&levels.program.equations[i]);
            assert!(emitted.is_ok(), "rows were found before");
        }
        let outputs = segment.sums.iter().chain(&segment.stacks);
        let outputs: Vec<Var> = outputs.map(|v| walk.known[v].0).collect();
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

/// The type of a value whose rows, along an axis, are cut in parts of as many.
fn cut(t: &Type, axis: usize, parts: usize) -> Type {
    let mut shape = t.shape.clone();
    shape[axis] /= parts;
    shape.insert(axis, parts);
    Type {
        shape,
        kind: t.kind,
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
