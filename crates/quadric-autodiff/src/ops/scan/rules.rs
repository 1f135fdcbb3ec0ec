//! Derivative, transpose and batch of a scan, from those of its body.

use super::{Scan, swap_first};
use crate::graph::{Graph, Vars};
use crate::ops::{Op, Site, Tangents};
use crate::program::{Input, Program};
use crate::transform::{self, Again, Computation};
use crate::types::Var;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// The body as a graph that is being extended.
struct Body {
    graph: Graph,
    inputs: Vars,
    outputs: Vars,
}

impl Body {
    fn new(scan: &Scan) -> Self {
        let (graph, inputs, outputs) = scan.body.to_graph();
        let inputs = inputs.iter().map(|i| i.var).collect();
        Self {
            graph,
            inputs,
            outputs,
        }
    }

    /// Inputs of the same types as some values.
    fn placeholders(&mut self, like: impl IntoIterator<Item = Var>) -> Vars {
        let types = like.into_iter().map(|v| self.graph.type_of(v).clone());
        let types: Vec<_> = types.collect();
        types.into_iter().map(|t| self.graph.input(t)).collect()
    }

    fn program(&self, inputs: &[Var], outputs: &[Var]) -> Arc<Program> {
        let inputs: Vec<Input> = inputs.iter().map(|&v| Input::unnamed(v)).collect();
        Arc::new(Program::extract(&self.graph, &inputs, outputs))
    }
}

/// The body with the tangents of its outputs.
struct Linearised {
    body: Body,
    /// For every input its tangent, if it has one.
    tangents: Vec<Option<Var>>,
    /// For every output its tangent, if it has one; carries have one where their inputs have.
    results: Vec<Option<Var>>,
}

/// A carry has a tangent if it starts with one or if a step gives it one.
fn linearise(scan: &Scan, mut active: Vec<bool>) -> Linearised {
    loop {
        let mut body = Body::new(scan);
        let inputs = body.inputs.clone();
        let tangents: Vec<Option<Var>> = inputs
            .iter()
            .zip(&active)
            .map(|(&v, &a)| a.then(|| body.placeholders([v])[0]))
            .collect();
        let pairs = inputs
            .iter()
            .zip(&tangents)
            .filter_map(|(&v, t)| Some((v, (*t)?)));
        let pairs: Vec<(Var, Var)> = pairs.collect();
        let outputs = body.outputs.clone();
        let mut results = transform::jvp(&mut body.graph, &outputs, &pairs);
        let late = (0..scan.carries).find(|&i| results[i].is_some() && !active[scan.consts + i]);
        if let Some(i) = late {
            active[scan.consts + i] = true;
            continue;
        }
        for i in 0..scan.carries {
            if active[scan.consts + i] {
                results[i] = Some(body.graph.or_zeros(results[i], outputs[i]));
            }
        }
        return Linearised {
            body,
            tangents,
            results,
        };
    }
}

/// How the linear scan gets a value of the body that does not depend on tangents.
enum Source {
    /// It is made anew, from other values.
    Again,
    /// From outside, the same in every step.
    Const(Var),
    /// An array from outside, cut in slices.
    Slices(Var),
    /// The original scan has to stack it.
    Stack,
}

/// Gathers what the linear body needs.
struct Residuals<'a> {
    scan: &'a Scan,
    body: &'a Body,
    args: &'a [Var],
    /// Whether a value varies from step to step.
    varies: Vec<bool>,
    /// Values from outside, each with the value of the body that it stands for.
    consts: Vec<(Var, Var)>,
    slices: Vec<(Var, Var)>,
    stacks: Vec<Var>,
    /// What has to be stacked if it is needed; the rest is made anew.
    kept: HashSet<Var>,
    seen: HashSet<Var>,
}

impl<'a> Residuals<'a> {
    fn new(scan: &'a Scan, body: &'a Body, args: &'a [Var], needed: &[Var]) -> Self {
        let varying = body.inputs[scan.consts..].iter().copied();
        let varies = body.graph.dependents(varying);
        let sliced = &body.inputs[scan.sliced()];
        let computation = Computation {
            equations: body.graph.equations(),
            type_of: &|v| body.graph.type_of(v),
            is_given: &|v| !varies[v.index()] || sliced.contains(&v),
            again: Again::Arithmetic,
        };
        Self {
            scan,
            body,
            args,
            kept: computation.keep(needed),
            varies,
            consts: Vec::new(),
            slices: Vec::new(),
            stacks: Vec::new(),
            seen: HashSet::new(),
        }
    }

    fn source(&self, outer: &mut Graph, v: Var) -> Source {
        if let Some(i) = self.body.inputs.iter().position(|&input| input == v) {
            return match i {
                i if i < self.scan.consts => Source::Const(self.args[i]),
                i if self.scan.carried().contains(&i) => Source::Stack,
                i => Source::Slices(self.args[i]),
            };
        }
        let op = self.body.graph.producer(v).map(|e| &e.op);
        match op {
            Some(Op::Constant(_)) => Source::Again,
            _ if !self.varies[v.index()] => Source::Const(self.hoist(outer, v)),
            _ if self.kept.contains(&v) => Source::Stack,
            _ => Source::Again,
        }
    }

    /// Computes a value that is the same in every step once, outside.
    fn hoist(&self, outer: &mut Graph, v: Var) -> Var {
        if let Some(i) = self.body.inputs.iter().position(|&input| input == v) {
            return self.args[i];
        }
        let e = self.body.graph.producer(v).expect("no input makes it");
        let args: Vars = e.args.iter().map(|&a| self.hoist(outer, a)).collect();
        let at = e.results.iter().position(|&r| r == v);
        outer.emit_all(e.op.clone(), &args)[at.expect("its own producer")]
    }

    fn need(&mut self, outer: &mut Graph, v: Var) {
        if !self.seen.insert(v) {
            return;
        }
        match self.source(outer, v) {
            Source::Const(o) => self.consts.push((o, v)),
            Source::Slices(o) => self.slices.push((o, v)),
            Source::Stack => self.stacks.push(v),
            Source::Again => {
                let e = self.body.graph.producer(v).expect("no input is made anew");
                for &a in &e.args {
                    self.need(outer, a);
                }
            }
        }
    }
}

/// The stacks of values of the body, which the scan is made to give where it does not yet.
fn stack(scan: &Scan, site: &mut Site<'_>, body: &Body, values: &[Var]) -> Vars {
    let stacked = scan.stacked();
    let known = |v: Var| stacked.clone().find(|&i| body.outputs[i] == v);
    let new: Vec<Var> = values
        .iter()
        .copied()
        .filter(|&v| known(v).is_none())
        .collect();
    let mut added = Vars::new();
    if !new.is_empty() {
        let outputs: Vec<Var> = body.outputs.iter().chain(&new).copied().collect();
        let more = new
            .iter()
            .map(|&v| body.graph.type_of(v).with_leading(scan.length));
        let wider = Scan {
            body: body.program(&body.inputs, &outputs),
            ..*scan
        };
        added = site
            .graph
            .extend(site.equation, wider.into(), more.collect());
    }
    let mut added = added.into_iter();
    let result = |&v: &Var| match known(v) {
        Some(i) => site.results[i],
        None => added.next().expect("one for each new value"),
    };
    values.iter().map(result).collect()
}

pub(super) fn jvp(scan: &Scan, site: &mut Site<'_>, tangents: &[Option<Var>]) -> Tangents {
    let active = tangents.iter().map(Option::is_some).collect();
    let linear = linearise(scan, active);
    let body = &linear.body;
    let sources: Vec<Var> = linear.tangents.iter().flatten().copied().collect();
    let wanted: Vec<Var> = linear.results.iter().flatten().copied().collect();
    if wanted.is_empty() {
        return linear.results.iter().map(|_| None).collect();
    }
    let depends = body.graph.dependents(sources.iter().copied());
    let needed = body.graph.needed(wanted.iter().copied());

    let is_linear = |v: &Var| depends[v.index()];
    let steps = body.graph.equations().iter();
    let steps = steps.filter(|e| e.results.iter().any(|v| needed[v.index()] && is_linear(v)));
    let read = steps.flat_map(|e| &e.args).chain(&wanted);
    let read: Vec<Var> = read.copied().filter(|v| !is_linear(v)).collect();
    let mut residuals = Residuals::new(scan, body, site.args, &read);
    for v in read {
        residuals.need(site.graph, v);
    }
    let Residuals {
        consts,
        slices,
        stacks,
        ..
    } = residuals;
    let stacked = stack(scan, site, body, &stacks);

    // The linear scan: its arguments beside the values of the body that they stand for.
    let g = &mut *site.graph;
    let own = |range: std::ops::Range<usize>| {
        let tangents = &linear.tangents;
        range.filter_map(move |i| Some((i, tangents[i]?)))
    };
    let mut args: Vec<(Var, Var)> = consts;
    args.extend(own(0..scan.consts).filter_map(|(i, t)| Some((tangents[i]?, t))));
    let (consts, carries) = (args.len(), own(scan.carried()).count());
    for (i, t) in own(scan.carried()) {
        args.push((g.or_zeros(tangents[i], site.args[i]), t));
    }
    args.extend(slices);
    args.extend(stacked.into_iter().zip(stacks));
    args.extend(own(scan.sliced()).filter_map(|(i, t)| Some((tangents[i]?, t))));

    let inputs: Vec<Var> = args.iter().map(|a| a.1).collect();
    let sums = scan
        .summed()
        .filter(|&i| linear.results[i].is_some())
        .count();
    let op = Scan {
        body: body.program(&inputs, &wanted),
        consts,
        carries,
        sums,
        ..*scan
    };
    let args: Vec<Var> = args.iter().map(|a| a.0).collect();
    let mut results = g.emit_all(op.into(), &args).into_iter();
    let results = linear
        .results
        .iter()
        .map(|r| r.and_then(|_| results.next()));
    results.collect()
}

pub(super) fn transpose(
    scan: &Scan,
    site: &mut Site<'_>,
    linear: &[bool],
    cotangents: &[Option<Var>],
) -> Tangents {
    let g = &mut *site.graph;
    let mut body = Body::new(scan);
    // What the scan is linear in, its steps are: all carries are tangents.
    let is_linear = |i: usize| linear[i] || scan.carried().contains(&i);
    let wrt: Vec<usize> = (0..linear.len()).filter(|&i| is_linear(i)).collect();
    let known = |range: std::ops::Range<usize>| range.filter(|&i| !is_linear(i));
    let given = |range: std::ops::Range<usize>| range.filter(|&i| cotangents[i].is_some());

    let outputs = body.outputs.clone();
    let with_cotangent: Vec<usize> = (0..scan.carries)
        .chain(given(scan.carries..outputs.len()))
        .collect();
    let incoming = body.placeholders(with_cotangent.iter().map(|&i| outputs[i]));
    let pairs = with_cotangent
        .iter()
        .zip(&incoming)
        .map(|(&i, &c)| (outputs[i], c));
    let pairs: Vec<(Var, Var)> = pairs.collect();
    let inputs: Vec<Var> = wrt.iter().map(|&i| body.inputs[i]).collect();
    let outgoing = transform::transpose(&mut body.graph, &pairs, &inputs);
    let outgoing: HashMap<usize, Var> = wrt
        .iter()
        .zip(outgoing)
        .filter_map(|(&i, c)| Some((i, c?)))
        .collect();
    let incoming: HashMap<usize, Var> = with_cotangent.iter().copied().zip(incoming).collect();

    // Arguments of the new scan beside the values of the body that they stand for.
    let outer = |i: usize| cotangents[i].map(|c| (c, incoming[&i]));
    let mut args: Vec<(Var, Var)> = known(0..scan.consts)
        .map(|i| (site.args[i], body.inputs[i]))
        .collect();
    args.extend(scan.summed().filter_map(outer));
    let consts = args.len();
    for i in 0..scan.carries {
        args.push((g.or_zeros(cotangents[i], site.results[i]), incoming[&i]));
    }
    args.extend(known(scan.sliced()).map(|i| (site.args[i], body.inputs[i])));
    args.extend(scan.stacked().filter_map(outer));

    let carry = |i: usize| outgoing.get(&i).copied();
    let mut results: Vec<Var> = Vec::new();
    for i in scan.carried() {
        let like = body.inputs[i];
        results.push(body.graph.or_zeros(carry(i), like));
    }
    let sums: Vec<usize> = (0..scan.consts)
        .filter(|i| outgoing.contains_key(i))
        .collect();
    let stacks: Vec<usize> = scan.sliced().filter(|i| outgoing.contains_key(i)).collect();
    results.extend(sums.iter().chain(&stacks).map(|i| outgoing[i]));
    if results.is_empty() {
        return linear.iter().map(|_| None).collect();
    }
    let inputs: Vec<Var> = args.iter().map(|a| a.1).collect();
    let op = Scan {
        body: body.program(&inputs, &results),
        consts,
        sums: sums.len(),
        from_end: !scan.from_end,
        ..*scan
    };
    let args: Vec<Var> = args.iter().map(|a| a.0).collect();
    let given = g.emit_all(op.into(), &args);
    let owners = scan.carried().chain(sums).chain(stacks);
    let owned: HashMap<usize, Var> = owners.zip(given).collect();
    let result = |i| owned.get(&i).copied().filter(|_| linear[i]);
    (0..linear.len()).map(result).collect()
}

pub(super) fn batch(scan: &Scan, site: &mut Site<'_>, batched: &[bool], size: usize) -> Vars {
    let g = &mut *site.graph;
    let mut wide = batched.to_vec();
    let (mut body, inputs, results) = loop {
        let mut body = Body::new(scan);
        let (inputs, outputs) = (body.inputs.clone(), body.outputs.clone());
        let types: Vec<_> = inputs
            .iter()
            .map(|&v| body.graph.type_of(v).with_leading(size))
            .collect();
        let inputs: Vec<Var> = inputs
            .iter()
            .zip(types)
            .zip(&wide)
            .map(|((&v, t), &w)| if w { body.graph.input(t) } else { v })
            .collect();
        let pairs = body.inputs.iter().copied().zip(inputs.iter().copied());
        let pairs: Vec<(Var, Var)> = pairs.filter(|(a, b)| a != b).collect();
        let results = transform::batch(&mut body.graph, &outputs, &pairs, size);
        let late = (0..scan.carries).find(|&i| results[i].is_some() && !wide[scan.consts + i]);
        match late {
            Some(i) => wide[scan.consts + i] = true,
            None => break (body, inputs, results),
        }
    };
    let mut outputs = Vec::new();
    for (i, result) in results.iter().enumerate() {
        outputs.push(match result {
            Some(v) => *v,
            None if i < scan.carries && wide[scan.consts + i] => {
                body.graph.repeat(body.outputs[i], size)
            }
            None => body.outputs[i],
        });
    }
    let mut args = Vars::new();
    for (i, &v) in site.args.iter().enumerate() {
        args.push(match (wide[i], batched[i]) {
            (true, false) => g.repeat(v, size),
            (true, true) if scan.sliced().contains(&i) => swap_first(g, v),
            _ => v,
        });
    }
    let op = Scan {
        body: body.program(&inputs, &outputs),
        ..*scan
    };
    let given = g.emit_all(op.into(), &args);
    let finish = |(i, v): (usize, Var)| {
        let is_wide = if i < scan.carries {
            wide[scan.consts + i]
        } else {
            results[i].is_some()
        };
        match is_wide {
            false => g.repeat(v, size),
            true if scan.stacked().contains(&i) => swap_first(g, v),
            true => v,
        }
    };
    given.into_iter().enumerate().map(finish).collect()
}
