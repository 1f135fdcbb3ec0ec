//! What a program computes for a point, once, and what it computes for every direction.

use super::keep::{Again, Computation};
use crate::ops::Op;
use crate::program::{Equation, Program, mark_needed};
use crate::types::Var;
use std::collections::{HashMap, HashSet};

/// Equations for which a value that is computed again stays; then it is computed once more.
const NEAR: usize = 24;

/// A program whose equations are in two stages.
pub(crate) struct Staged {
    pub(crate) program: Program,
    /// For every value whether it is computed for every direction.
    pub(crate) late: Vec<bool>,
}

/// Puts what depends on directions after the rest, with what is cheaper to compute again than to keep. Without directions
/// the program stays as it is.
pub(crate) fn stage(program: &Program, again: Again) -> Staged {
    let late = program.depends_on_directions();
    if !late.contains(&true) {
        return Staged {
            program: program.clone(),
            late,
        };
    }
    let is_late = |e: &&Equation| e.results.iter().any(|v| late[v.index()]);
    let (second, first): (Vec<&Equation>, Vec<&Equation>) =
        program.equations.iter().partition(is_late);
    let first: Vec<Equation> = first.into_iter().cloned().collect();
    let read = second.iter().flat_map(|e| &e.args).chain(&program.outputs);
    let read: Vec<Var> = read.copied().filter(|v| !late[v.index()]).collect();
    let recipes = Recipes::new(program, &first, &read, again);

    let mut needed = vec![false; program.types.len()];
    recipes.kept.iter().for_each(|v| needed[v.index()] = true);
    mark_needed(&first, &mut needed);
    let is_needed = |e: &Equation| {
        matches!(e.op, Op::Constant(_)) || e.results.iter().any(|v| needed[v.index()])
    };
    let mut copies = Copies {
        recipes: &recipes,
        staged: Staged {
            program: Program {
                equations: first.iter().filter(|e| is_needed(e)).cloned().collect(),
                ..program.clone()
            },
            late: late.clone(),
        },
        known: HashMap::new(),
    };
    for e in second {
        let args = e.args.iter().map(|&v| copies.copy(v)).collect();
        copies
            .staged
            .program
            .equations
            .push(Equation { args, ..e.clone() });
    }
    for i in 0..program.outputs.len() {
        let v = copies.copy(program.outputs[i]);
        copies.staged.program.outputs[i] = v;
    }
    copies.staged
}

/// What the second stage computes again, from what it keeps.
struct Recipes<'a> {
    kept: HashSet<Var>,
    makers: HashMap<Var, &'a Equation>,
}

impl<'a> Recipes<'a> {
    fn new(program: &Program, first: &'a [Equation], needed: &[Var], again: Again) -> Self {
        let mut makers: HashMap<Var, &Equation> = HashMap::new();
        for e in first.iter().filter(|e| !matches!(e.op, Op::Constant(_))) {
            makers.extend(e.results.iter().map(|&v| (v, e)));
        }
        let computation = Computation {
            equations: first,
            type_of: &|v| &program.types[v.index()],
            is_given: &|v| !makers.contains_key(&v),
            again,
        };
        Self {
            kept: computation.keep(needed),
            makers,
        }
    }

    /// The equation that makes a value again; none if it is there.
    fn maker(&self, v: Var) -> Option<&'a Equation> {
        let maker = self.makers.get(&v)?;
        (!self.kept.contains(&v)).then_some(*maker)
    }
}

struct Copies<'a> {
    recipes: &'a Recipes<'a>,
    staged: Staged,
    /// The last copy of a value, and when it was made.
    known: HashMap<Var, (Var, usize)>,
}

impl Copies<'_> {
    fn copy(&mut self, v: Var) -> Var {
        let Some(e) = self.recipes.maker(v) else {
            return v;
        };
        let now = self.staged.program.equations.len();
        if let Some(&(copy, made)) = self.known.get(&v)
            && now < made + NEAR
        {
            return copy;
        }
        let args = e.args.iter().map(|&a| self.copy(a)).collect();
        let types = &mut self.staged.program.types;
        let copy = Var(types.len() as u32);
        let t = types[v.index()].clone();
        types.push(t);
        self.staged.late.push(true);
        self.staged.program.equations.push(Equation {
            op: e.op.clone(),
            args,
            results: std::iter::once(copy).collect(),
        });
        let made = self.staged.program.equations.len();
        self.known.insert(v, (copy, made));
        copy
    }
}
