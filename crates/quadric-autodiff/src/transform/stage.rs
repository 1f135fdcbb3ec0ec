//! What a program computes for a point, once, and what it computes for every direction.

use super::keep::{Again, Computation};
use crate::ops::Op;
use crate::program::{Equation, Program, mark_needed};
use crate::types::{Type, Var};
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
    if again == Again::Everything {
        let mut late = vec![false; program.types.len()];
        for v in program.equations.iter().flat_map(|e| &e.results) {
            late[v.index()] = true;
        }
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
    let mut copies = Copies {
        recipes: &recipes,
        types: program.types.clone(),
        second: Vec::new(),
        known: HashMap::new(),
    };
    for e in second {
        let args = e.args.iter().map(|&v| copies.copy(v)).collect();
        copies.second.push(Equation { args, ..e.clone() });
    }
    let outputs: Vec<Var> = program.outputs.iter().map(|&v| copies.copy(v)).collect();
    let Copies { types, second, .. } = copies;

    // What only values need that are computed again now is not computed at first.
    let mut needed = vec![false; types.len()];
    let read = second.iter().flat_map(|e| &e.args).chain(&outputs);
    read.for_each(|v| needed[v.index()] = true);
    mark_needed(&first, &mut needed);
    let mut late = late;
    late.resize(types.len(), true);
    let first = first
        .iter()
        .filter(|e| e.results.iter().any(|v| needed[v.index()]));
    let program = Program {
        equations: first.cloned().chain(second).collect(),
        types,
        outputs,
        inputs: program.inputs.clone(),
    };
    Staged { program, late }
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
    types: Vec<Type>,
    /// The equations of the second stage.
    second: Vec<Equation>,
    /// The last copy of a value, and when it was made.
    known: HashMap<Var, (Var, usize)>,
}

impl Copies<'_> {
    fn copy(&mut self, v: Var) -> Var {
        let Some(e) = self.recipes.maker(v) else {
            return v;
        };
        if let Some(&(copy, made)) = self.known.get(&v)
            && self.second.len() < made + NEAR
        {
            return copy;
        }
        let args = e.args.iter().map(|&a| self.copy(a)).collect();
        let copy = Var(self.types.len() as u32);
        self.types.push(self.types[v.index()].clone());
        self.second.push(Equation {
            op: e.op.clone(),
            args,
            results: std::iter::once(copy).collect(),
        });
        self.known.insert(v, (copy, self.second.len()));
        copy
    }
}
