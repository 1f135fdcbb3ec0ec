//! Each form of a matrix against the dense matrix that it stands for, and functions of them against dense algebra.

use crate::{
    Problem, agree, drawn_like, encoder, gated, golden, images, kind, matrix, problem, same,
};
use faer::Mat;
use quadric_core::{Matrix, Model, TwiceSmooth};
use quadric_curvature::{
    Block, Decomposed, DenseBlocks, Factors, Inverse, Sharing, Solver, blocks, fisher_diagonal,
    gram,
};
use quadric_linalg::algebra::{Dense, Diagonal};
use quadric_linalg::dense::EquilibratedCholesky;
use quadric_linalg::krylov::{CgOptions, MinresOptions};
use quadric_linalg::random::SeedTree;
use quadric_linalg::spectrum::{EigenApproximation, EigenOptions, Which, eigenpairs};
use quadric_linalg::{ErrorKind, LinearOperator};
use quadric_nn::layers::{Activation, Dense as DenseLayer, dense};
use quadric_nn::models::{lstm_classifier, mlp};
use quadric_nn::{Loss, Network, Port};

const MATRICES: [Matrix; 3] = [
    Matrix::Fisher,
    Matrix::EmpiricalFisher,
    Matrix::SampledFisher { draws: 2, seed: 3 },
];

pub(crate) fn models() -> Vec<(&'static str, (Problem, Vec<f64>))> {
    let entropy = Loss::CROSS_ENTROPY;
    vec![
        (
            "mlp",
            problem(mlp(&[3, 4, 3], Activation::Tanh), entropy, 5),
        ),
        ("images", problem(images(), entropy, 5)),
        ("encoder", problem(encoder(), entropy, 4)),
        ("lstm", problem(lstm_classifier(4, 2, 3, 3), entropy, 5)),
        ("gru", problem(gated(), Loss::Squared, 5)),
    ]
}

/// Inverse, determinant, root and trace, for a damping, of the dense matrix by Cholesky.
fn check_functions(name: &str, form: &dyn Decomposed, stands: &Mat<f64>, damping: f64) {
    let n = stands.nrows();
    let identity = Mat::<f64>::identity(n, n);
    let shifted = stands + damping * &identity;
    let factor = EquilibratedCholesky::new(shifted.as_ref(), 0.0).expect("positive definite");
    let mut inverse = identity.clone();
    factor.solve_in_place(inverse.as_mut());
    let found = matrix(&*form.inverse(damping).expect("a damping"));
    same(name, &found, &inverse, 1e-10);
    let pivots = (0..n).map(|i| 2.0 * (factor.factor()[(i, i)] / factor.scale()[i]).ln());
    agree(
        name,
        form.log_det(damping).expect("positive"),
        pivots.sum(),
        1e-11,
    );
    let root = matrix(&*form.function(&|v| (v.max(0.0)).sqrt()).expect("finite"));
    same(name, &(&root * &root), stands, 1e-11);
    agree(
        name,
        form.trace(),
        (0..n).map(|i| stands[(i, i)]).sum(),
        1e-11,
    );
}

#[test]
fn full_and_by_layers() {
    for (name, (problem, x)) in models() {
        let op = problem.matrix(&x, Matrix::Fisher).expect("a matrix");
        let whole = matrix(&*op);
        let full = DenseBlocks::full(&*op).expect("symmetric");
        same(name, &matrix(&full), &whole, 1e-12);
        check_functions(name, &full, &whole, 0.05);

        let layers = blocks(problem.layout());
        let found = DenseBlocks::layers(&*op, &layers).expect("layers");
        let n = whole.nrows();
        let layer = |i: usize| layers.iter().position(|l| l.range.contains(&i));
        let expected = Mat::from_fn(n, n, |i, j| match layer(i) == layer(j) {
            true => whole[(i, j)],
            false => 0.0,
        });
        same(name, &matrix(&found), &expected, 1e-12);
        check_functions(name, &found, &expected, 0.05);
    }
}

/// Units and diagonals from what goes through the layers, with and without positions, are entries of the dense matrix.
#[test]
fn by_units_and_diagonal() {
    for (name, (problem, x)) in models() {
        for of in MATRICES {
            let whole = matrix(&*problem.matrix(&x, of).expect("a matrix"));
            let n = whole.nrows();
            let units = DenseBlocks::units(&problem, &x, of).expect("units");
            let mut expected = Mat::zeros(n, n);
            for unit in units.coordinates() {
                for (&i, &j) in unit.iter().flat_map(|i| unit.iter().map(move |j| (i, j))) {
                    expected[(i, j)] = whole[(i, j)];
                }
            }
            same(name, &matrix(&units), &expected, 1e-12);
            check_functions(name, &units, &expected, 0.05);

            let diagonal = fisher_diagonal(&problem, &x, of).expect("a diagonal");
            let expected = Mat::from_fn(n, n, |i, j| if i == j { whole[(i, i)] } else { 0.0 });
            same(name, &matrix(&diagonal), &expected, 1e-12);
            check_functions(name, &diagonal, &expected, 0.05);
        }
    }
    // A unit of a dense layer has a weight for each input, and a bias.
    let (problem, x) = golden();
    let units = DenseBlocks::units(&problem, &x, Matrix::Fisher).expect("units");
    let sizes: Vec<usize> = units.coordinates().map(<[usize]>::len).collect();
    assert_eq!(sizes, [5, 5, 5, 5, 5, 6, 6, 6]);
}

#[test]
fn kronecker_factors_and_low_rank() {
    let (problem, x) = golden();
    let factors = Factors::new(&problem, &x, Matrix::Fisher, Sharing::Expand).expect("factors");
    let spectral = factors.corrected(&problem, &x).expect("eigenvalues");
    let stands = matrix(&spectral.map::<f64>(|v| v).expect("finite"));
    check_functions("factors", &spectral, &stands, 0.05);

    let op = problem.matrix(&x, Matrix::GaussNewton).expect("a matrix");
    let options = EigenOptions {
        count: 6,
        which: Which::Largest,
        tolerance: 1e-12,
        ..EigenOptions::default()
    };
    let pairs = eigenpairs(&*op, &options, SeedTree::new(1)).expect("pairs");
    let low = EigenApproximation::from_pairs(pairs).expect("finite");
    let stands = matrix(&low);
    assert_eq!(low.eigenvalues().iter().filter(|v| **v > 0.0).count(), 6);
    check_functions("low rank", &low, &stands, 0.05);
}

#[test]
fn samples_have_the_covariance() {
    let (problem, x) = golden();
    let op = problem.matrix(&x, Matrix::Fisher).expect("a matrix");
    let full = DenseBlocks::full(&*op).expect("symmetric");
    let covariance = |v: f64| 1.0 / (v + 0.2);
    let exact = matrix(&*full.function(&covariance).expect("positive"));
    let (seed, draws) = (8, 4000);
    let mut stream = SeedTree::new(seed).child("samples").stream(0);
    drawn_like(&exact, seed, draws, || {
        full.sample(&covariance, &mut stream).expect("positive")
    });
}

/// Natural gradients: by conjugate gradients, with and without factors to help, by MINRES, and by the dense inverse.
#[test]
fn inverses_by_products() {
    let (problem, x) = golden();
    let op = problem.matrix(&x, Matrix::Fisher).expect("a matrix");
    let damping = 0.01;
    let full = DenseBlocks::full(&*op).expect("symmetric");
    let exact = matrix(&*full.inverse(damping).expect("a damping"));
    let factors = Factors::new(&problem, &x, Matrix::Fisher, Sharing::Expand).expect("factors");
    let near = factors
        .eigen()
        .expect("values")
        .inverse::<f64>(damping)
        .expect("a damping");
    let options = CgOptions {
        relative: 1e-12,
        ..CgOptions::default()
    };
    let plain = Solver::ConjugateGradients(options);
    let residual = Solver::MinimumResidual(MinresOptions {
        relative: 1e-12,
        ..MinresOptions::default()
    });
    let inverse = |solver| Inverse::new(&*op, damping, solver).expect("a damping");
    same("plain", &matrix(&inverse(plain)), &exact, 1e-9);
    let helped = inverse(plain)
        .preconditioned(&near)
        .expect("the same shape");
    same("helped", &matrix(&helped), &exact, 1e-9);
    same("residual", &matrix(&inverse(residual)), &exact, 1e-9);
    assert!(
        inverse(residual).preconditioned(&near).is_err(),
        "it takes none"
    );

    // The Hessian is indefinite.
    let hessian = problem.hessian(&x).expect("a matrix");
    let full = DenseBlocks::full(&*hessian).expect("symmetric");
    let exact = matrix(&*full.inverse(damping).expect("a damping"));
    let inverse = |solver| Inverse::new(&*hessian, damping, solver).expect("a damping");
    same("indefinite", &matrix(&inverse(residual)), &exact, 1e-8);
    let mut out = Mat::zeros(43, 43);
    let found = inverse(plain).dense(out.as_mut());
    assert_eq!(kind(found, "(NegativeCurvature)"), ErrorKind::Numeric);
    let few = CgOptions {
        max_iterations: 2,
        ..options
    };
    let few = inverse(Solver::ConjugateGradients(few));
    let diagonal = Diagonal((0..43).map(f64::from).collect());
    assert!(few.dense(out.as_mut()).is_err());
    let few = Inverse::new(
        &diagonal,
        1.0,
        Solver::ConjugateGradients(CgOptions {
            max_iterations: 2,
            ..options
        }),
    );
    let found = few.expect("a damping").apply(
        Mat::from_fn(43, 1, |_, _| 1.0).as_ref(),
        Mat::zeros(43, 1).as_mut(),
    );
    assert_eq!(
        kind(found, "after 2 iterations (MaxIterations)"),
        ErrorKind::Numeric
    );
}

#[test]
fn what_means_nothing_is_refused() {
    let matrix = Diagonal(vec![1.0, 0.0, -3.0]);
    for damping in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        assert_eq!(
            kind(matrix.inverse(damping), "`damping` is"),
            ErrorKind::Argument
        );
        assert_eq!(
            kind(matrix.log_det(damping), "`damping` is"),
            ErrorKind::Argument
        );
        let solver = Solver::ConjugateGradients(CgOptions::default());
        assert_eq!(
            kind(Inverse::new(&matrix, damping, solver), "`damping` is"),
            ErrorKind::Argument
        );
    }
    assert_eq!(
        kind(matrix.log_det(2.0), "eigenvalue -3e0"),
        ErrorKind::Numeric
    );
    assert_eq!(
        kind(matrix.inverse(3.0), "the function"),
        ErrorKind::NonFinite
    );
    assert_eq!(kind(matrix.sqrt(), "the function"), ErrorKind::NonFinite);
    let unknown = Dense::new(Mat::<f64>::identity(2, 2));
    assert_eq!(
        kind(DenseBlocks::full(&unknown), "known to be symmetric"),
        ErrorKind::Capability
    );
    let hollow = Diagonal(vec![1.0, f64::NAN]);
    assert_eq!(
        kind(DenseBlocks::full(&hollow), "the matrix"),
        ErrorKind::NonFinite
    );
    let layer = |name: &str, range| Block {
        name: name.to_owned(),
        range,
    };
    for second in [1..3, 2..4, 2..2] {
        let layers = [layer("a", 0..2), layer("b", second)];
        assert_eq!(
            kind(DenseBlocks::layers(&matrix, &layers), "of `b`"),
            ErrorKind::Argument
        );
    }
    let none = Dense::new(Mat::<f64>::zeros(3, 0));
    assert_eq!(
        kind(gram(&none), "`gradients` is none"),
        ErrorKind::Argument
    );
    let (problem, x) = golden();
    let hessian = DenseBlocks::units(&problem, &x, Matrix::Hessian);
    assert_eq!(kind(hessian, "a Fisher matrix"), ErrorKind::Argument);
    let hessian = fisher_diagonal(&problem, &x, Matrix::Hessian);
    assert_eq!(kind(hessian, "a Fisher matrix"), ErrorKind::Argument);
}

/// The parts of a gradient belong together: units are refused, and the diagonal comes from products.
#[test]
fn weights_of_several_places() {
    let network = Network::new([Port::floats("x", [3])], |scope, x| {
        let twice = |h| dense(scope, "twice", h, 3, &DenseLayer::default()).tanh();
        vec![twice(twice(x[0]))]
    });
    let (problem, x) = problem(network, Loss::Squared, 4);
    let units = DenseBlocks::units(&problem, &x, Matrix::Fisher);
    assert_eq!(
        kind(units, "`twice.weight` is used in several places"),
        ErrorKind::Capability
    );
    let whole = matrix(&*problem.matrix(&x, Matrix::Fisher).expect("a matrix"));
    let diagonal = fisher_diagonal(&problem, &x, Matrix::Fisher).expect("a diagonal");
    for (i, v) in diagonal.0.iter().enumerate() {
        agree("diagonal", *v, whole[(i, i)], 1e-12);
    }
}
