//! Products that a scan computes step by step although no step needs them from the one before: they are taken out of the scan and
//! computed for all steps at once.
//!
//! Before the scan: products of what is the same in every step and of slices, such as the product of a recurrent network's
//! inputs with their weights. After it: products that only sums over the steps need, such as the gradients of weights; their
//! factors are stacked, and the sum becomes part of one product.
//!
//! Weights that products of every step read turned around are turned before the scan.

use crate::graph::{Graph, Vars};
use crate::ops::{Op, Primitive, Scan, Site};
use crate::program::{Equation, Input, Program};
use crate::types::Var;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// Operations of a step that is large.
pub(crate) const LARGE: u64 = 1 << 24;

/// The same program with such products outside its scans.
pub(crate) fn hoist(program: &Program) -> Program {
    let mut g = Graph::default();
    let mut map: HashMap<Var, Var> = HashMap::new();
    let mut inputs = program.inputs.clone();
    for input in &mut inputs {
        let t = program.types[input.var.index()].clone();
        let var = g.input(t);
        map.insert(input.var, var);
        input.var = var;
    }
    for e in &program.equations {
        let args: Vars = e.args.iter().map(|v| map[v]).collect();
        let results = match &e.op {
            // Steps that are large, and do not wait for one another, gain nothing from being joined.
            Op::Scan(scan) if scan.carries == 0 && scan.body.flops() >= LARGE => {
                let body = Arc::new(hoist(&scan.body));
                let scan = Scan {
                    body,
                    ..scan.clone()
                };
                g.emit_all(scan.into(), &args)
            }
            Op::Scan(scan) => lift(&mut g, scan, &args),
            op => g.emit_all(op.clone(), &args),
        };
        map.extend(e.results.iter().copied().zip(results));
    }
    let outputs: Vec<Var> = program.outputs.iter().map(|v| map[v]).collect();
    Program::extract(&g, &inputs, &outputs)
}

fn is_product(e: &Equation) -> bool {
    matches!(e.op, Op::MatMul(_) | Op::Convolution(_))
}

/// Values of a body that are known outside, for one step (`false`) or for all steps along a new first axis (`true`).
struct Outside<'a> {
    body: &'a Graph,
    length: usize,
    known: HashMap<Var, (Var, bool)>,
}

impl Outside<'_> {
    /// Computes a value of the body outside.
    fn value(&mut self, g: &mut Graph, v: Var) -> (Var, bool) {
        if let Some(&known) = self.known.get(&v) {
            return known;
        }
        let e = self.body.producer(v).expect("inputs are known").clone();
        let args: Vec<(Var, bool)> = e.args.iter().map(|&a| self.value(g, a)).collect();
        let batched: Vec<bool> = args.iter().map(|a| a.1).collect();
        let args: Vars = args.iter().map(|a| a.0).collect();
        let all = batched.contains(&true);
        let results = if all {
            let mut site = Site {
                graph: g,
                equation: usize::MAX,
                args: &args,
                results: &[],
            };
            e.op.batch(&mut site, &batched, self.length)
        } else {
            g.emit_all(e.op.clone(), &args)
        };
        for (&own, outer) in e.results.iter().zip(results) {
            self.known.insert(own, (outer, all));
        }
        self.known[&v]
    }
}

/// A scan with its body opened.
struct Lifted<'a> {
    scan: &'a Scan,
    graph: Graph,
    inputs: Vars,
    outputs: Vars,
}

fn lift(g: &mut Graph, scan: &Scan, args: &[Var]) -> Vars {
    let scan = Scan {
        body: Arc::new(hoist(&scan.body)),
        ..scan.clone()
    };
    let (graph, inputs, outputs) = scan.body.to_graph();
    let lifted = Lifted {
        scan: &scan,
        graph,
        inputs: inputs.iter().map(|i| i.var).collect(),
        outputs,
    };
    let mut outside = Outside {
        body: &lifted.graph,
        length: scan.length,
        known: HashMap::new(),
    };
    for (i, (&own, &outer)) in lifted.inputs.iter().zip(args).enumerate() {
        if !scan.carried().contains(&i) {
            outside
                .known
                .insert(own, (outer, scan.sliced().contains(&i)));
        }
    }
    let sunk = lifted.sunk();
    let before = lifted.before(&sunk);
    for &v in &before {
        outside.value(g, v);
    }
    lifted.emit(g, args, &before, &sunk, outside)
}

impl Lifted<'_> {
    fn equations(&self) -> &[Equation] {
        self.graph.equations()
    }

    /// The values that only sums need, if there are products among them.
    fn sunk(&self) -> HashSet<Var> {
        let others = (0..self.outputs.len()).filter(|i| !self.scan.summed().contains(i));
        let needed = self.graph.needed(others.map(|i| self.outputs[i]));
        let sums = self
            .graph
            .needed(self.scan.summed().map(|i| self.outputs[i]));
        let only = |e: &&Equation| {
            e.results.iter().any(|v| sums[v.index()])
                && !e.results.iter().any(|v| needed[v.index()])
        };
        let region: Vec<&Equation> = self.equations().iter().filter(only).collect();
        if !region.iter().any(|e| is_product(e)) {
            return HashSet::new();
        }
        region
            .iter()
            .flat_map(|e| e.results.iter().copied())
            .collect()
    }

    /// Whether an equation turns around what is the same in every step for a product that reads it on the right. Its rows are
    /// copied once when it is an argument of the scan; a product would do so in every step.
    fn turns_weights(&self, e: &Equation) -> bool {
        let consts = &self.inputs[..self.scan.consts];
        let v = e.results[0];
        let is_right = |p: &Equation| matches!(p.op, Op::MatMul(_)) && p.args[1] == v;
        matches!(e.op, Op::Permute(_))
            && consts.contains(&e.args[0])
            && self.equations().iter().any(is_right)
    }

    /// The products that no carry is needed for, and what products read turned around.
    fn before(&self, sunk: &HashSet<Var>) -> Vec<Var> {
        let carries = self.inputs[self.scan.carried()].iter().copied();
        let depends = self.graph.dependents(carries);
        let needed = self.graph.needed(self.outputs.iter().copied());
        let lonely = |e: &&Equation| {
            let v = e.results[0];
            (is_product(e) || self.turns_weights(e))
                && needed[v.index()]
                && !depends[v.index()]
                && !sunk.contains(&v)
        };
        self.equations()
            .iter()
            .filter(lonely)
            .map(|e| e.results[0])
            .collect()
    }

    /// The values that have to be stacked for `v` to be computed outside.
    fn frontier(&self, v: Var, sunk: &HashSet<Var>, outside: &Outside<'_>, found: &mut Vec<Var>) {
        if outside.known.contains_key(&v) || found.contains(&v) {
            return;
        }
        match self.graph.producer(v) {
            Some(e)
                if sunk.contains(&v)
                    || matches!(
                        e.op,
                        Op::Constant(_) | Op::Broadcast(_) | Op::Permute(_) | Op::Reshape(_)
                    ) =>
            {
                for &a in &e.args {
                    self.frontier(a, sunk, outside, found);
                }
            }
            _ => found.push(v),
        }
    }

    fn emit(
        &self,
        g: &mut Graph,
        args: &[Var],
        before: &[Var],
        sunk: &HashSet<Var>,
        mut outside: Outside<'_>,
    ) -> Vars {
        let scan = self.scan;
        let mut stacks: Vec<Var> = Vec::new();
        if !sunk.is_empty() {
            for i in scan.summed() {
                self.frontier(self.outputs[i], sunk, &outside, &mut stacks);
            }
        }
        // Arguments beside the values of the body that they stand for.
        let pair = |i: usize| (args[i], self.inputs[i]);
        let made = |all: bool| {
            before.iter().filter_map({
                let known = &outside.known;
                move |v| (known[v].1 == all).then_some((known[v].0, *v))
            })
        };
        let consts: Vec<(Var, Var)> = (0..scan.consts).map(pair).chain(made(false)).collect();
        let slices: Vec<(Var, Var)> = scan.sliced().map(pair).chain(made(true)).collect();
        let (count, carried) = (consts.len(), scan.carried().map(pair));
        let all: Vec<(Var, Var)> = consts.into_iter().chain(carried).chain(slices).collect();
        let is_kept = |i: &usize| sunk.is_empty() || !scan.summed().contains(i);
        let kept: Vec<usize> = (0..self.outputs.len()).filter(is_kept).collect();
        let outputs: Vec<Var> = kept
            .iter()
            .map(|&i| self.outputs[i])
            .chain(stacks.iter().copied())
            .collect();
        let inputs: Vec<Input> = all.iter().map(|a| Input::unnamed(a.1)).collect();
        let op = Scan {
            body: Arc::new(Program::extract(&self.graph, &inputs, &outputs)),
            consts: count,
            sums: if sunk.is_empty() { scan.sums } else { 0 },
            ..*scan
        };
        let outer: Vec<Var> = all.iter().map(|a| a.0).collect();
        // Nothing may be left for the steps.
        let given = match outputs[..] {
            [] => Vars::new(),
            _ => g.emit_all(op.into(), &outer),
        };
        let mut results: HashMap<usize, Var> =
            kept.iter().copied().zip(given.iter().copied()).collect();
        let stacked = stacks.iter().zip(&given[kept.len()..]);
        outside
            .known
            .extend(stacked.map(|(&v, &stack)| (v, (stack, true))));
        if !sunk.is_empty() {
            for i in scan.summed() {
                let (v, all) = outside.value(g, self.outputs[i]);
                let sum = if all {
                    g.sum(v, &[0])
                } else {
                    g.scale(v, scan.length as f64)
                };
                results.insert(i, sum);
            }
        }
        (0..self.outputs.len()).map(|i| results[&i]).collect()
    }
}
