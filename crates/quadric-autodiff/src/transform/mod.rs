//! From programs to programs: derivatives, transposes and batches, each by one walk over the equations that calls the rule of
//! every primitive.

mod divide;
mod hoist;
mod keep;
mod programs;
mod stage;
mod tile;

use crate::graph::{Graph, Vars};
use crate::ops::{Primitive, Site};
use crate::program::Equation;
use crate::types::Var;
pub(crate) use divide::{Along, Divisible};
pub(crate) use hoist::hoist;
pub(crate) use keep::{Again, Computation};
pub(crate) use stage::{Staged, stage};
use std::collections::HashMap;
pub(crate) use tile::{Limits, tile};

/// The tangents of `outputs`, for tangents of other values: pairs of a value and its tangent. None is zero.
pub(crate) fn jvp(g: &mut Graph, outputs: &[Var], wrt: &[(Var, Var)]) -> Vec<Option<Var>> {
    let depends = g.dependents(wrt.iter().map(|p| p.0));
    let needed = g.needed(outputs.iter().copied());
    let mut tangents: HashMap<Var, Var> = wrt.iter().copied().collect();
    for number in 0..g.equations().len() {
        let e = &g.equations()[number];
        if !makes_any(e, &needed, &depends) {
            continue;
        }
        let e = e.clone();
        let inputs: Vec<Option<Var>> = e.args.iter().map(|v| tangents.get(v).copied()).collect();
        if inputs.iter().all(Option::is_none) {
            continue;
        }
        let results = e.op.jvp(&mut site(g, number, &e), &inputs);
        for (&v, t) in e.results.iter().zip(results) {
            // A value whose tangent is given keeps it.
            if let Some(t) = t {
                tangents.entry(v).or_insert(t);
            }
        }
    }
    outputs.iter().map(|v| tangents.get(v).copied()).collect()
}

/// The cotangents of `wrt`, in which the values that `cotangents` pairs with theirs are linear. None is zero.
pub(crate) fn transpose(g: &mut Graph, cotangents: &[(Var, Var)], wrt: &[Var]) -> Vec<Option<Var>> {
    let linear = g.dependents(wrt.iter().copied());
    let mut sums: HashMap<Var, Var> = HashMap::new();
    let add = |g: &mut Graph, sums: &mut HashMap<Var, Var>, v: Var, c: Var| {
        let sum = g.add_any(sums.get(&v).copied(), Some(c));
        sums.extend(sum.map(|s| (v, s)));
    };
    for &(v, c) in cotangents {
        if linear[v.index()] {
            add(g, &mut sums, v, c);
        }
    }
    for number in (0..g.equations().len()).rev() {
        let e = &g.equations()[number];
        let known = |v: &Var| v.index() < linear.len() && linear[v.index()];
        let is_linear: Vec<bool> = e.args.iter().map(known).collect();
        let incoming: Vec<Option<Var>> = e.results.iter().map(|v| sums.get(v).copied()).collect();
        if !is_linear.contains(&true) || incoming.iter().all(Option::is_none) {
            continue;
        }
        let e = e.clone();
        let results =
            e.op.transpose(&mut site(g, number, &e), &is_linear, &incoming);
        for ((&v, c), &l) in e.args.iter().zip(results).zip(&is_linear) {
            if let Some(c) = c.filter(|_| l) {
                add(g, &mut sums, v, c);
            }
        }
    }
    wrt.iter().map(|v| sums.get(v).copied()).collect()
}

/// The `outputs` for many values at once: of each pair the second stands for the first, with one more axis of length `size` in
/// front. None is an output that does not depend on them.
pub(crate) fn batch(
    g: &mut Graph,
    outputs: &[Var],
    wrt: &[(Var, Var)],
    size: usize,
) -> Vec<Option<Var>> {
    let depends = g.dependents(wrt.iter().map(|p| p.0));
    let needed = g.needed(outputs.iter().copied());
    let mut wide: HashMap<Var, Var> = wrt.iter().copied().collect();
    for number in 0..g.equations().len() {
        let e = &g.equations()[number];
        if !makes_any(e, &needed, &depends) {
            continue;
        }
        let e = e.clone();
        let batched: Vec<bool> = e.args.iter().map(|v| wide.contains_key(v)).collect();
        if !batched.contains(&true) {
            continue;
        }
        let args: Vars = e.args.iter().map(|v| *wide.get(v).unwrap_or(v)).collect();
        let results = {
            let mut site = Site {
                args: &args,
                ..site(g, number, &e)
            };
            e.op.batch(&mut site, &batched, size)
        };
        for (&v, w) in e.results.iter().zip(results) {
            wide.entry(v).or_insert(w);
        }
    }
    outputs.iter().map(|v| wide.get(v).copied()).collect()
}

/// True if a result is both needed and dependent.
fn makes_any(e: &Equation, needed: &[bool], depends: &[bool]) -> bool {
    let wanted = |v: &Var| needed[v.index()] && depends[v.index()];
    e.results.iter().any(wanted)
}

fn site<'a>(graph: &'a mut Graph, equation: usize, e: &'a Equation) -> Site<'a> {
    Site {
        graph,
        equation,
        args: &e.args,
        results: &e.results,
    }
}

/// The products of the transposed Jacobian of `outputs` with `cotangents`: the transpose of the linear part of [`jvp`].
pub(crate) fn vjp(g: &mut Graph, outputs: &[Var], wrt: &[Var], cotangents: &[Var]) -> Vars {
    let tangents: Vars = wrt
        .iter()
        .map(|&v| {
            let t = g.type_of(v).clone();
            g.input(t)
        })
        .collect();
    let pairs: Vec<(Var, Var)> = wrt.iter().copied().zip(tangents.iter().copied()).collect();
    let linear = jvp(g, outputs, &pairs);
    let known = linear.iter().zip(cotangents);
    let known: Vec<(Var, Var)> = known.filter_map(|(l, &c)| Some(((*l)?, c))).collect();
    let results = transpose(g, &known, &tangents);
    let pairs = results.into_iter().zip(wrt);
    pairs.map(|(r, &v)| g.or_zeros(r, v)).collect()
}
