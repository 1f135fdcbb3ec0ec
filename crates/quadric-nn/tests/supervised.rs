//! Losses over data sets and their curvature against differences and dense matrices.

use faer::{Mat, MatRef};
use quadric_autodiff::{Array, Data};
use quadric_core::{Matrix, Model, Objective, Smooth, TwiceSmooth};
use quadric_linalg::random::SeedTree;
use quadric_linalg::{ErrorKind, LinearOperator};
use quadric_nn::layers::{Dense, dense};
use quadric_nn::{Examples, Loss, Mode, Network, Port, Supervised};

const EXAMPLES: usize = 7;

fn network() -> Network {
    Network::new([Port::floats("x", [3])], |scope, x| {
        let h = dense(scope, "one", x[0], 4, &Dense::default()).tanh();
        vec![dense(scope, "two", h, 3, &Dense::default())]
    })
    .expect("shapes fit")
}

fn normals(n: usize, purpose: &str) -> Vec<f64> {
    let mut stream = SeedTree::new(3).child(purpose).stream(0);
    (0..n).map(|_| stream.normal()).collect()
}

fn examples() -> Examples<f64> {
    Examples {
        count: EXAMPLES,
        inputs: vec![Array::Float(normals(3 * EXAMPLES, "x"))],
        targets: Array::Index(vec![0, 2, 1, 1, 0, 2, -1]),
    }
}

const LOSS: Loss = Loss::CrossEntropy {
    smoothing: 0.0,
    ignored: Some(-1),
};

fn problem() -> Supervised<f64> {
    Supervised::new(network(), LOSS, examples()).expect("examples fit")
}

fn dense_of(op: &dyn LinearOperator<f64>) -> Mat<f64> {
    let d = op.shape().0;
    let identity = Mat::<f64>::identity(d, d);
    let mut dense = Mat::zeros(d, d);
    op.apply(identity.as_ref(), dense.as_mut())
        .expect("a product");
    dense
}

fn distance(a: MatRef<'_, f64>, b: MatRef<'_, f64>) -> f64 {
    (a - b).norm_max()
}

fn close(a: f64, b: f64, tolerance: f64) {
    assert!(
        (a - b).abs() <= tolerance * (1.0 + b.abs()),
        "{a} is not {b}"
    );
}

#[test]
fn gradient_and_hessian_against_differences() {
    let (p, x) = (problem(), network().initial::<f64>(1));
    let (d, step) = (x.len(), 1e-6);
    let mut g = vec![0.0; d];
    let value = p.value_grad(&x, &mut g).expect("a value");
    close(p.value(&x).expect("a value"), value, 1e-15);
    let hessian = dense_of(&*p.hessian(&x).expect("a matrix"));
    assert!(distance(hessian.as_ref(), hessian.transpose()) < 1e-14);
    for i in 0..d {
        let at = |by: f64| {
            let mut moved = x.clone();
            moved[i] += by;
            let mut g = vec![0.0; d];
            let value = p.value_grad(&moved, &mut g).expect("a value");
            (value, g)
        };
        let ((up, g_up), (down, g_down)) = (at(step), at(-step));
        close((up - down) / (2.0 * step), g[i], 1e-8);
        for j in 0..d {
            close((g_up[j] - g_down[j]) / (2.0 * step), hessian[(j, i)], 1e-7);
        }
    }
}

/// The Gauss-Newton matrix from a Jacobian by differences and the second derivatives of cross-entropy, `diag(p) - p pᵀ`.
#[test]
fn gauss_newton_against_its_definition() {
    let (p, x) = (problem(), network().initial::<f64>(1));
    let (d, step) = (x.len(), 1e-6);
    let program = network()
        .program(EXAMPLES, Mode::Evaluate)
        .expect("shapes fit");
    let data = examples();
    let outputs = |x: &[f64]| -> Vec<f64> {
        let inputs = [Data::Float(x), Data::Float(&[]), data.inputs[0].data()];
        program.run(&inputs).expect("inputs fit")[0]
            .floats()
            .to_vec()
    };
    let at = outputs(&x);
    let mut jacobian = Mat::<f64>::zeros(at.len(), d);
    for i in 0..d {
        let (mut up, mut down) = (x.clone(), x.clone());
        up[i] += step;
        down[i] -= step;
        for (row, (u, l)) in outputs(&up).iter().zip(outputs(&down)).enumerate() {
            jacobian[(row, i)] = (u - l) / (2.0 * step);
        }
    }
    let mut expected = Mat::<f64>::zeros(d, d);
    for n in 0..EXAMPLES - 1 {
        let logits = &at[3 * n..3 * n + 3];
        let total: f64 = logits.iter().map(|f| f.exp()).sum();
        let chance: Vec<f64> = logits.iter().map(|f| f.exp() / total).collect();
        let lambda = Mat::from_fn(3, 3, |i, j| {
            chance[i] * (f64::from(u8::from(i == j)) - chance[j])
        });
        let j = jacobian.subrows(3 * n, 3);
        expected += j.transpose() * &lambda * j / (EXAMPLES - 1) as f64;
    }
    let found = p.matrix(&x, Matrix::GaussNewton).expect("a matrix");
    assert!(found.properties().psd);
    assert!(distance(dense_of(&*found).as_ref(), expected.as_ref()) < 1e-8);
}

/// Batches, also one that is smaller than the others, and operators that keep all, some or nothing of their point.
#[test]
fn batches_and_memory_change_nothing() {
    let x = network().initial::<f64>(1);
    let whole = problem();
    let mut expected = vec![0.0; x.len()];
    let value = whole.value_grad(&x, &mut expected).expect("a value");
    let hessian = dense_of(&*whole.hessian(&x).expect("a matrix"));
    for (batch, memory) in [(1, 0), (3, 0), (3, 20_000), (3, 1 << 30), (7, 0)] {
        let p = problem().with_batch(batch).with_memory(memory);
        let mut g = vec![0.0; x.len()];
        close(p.value_grad(&x, &mut g).expect("a value"), value, 1e-14);
        g.iter()
            .zip(&expected)
            .for_each(|(a, b)| close(*a, *b, 1e-14));
        let op = p.hessian(&x).expect("a matrix");
        for _ in 0..2 {
            assert!(distance(dense_of(&*op).as_ref(), hessian.as_ref()) < 1e-14);
        }
    }
}

#[test]
fn bad_examples_are_refused() {
    let refused = |examples: Examples<f64>| match Supervised::new(network(), LOSS, examples) {
        Err(e) => (e.kind(), e.to_string()),
        Ok(_) => panic!("accepted"),
    };
    let mut few = examples();
    few.inputs[0] = Array::Float(vec![0.0; 20]);
    let (kind, text) = refused(few);
    assert_eq!(kind, ErrorKind::Shape);
    assert!(
        text.contains("`x` is float[7, 3]") && text.contains("20 real numbers"),
        "{text}"
    );
    let mut nan = examples();
    let mut values = normals(21, "x");
    values[10] = f64::NAN;
    nan.inputs[0] = Array::Float(values);
    let (kind, text) = refused(nan);
    assert_eq!(kind, ErrorKind::NonFinite);
    assert!(text.contains("`x` of example 3 is NaN"), "{text}");
    let mut label = examples();
    label.targets = Array::Index(vec![0, 0, 0, 3, 0, 0, 0]);
    let (_, text) = refused(label);
    assert!(
        text.contains("target 3") && text.contains("from 0 to 2"),
        "{text}"
    );
    let mut none = examples();
    none.targets = Array::Index(vec![-1; 7]);
    let p = Supervised::new(network(), LOSS, none).expect("labels that do not count are labels");
    let x = network().initial::<f64>(1);
    let text = p.value(&x).expect_err("nothing counts").to_string();
    assert!(text.contains("no label counts"), "{text}");
    let text = p.value(&x[1..]).expect_err("a short point").to_string();
    assert!(text.contains("the point"), "{text}");
}
