//! Exact identities of the matrices of random networks with up to a hundred thousand parameters.

use faer::{Mat, MatRef};
use quadric_autodiff::{Array, Kind};
use quadric_core::{Matrix, Model, Smooth, Targets, TwiceSmooth};
use quadric_curvature::gram;
use quadric_linalg::dense::symmetric_eigen;
use quadric_linalg::random::SeedTree;
use quadric_linalg::spectrum::{EigenOptions, eigenpairs};
use quadric_linalg::{LinearOperator, Result};
use quadric_nn::layers::{Activation, EncoderLayer};
use quadric_nn::models::{
    EncoderClassifier, Resnet, encoder_classifier, lstm_classifier, mlp, resnet,
};
use quadric_nn::{Examples, Loss, Mode, Network, Supervised};

/// Examples, in batches of five.
const N: usize = 12;

type Problem = Supervised<f64>;

/// A network at a random point, and random examples of it.
fn problem(network: Result<Network>, seed: u64) -> (Problem, Vec<f64>) {
    let network = network.expect("sizes");
    let x: Vec<f64> = network.initial(seed);
    let program = network.program(1, Mode::Evaluate).expect("shapes fit");
    let classes = *program.output_type(0).shape.last().expect("classes");
    let mut stream = SeedTree::new(seed).child("examples").stream(0);
    let port = network.inputs()[0].of_batch(N);
    let inputs = match port.kind {
        Kind::Float => Array::Float((0..port.len()).map(|_| stream.normal()).collect()),
        Kind::Index => panic!("real inputs"),
    };
    let targets = (0..N).map(|_| stream.below(classes) as i32).collect();
    let examples = Examples {
        count: N,
        inputs: vec![inputs],
        targets: Array::Index(targets),
    };
    let problem = Supervised::new(network, Loss::CROSS_ENTROPY, examples);
    (problem.expect("a problem").with_batch(5), x)
}

fn networks() -> Vec<(&'static str, Problem, Vec<f64>)> {
    let image = Resnet {
        depth: 8,
        image: [8, 8, 3],
        ..Resnet::default()
    };
    let encoder = EncoderClassifier {
        steps: 6,
        features: 5,
        width: 40,
        layers: 2,
        layer: EncoderLayer {
            feedforward: 120,
            ..EncoderLayer::new(40, 4)
        },
        classes: 7,
    };
    let all = [
        ("tanh", mlp(&[60, 250, 250, 10], Activation::Tanh)),
        ("relu", mlp(&[110, 800, 10], Activation::Relu)),
        ("images", resnet(image)),
        ("sequences", lstm_classifier(6, 9, 80, 7)),
        ("attention", encoder_classifier(encoder)),
    ];
    let problems = all.into_iter().zip(0..).map(|((name, network), seed)| {
        let (problem, x) = problem(network, seed);
        assert!((10_000..=100_000).contains(&x.len()), "{name}: {}", x.len());
        (name, problem, x)
    });
    problems.collect()
}

fn normals(n: usize, k: usize) -> Mat<f64> {
    let mut stream = SeedTree::new(77).child("directions").stream(0);
    Mat::from_fn(n, k, |_, _| stream.normal())
}

fn times(op: &dyn LinearOperator<f64>, v: MatRef<'_, f64>) -> Mat<f64> {
    let mut out = Mat::zeros(op.shape().0, v.ncols());
    op.apply(v, out.as_mut()).expect("a product");
    out
}

#[track_caller]
fn same(what: &str, found: &Mat<f64>, expected: &Mat<f64>, tolerance: f64) {
    let (error, size) = ((found - expected).norm_l2(), expected.norm_l2());
    assert!(
        size > 0.0 && error <= tolerance * size,
        "{what}: {error:e} of {size:e}"
    );
}

const ALL: [Matrix; 5] = [
    Matrix::Hessian,
    Matrix::GaussNewton,
    Matrix::Fisher,
    Matrix::EmpiricalFisher,
    Matrix::Covariance,
];

/// Symmetry, and several vectors at once.
#[test]
fn products_are_symmetric_and_those_of_single_vectors() {
    for (name, problem, x) in networks() {
        let v = normals(x.len(), 3);
        for of in ALL {
            let op = problem.matrix(&x, of).expect("a matrix");
            let block = times(&*op, v.as_ref());
            for j in 0..3 {
                let single = times(&*op, v.as_ref().subcols(j, 1));
                let what = format!("{name}, {of:?}, vector {j}");
                same(&what, &block.subcols(j, 1).to_owned(), &single, 1e-13);
            }
            let forms = v.transpose() * &block;
            let size = (0..3).fold(0.0, |m: f64, j| {
                m.max(v.col(j).norm_l2() * block.col(j).norm_l2())
            });
            let off = (&forms - forms.transpose()).norm_max();
            assert!(off <= 1e-12 * size, "{name}, {of:?}: {off:e} of {size:e}");
            let is_psd = of != Matrix::Hessian;
            assert!(!is_psd || (0..3).all(|j| forms[(j, j)] >= -1e-12 * size));
        }
    }
}

/// The same added to all logits changes nothing.
#[test]
fn softmax_does_not_see_a_common_shift() {
    for (name, problem, x) in networks() {
        let mut v = Mat::zeros(x.len(), 1);
        let noise = normals(x.len(), 1);
        let [.., weight, bias] = problem.layout().segments() else {
            panic!("a last layer");
        };
        assert!(
            weight.name.ends_with("weight") && bias.name.ends_with("bias"),
            "{name}"
        );
        let outputs = bias.len();
        for segment in [weight, bias] {
            let first = segment.range().start;
            for i in segment.range() {
                // The weights are (inputs, outputs).
                v[(i, 0)] = noise[(first + (i - first) / outputs, 0)];
            }
        }
        let other = normals(x.len(), 1);
        for of in ALL {
            let op = problem.matrix(&x, of).expect("a matrix");
            let usual = times(&*op, other.as_ref()).norm_l2() / other.norm_l2();
            let found = times(&*op, v.as_ref()).norm_l2() / v.norm_l2();
            assert!(found <= 1e-9 * usual, "{name}, {of:?}: {found:e}");
        }
    }
}

/// Weights before a ReLU times c, those behind it by c.
#[test]
fn relu_layers_can_be_rescaled() {
    let (problem, x) = problem(mlp(&[110, 800, 10], Activation::Relu), 1);
    let mut g = vec![0.0; x.len()];
    problem.value_grad(&x, &mut g).expect("finite");
    let (mut v, mut expected) = (Mat::zeros(x.len(), 1), Mat::zeros(x.len(), 1));
    for (name, sign) in [("fc1.weight", 1.0), ("fc1.bias", 1.0), ("fc2.weight", -1.0)] {
        for i in problem.layout().find(name).expect("a layer").range() {
            (v[(i, 0)], expected[(i, 0)]) = (sign * x[i], -sign * g[i]);
        }
    }
    let op = problem.hessian(&x).expect("a matrix");
    same("rescaling", &times(&*op, v.as_ref()), &expected, 1e-9);
}

/// For cross-entropy the Fisher matrix is that of Gauss and Newton; the mean of the gradients makes a covariance of the empirical
/// one, which has the eigenvalues of their kernel (for two of the networks, since it takes many products).
#[test]
fn fisher_matrices() {
    for (name, problem, x) in networks() {
        let v = normals(x.len(), 3);
        let of = |m| problem.matrix(&x, m).expect("a matrix");
        let fisher = times(&*of(Matrix::Fisher), v.as_ref());
        let expected = times(&*of(Matrix::GaussNewton), v.as_ref());
        same(name, &fisher, &expected, 1e-9);
        let mut g = vec![0.0; x.len()];
        problem.value_grad(&x, &mut g).expect("finite");
        let g = MatRef::from_column_major_slice(&g, x.len(), 1);
        let empirical = of(Matrix::EmpiricalFisher);
        let expected = times(&*empirical, v.as_ref()) - g * (g.transpose() * &v);
        let covariance = times(&*of(Matrix::Covariance), v.as_ref());
        same(name, &covariance, &expected, 1e-9);
        if name != "tanh" && name != "sequences" {
            continue;
        }
        let gradients = problem.gradients(&x, Targets::Data).expect("gradients");
        let kernel = gram(&*gradients).expect("gradients");
        let mut small = symmetric_eigen(kernel.as_ref()).expect("finite").values;
        small.reverse();
        let options = EigenOptions {
            count: N,
            tolerance: 1e-6,
            ..EigenOptions::default()
        };
        let large = eigenpairs(&*empirical, &options, SeedTree::new(2)).expect("pairs");
        assert!(large.is_converged(), "{name}");
        for (a, b) in large.values.iter().zip(&small) {
            assert!((a - b).abs() <= 1e-9 * small[0], "{name}: {a}, {b}");
        }
        // There are no others, so that their sum is the trace.
        let sum: f64 = large.values.iter().sum();
        let trace: f64 = (0..N).map(|n| kernel[(n, n)]).sum();
        assert!(
            (sum - trace).abs() <= 1e-9 * trace,
            "{name}: {sum}, {trace}"
        );
    }
}
