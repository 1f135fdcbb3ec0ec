//! Many values of an input, some at a time: a scan whose steps take them through everything that depends on them.
//!
//! A product with a direction makes a tangent of every layer. Those of many directions at once do not fit in a cache, and no
//! product gains from being longer once it has hundreds of rows.

use super::Opened;
use crate::graph::{Graph, Vars};
use crate::ops::{Op, Scan};
use crate::program::{Input, Program, mark_dependents};
use crate::transform::hoist::LARGE;
use crate::types::{Shape, Var};
use std::collections::HashMap;
use std::sync::Arc;

/// Bytes of what a step makes, about: a second-level cache.
const CACHE: usize = 1 << 21;

/// How many of `size` values of the named inputs go through a program together.
pub(super) fn size(program: &Program, names: &[&str], size: usize) -> usize {
    let mut depends = vec![false; program.types.len()];
    for input in &program.inputs {
        depends[input.var.index()] = names.contains(&&input.name[..]);
    }
    mark_dependents(&program.equations, &mut depends);
    let (mut bytes, mut flops) = (0, 0);
    for e in &program.equations {
        if !e.results.iter().any(|v| depends[v.index()]) {
            continue;
        }
        flops += program.cost(e);
        if matches!(e.op, Op::MatMul(_) | Op::Convolution(_) | Op::Scan(_)) {
            let stays = |v: &&Var| !program.outputs.contains(v);
            let made = e.results.iter().filter(stays);
            let entries = made.map(|v| program.types[v.index()].len());
            bytes += entries.sum::<usize>() * size_of::<f32>();
        }
    }
    let most = (CACHE / bytes.max(1)).max(1);
    let fits = |n: &usize| *n <= most && size.is_multiple_of(*n);
    let chunk = (1..=size).rev().find(fits).unwrap_or(size);
    if flops * (chunk as u64) < LARGE {
        size
    } else {
        chunk
    }
}

/// The graphs inside and outside the scan.
struct Split<'a> {
    from: &'a Graph,
    outer: Graph,
    outside: HashMap<Var, Var>,
    body: Graph,
    inside: HashMap<Var, Var>,
    /// What all steps read: the values outside, and the inputs of the body.
    consts: Vec<(Var, Var)>,
}

impl Split<'_> {
    /// A value for the steps. Repetitions and constants are made there: they take no memory.
    fn inside(&mut self, v: Var) -> Var {
        if let Some(&own) = self.inside.get(&v) {
            return own;
        }
        let maker = self.from.producer(v).cloned();
        let own = match maker {
            Some(e) if matches!(e.op, Op::Constant(_) | Op::Broadcast(_)) => {
                let args: Vars = e.args.iter().map(|&a| self.inside(a)).collect();
                self.body.emit_all(e.op, &args)[0]
            }
            _ => {
                let own = self.body.input(self.from.type_of(v).clone());
                self.consts.push((self.outside[&v], own));
                own
            }
        };
        self.inside.insert(v, own);
        own
    }
}

/// The program for `size` values whose steps compute `results` of the opened one, which are for the second of each pair, `chunk`
/// values, in the place of the first; none is an output that does not depend on them.
pub(super) fn chunked(
    o: &Opened,
    pairs: &[(Var, Var)],
    results: &[Option<Var>],
    (size, chunk): (usize, usize),
) -> Program {
    let mut split = Split {
        from: &o.graph,
        outer: Graph::default(),
        outside: HashMap::new(),
        body: Graph::default(),
        inside: HashMap::new(),
        consts: Vec::new(),
    };
    let mut inputs: Vec<Input> = o.inputs.clone();
    let mut slices: Vec<(Var, Var)> = Vec::new();
    let length = size / chunk;
    for input in &mut inputs {
        let t = o.graph.type_of(input.var);
        let Some(&(_, many)) = pairs.iter().find(|p| p.0 == input.var) else {
            let own = split.outer.input(t.clone());
            split.outside.insert(input.var, own);
            input.var = own;
            continue;
        };
        let step = o.graph.type_of(many);
        input.var = split.outer.input(t.with_leading(size));
        let slice = split.body.input(step.clone());
        split.inside.insert(many, slice);
        let shape = step.with_leading(length).shape;
        slices.push((split.outer.reshape(input.var, &shape), slice));
    }
    let given = results.iter().zip(&o.outputs);
    let wanted = given.clone().map(|(r, single)| r.unwrap_or(*single));
    let (needed, depends) = (
        o.graph.needed(wanted),
        o.graph.dependents(pairs.iter().map(|p| p.1)),
    );
    for e in o.graph.equations() {
        if !e.results.iter().any(|v| needed[v.index()]) {
            continue;
        }
        let (own, known) = if e.results.iter().any(|v| depends[v.index()]) {
            let args: Vars = e.args.iter().map(|&a| split.inside(a)).collect();
            (split.body.emit_all(e.op.clone(), &args), &mut split.inside)
        } else {
            let args: Vars = e.args.iter().map(|a| split.outside[a]).collect();
            (
                split.outer.emit_all(e.op.clone(), &args),
                &mut split.outside,
            )
        };
        known.extend(e.results.iter().copied().zip(own));
    }
    let made: Vec<Var> = results.iter().flatten().copied().collect();
    let stacks = split.scan(&made, &slices, length);
    let mut stacks = stacks.into_iter();
    let outputs: Vec<Var> = given
        .map(|(r, single)| match r {
            Some(_) => {
                let stack = stacks.next().expect("one for each that is made");
                let shape: Shape = std::iter::once(size)
                    .chain(o.graph.shape(*single).iter().copied())
                    .collect();
                split.outer.reshape(stack, &shape)
            }
            None => split.outer.repeat(split.outside[single], size),
        })
        .collect();
    Program::extract(&split.outer, &inputs, &outputs)
}

impl Split<'_> {
    /// The scan that stacks some values of its steps.
    fn scan(&mut self, made: &[Var], slices: &[(Var, Var)], length: usize) -> Vars {
        let outputs: Vec<Var> = made.iter().map(|&v| self.inside(v)).collect();
        let all = self.consts.iter().chain(slices);
        let own: Vec<Input> = all.clone().map(|p| Input::unnamed(p.1)).collect();
        let args: Vars = all.map(|p| p.0).collect();
        let scan = Scan {
            body: Arc::new(Program::extract(&self.body, &own, &outputs)),
            length,
            consts: self.consts.len(),
            carries: 0,
            sums: 0,
            from_end: false,
        };
        self.outer.emit_all(scan.into(), &args)
    }
}

#[cfg(test)]
mod tests {
    use crate::array::{Array, Data};
    use crate::exec::Executable;
    use crate::program::Program;
    use crate::types::Kind;
    use quadric_linalg::random::SeedTree;

    /// A layer with a bias that is repeated, a recurrent one, and rows by number; one output depends on nothing that is many.
    fn product() -> Program {
        let loss = Program::trace(|t| {
            let (x, rows) = (t.input("x", [4, 3, 2]), t.index_input("rows", [4]));
            let (w, b, u) = (
                t.input("w", [2, 5]),
                t.input("b", [5]),
                t.input("u", [5, 5]),
            );
            let zero = t.fill(0.0, [4, 5]);
            let (last, _) = t.scan(&[zero], &[x.permute(&[1, 0, 2])], |h, x| {
                (vec![(x[0].matmul(w) + h[0].matmul(u) + b).tanh()], vec![])
            });
            let picked = t.input("table", [3, 5]).gather(rows);
            vec![(last[0] * picked).relu().square().sum_all()]
        });
        let wrt = ["w", "b", "u", "table"];
        let gradient = loss.and_then(|l| l.value_and_grad(&wrt)).expect("a number");
        gradient.linearize(&wrt).expect("names")
    }

    /// Values at once, and some or one at a time, plainly and compiled.
    #[test]
    fn chunks_are_the_whole() {
        let product = product();
        let cases: [&[&str]; 3] = [
            &["d w", "d b", "d u", "d table"],
            &["d table"],
            &["rows", "d b"],
        ];
        for names in cases {
            let whole = product.batch_by(names, 6, 6).expect("names");
            let mut stream = SeedTree::new(11).child("chunks").stream(0);
            let given: Vec<Array<f64>> = (0..whole.inputs().len())
                .map(|i| {
                    let t = whole.input_type(i);
                    match t.kind {
                        Kind::Index => {
                            Array::Index((0..t.len()).map(|_| stream.below(3) as i32).collect())
                        }
                        Kind::Float => {
                            Array::Float((0..t.len()).map(|_| stream.normal()).collect())
                        }
                    }
                })
                .collect();
            let data: Vec<Data<'_, f64>> = given.iter().map(Array::data).collect();
            let expected = whole.run(&data).expect("inputs fit");
            for chunk in [1, 2, 3] {
                let program = product.batch_by(names, 6, chunk).expect("names");
                let plain = program.run(&data).expect("inputs fit");
                let mut compiled = Executable::<f64>::new(&program).expect("real outputs");
                let mut out: Vec<Vec<f64>> = expected
                    .iter()
                    .map(|e| vec![f64::NAN; e.floats().len()])
                    .collect();
                let mut slots: Vec<&mut [f64]> = out.iter_mut().map(Vec::as_mut_slice).collect();
                compiled.run(&data, &mut slots).expect("inputs fit");
                for ((e, p), c) in expected.iter().zip(&plain).zip(&out) {
                    let all = e.floats().iter().zip(p.floats()).zip(c);
                    for ((e, p), c) in all {
                        let close = |v: &f64| (v - e).abs() <= 1e-12 * (1.0 + e.abs());
                        assert!(close(p) && close(c), "{names:?} by {chunk}: {e}, {p}, {c}");
                    }
                }
            }
        }
    }

    /// Many directions of a large product take little more memory than one.
    #[test]
    fn what_does_not_fit_in_a_cache_goes_through_in_chunks() {
        let loss = Program::trace(|t| {
            let h = t.input("x", [512, 300]).matmul(t.input("w", [300, 400]));
            let h = h.relu().matmul(t.input("u", [400, 200])).tanh();
            vec![h.square().sum_all()]
        });
        let product = loss.and_then(|l| l.grad(&["w", "u"]));
        let product = product
            .and_then(|g| g.linearize(&["w", "u"]))
            .expect("names");
        let many = product.batch(&["d w", "d u"], 12).expect("names");
        let memory = |p: &Program| Executable::<f32>::new(p).expect("real outputs").memory();
        // Every thread has memory for a chunk of its own.
        let two = rayon::ThreadPoolBuilder::new().num_threads(2).build();
        let two = two.expect("threads");
        let (one, many) = two.install(|| (memory(&product), memory(&many)));
        assert!(many < 4 * one, "{one} and {many} bytes");
    }
}
