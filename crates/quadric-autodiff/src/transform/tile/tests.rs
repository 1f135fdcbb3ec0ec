//! Programs cut in parts against themselves.

use super::{Limits, tile};
use crate::array::{Array, Data};
use crate::exec::Executable;
use crate::interpret;
use crate::ops::{Op, Scan};
use crate::program::Program;
use crate::tensor::Windows;
use crate::transform::{Again, stage};
use crate::types::Kind;
use crate::{Tensor, Tracer};
use quadric_linalg::random::SeedTree;

/// Cuts whatever can be cut, in parts as small as can be.
const SMALL: Limits = Limits {
    cache: 1,
    worth: 0,
    uses: 1,
    scanned: Some(1),
};

/// Two convolutions with the normalisation of a batch, a short cut between, and a dense layer.
fn residual(t: &Tracer) -> Vec<Tensor<'_>> {
    let (x, labels) = (t.input("x", [6, 5, 5, 2]), t.index_input("labels", [6]));
    let kernel = |name: &str, shape: [usize; 4]| t.input(name, shape) * 0.5;
    let first = x.conv2d(kernel("k", [3, 3, 2, 4]), Windows::default());
    let first = first.normalize(&[0, 1, 2], 1e-3) * t.input("scale", [4]);
    let second = first
        .relu()
        .conv2d(kernel("l", [3, 3, 4, 4]), Windows::default());
    let h = (second.normalize(&[0, 1, 2], 1e-3) + first).relu();
    let logits = h.mean(&[1, 2]).matmul(t.input("w", [4, 3]));
    vec![logits.cross_entropy(labels).mean_all()]
}

/// Attention between embedded words, the mean over them, a dense layer.
fn attention(t: &Tracer) -> Vec<Tensor<'_>> {
    let (words, labels) = (t.index_input("words", [6, 3]), t.index_input("labels", [6]));
    let h = t.input("table", [3, 4]).gather(words);
    let y = h.normalize(&[-1], 1e-3);
    let [q, k, v] = ["q", "k", "v"].map(|n| y.matmul(t.input(n, [4, 4])));
    let h = h + q.matmul(k.transpose()).softmax(-1).matmul(v).gelu();
    let logits = h.mean(&[1]).matmul(t.input("w", [4, 3]));
    vec![logits.cross_entropy(labels).mean_all()]
}

/// A recurrent network with two gates, over its steps, and a dense layer on the last state and the mean of all.
fn recurrent(t: &Tracer) -> Vec<Tensor<'_>> {
    let (x, labels) = (t.input("x", [6, 5, 3]), t.index_input("labels", [6]));
    let (w, u) = (t.input("w", [3, 8]), t.input("u", [4, 8]));
    let zero = t.fill(0.0, [6, 4]);
    let (last, all) = t.scan(&[zero], &[x.permute(&[1, 0, 2])], |h, x| {
        let z = x[0].matmul(w) + h[0].matmul(u);
        let gate = z.slice(1, 0..4).sigmoid();
        let next = gate * h[0] + (-gate + 1.0) * z.slice(1, 4..8).tanh();
        (vec![next], vec![next])
    });
    let logits = (last[0] + all[0].mean(&[0])).matmul(t.input("v", [4, 3]));
    vec![logits.cross_entropy(labels).mean_all()]
}

fn inputs(program: &Program) -> Vec<Array<f64>> {
    let seeds = SeedTree::new(7);
    let draw = |i: usize| {
        let (t, mut stream) = (
            program.input_type(i),
            seeds.child("inputs").stream(i as u64),
        );
        match t.kind {
            Kind::Index => Array::Index((0..t.len()).map(|_| stream.below(3) as i32).collect()),
            Kind::Float => Array::Float((0..t.len()).map(|_| stream.normal()).collect()),
        }
    };
    (0..program.inputs().len()).map(draw).collect()
}

fn assert_alike(name: &str, found: &[f64], expected: &[f64]) {
    assert_eq!(found.len(), expected.len(), "{name}");
    for (a, b) in found.iter().zip(expected) {
        assert!(
            (a - b).abs() <= 1e-11 * (1.0 + b.abs()),
            "{name}: {a} is not {b}"
        );
    }
}

/// The programs of a loss: the gradient, a Hessian product, and one for two directions.
fn programs(f: fn(&Tracer) -> Vec<Tensor<'_>>) -> Vec<Program> {
    let loss = Program::trace(f).expect("shapes fit");
    let names = loss.inputs().iter().map(|i| i.name().to_owned());
    let wrt: Vec<String> = names
        .filter(|n| !["x", "labels", "words"].contains(&n.as_str()))
        .collect();
    let wrt: Vec<&str> = wrt.iter().map(String::as_str).collect();
    let directions: Vec<String> = wrt.iter().map(|n| format!("d {n}")).collect();
    let directions: Vec<&str> = directions.iter().map(String::as_str).collect();
    let gradient = loss.value_and_grad(&wrt).expect("one number");
    let product = loss
        .grad(&wrt)
        .and_then(|g| g.linearize(&wrt))
        .expect("a product");
    let block = product.batch(&directions, 2).expect("two directions");
    vec![gradient, product, block]
}

fn scans_of(program: &Program) -> Vec<&Scan> {
    let scans = program.equations.iter().filter_map(|e| match &e.op {
        Op::Scan(scan) => Some(scan),
        _ => None,
    });
    scans.collect()
}

#[test]
fn parts_change_nothing() {
    for (name, f, scans) in [
        (
            "residual",
            residual as fn(&Tracer) -> Vec<Tensor<'_>>,
            [5, 9, 9],
        ),
        ("attention", attention, [1, 2, 2]),
        ("recurrent", recurrent, [1, 2, 2]),
    ] {
        for (i, program) in programs(f).iter().enumerate() {
            for again in [Again::OneByOne, Again::Arithmetic, Again::Everything] {
                let name = format!("{name}, program {i}, {again:?}");
                let staged = tile(stage(program, again), again, SMALL);
                let found = scans_of(&staged.program);
                // Computed again, all of it may be one level.
                let least = if again == Again::Everything {
                    1
                } else {
                    scans[i]
                };
                assert!(found.len() >= least, "{name}: {} scans", found.len());
                // Where there is one direction, the steps of a network are in the parts.
                let in_parts = found.iter().all(|s| s.carries == 0);
                assert!(in_parts || i == 2, "{name}");
                let given = inputs(program);
                let plain = interpret::run(program, given.clone()).expect("indices in range");
                let cut = interpret::run(&staged.program, given.clone()).expect("indices in range");
                for (a, b) in cut.iter().zip(&plain) {
                    assert_alike(&name, a.floats(), b.floats());
                }
                let mut compiled =
                    Executable::compile(program, again, SMALL).expect("real outputs");
                let mut out: Vec<Vec<f64>> = plain
                    .iter()
                    .map(|p| vec![f64::NAN; p.floats().len()])
                    .collect();
                let mut slots: Vec<&mut [f64]> = out.iter_mut().map(Vec::as_mut_slice).collect();
                let data: Vec<Data<'_, f64>> = given.iter().map(Array::data).collect();
                compiled.run(&data, &mut slots).expect("inputs fit");
                for (a, b) in out.iter().zip(&plain) {
                    assert_alike(&name, a, b.floats());
                }
            }
        }
    }
}

/// Small networks are left as they are.
#[test]
fn what_fits_in_a_cache_is_not_cut() {
    for program in programs(residual) {
        let staged = tile(
            stage(&program, Again::OneByOne),
            Again::OneByOne,
            Limits::default(),
        );
        assert!(scans_of(&staged.program).is_empty());
    }
}
