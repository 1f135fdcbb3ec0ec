//! Checks that hold for every program: its transforms against differences, against each other, and against themselves.

#![allow(dead_code)]

mod generate;
pub(crate) mod random;

use quadric_autodiff::{Array, Data, Executable, Program, Tensor, Tracer};
use quadric_linalg::random::SeedTree;
use std::cell::RefCell;

/// What a case computes.
pub(crate) type Body = for<'t> fn(&'t Tracer, &[Tensor<'t>]) -> Vec<Tensor<'t>>;

/// A program to check: inputs by shape and range.
pub(crate) struct Case {
    pub(crate) name: &'static str,
    pub(crate) inputs: &'static [(&'static [usize], f64, f64)],
    pub(crate) body: Body,
}

pub(crate) fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn scale(a: &[f64]) -> f64 {
    a.iter().fold(1.0, |m: f64, v| m.max(v.abs()))
}

#[track_caller]
pub(crate) fn assert_close(what: &str, found: &[f64], expected: &[f64], tolerance: f64) {
    assert_eq!(found.len(), expected.len(), "{what}");
    let most = scale(expected);
    for (i, (a, b)) in found.iter().zip(expected).enumerate() {
        let error = (a - b).abs() / most;
        assert!(
            error <= tolerance,
            "{what}: entry {i} is {a}, expected {b} (error {error:.1e})"
        );
    }
}

/// A program with flat values of its inputs, laid one after another.
pub(crate) struct Flat {
    pub(crate) program: Program,
    pub(crate) sizes: Vec<usize>,
    compiled: RefCell<Executable<f64>>,
    tolerance: f64,
}

impl Flat {
    /// `tolerance`: for the compiled program, against the plain evaluation.
    pub(crate) fn new(program: Program, tolerance: f64) -> Self {
        let sizes = (0..program.inputs().len()).map(|i| program.input_type(i).len());
        let compiled = Executable::new(&program).expect("real outputs");
        Self {
            sizes: sizes.collect(),
            compiled: RefCell::new(compiled),
            program,
            tolerance,
        }
    }

    fn cut<'a>(&self, x: &'a [f64]) -> Vec<Data<'a, f64>> {
        assert_eq!(x.len(), self.sizes.iter().sum::<usize>());
        let mut at = 0;
        let slices = self.sizes.iter().map(|n| {
            at += n;
            Data::Float(&x[at - n..at])
        });
        slices.collect()
    }

    /// All outputs, one after another.
    pub(crate) fn run(&self, x: &[f64]) -> Vec<f64> {
        let outputs = self.program.run(&self.cut(x)).expect("inputs fit");
        let plain: Vec<f64> = outputs.iter().flat_map(Array::floats).copied().collect();
        let compiled = self.run_compiled(x);
        assert_close("the compiled program", &compiled, &plain, self.tolerance);
        plain
    }

    /// The outputs of the compiled program, at once and in two stages.
    pub(crate) fn run_compiled(&self, x: &[f64]) -> Vec<f64> {
        let inputs = self.cut(x);
        let sizes: Vec<usize> = (0..self.program.outputs())
            .map(|i| self.program.output_type(i).len())
            .collect();
        let mut flat = vec![f64::NAN; sizes.iter().sum()];
        let mut again = flat.clone();
        fn cut<'a>(mut v: &'a mut [f64], sizes: &[usize]) -> Vec<&'a mut [f64]> {
            let mut parts = Vec::new();
            for &n in sizes {
                let (head, tail) = v.split_at_mut(n);
                parts.push(head);
                v = tail;
            }
            parts
        }
        let mut executable = self.compiled.borrow_mut();
        executable
            .run(&inputs, &mut cut(&mut flat, &sizes))
            .expect("inputs fit");
        let is_direction = |i: usize| self.program.inputs()[i].is_direction();
        let (directions, point): (Vec<usize>, Vec<usize>) =
            (0..inputs.len()).partition(|&i| is_direction(i));
        let pick =
            |which: &[usize]| -> Vec<Data<'_, f64>> { which.iter().map(|&i| inputs[i]).collect() };
        let mut prepared = executable.prepare(&pick(&point)).expect("inputs fit");
        let bits = |v: &[f64]| -> Vec<u64> { v.iter().map(|v| v.to_bits()).collect() };
        for _ in 0..2 {
            again.fill(f64::NAN);
            prepared
                .apply(&pick(&directions), &mut cut(&mut again, &sizes))
                .expect("inputs fit");
            assert_eq!(bits(&flat), bits(&again), "stages change bits");
        }
        flat
    }
}

/// A number that every output has a part in, curved even where the outputs are not.
pub(crate) fn weighted<'t>(t: &'t Tracer, outputs: &[Tensor<'t>], seed: u64) -> Tensor<'t> {
    let parts = outputs.iter().enumerate().map(|(i, o)| {
        let n = o.shape().iter().product();
        let weights = t.constant(&normals(seed, NAMES[i], n), o.shape());
        (*o * weights).sum_all() + o.square().sum_all() * 0.1
    });
    parts.reduce(|a, b| a + b).expect("at least one output")
}

/// Central differences of `f` at `x` along `v`.
pub(crate) fn difference(f: impl Fn(&[f64]) -> Vec<f64>, x: &[f64], v: &[f64]) -> Vec<f64> {
    let h = 1e-5;
    let moved = |h: f64| -> Vec<f64> { x.iter().zip(v).map(|(x, v)| x + h * v).collect() };
    let (up, down) = (f(&moved(h)), f(&moved(-h)));
    let slopes = up.iter().zip(&down).map(|(u, d)| (u - d) / (2.0 * h));
    slopes.collect()
}

pub(crate) fn normals(seed: u64, purpose: &str, n: usize) -> Vec<f64> {
    let mut stream = SeedTree::new(seed).child(purpose).stream(0);
    (0..n).map(|_| stream.normal()).collect()
}

fn point(case: &Case, seed: u64) -> Vec<f64> {
    let mut stream = SeedTree::new(seed).child(case.name).stream(1);
    let inputs = case.inputs.iter();
    let values = inputs.flat_map(|&(shape, low, high)| {
        let n = shape.iter().product::<usize>();
        std::iter::repeat_n((low, high), n)
    });
    values
        .map(|(low, high)| low + (high - low) * stream.uniform())
        .collect()
}

/// For the compiled program against the plain evaluation.
const SAME: f64 = 1e-12;

const NAMES: [&str; 6] = ["x0", "x1", "x2", "x3", "x4", "x5"];

/// Runs all checks on a case; messages give its name and the seed.
pub(crate) fn check(case: &Case, seed: u64) {
    let names = &NAMES[..case.inputs.len()];
    let trace = |scalar: bool| {
        let program = Program::trace(|t| {
            let shapes = case.inputs.iter().map(|i| i.0.to_vec());
            let inputs: Vec<Tensor<'_>> = names
                .iter()
                .zip(shapes)
                .map(|(n, s)| t.input(n, s))
                .collect();
            let outputs = (case.body)(t, &inputs);
            if !scalar {
                return outputs;
            }
            vec![weighted(t, &outputs, seed)]
        });
        program.unwrap_or_else(|e| panic!("{}: {e}", case.name))
    };
    let x = point(case, seed);
    let what = |check: &str| format!("{check} of {} (seed {seed})", case.name);
    let function = Flat::new(trace(false), SAME);
    let loss = trace(true);
    check_first(&function, names, &x, &what, seed);
    check_second(&loss, names, &x, &what, seed);
}

fn join(x: &[f64], v: &[f64]) -> Vec<f64> {
    [x, v].concat()
}

/// Tangents against differences; cotangents against tangents; many directions against one.
fn check_first(f: &Flat, names: &[&str], x: &[f64], what: &dyn Fn(&str) -> String, seed: u64) {
    let v = normals(seed, "direction", x.len());
    let tangents = Flat::new(f.program.linearize(names).expect("names of inputs"), SAME);
    let jv = tangents.run(&join(x, &v));
    assert_close(
        &what("tangent"),
        &jv,
        &difference(|x| f.run(x), x, &v),
        1e-7,
    );

    let cotangents = Flat::new(f.program.vjp(names).expect("names of inputs"), SAME);
    let c = normals(seed, "cotangent", jv.len());
    let jtc = cotangents.run(&join(x, &c));
    let (left, right) = (dot(&c, &jv), dot(&jtc, &v));
    assert_close(&what("adjoint"), &[left], &[right], 1e-11);

    let directions: Vec<String> = names.iter().map(|n| format!("d {n}")).collect();
    let directions: Vec<&str> = directions.iter().map(String::as_str).collect();
    let wide = Flat::new(
        tangents
            .program
            .batch(&directions, 3)
            .expect("directions are inputs"),
        SAME,
    );
    // Positive, for functions that need it.
    let values = |what: &str, k: u64| -> Vec<f64> {
        let v = normals(seed + k, what, x.len());
        v.iter().map(|v| 0.3 + 0.1 * v.abs()).collect()
    };
    let block = |what: &str| [0, 1, 2].map(|k| values(what, k));
    let (linear, plain) = (what("block of tangents"), what("block of values"));
    check_block(&tangents, &wide, x, &block(&linear), &linear, 1e-13);
    let everything = Flat::new(f.program.batch(names, 3).expect("names of inputs"), SAME);
    check_block(f, &everything, &[], &block(&plain), &plain, 1e-13);
}

/// `wide` does for all of some directions at once what `single` does for one; `x` is common to all.
pub(crate) fn check_block(
    single: &Flat,
    wide: &Flat,
    x: &[f64],
    all: &[Vec<f64>],
    what: &str,
    tolerance: f64,
) {
    let mut left = x.len();
    let common = single.sizes.iter().take_while(|&&s| {
        let inside = left > 0;
        left = left.saturating_sub(s);
        inside
    });
    let own = single.sizes[common.count()..].to_vec();
    let mut block = x.to_vec();
    let mut at = 0;
    for size in own {
        for v in all {
            block.extend(&v[at..at + size]);
        }
        at += size;
    }
    let found = wide.run(&block);
    let singles: Vec<Vec<f64>> = all.iter().map(|v| single.run(&join(x, v))).collect();
    let (mut from, mut start) = (0, 0);
    for i in 0..single.program.outputs() {
        let size = single.program.output_type(i).len();
        for (k, one) in singles.iter().enumerate() {
            let part = &found[start + k * size..start + (k + 1) * size];
            let what = format!("{what}, direction {k}");
            assert_close(&what, part, &one[from..from + size], tolerance);
        }
        (from, start) = (from + size, start + all.len() * size);
    }
}

/// Gradient, Hessian and third derivative against differences; symmetry of the Hessian; block against columns.
fn check_second(
    loss: &Program,
    names: &[&str],
    x: &[f64],
    what: &dyn Fn(&str) -> String,
    seed: u64,
) {
    let value = Flat::new(loss.clone(), SAME);
    let gradient = Flat::new(loss.grad(names).expect("a single number"), SAME);
    let product = Flat::new(
        gradient.program.linearize(names).expect("names of inputs"),
        SAME,
    );
    let third = Flat::new(
        product.program.linearize(names).expect("names of inputs"),
        SAME,
    );

    let (u, v) = (normals(seed, "u", x.len()), normals(seed, "v", x.len()));
    let g = gradient.run(x);
    assert_close(
        &what("gradient"),
        &[dot(&g, &v)],
        &difference(|x| value.run(x), x, &v),
        1e-7,
    );
    let (hu, hv) = (product.run(&join(x, &u)), product.run(&join(x, &v)));
    assert_close(
        &what("Hessian"),
        &hv,
        &difference(|x| gradient.run(x), x, &v),
        1e-6,
    );
    assert_close(&what("symmetry"), &[dot(&u, &hv)], &[dot(&v, &hu)], 1e-11);

    let along = third.run(&[x, &v, &u].concat());
    let differences = difference(|x| product.run(&join(x, &v)), x, &u);
    assert_close(&what("third derivative"), &along, &differences, 1e-5);

    let mut column = vec![0.0; x.len()];
    let mut combined = vec![0.0; x.len()];
    for i in 0..x.len() {
        column[i] = 1.0;
        let h = product.run(&join(x, &column));
        combined
            .iter_mut()
            .zip(&h)
            .for_each(|(c, h)| *c += h * v[i]);
        column[i] = 0.0;
    }
    assert_close(&what("Hessian by columns"), &hv, &combined, 1e-11);
}
