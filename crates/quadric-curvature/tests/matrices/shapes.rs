//! Matrices at every granularity, and their diagonals, against dense matrices.

use crate::{agree, encoder, golden, images, matrix, problem, regression, same, trace};
use faer::Mat;
use quadric_core::{Matrix, Model};
use quadric_curvature::{
    Absence, Decomposed, DenseBlocks, Factors, Shape, ShapeNumbers, ShapeOptions, Shapes, Sharing,
    blocks, fisher_diagonal, model_diagonal, shapes,
};
use quadric_linalg::ErrorKind;
use quadric_linalg::dense::{EquilibratedCholesky, symmetric_eigen};
use quadric_linalg::estimate::DiagonalOptions;
use quadric_nn::Loss;
use quadric_nn::layers::Activation;
use quadric_nn::models::{lstm_classifier, mlp};
use std::ops::ControlFlow;

const DAMPING: f64 = 0.01;
const NETWORK: [Matrix; 5] = [
    Matrix::GaussNewton,
    Matrix::Fisher,
    Matrix::SampledFisher { draws: 3, seed: 5 },
    Matrix::EmpiricalFisher,
    Matrix::Hessian,
];

fn go_on(_: usize) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

fn found(
    problem: &dyn Model<f64>,
    x: &[f64],
    of: Matrix,
    which: &[Shape],
    options: &ShapeOptions,
) -> Shapes {
    shapes(problem, x, of, which, options, &go_on).expect("shapes")
}

fn numbers(all: &Shapes, shape: Shape) -> &ShapeNumbers {
    let report = all.reports.iter().find(|r| r.shape == shape);
    let report = report.expect("it was asked for");
    report.found.as_ref().expect("it exists")
}

fn absence(all: &Shapes, shape: Shape) -> &Absence {
    let report = all.reports.iter().find(|r| r.shape == shape);
    let found = &report.expect("it was asked for").found;
    found.as_ref().expect_err("it does not exist")
}

/// The entries of a matrix that are in one of some lists together.
fn within(whole: &Mat<f64>, lists: &[Vec<usize>]) -> Mat<f64> {
    let mut out = Mat::zeros(whole.nrows(), whole.ncols());
    for list in lists {
        for (&i, &j) in list.iter().flat_map(|i| list.iter().map(move |j| (i, j))) {
            out[(i, j)] = whole[(i, j)];
        }
    }
    out
}

/// The shape of a dense matrix from its definition, where it needs no more than the entries.
fn defined(problem: &dyn Model<f64>, x: &[f64], whole: &Mat<f64>, shape: Shape) -> Mat<f64> {
    let d = whole.nrows();
    match shape {
        Shape::Full => whole.clone(),
        Shape::Layers => {
            let layers = blocks(problem.layout());
            let lists: Vec<Vec<usize>> = layers.iter().map(|l| l.range.clone().collect()).collect();
            within(whole, &lists)
        }
        Shape::Diagonal => within(whole, &(0..d).map(|i| vec![i]).collect::<Vec<_>>()),
        Shape::Units => {
            let fisher = Matrix::EmpiricalFisher;
            let factors = Factors::new(problem, x, fisher, Sharing::Expand).expect("layers");
            let units = factors.layers().iter().flat_map(|l| {
                let at: Vec<usize> = l.place.positions().collect();
                let units = at.chunks(l.place.shape().1).map(<[usize]>::to_vec);
                units.collect::<Vec<_>>()
            });
            within(whole, &units.collect::<Vec<_>>())
        }
        _ => panic!("{} is not in the entries", shape.name()),
    }
}

/// Every number of a shape against a dense one.
fn compare(what: &str, n: &ShapeNumbers, whole: &Mat<f64>, dense: &Mat<f64>, g: &[f64]) {
    let values = symmetric_eigen(dense.as_ref()).expect("finite").values;
    agree(&format!("{what}, trace"), n.trace, trace(dense), 1e-10);
    agree(
        &format!("{what}, largest"),
        n.largest,
        values[values.len() - 1],
        1e-9,
    );
    let error = (whole - dense).norm_l2() / whole.norm_l2();
    let found = n.error.expect("the matrix is not 0");
    assert_eq!(found.level, 1.0);
    assert!(
        (found.value - error).abs() <= 1e-10,
        "{what}: {} for {error}",
        found.value
    );
    let damped = |m: &Mat<f64>| m + DAMPING * Mat::<f64>::identity(m.nrows(), m.nrows());
    let (mut ours, mut theirs) = (g.to_vec(), g.to_vec());
    for (matrix, v) in [(dense, &mut ours), (whole, &mut theirs)] {
        let shifted = damped(matrix);
        let values = symmetric_eigen(shifted.as_ref()).expect("finite");
        let column = faer::ColRef::from_slice(v);
        let inside = values.vectors.transpose() * column;
        let scaled = faer::Col::from_fn(v.len(), |i| inside[i] / values.values[i]);
        let solved = &values.vectors * scaled;
        v.iter_mut().zip(solved.iter()).for_each(|(v, s)| *v = *s);
    }
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    let cosine = dot(&ours, &theirs) / (dot(&ours, &ours) * dot(&theirs, &theirs)).sqrt();
    let close = (n.cosine.expect("regular") - cosine).abs() <= 1e-8;
    assert!(close, "{what}: cosine {:?} for {cosine}", n.cosine);
    match EquilibratedCholesky::new(damped(dense).as_ref(), 0.0) {
        Err(_) => assert_eq!(n.log_det, None, "{what}"),
        Ok(_) => {
            let logs: f64 = values.iter().map(|v| (v + DAMPING).ln()).sum();
            let found = n.log_det.expect("positive definite");
            assert!((found - logs).abs() <= 1e-9 * logs.abs(), "{what}: {found}");
        }
    }
}

fn gradient(problem: &dyn Model<f64>, x: &[f64]) -> Vec<f64> {
    let mut g = vec![0.0; x.len()];
    problem.value_grad(x, &mut g).expect("finite");
    g
}

/// Entries of the matrix itself, of dense, convolutional, recurrent and attentive networks.
#[test]
fn parts_of_matrices() {
    let entropy = Loss::CROSS_ENTROPY;
    let which = [Shape::Full, Shape::Layers, Shape::Units, Shape::Diagonal];
    let models = [
        ("mlp", golden()),
        ("images", problem(images(), entropy, 5)),
        ("lstm", problem(lstm_classifier(4, 2, 3, 3), entropy, 5)),
        ("encoder", problem(encoder(), entropy, 4)),
    ];
    for (name, (problem, x)) in &models {
        let g = gradient(problem, x);
        for of in NETWORK.into_iter().chain([Matrix::Covariance]) {
            let whole = matrix(&*problem.matrix(x, of).expect("a matrix"));
            let all = found(problem, x, of, &which, &ShapeOptions::new(DAMPING));
            assert!(all.exact && all.solution == Ok(0.0));
            for shape in which {
                let n = numbers(&all, shape);
                let what = format!("{name}, {of:?}, {}", shape.name());
                compare(&what, n, &whole, &defined(problem, x, &whole, shape), &g);
            }
            // Normalisations and positions have no units.
            let without = &numbers(&all, Shape::Units).without;
            assert_eq!(without.is_empty(), *name != "encoder", "{without:?}");
        }
    }
}

/// Factors and approximations of low rank, composed by hand.
#[test]
fn approximations_of_golden_matrices() {
    let (problem, w) = golden();
    let g = gradient(&problem, &w);
    let which = [Shape::Kronecker, Shape::Ekfac, Shape::LowRank];
    for of in &NETWORK[..4] {
        let whole = matrix(&*problem.matrix(&w, *of).expect("a matrix"));
        let all = found(&problem, &w, *of, &which, &ShapeOptions::new(DAMPING));
        let fisher = match of {
            Matrix::GaussNewton => Matrix::Fisher,
            other => *other,
        };
        let factors = Factors::new(&problem, &w, fisher, Sharing::Expand).expect("factors");
        let kronecker = matrix(&factors.operator::<f64>().expect("an operator"));
        let corrected = factors.corrected(&problem, &w).expect("eigenvalues");
        let ekfac = matrix(&*corrected.function(&|v| v).expect("an operator"));
        for (shape, dense) in [(Shape::Kronecker, &kronecker), (Shape::Ekfac, &ekfac)] {
            let what = format!("{of:?}, {}", shape.name());
            compare(&what, numbers(&all, shape), &whole, dense, &g);
        }
        // The best of its rank is what the eigenvalues beyond say.
        let mut values = symmetric_eigen(whole.as_ref()).expect("finite").values;
        values.sort_by(|a, b| b.abs().total_cmp(&a.abs()));
        let square = |v: &[f64]| v.iter().map(|v| v * v).sum::<f64>();
        let best = (square(&values[16..]) / square(&values)).sqrt();
        let found = numbers(&all, Shape::LowRank);
        let error = found.error.expect("not 0").value;
        assert!(
            error >= best - 1e-12 && error <= 1.02 * best + 1e-12,
            "{error}, {best}"
        );
        assert_eq!(found.numbers, 16 * 44);
    }
}

/// Outside of the blocks nothing is kept, inside each is as far off as is known.
#[test]
fn golden_numbers_of_single_layers_say_those_of_all() {
    let (problem, w) = golden();
    let which = [Shape::Kronecker, Shape::Ekfac];
    let whole = matrix(&*problem.matrix(&w, Matrix::GaussNewton).expect("a matrix"));
    let inside: Vec<f64> = [0..25, 25..43]
        .into_iter()
        .map(|r| {
            whole
                .submatrix(r.start, r.start, r.len(), r.len())
                .squared_norm_l2()
        })
        .collect();
    let outside = whole.squared_norm_l2() - inside[0] - inside[1];
    let apart = outside
        + 0.433_185_248_446_f64.powi(2) * inside[0]
        + 0.073_104_522_390_f64.powi(2) * inside[1];
    let expected = (apart / whole.squared_norm_l2()).sqrt();
    let options = ShapeOptions::new(DAMPING);
    let all = found(&problem, &w, Matrix::GaussNewton, &which, &options);
    let kronecker = numbers(&all, Shape::Kronecker);
    agree(
        "from the layers",
        kronecker.error.expect("not 0").value,
        expected,
        1e-10,
    );
    agree(
        "trace",
        kronecker.trace,
        1.251_882_321_218_57 + 1.854_067_454_105_27,
        1e-12,
    );
    // Factors of 5 inputs and 5 outputs, and of 6 and 3.
    assert_eq!(kronecker.numbers, 25 + 25 + 36 + 9);
    assert_eq!(numbers(&all, Shape::Ekfac).numbers, 95 + 25 + 18);
    // The square root of the losses has three columns.
    assert_eq!(
        (kronecker.gradients, numbers(&all, Shape::Ekfac).gradients),
        (3.0, 6.0)
    );
}

/// Intervals of errors that are estimated, and solutions by iterations.
#[test]
fn estimated_errors_hold_the_truth() {
    let (problem, w) = golden();
    let which = [
        Shape::Layers,
        Shape::Kronecker,
        Shape::Ekfac,
        Shape::Units,
        Shape::Diagonal,
        Shape::LowRank,
    ];
    let seeds = 200;
    for of in [Matrix::GaussNewton, Matrix::EmpiricalFisher] {
        let exact = found(&problem, &w, of, &which, &ShapeOptions::new(DAMPING));
        let mut held = [0; 6];
        for seed in 0..seeds {
            let options = ShapeOptions {
                dense: 0,
                tolerance: 1e-10,
                seed,
                ..ShapeOptions::new(DAMPING)
            };
            let all = found(&problem, &w, of, &which, &options);
            assert!(!all.exact && all.solution == Ok(1e-10));
            // Approximations of low rank depend on the seed; the others are what they were.
            let same_seed = ShapeOptions {
                dense: 2000,
                ..options
            };
            let low = found(&problem, &w, of, &[Shape::LowRank], &same_seed);
            for (count, shape) in held.iter_mut().zip(which) {
                let truths = if shape == Shape::LowRank {
                    &low
                } else {
                    &exact
                };
                let (truth, own) = (numbers(truths, shape), numbers(&all, shape));
                agree(shape.name(), own.trace, truth.trace, 1e-10);
                agree(
                    "cosine",
                    own.cosine.expect("solved"),
                    truth.cosine.expect("solved"),
                    1e-7,
                );
                let error = own.error.expect("not 0");
                assert!(error.level == 0.95 && error.low <= error.value, "{error:?}");
                *count += usize::from(error.contains(truth.error.expect("not 0").value));
            }
        }
        println!("{of:?}: of {seeds} intervals (seeds 0..{seeds}) {held:?} hold the truth");
        let least = held.iter().min().expect("six");
        assert!(*least * 100 >= 88 * seeds as usize, "{held:?}");
    }
}

#[test]
fn what_there_is_not_is_named() {
    let (problem, w) = golden();
    let options = ShapeOptions::new(DAMPING);
    for of in [Matrix::Hessian, Matrix::Functional, Matrix::Covariance] {
        let all = found(
            &problem,
            &w,
            of,
            &[Shape::Kronecker, Shape::Ekfac],
            &options,
        );
        for shape in [Shape::Kronecker, Shape::Ekfac] {
            let Absence::Undefined(why) = absence(&all, shape) else {
                panic!("{of:?}: {:?}", absence(&all, shape));
            };
            assert!(why.contains("Kronecker factors"), "{why}");
        }
    }
}

#[test]
fn what_is_too_large_is_named() {
    let (problem, w) = golden();
    let options = ShapeOptions::new(DAMPING);
    let few = ShapeOptions {
        dense: 0,
        products: 42,
        ..options
    };
    let all = found(&problem, &w, Matrix::Hessian, &Shape::ALL, &few);
    for shape in [Shape::Full, Shape::Layers, Shape::Units] {
        assert_eq!(absence(&all, shape), &Absence::Products(43));
    }
    assert!(numbers(&all, Shape::Diagonal).error.expect("not 0").low > 0.0);
    // 25 + 18 parameters in two layers, three times in doubles.
    let bytes = (25 * 25 + 18 * 18) * 8 * 3;
    let tight = ShapeOptions {
        dense: 0,
        probes: 2,
        memory: bytes - 1,
        ..options
    };
    let all = found(&problem, &w, Matrix::Fisher, &Shape::ALL, &tight);
    assert_eq!(absence(&all, Shape::Layers), &Absence::Memory(bytes));
    assert!(matches!(absence(&all, Shape::Full), Absence::Memory(n) if *n > bytes));
    assert!(numbers(&all, Shape::Units).error.is_some());
}

/// Systems that are not solved are no errors, but wrong options and interruptions are.
#[test]
fn ends_of_comparisons() {
    let (problem, w) = golden();
    let options = ShapeOptions::new(DAMPING);
    let unsolved = ShapeOptions {
        dense: 0,
        products: 3,
        ..options
    };
    let all = found(&problem, &w, Matrix::Fisher, &[Shape::Kronecker], &unsolved);
    let why = all.solution.as_ref().expect_err("three iterations");
    assert!(
        why.contains("conjugate gradients for column 0 ended"),
        "{why}"
    );
    assert_eq!(numbers(&all, Shape::Kronecker).cosine, None);
    for (part, wrong) in [
        ("damping", ShapeOptions::new(0.0)),
        ("damping", ShapeOptions::new(f64::NAN)),
        ("rank", ShapeOptions { rank: 0, ..options }),
        (
            "probes",
            ShapeOptions {
                probes: 1,
                ..options
            },
        ),
        (
            "level",
            ShapeOptions {
                level: 1.0,
                ..options
            },
        ),
        (
            "tolerance",
            ShapeOptions {
                tolerance: 0.0,
                ..options
            },
        ),
        (
            "memory",
            ShapeOptions {
                dense: 0,
                memory: 100,
                ..options
            },
        ),
    ] {
        let e = shapes(&problem, &w, Matrix::Fisher, &[], &wrong, &go_on).expect_err(part);
        assert!(
            e.kind() == ErrorKind::Argument && e.message().contains(part),
            "{e}"
        );
    }
    let stop = |products: usize| match products > 20 {
        true => ControlFlow::Break(()),
        false => ControlFlow::Continue(()),
    };
    let stopped = shapes(&problem, &w, Matrix::Fisher, &Shape::ALL, &options, &stop);
    assert!(stopped.expect_err("a break").is_stopped());
}

/// A gradient of 0 has no direction, and a matrix of zeros no relative error.
#[test]
fn nothing_to_compare_with() {
    let (problem, phi, y) = regression(8, 2, false);
    let solved = (
        phi.transpose() * &phi,
        phi.transpose() * Mat::from_fn(8, 1, |i, _| y[i]),
    );
    let factor = EquilibratedCholesky::new(solved.0.as_ref(), 0.0).expect("full rank");
    let mut x: Vec<f64> = (0..3).map(|i| solved.1[(i, 0)]).collect();
    factor.solve_vector_in_place(&mut x);
    let all = found(
        &problem,
        &x,
        Matrix::Functional,
        &[Shape::Full, Shape::Diagonal],
        &ShapeOptions::new(DAMPING),
    );
    let n = numbers(&all, Shape::Full);
    assert_eq!((n.error, n.trace), (None, 0.0));
    agree(
        "log det",
        n.log_det.expect("positive"),
        3.0 * DAMPING.ln(),
        1e-12,
    );
    println!("|g| = {:e}, {:?}", gradient(&problem, &x)[0], all.solution);
}

/// Diagonals of all matrices, exact and estimated.
#[test]
fn diagonals() {
    let entropy = Loss::CROSS_ENTROPY;
    for (name, (problem, x)) in [
        (
            "mlp",
            problem(mlp(&[6, 9, 4], Activation::Tanh), entropy, 7),
        ),
        ("encoder", problem(encoder(), entropy, 4)),
    ] {
        let d = x.len();
        for of in NETWORK
            .into_iter()
            .chain([Matrix::Covariance, Matrix::Functional])
        {
            let whole = matrix(&*problem.matrix(&x, of).expect("a matrix"));
            let truth = Mat::from_fn(d, 1, |i, _| whole[(i, i)]);
            let column = |v: &[f64]| Mat::from_fn(d, 1, |i, _| v[i]);
            let run = |products: usize, seed: u64| {
                let options = DiagonalOptions {
                    products,
                    ..DiagonalOptions::default()
                };
                model_diagonal(&problem, &x, of, &options, seed, &go_on).expect("a diagonal")
            };
            let exact = run(d, 0);
            assert!(exact.report.exact && exact.gradients > 0.0);
            same(name, &column(&exact.report.values), &truth, 1e-11);
            let estimated = matches!(of, Matrix::Hessian | Matrix::Functional);
            let (mut held, seeds) = (0, 20);
            for seed in 0..seeds {
                let found = run(40, seed).report;
                assert_eq!(found.exact, !estimated, "{name}, {of:?}");
                let inside = (0..d).filter(|&i| {
                    let error = (found.values[i] - truth[(i, 0)]).abs();
                    error <= found.half_widths[i] + 1e-12
                });
                held += inside.count();
            }
            let share = held as f64 / (seeds as usize * d) as f64;
            println!("{name}, {of:?}: {share:.3} of the entries held (seeds 0..{seeds})");
            assert!(share >= 0.93, "{name}, {of:?}: {share}");
        }
    }
}

/// What is near the Hessian's diagonal is what the loss's own part leaves over, so errors are small where the model fits.
#[test]
fn exact_parts_are_not_estimated() {
    let (problem, w) = golden();
    let options = DiagonalOptions {
        products: 8,
        ..DiagonalOptions::default()
    };
    let found = model_diagonal(&problem, &w, Matrix::Hessian, &options, 1, &go_on);
    let found = found.expect("a diagonal");
    let newton = fisher_diagonal(&problem, &w, Matrix::Fisher)
        .expect("a diagonal")
        .0;
    let rest = matrix(&*problem.matrix(&w, Matrix::Functional).expect("a matrix"));
    for (i, newton) in newton.iter().enumerate() {
        let own = found.report.values[i] - newton;
        let within = 3.0 * found.report.half_widths[i] + 1e-12;
        assert!((own - rest[(i, i)]).abs() <= within, "entry {i}, seed 1");
    }
    let full = DenseBlocks::full(&*problem.matrix(&w, Matrix::Hessian).expect("a matrix"));
    let trace: f64 = found.report.values.iter().sum();
    let half: f64 = found.report.half_widths.iter().sum();
    assert!((trace - full.expect("finite").trace()).abs() <= half);
}
