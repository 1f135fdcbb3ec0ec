//! Kronecker factors: golden numbers, deep linear networks in which they are exact, and the matrices that they stand for.

use crate::{
    agree, drawn_like, encoder, gated, golden, images, kind, matrix, problem, same, trace,
};
use faer::{Mat, MatRef};
use quadric_autodiff::Array;
use quadric_core::{Matrix, Model, Targets};
use quadric_curvature::{FactoredEigen, Factors, Place, Sharing, Split};
use quadric_linalg::dense::{svd, symmetric_eigen};
use quadric_linalg::random::SeedTree;
use quadric_linalg::{ErrorKind, LinearOperator, Result};
use quadric_nn::layers::{Activation, Conv2d, Dense, conv2d, dense};
use quadric_nn::models::{lstm_classifier, mlp};
use quadric_nn::{Examples, Loss, Network, Port, Supervised};

/// The block of a layer.
fn block(whole: MatRef<'_, f64>, place: &Place) -> Mat<f64> {
    let at: Vec<usize> = place.positions().collect();
    Mat::from_fn(at.len(), at.len(), |i, j| whole[(at[i], at[j])])
}

fn kronecker(b: &Mat<f64>, a: &Mat<f64>) -> Mat<f64> {
    let (n, q) = (b.nrows() * a.nrows(), a.nrows());
    Mat::from_fn(n, n, |i, j| b[(i / q, j / q)] * a[(i % q, j % q)])
}

#[test]
fn golden_numbers() {
    let (problem, w) = golden();
    let factors = Factors::new(&problem, &w, Matrix::Fisher, Sharing::Expand).expect("factors");
    let corrected = factors.corrected(&problem, &w).expect("eigenvalues");
    let whole = matrix(&*problem.matrix(&w, Matrix::GaussNewton).expect("a matrix"));
    let stands = matrix(&factors.operator::<f64>().expect("an operator"));
    let traces = [1.251_882_321_218_57, 1.854_067_454_105_27];
    let tops = [0.351_536_730_658_590, 0.595_783_925_024_767];
    let sums = [1.250_356_031_896_77, 1.851_457_383_666_03];
    let largest = [0.397_297_527_329_664, 0.609_002_841_196_273];
    let distances = [
        [0.433_185_248_446, 1.078_298],
        [0.073_104_522_390, 1.241_437],
    ];
    for (i, layer) in factors.layers().iter().enumerate() {
        let product = block(stands.as_ref(), &layer.place);
        agree("trace", trace(&product), traces[i], 1e-12);
        let values = symmetric_eigen(product.as_ref()).expect("finite").values;
        agree("largest", values[values.len() - 1], tops[i], 1e-12);
        if i == 0 {
            agree("norm", product.norm_l2(), 0.510_141_376_331_192, 1e-12);
        }
        let exact = block(whole.as_ref(), &layer.place);
        let distance = |m: &Mat<f64>| (m - &exact).norm_l2() / exact.norm_l2();
        agree("distance", distance(&product), distances[i][0], 1e-10);
        let reversed = kronecker(&layer.a, &layer.b);
        agree("reversed", distance(&reversed), distances[i][1], 1e-5);
        let values = corrected.blocks()[i].1.values();
        agree("corrected", values.sum(), sums[i], 1e-12);
        agree("its block", values.sum(), trace(&exact), 1e-12);
        agree(
            "corrected, largest",
            values.max().expect("entries"),
            largest[i],
            1e-12,
        );
    }
}

/// Sums are in double precision, so that only what goes through the layers is rounded.
#[test]
fn single_precision() {
    let (problem, w) = golden();
    let single: Vec<f32> = w.iter().map(|&v| v as f32).collect();
    let x = (0..48).map(|at| (0.3 + 0.9 * (at / 4) as f32 + 1.3 * (at % 4) as f32).cos());
    let examples = Examples {
        count: 12,
        inputs: vec![Array::Float(x.collect())],
        targets: Array::Index((0..12).map(|i| i % 3).collect()),
    };
    let network = problem.network().clone();
    let rounded = Supervised::new(network, Loss::CROSS_ENTROPY, examples).expect("a problem");
    for m in [Matrix::Fisher, Matrix::EmpiricalFisher] {
        let exact = Factors::new(&problem, &w, m, Sharing::Expand).expect("factors");
        let found = Factors::new(&rounded, &single, m, Sharing::Expand).expect("factors");
        for (exact, found) in exact.layers().iter().zip(found.layers()) {
            same("A", &found.a, &exact.a, 1e-5);
            same("B", &found.b, &exact.b, 1e-5);
        }
    }
}

/// Corrected eigenvalues are the curvature of the dense matrix along the eigenvectors, for every layer.
#[test]
fn corrected_eigenvalues_are_curvatures() {
    let entropy = Loss::CROSS_ENTROPY;
    let smoothed = Loss::CrossEntropy {
        smoothing: 0.1,
        ignored: Some(0),
    };
    for (name, (problem, x)) in [
        (
            "mlp",
            problem(mlp(&[3, 4, 3], Activation::Tanh), entropy, 5),
        ),
        ("images", problem(images(), entropy, 5)),
        ("encoder", problem(encoder(), entropy, 4)),
        ("lstm", problem(lstm_classifier(4, 2, 3, 3), entropy, 5)),
        ("gru", problem(gated(), smoothed, 5)),
        ("events", problem(gated(), Loss::MeanSquared, 5)),
    ] {
        for (matrix_of, sharing) in [
            (Matrix::Fisher, Sharing::Expand),
            (Matrix::Fisher, Sharing::Reduce),
            (Matrix::SampledFisher { draws: 3, seed: 4 }, Sharing::Expand),
        ] {
            let factors = Factors::new(&problem, &x, matrix_of, sharing).expect("factors");
            let corrected = factors.corrected(&problem, &x).expect("eigenvalues");
            let whole = matrix(&*problem.matrix(&x, matrix_of).expect("a matrix"));
            for (place, own) in corrected.blocks() {
                let exact = block(whole.as_ref(), place);
                let (v, u) = own.vectors();
                let vectors = kronecker(&v.to_owned(), &u.to_owned());
                let inside = vectors.transpose() * exact * &vectors;
                let q = u.nrows();
                let found = Mat::from_fn(v.nrows(), q, |i, j| inside[(i * q + j, i * q + j)]);
                same(name, &own.values().to_owned(), &found, 1e-12);
            }
        }
    }
}

/// Layers without activations between them, over the steps of a sequence.
fn linear(mean: bool) -> Result<Network> {
    Network::new([Port::floats("x", [4, 3])], move |scope, x| {
        let bare = Dense {
            bias: false,
            ..Dense::default()
        };
        let h = dense(scope, "a", x[0], 5, &Dense::default());
        let h = dense(scope, "b", h, 4, &bare);
        let h = dense(scope, "c", h, 2, &Dense::default());
        vec![if mean { h.mean(&[1]) } else { h }]
    })
}

fn averaged_image() -> Result<Network> {
    Network::new([Port::floats("x", [5, 4, 2])], |scope, x| {
        let h = conv2d(scope, "conv", x[0], 3, [2, 3], &Conv2d::default());
        vec![h.mean(&[1, 2])]
    })
}

#[test]
fn deep_linear_networks_are_exact() {
    for (name, network, loss, sharing) in [
        ("positions", linear(false), Loss::Squared, Sharing::Expand),
        (
            "mean squares",
            linear(false),
            Loss::MeanSquared,
            Sharing::Expand,
        ),
        ("average", linear(true), Loss::Squared, Sharing::Reduce),
        ("image", averaged_image(), Loss::Squared, Sharing::Reduce),
    ] {
        let (problem, x) = problem(network, loss, 5);
        let factors = Factors::new(&problem, &x, Matrix::Fisher, sharing).expect("factors");
        let whole = matrix(&*problem.matrix(&x, Matrix::GaussNewton).expect("a matrix"));
        let stands = matrix(&factors.operator::<f64>().expect("an operator"));
        for layer in factors.layers() {
            let [found, exact] = [&stands, &whole].map(|m| block(m.as_ref(), &layer.place));
            same(name, &found, &exact, 1e-12);
            // The other rule is not.
            let other = match sharing {
                Sharing::Expand => Sharing::Reduce,
                Sharing::Reduce => Sharing::Expand,
            };
            let other = Factors::new(&problem, &x, Matrix::Fisher, other).expect("factors");
            let other = matrix(&other.operator::<f64>().expect("an operator"));
            let distance = (block(other.as_ref(), &layer.place) - &exact).norm_max();
            assert!(distance > 1e-3 * exact.norm_max(), "{name}");
        }
    }
}

/// The nearest product of all, from the singular values of the block rearranged: rows are entries of B, columns those of A.
fn nearest(exact: &Mat<f64>, (p, q): (usize, usize)) -> Mat<f64> {
    let entry = |b: usize, a: usize| exact[(b / p * q + a / q, b % p * q + a % q)];
    let rearranged = Mat::from_fn(p * p, q * q, entry);
    let svd = svd(rearranged.as_ref()).expect("finite");
    let factor =
        |m: &Mat<f64>, n: usize, by: f64| Mat::from_fn(n, n, |i, j| by * m[(i * n + j, 0)]);
    kronecker(&factor(&svd.u, p, svd.values[0]), &factor(&svd.v, q, 1.0))
}

#[test]
fn nearer_factors_go_to_the_nearest() {
    for (name, (problem, x)) in [
        ("golden", golden()),
        ("images", problem(images(), Loss::CROSS_ENTROPY, 5)),
        ("gru", problem(gated(), Loss::MeanSquared, 5)),
    ] {
        let start = Factors::new(&problem, &x, Matrix::Fisher, Sharing::Expand).expect("factors");
        let whole = matrix(&*problem.matrix(&x, Matrix::Fisher).expect("a matrix"));
        let after = |passes| start.nearer(&problem, &x, passes).expect("factors");
        let all = [0, 1, 2, 3, 60].map(after);
        for (i, layer) in all[4].layers().iter().enumerate() {
            let exact = block(whole.as_ref(), &layer.place);
            let distance = |f: &Factors| {
                let l = &f.layers()[i];
                (kronecker(&l.b, &l.a) - &exact).norm_l2()
            };
            let best = nearest(&exact, layer.place.shape());
            same(name, &kronecker(&layer.b, &layer.a), &best, 1e-6);
            let least = (best - &exact).norm_l2();
            agree(name, distance(&all[4]), least, 1e-9);
            let steps = all.iter().map(distance).collect::<Vec<_>>();
            assert!(
                steps.is_sorted_by(|a, b| *b <= a * (1.0 + 1e-12)),
                "{name}: {steps:?}"
            );
        }
    }
}

/// Drawn and given targets, from the gradients of the examples: those by biases are those by outputs, and weights say the rest.
#[test]
fn factors_from_gradients_of_examples() {
    let (problem, x) = problem(mlp(&[3, 4, 3], Activation::Tanh), Loss::CROSS_ENTROPY, 7);
    let seed = 9;
    let drawn = |draw| Targets::Sampled { draw, seed };
    for (matrix_of, targets) in [
        (Matrix::EmpiricalFisher, vec![Targets::Data]),
        (
            Matrix::SampledFisher { draws: 2, seed },
            vec![drawn(0), drawn(1)],
        ),
    ] {
        let factors = Factors::new(&problem, &x, matrix_of, Sharing::Expand).expect("factors");
        for layer in factors.layers() {
            let (p, q) = layer.place.shape();
            let at: Vec<usize> = layer.place.positions().collect();
            let (mut a, mut b) = (Mat::<f64>::zeros(q, q), Mat::<f64>::zeros(p, p));
            for &targets in &targets {
                let all = matrix(&*problem.gradients(&x, targets).expect("gradients"));
                for n in 0..7 {
                    let g = Mat::from_fn(p, q, |i, j| all[(at[i * q + j], n)]);
                    let d = Mat::from_fn(p, 1, |i, _| g[(i, q - 1)]);
                    let inputs = g.transpose() * &d / d.squared_norm_l2();
                    a += &inputs * inputs.transpose();
                    b += &d * d.transpose();
                }
            }
            let count = 7.0 * targets.len() as f64;
            same("A", &layer.a, &(a / count), 1e-12);
            same("B", &layer.b, &(b / count), 1e-12);
        }
    }
}

fn inverse_of(stands: &Mat<f64>, inverse: &Mat<f64>, damping: f64) {
    let n = stands.nrows();
    let identity = Mat::<f64>::identity(n, n);
    let error = inverse * (stands + damping * &identity) - identity;
    assert!(error.norm_max() < 1e-11, "{:e}", error.norm_max());
}

#[test]
fn functions_of_the_matrix() {
    let (problem, x) = problem(encoder(), Loss::CROSS_ENTROPY, 4);
    let factors = Factors::new(&problem, &x, Matrix::Fisher, Sharing::Reduce).expect("factors");
    let stands = matrix(&factors.operator::<f64>().expect("an operator"));
    let (eigen, damping) = (factors.eigen().expect("eigenvalues"), 0.03);
    let inverse = eigen.inverse::<f64>(damping).expect("a damping");
    inverse_of(&stands, &matrix(&inverse), damping);
    // Positions and normalisations are in no layer.
    let n = stands.nrows();
    let tapped: usize = eigen.blocks().iter().map(|b| b.1.shape().0).sum();
    assert!(tapped + 12 <= n, "{tapped} of {n}");
    let values = symmetric_eigen(stands.as_ref()).expect("finite").values;
    let log_det: f64 = values.iter().map(|v| (v + damping).ln()).sum();
    let found = eigen.sum(|v| (v + damping).ln()).expect("positive");
    agree("log det", found, log_det, 1e-11);
    agree(
        "trace",
        eigen.sum(|v| v).expect("finite"),
        trace(&stands),
        1e-12,
    );
    let root = matrix(&eigen.map::<f64>(f64::sqrt).expect("not negative"));
    same("root", &(&root * &root), &stands, 1e-12);
    let single = eigen.inverse::<f32>(damping).expect("a damping");
    let mut out = Mat::<f32>::zeros(n, n);
    single.dense(out.as_mut()).expect("a matrix");
    let rounded = Mat::from_fn(n, n, |i, j| f64::from(out[(i, j)]));
    same("single precision", &rounded, &matrix(&inverse), 1e-5);
}

#[test]
fn samples_have_the_covariance() {
    let (problem, x) = golden();
    let factors = Factors::new(&problem, &x, Matrix::Fisher, Sharing::Expand).expect("factors");
    let eigen = factors.corrected(&problem, &x).expect("eigenvalues");
    let covariance = |v: f64| 1.0 / (v + 0.1);
    let exact = matrix(&eigen.map::<f64>(covariance).expect("positive"));
    let (seed, draws) = (12, 4000);
    let mut stream = SeedTree::new(seed).child("samples").stream(0);
    drawn_like(&exact, seed, draws, || {
        eigen.sample(covariance, &mut stream).expect("positive")
    });
}

/// Each factor has its share of the damping, and its own inverse.
#[test]
fn split_damping() {
    let (problem, x) = golden();
    let factors = Factors::new(&problem, &x, Matrix::Fisher, Sharing::Expand).expect("factors");
    let damping: f64 = 0.02;
    for split in [Split::Trace, Split::Plain] {
        let inverse = factors
            .split_inverse::<f64>(damping, split)
            .expect("a damping");
        let inverse = matrix(&inverse);
        for layer in factors.layers() {
            let (a, b) = (&layer.a, &layer.b);
            let (p, q) = (b.nrows(), a.nrows());
            let pi = match split {
                Split::Trace => ((trace(a) / q as f64) / (trace(b) / p as f64)).sqrt(),
                Split::Plain => 1.0,
            };
            let a = a + pi * damping.sqrt() * Mat::<f64>::identity(q, q);
            let b = b + damping.sqrt() / pi * Mat::<f64>::identity(p, p);
            inverse_of(
                &kronecker(&b, &a),
                &block(inverse.as_ref(), &layer.place),
                0.0,
            );
        }
    }
}

/// Nothing comes back through weights that are 0.
#[test]
fn layers_without_curvature() {
    let (problem, mut x) = golden();
    x[25..40].fill(0.0);
    let factors = Factors::new(&problem, &x, Matrix::Fisher, Sharing::Expand).expect("factors");
    assert_eq!(factors.layers()[0].b.norm_max(), 0.0);
    let nearer = factors.nearer(&problem, &x, 2).expect("factors");
    assert_eq!(nearer.layers()[0].b.norm_max(), 0.0);
    let eigen = factors.corrected(&problem, &x).expect("eigenvalues");
    let (damping, first) = (0.5, 0..25);
    for inverse in [
        eigen.inverse::<f64>(damping),
        factors.split_inverse(damping, Split::Trace),
        factors.split_inverse(damping, Split::Plain),
    ] {
        let inverse = matrix(&inverse.expect("a damping"));
        for (i, j) in first
            .clone()
            .flat_map(|i| first.clone().map(move |j| (i, j)))
        {
            let expected = if i == j { 2.0 } else { 0.0 };
            assert!((inverse[(i, j)] - expected).abs() < 1e-14, "({i}, {j})");
        }
    }
}

#[test]
fn what_means_nothing_is_refused() {
    let (problem, x) = golden();
    let new = |matrix| Factors::new(&problem, &x, matrix, Sharing::Expand);
    for matrix in [Matrix::Hessian, Matrix::GaussNewton, Matrix::Covariance] {
        assert_eq!(kind(new(matrix), "a Fisher matrix"), ErrorKind::Argument);
    }
    let none = Matrix::SampledFisher { draws: 0, seed: 0 };
    assert_eq!(kind(new(none), "`draws` is 0"), ErrorKind::Argument);
    let mut endless = x.clone();
    endless[3] = f64::NAN;
    let found = Factors::new(&problem, &endless, Matrix::Fisher, Sharing::Expand);
    assert_eq!(kind(found, "of `fc1.weight`"), ErrorKind::NonFinite);
    let eigen: FactoredEigen = new(Matrix::Fisher)
        .and_then(|f| f.eigen())
        .expect("factors");
    for damping in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        let found = eigen.inverse::<f64>(damping);
        assert_eq!(kind(found, "`damping` is"), ErrorKind::Argument);
    }
    assert_eq!(kind(eigen.sum(f64::ln), "the sum"), ErrorKind::Numeric);
}

#[test]
fn weights_of_several_places() {
    let network = Network::new([Port::floats("x", [3])], |scope, x| {
        let twice = |h| dense(scope, "twice", h, 3, &Dense::default()).tanh();
        vec![twice(twice(x[0]))]
    });
    let (problem, x) = problem(network, Loss::Squared, 4);
    let new = |sharing| Factors::new(&problem, &x, Matrix::Fisher, sharing);
    let text = "`twice.weight` is used in several places";
    assert_eq!(kind(new(Sharing::Reduce), text), ErrorKind::Capability);
    let factors = new(Sharing::Expand).expect("places are examples");
    assert_eq!(factors.layers().len(), 1);
    assert_eq!(
        kind(factors.corrected(&problem, &x), text),
        ErrorKind::Capability
    );
    let nearer = factors.nearer(&problem, &x, 1);
    assert_eq!(kind(nearer, text), ErrorKind::Capability);
}
