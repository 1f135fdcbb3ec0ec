//! Fisher and covariance matrices, gradients of examples, Jacobians and batches of a problem, against their definitions.

use faer::{Mat, MatRef};
use quadric_autodiff::Array;
use quadric_core::{Backward, FiniteSum, Matrix, Model, Objective, Problem, Smooth, Targets};
use quadric_linalg::random::SeedTree;
use quadric_linalg::{Error, ErrorKind, LinearOperator, Result};
use quadric_nn::layers::{BatchNorm, Dense, batch_norm, dense, dropout};
use quadric_nn::{Examples, Loss, Mode, Network, Port, Rows, Source, Supervised};
use std::sync::atomic::{AtomicUsize, Ordering};

const EXAMPLES: usize = 9;
const IGNORING: Loss = Loss::CrossEntropy {
    smoothing: 0.0,
    ignored: Some(-1),
};

fn normals(n: usize, purpose: &str) -> Vec<f64> {
    let mut stream = SeedTree::new(5).child(purpose).stream(0);
    (0..n).map(|_| stream.normal()).collect()
}

fn network(outputs: usize) -> Network {
    Network::new([Port::floats("x", [3])], move |scope, x| {
        let h = dense(scope, "one", x[0], 4, &Dense::default()).tanh();
        vec![dense(scope, "two", h, outputs, &Dense::default())]
    })
    .expect("shapes fit")
}

/// Two labels for each example.
fn pairs() -> Network {
    Network::new([Port::floats("x", [3])], |scope, x| {
        let h = dense(scope, "one", x[0], 8, &Dense::default()).tanh();
        vec![dense(
            scope,
            "two",
            h.reshape([h.dim(0), 2, 4]),
            3,
            &Dense::default(),
        )]
    })
    .expect("shapes fit")
}

fn examples(targets: Array<f64>) -> Examples<f64> {
    let inputs = vec![Array::Float(normals(3 * EXAMPLES, "x"))];
    let count = EXAMPLES;
    Examples {
        count,
        inputs,
        targets,
    }
}

/// A problem for each loss, with labels that do not count, and with many labels for each example.
fn problems() -> Vec<(Supervised<f64>, Vec<f64>)> {
    let labels = Array::Index(vec![0, 2, 1, -1, 1, 0, 2, -1, 1]);
    let two = vec![0, 2, 1, 1, -1, -1, 2, 0, 1, -1, 1, 1, 2, 0, 0, 1, 2, 2];
    let shares = normals(3 * EXAMPLES, "shares");
    let shares = shares.iter().map(|v| 1.0 / (1.0 + v.exp())).collect();
    let real = || Array::Float(normals(2 * EXAMPLES, "y"));
    let all = [
        (network(3), IGNORING, labels),
        (pairs(), IGNORING, Array::Index(two)),
        (network(2), Loss::Squared, real()),
        (network(2), Loss::MeanSquared, real()),
        (network(3), Loss::Bernoulli, Array::Float(shares)),
    ];
    all.into_iter()
        .map(|(network, loss, targets)| {
            let x = network.initial(1);
            let problem = Supervised::new(network, loss, examples(targets));
            (problem.expect("examples fit").with_batch(4), x)
        })
        .collect()
}

fn dense_of(op: &dyn LinearOperator<f64>) -> Mat<f64> {
    let (m, n) = op.shape();
    let mut out = Mat::zeros(m, n);
    op.apply(Mat::<f64>::identity(n, n).as_ref(), out.as_mut())
        .expect("a product");
    out
}

fn near(a: MatRef<'_, f64>, b: MatRef<'_, f64>, tolerance: f64) {
    assert_eq!(a.shape(), b.shape());
    let error = (a - b).norm_max();
    assert!(error <= tolerance * (1.0 + b.norm_max()), "{error:e}");
}

/// What each example adds to F, as a problem over this example alone, times the share that makes their mean F.
fn gradients_one_by_one(p: &Supervised<f64>, x: &[f64]) -> Vec<Vec<f64>> {
    let value = |row: usize| {
        let one = p.batch(&[row]).expect("a row");
        let mut g = vec![0.0; x.len()];
        one.value_grad(x, &mut g).expect("a value");
        g
    };
    (0..EXAMPLES).map(value).collect()
}

#[test]
fn gradients_of_examples() {
    for (p, x) in problems() {
        let mut mean = vec![0.0; x.len()];
        p.value_grad(&x, &mut mean).expect("a value");
        let op = p.gradients(&x, Targets::Data).expect("gradients");
        assert_eq!(op.shape(), (x.len(), EXAMPLES));
        let by_products = dense_of(&*op);
        let mut at_once = Mat::zeros(x.len(), EXAMPLES);
        op.dense(at_once.as_mut()).expect("gradients");
        near(at_once.as_ref(), by_products.as_ref(), 1e-14);
        let mut transposed = Mat::zeros(EXAMPLES, x.len());
        let identity = Mat::<f64>::identity(x.len(), x.len());
        op.apply_adjoint(identity.as_ref(), transposed.as_mut())
            .expect("slopes");
        near(transposed.transpose(), by_products.as_ref(), 1e-14);
        // Examples none of whose labels count are not counted in the mean, and have no gradient.
        let has_gradient = |n: &usize| by_products.col(*n).norm_max() > 0.0;
        let counting = (0..EXAMPLES).filter(has_gradient).count() as f64;
        assert_eq!(p.counting().expect("labels"), counting);
        for (n, g) in gradients_one_by_one(&p, &x).iter().enumerate() {
            let share = counting / EXAMPLES as f64;
            let expected = Mat::from_fn(x.len(), 1, |i, _| g[i] * share);
            near(at_once.subcols(n, 1), expected.as_ref(), 1e-14);
        }
        let sums = at_once * Mat::from_fn(EXAMPLES, 1, |_, _| counting.recip());
        near(
            sums.as_ref(),
            MatRef::from_column_major_slice(&mean, x.len(), 1),
            1e-14,
        );
    }
}

#[test]
fn empirical_fisher_and_covariance() {
    for (p, x) in problems() {
        let op = p.gradients(&x, Targets::Data).expect("gradients");
        let g = dense_of(&*op);
        let counting = (0..EXAMPLES).filter(|&n| g.col(n).norm_max() > 0.0);
        let counting: Vec<usize> = counting.collect();
        let n = counting.len() as f64;
        let mut mean = vec![0.0; x.len()];
        p.value_grad(&x, &mut mean).expect("a value");
        let second = Mat::from_fn(x.len(), x.len(), |i, j| {
            let terms = counting.iter().map(|&k| g[(i, k)] * g[(j, k)]);
            terms.sum::<f64>() / n
        });
        let centred = Mat::from_fn(x.len(), x.len(), |i, j| {
            let terms = counting
                .iter()
                .map(|&k| (g[(i, k)] - mean[i]) * (g[(j, k)] - mean[j]));
            terms.sum::<f64>() / n
        });
        for (matrix, expected) in [
            (Matrix::EmpiricalFisher, second),
            (Matrix::Covariance, centred),
        ] {
            let op = p.matrix(&x, matrix).expect("a matrix");
            assert!(op.properties().psd && op.properties().symmetric);
            near(dense_of(&*op).as_ref(), expected.as_ref(), 1e-13);
        }
    }
}

/// Draws are the same for any batch, are those of the operator of gradients, and their mean tends to the Fisher matrix.
#[test]
fn sampled_fisher() {
    let seed = 11;
    for (p, x) in problems() {
        let matrix = |draws| p.matrix(&x, Matrix::SampledFisher { draws, seed });
        let of_three = dense_of(&*matrix(3).expect("a matrix"));
        let mut by_gradients = Mat::<f64>::zeros(x.len(), x.len());
        let (weight, counting) = {
            let g = dense_of(&*p.gradients(&x, Targets::Data).expect("gradients"));
            let counting = (0..EXAMPLES).filter(|&n| g.col(n).norm_max() > 0.0).count();
            (p.weight().expect("a weight"), counting as f64)
        };
        for draw in 0..3 {
            let g = p.gradients(&x, Targets::Sampled { draw, seed });
            let g = dense_of(&*g.expect("gradients"));
            let scale = weight / (counting * counting) / 3.0;
            by_gradients += &g * g.transpose() * scale;
        }
        near(of_three.as_ref(), by_gradients.as_ref(), 1e-13);
        let fisher = dense_of(&*p.matrix(&x, Matrix::Fisher).expect("a matrix"));
        let error = |draws| {
            let sampled = dense_of(&*matrix(draws).expect("a matrix"));
            (sampled - &fisher).norm_l2() / fisher.norm_l2()
        };
        let (few, many) = (error(4), error(400));
        assert!(
            many < 0.15 && many < few / 3.0,
            "seed {seed}: {few}, {many}"
        );
    }
    let (p, x) = problems().swap_remove(0);
    let matrix = Matrix::SampledFisher { draws: 2, seed };
    let four = dense_of(&*p.matrix(&x, matrix).expect("a matrix"));
    let p = p.with_batch(EXAMPLES);
    near(
        dense_of(&*p.matrix(&x, matrix).expect("a matrix")).as_ref(),
        four.as_ref(),
        1e-14,
    );
    let none = Matrix::SampledFisher { draws: 0, seed };
    let text = p.matrix(&x, none).err().expect("no draws").to_string();
    assert!(text.contains("draws"), "{text}");
}

#[test]
fn jacobians() {
    for (p, x) in problems() {
        let op = p.jacobian(&x).expect("a Jacobian");
        let (rows, d) = op.shape();
        assert_eq!(d, x.len());
        let jacobian = dense_of(&*op);
        let mut transposed = Mat::zeros(d, rows);
        let identity = Mat::<f64>::identity(rows, rows);
        op.apply_adjoint(identity.as_ref(), transposed.as_mut())
            .expect("a product");
        near(transposed.transpose(), jacobian.as_ref(), 1e-14);
        let inputs = [Array::Float(normals(3 * EXAMPLES, "x"))];
        let outputs = |x: &[f64]| -> Vec<f64> {
            let all = p.network().run(x, &[], &inputs, EXAMPLES, EXAMPLES);
            all.expect("outputs").swap_remove(0).values
        };
        let step = 1e-6;
        for j in 0..d {
            let (mut up, mut down) = (x.clone(), x.clone());
            up[j] += step;
            down[j] -= step;
            let (up, down) = (outputs(&up), outputs(&down));
            let slopes = Mat::from_fn(rows, 1, |i, _| (up[i] - down[i]) / (2.0 * step));
            near(jacobian.subcols(j, 1), slopes.as_ref(), 1e-8);
        }
    }
}

/// A batch of all rows is the whole, the mean over rows is the whole, and a batch offers what the whole offers.
#[test]
fn batches_are_finite_sums() {
    for (p, x) in problems() {
        let whole = p.value(&x).expect("a value");
        let sum = p.as_finite_sum().expect("a sum");
        assert_eq!(sum.terms(), EXAMPLES);
        let all: Vec<usize> = (0..EXAMPLES).rev().collect();
        let same = sum.batch(&all).expect("rows").value(&x).expect("a value");
        assert!((same - whole).abs() < 1e-14);
        let one = |row| {
            sum.batch(&[row])
                .expect("a row")
                .value(&x)
                .expect("a value")
        };
        let mean = (0..EXAMPLES).map(one).sum::<f64>() / EXAMPLES as f64;
        assert!((mean - whole).abs() < 1e-14, "{mean}, {whole}");
        let batch = sum.batch(&[7, 2, 2, 0, 5]).expect("rows");
        assert!(batch.as_twice_smooth().is_some() && batch.as_finite_sum().is_some());
        let of_batch = batch.batch(&[4, 1]).expect("rows of rows");
        let direct = sum.batch(&[5, 2]).expect("rows");
        let values = [of_batch, direct].map(|b| b.value(&x).expect("a value"));
        assert_eq!(values[0], values[1]);
        for (rows, part) in [(&[][..], "none"), (&[0, 9][..], "9")] {
            let text = sum.batch(rows).err().expect("refused").to_string();
            assert!(text.contains("rows") && text.contains(part), "{text}");
        }
    }
}

/// Examples that are computed when they are asked for.
struct Computed {
    reads: AtomicUsize,
    /// From this many reads on, another number is added.
    changes: usize,
}

impl Source<f64> for Computed {
    fn count(&self) -> usize {
        50
    }

    fn read(&self, rows: Rows<'_>, arrays: &mut [Array<f64>]) -> Result<()> {
        let added = match self.reads.fetch_add(1, Ordering::Relaxed) >= self.changes {
            true => 1e-9,
            false => 0.0,
        };
        let [Array::Float(x), Array::Index(y)] = arrays else {
            return Err(Error::new(ErrorKind::Shape, "other kinds"));
        };
        for at in 0..rows.len() {
            let row = rows.at(at);
            x.extend((0..3).map(|j| (row * 3 + j) as f64 % 7.0 - 3.0 + added));
            y.push((row % 3) as i32);
        }
        Ok(())
    }
}

#[test]
fn examples_from_a_source() {
    let source = |changes| Computed {
        reads: AtomicUsize::new(0),
        changes,
    };
    let steady = source(usize::MAX);
    let mut arrays = [Array::Float(Vec::new()), Array::Index(Vec::new())];
    steady.read(Rows::Range(0, 50), &mut arrays).expect("rows");
    let [inputs, targets] = arrays;
    let inputs = vec![inputs];
    let examples = Examples {
        count: 50,
        inputs,
        targets,
    };
    let x = network(3).initial::<f64>(1);
    let loss = Loss::CROSS_ENTROPY;
    let memory = Supervised::new(network(3), loss, examples).expect("examples fit");
    let stream = Supervised::streaming(network(3), loss, steady).expect("examples fit");
    // So little memory that few examples fit at a time.
    for bytes in [1 << 30, 40_000, 1] {
        let stream = Supervised::streaming(network(3), loss, source(usize::MAX));
        let stream = stream.expect("examples fit").with_memory(bytes);
        let mut g = [vec![0.0; x.len()], vec![0.0; x.len()]];
        let a = memory.value_grad(&x, &mut g[0]).expect("a value");
        let b = stream.value_grad(&x, &mut g[1]).expect("a value");
        assert!((a - b).abs() < 1e-14, "{a}, {b}");
        for matrix in [Matrix::Hessian, Matrix::Covariance] {
            let [a, b] = [&memory, &stream].map(|p| p.matrix(&x, matrix).expect("a matrix"));
            near(dense_of(&*a).as_ref(), dense_of(&*b).as_ref(), 1e-13);
        }
    }
    let rows = [49, 3, 3];
    let [a, b] = [&memory, &stream].map(|p| {
        let batch = p.batch(&rows).expect("rows");
        batch.value(&x).expect("a value")
    });
    assert_eq!(a, b);
    // One read for the first example, one for the value; then others come.
    let changing = Supervised::streaming(network(3), loss, source(2)).expect("examples fit");
    changing.value(&x).expect("a value");
    let error = changing.value(&x).expect_err("examples changed");
    let text = error.to_string();
    assert!(
        text.contains("examples 0 to 49 are not what they were"),
        "{text}"
    );
}

fn normalised() -> Network {
    Network::new([Port::floats("x", [3])], |scope, x| {
        let h = dense(scope, "one", x[0], 4, &Dense::default());
        let h = batch_norm(scope, "norm", h, BatchNorm::default()).tanh();
        vec![dense(scope, "two", h, 2, &Dense::default())]
    })
    .expect("shapes fit")
}

/// In training mode, derivatives go through the statistics of the batch, and what is defined example by example is refused.
#[test]
fn training_mode() {
    let targets = Array::Float(normals(2 * EXAMPLES, "y"));
    let p = Supervised::new(normalised(), Loss::Squared, examples(targets));
    let p = p.expect("examples fit").with_batch(5);
    let x: Vec<f64> = normalised().initial(1);
    let evaluated = p.value(&x).expect("a value");
    assert!(p.as_finite_sum().is_some());
    let p = p.with_mode(Mode::Train, 0).with_memory(1);
    let trained = p.value(&x).expect("a value");
    assert!((trained - evaluated).abs() > 1e-3);
    differences(&p, &x);
    assert!(p.as_finite_sum().is_none());
    for matrix in [
        Matrix::Covariance,
        Matrix::EmpiricalFisher,
        Matrix::SampledFisher { draws: 1, seed: 0 },
    ] {
        let error = p.matrix(&x, matrix).err().expect("refused");
        assert_eq!(error.kind(), ErrorKind::Capability);
        assert!(error.to_string().contains("training mode"), "{error}");
    }
    assert!(p.gradients(&x, Targets::Data).is_err() && p.batch(&[0]).is_err());
}

#[test]
fn dropout_has_one_mask() {
    let network = Network::new([Port::floats("x", [3])], |scope, x| {
        let h = dense(scope, "one", x[0], 4, &Dense::default()).tanh();
        let h = dropout(scope, h, 0.5);
        vec![dense(scope, "two", h, 2, &Dense::default())]
    })
    .expect("shapes fit");
    let targets = Array::Float(normals(2 * EXAMPLES, "y"));
    let x: Vec<f64> = network.initial(1);
    let p = Supervised::new(network, Loss::Squared, examples(targets)).expect("examples fit");
    let values = [(Mode::Evaluate, 0), (Mode::Train, 0), (Mode::Train, 1)].map(|(mode, seed)| {
        let targets = Array::Float(normals(2 * EXAMPLES, "y"));
        let p = Supervised::new(p.network().clone(), Loss::Squared, examples(targets));
        let p = p.expect("examples fit").with_mode(mode, seed).with_batch(4);
        let values = [p.value(&x), p.value(&x)].map(|v| v.expect("a value"));
        assert_eq!(values[0], values[1]);
        differences(&p, &x);
        values[0]
    });
    assert!(
        values[0] != values[1] && values[1] != values[2],
        "{values:?}"
    );
}

/// The gradient and a Hessian product against central differences.
fn differences(p: &Supervised<f64>, x: &[f64]) {
    let v = normals(x.len(), "direction");
    let at = |by: f64| {
        let moved: Vec<f64> = x.iter().zip(&v).map(|(x, v)| x + by * v).collect();
        let mut g = vec![0.0; x.len()];
        let value = p.value_grad(&moved, &mut g).expect("a value");
        (value, g)
    };
    let step = 1e-5;
    let ((up, g_up), (down, g_down), (_, g)) = (at(step), at(-step), at(0.0));
    let slope: f64 = g.iter().zip(&v).map(|(g, v)| g * v).sum();
    let expected = (up - down) / (2.0 * step);
    assert!((slope - expected).abs() < 1e-7, "{slope}, {expected}");
    let hessian = p.matrix(x, Matrix::Hessian).expect("a matrix");
    let mut product = Mat::zeros(x.len(), 1);
    let v = MatRef::from_column_major_slice(&v, x.len(), 1);
    hessian.apply(v, product.as_mut()).expect("a product");
    let expected = Mat::from_fn(x.len(), 1, |i, _| (g_up[i] - g_down[i]) / (2.0 * step));
    near(product.as_ref(), expected.as_ref(), 1e-7);
}

/// The traces of the diagonal blocks of a matrix that belong to the segments of the layout.
fn traces_of_segments(p: &Supervised<f64>, matrix: MatRef<'_, f64>) -> Vec<f64> {
    let segments = p.layout().segments().iter();
    let trace = |s: &quadric_core::Segment| s.range().map(|i| matrix[(i, i)]).sum();
    segments.map(trace).collect()
}

#[test]
fn squares_are_traces_of_fisher_matrices() {
    let sampled = Targets::Sampled { draw: 0, seed: 3 };
    for (p, x) in problems() {
        let (weight, counting) = (p.weight().expect("w"), p.counting().expect("n"));
        for (matrix, backward, scale) in [
            (Matrix::Fisher, Backward::Fisher, weight),
            (
                Matrix::SampledFisher { draws: 1, seed: 3 },
                Backward::Gradient(sampled),
                weight,
            ),
            (
                Matrix::EmpiricalFisher,
                Backward::Gradient(Targets::Data),
                weight * weight / counting,
            ),
        ] {
            let dense = dense_of(&*p.matrix(&x, matrix).expect("a matrix"));
            let found = p.squares(&x, backward).expect("squares");
            for (found, trace) in found.iter().zip(traces_of_segments(&p, dense.as_ref())) {
                let expected = scale * trace;
                let error = (found - expected).abs();
                assert!(error <= 1e-12 * expected, "{matrix:?} {found} {expected}");
            }
        }
    }
}

#[test]
fn the_hessian_is_gauss_newton_and_what_the_network_adds() {
    for (p, x) in problems() {
        let of = |matrix| dense_of(&*p.matrix(&x, matrix).expect("a matrix"));
        let sum = of(Matrix::GaussNewton) + of(Matrix::Functional);
        near(sum.as_ref(), of(Matrix::Hessian).as_ref(), 1e-13);
    }
}

#[test]
fn forms_of_examples_have_the_traces_as_means() {
    for (p, x) in problems() {
        let weight = p.weight().expect("w");
        for matrix in [Matrix::Hessian, Matrix::Functional] {
            let dense = dense_of(&*p.matrix(&x, matrix).expect("a matrix"));
            let forms = p.forms(&x, matrix, 0..400, 7).expect("forms");
            // The same draws, however they are asked for.
            assert_eq!(
                p.forms(&x, matrix, 5..8, 7).expect("forms"),
                forms[5..8].to_vec()
            );
            let exact = traces_of_segments(&p, dense.as_ref());
            for (i, exact) in exact.into_iter().enumerate() {
                let values = || forms.iter().map(|f| f[i] / weight);
                let mean = values().sum::<f64>() / 400.0;
                let spread = values().map(|v| (v - mean).powi(2)).sum::<f64>() / 399.0;
                let error = (mean - exact).abs();
                let allowed = 4.5 * (spread / 400.0).sqrt() + 1e-12 * exact.abs();
                assert!(error <= allowed, "{matrix:?} {i}: {mean} {exact}, seed 7");
            }
        }
        let error = p
            .forms(&x, Matrix::Fisher, 0..1, 0)
            .expect_err("no such forms");
        assert_eq!(error.kind(), ErrorKind::Argument);
    }
}
