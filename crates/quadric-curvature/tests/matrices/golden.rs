//! Golden numbers of the small network, made by another program, and identities that hold for any.

use crate::{agree, golden, matrix, problem, same, trace};
use faer::{Mat, MatRef};
use quadric_core::{Matrix, Model, Smooth, Targets, TwiceSmooth};
use quadric_curvature::{Decomposed, DenseBlocks, blocks, gram};
use quadric_linalg::dense::symmetric_eigen;
use quadric_linalg::random::SeedTree;
use quadric_nn::Loss;
use quadric_nn::layers::Activation;
use quadric_nn::models::{lstm_classifier, mlp};

/// Ascending.
fn eigenvalues(m: &Mat<f64>) -> Vec<f64> {
    symmetric_eigen(m.as_ref()).expect("finite").values
}

#[test]
fn golden_numbers() {
    let (problem, x) = golden();
    let mut gradient = vec![0.0; 43];
    let loss = problem.value_grad(&x, &mut gradient).expect("finite");
    agree("loss", loss, 1.166_486_756_346_630_8, 1e-11);
    let norm = gradient.iter().map(|g| g * g).sum::<f64>().sqrt();
    agree("gradient", norm, 0.310_434_668_110_573_2, 1e-11);

    let op = problem.hessian(&x).expect("a matrix");
    let hessian = DenseBlocks::full(&*op).expect("symmetric");
    agree(
        "log det",
        hessian.log_det(2.0).expect("positive"),
        30.984_458_889_660_097,
        1e-11,
    );
    agree("trace", hessian.trace(), 2.820_752_093_929_33, 1e-11);
    let mut values = hessian.eigenvalues();
    values.sort_by(f64::total_cmp);
    let squares: f64 = values.iter().map(|v| v * v).sum();
    agree("norm", squares, 2.241_447_139_223_75, 1e-11);
    let top = [
        1.032_834_482_903,
        0.601_005_048_635_2,
        0.482_722_124_431,
        0.435_080_549_768_8,
        0.324_708_751_453_4,
    ];
    for (i, expected) in top.into_iter().enumerate() {
        agree("top", values[42 - i], expected, 1e-11);
    }
    for (i, expected) in [
        -0.196_890_247_180_8,
        -0.177_388_830_729_7,
        -0.150_249_708_343,
    ]
    .into_iter()
    .enumerate()
    {
        agree("bottom", values[i], expected, 1e-11);
    }
    for (of, top, trace_of, rank) in [
        (
            Matrix::GaussNewton,
            0.997_604_560_632_2,
            3.101_813_415_562_81,
            24,
        ),
        (
            Matrix::EmpiricalFisher,
            0.781_138_590_579_6,
            3.360_315_310_480_63,
            12,
        ),
    ] {
        let op = problem.matrix(&x, of).expect("a matrix");
        let found = DenseBlocks::full(&*op).expect("symmetric");
        let values = found.eigenvalues();
        agree("top", values[42], top, 1e-11);
        agree("trace", found.trace(), trace_of, 1e-11);
        assert_eq!(
            values.iter().filter(|v| **v > 1e-12).count(),
            rank,
            "{of:?}"
        );
    }
    // The block of the last layer is that of the Gauss-Newton matrix.
    let layers = blocks(problem.layout());
    for of in [Matrix::Hessian, Matrix::GaussNewton] {
        let op = problem.matrix(&x, of).expect("a matrix");
        let last = DenseBlocks::layers(&*op, &layers[1..]).expect("a layer");
        agree("last layer", last.trace(), 1.851_457_383_666_03, 1e-11);
        let top = last.eigenvalues().into_iter().fold(0.0, f64::max);
        agree("last layer, largest", top, 0.609_814_424_449_579, 1e-11);
    }
}

/// The kernel of the gradients has the trace and the eigenvalues of the empirical Fisher matrix.
#[test]
fn gram_matrix_and_empirical_fisher_matrix() {
    for (problem, x) in [
        golden(),
        problem(lstm_classifier(4, 2, 3, 3), Loss::CROSS_ENTROPY, 9),
    ] {
        let gradients = problem.gradients(&x, Targets::Data).expect("gradients");
        let kernel = gram(&*gradients).expect("gradients");
        let op = problem
            .matrix(&x, Matrix::EmpiricalFisher)
            .expect("a matrix");
        let fisher = matrix(&*op);
        agree("trace", trace(&kernel), trace(&fisher), 1e-12);
        let [small, large] = [&kernel, &fisher].map(eigenvalues);
        let most = large[large.len() - 1];
        for (a, b) in small.iter().rev().zip(large.iter().rev()) {
            assert!((a - b).abs() < 1e-12 * most, "{a} {b}");
        }
        assert!(large[large.len() - 1 - small.len()].abs() < 1e-12 * most);

        let mut mean = vec![0.0; x.len()];
        problem.value_grad(&x, &mut mean).expect("finite");
        let g = MatRef::from_column_major_slice(&mean, x.len(), 1);
        let covariance = matrix(&*problem.matrix(&x, Matrix::Covariance).expect("a matrix"));
        same(
            "covariance",
            &covariance,
            &(&fisher - g * g.transpose()),
            1e-12,
        );
        assert!(eigenvalues(&covariance)[0] > -1e-12 * most);
    }
}

/// A shift of all logits by the same number changes nothing.
#[test]
fn softmax_does_not_see_a_common_shift() {
    let (problem, x) = problem(
        mlp(&[6, 40, 30, 5], Activation::Tanh),
        Loss::CROSS_ENTROPY,
        11,
    );
    let layout = problem.layout();
    let last = layout.find("fc3.weight").expect("a layer");
    let (seed, outputs) = (5, 5);
    let mut stream = SeedTree::new(seed).child("shift").stream(0);
    let shift: Vec<f64> = (0..last.len() / outputs).map(|_| stream.normal()).collect();
    let mut v = Mat::zeros(x.len(), 1);
    for (at, i) in last.range().enumerate() {
        // The weights are (inputs, outputs).
        v[(i, 0)] = shift[at / outputs];
    }
    for of in [
        Matrix::Hessian,
        Matrix::GaussNewton,
        Matrix::EmpiricalFisher,
    ] {
        let op = problem.matrix(&x, of).expect("a matrix");
        let mut product = Mat::zeros(x.len(), 1);
        op.apply(v.as_ref(), product.as_mut()).expect("a product");
        assert!(
            product.norm_max() < 1e-14 * v.norm_max(),
            "{of:?}, seed {seed}: {product:?}"
        );
    }
}

/// Weights before a ReLU times c, those behind it by c: the loss stays, and its derivative by c, too.
#[test]
fn relu_layers_can_be_rescaled() {
    let (problem, x) = problem(mlp(&[6, 50, 4], Activation::Relu), Loss::CROSS_ENTROPY, 13);
    let mut g = vec![0.0; x.len()];
    problem.value_grad(&x, &mut g).expect("finite");
    let layout = problem.layout();
    let (mut v, mut expected) = (Mat::zeros(x.len(), 1), Mat::zeros(x.len(), 1));
    for (name, sign) in [("fc1.weight", 1.0), ("fc1.bias", 1.0), ("fc2.weight", -1.0)] {
        for i in layout.find(name).expect("a layer").range() {
            (v[(i, 0)], expected[(i, 0)]) = (sign * x[i], -sign * g[i]);
        }
    }
    let mut product = Mat::zeros(x.len(), 1);
    let op = problem.hessian(&x).expect("a matrix");
    op.apply(v.as_ref(), product.as_mut()).expect("a product");
    same("rescaling", &product, &expected, 1e-9);
}
