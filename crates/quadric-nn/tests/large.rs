//! Data larger than the memory that a problem may take, and networks of ten million parameters.

use faer::{Mat, MatRef};
use peak_alloc::PeakAlloc;
use quadric_autodiff::Array;
use quadric_core::{Matrix, Model, Problem, Smooth};
use quadric_data::{NpyRows, npy_header};
use quadric_linalg::dense::product;
use quadric_linalg::random::SeedTree;
use quadric_linalg::vector;
use quadric_nn::layers::Activation;
use quadric_nn::models::mlp;
use quadric_nn::{ExampleFile, Examples, FileExamples, Loss, Supervised};
use std::io::{BufWriter, Write};
use std::sync::{Arc, Mutex};

#[global_allocator]
static PEAK: PeakAlloc = PeakAlloc;

/// Tests that measure memory take turns.
static TURN: Mutex<()> = Mutex::new(());

const MIB: usize = 1 << 20;

/// Lets the matrix kernels take their room: twice the last cache for every thread, of which they touch what they need. With a
/// large cache it would be most of what is counted here.
fn warm_up() {
    let work = || {
        let a = Mat::<f32>::full(256, 256, 1.0);
        product(a.as_ref(), a.as_ref(), Mat::zeros(256, 256).as_mut());
    };
    work();
    rayon::broadcast(|_| work());
}

/// A file of so many rows of doubles.
fn written(path: &std::path::Path, shape: &[usize], value: impl Fn(usize) -> f64) {
    let mut file = BufWriter::new(std::fs::File::create(path).expect("a file"));
    file.write_all(&npy_header(shape)).expect("room");
    for i in 0..shape.iter().product() {
        file.write_all(&value(i).to_le_bytes()).expect("room");
    }
}

/// 64 MiB of examples, of which few are in memory at a time; sums are those of the closed form for a network that is linear.
#[test]
fn data_larger_than_the_memory() {
    let _turn = TURN.lock();
    warm_up();
    let (rows, columns, budget) = (1 << 16, 128, 8 * MIB);
    let folder = tempfile::tempdir().expect("a folder");
    let [x, y] = ["x.npy", "y.npy"].map(|name| folder.path().join(name));
    let entry = |i: usize| ((i * 7919) % 1000) as f64 / 1000.0 - 0.5;
    written(&x, &[rows, columns], entry);
    written(&y, &[rows, 1], |i| (i % 5) as f64);
    let network = mlp(&[columns, 1], Activation::Tanh).expect("sizes");
    let loss = Loss::Squared;
    let target = loss.target(&[1]).expect("a target");
    let [x, y] = [x, y].map(|path| {
        let file = NpyRows::open(&path).expect("a file");
        ExampleFile::Npy(Arc::new(file))
    });
    let source = FileExamples::new(&network, &[x]).expect("a file");
    let source = source.with_targets(&target, &y).expect("a file");
    let w: Vec<f64> = network.initial(0);
    let p = Supervised::streaming(network, loss, source).expect("examples fit");
    let p = p.with_memory(budget).with_batch(1024);
    PEAK.reset_peak_usage();
    let before = PEAK.current_usage();
    let mut gradient = vec![0.0; p.dim()];
    p.value_grad(&w, &mut gradient).expect("a value");
    let v: Vec<f64> = (0..p.dim()).map(|i| (i % 3) as f64 - 1.0).collect();
    let mut product = Mat::<f64>::zeros(p.dim(), 1);
    let op = p.matrix(&w, Matrix::Hessian).expect("a matrix");
    let block = MatRef::from_column_major_slice(&v, p.dim(), 1);
    op.apply(block, product.as_mut()).expect("a product");
    let used = PEAK.peak_usage() - before;
    // The programs of both, and what the operator keeps.
    assert!(used < 4 * budget, "{} MiB", used / MIB);

    let (mut g, mut hv) = (vec![0.0; p.dim()], vec![0.0; p.dim()]);
    for r in 0..rows {
        let row: Vec<f64> = (0..columns).map(|c| entry(r * columns + c)).collect();
        let row = [&row[..], &[1.0]].concat();
        let error = vector::dot(&row, &w) - (r % 5) as f64;
        vector::axpy(error / rows as f64, &row, &mut g);
        vector::axpy(vector::dot(&row, &v) / rows as f64, &row, &mut hv);
    }
    for i in 0..p.dim() {
        let (a, b) = (gradient[i], product[(i, 0)]);
        assert!((a - g[i]).abs() < 1e-10, "{i}: {a}, {}", g[i]);
        assert!((b - hv[i]).abs() < 1e-10, "{i}: {b}, {}", hv[i]);
    }
}

/// The gradient and products of four vectors, for ten million parameters: the memory is a few times that of the vectors.
#[test]
fn ten_million_parameters() {
    let _turn = TURN.lock();
    warm_up();
    let network = mlp(&[784, 2048, 4096, 10], Activation::Relu).expect("sizes");
    let d = network.layout().len();
    assert!(d > 10_000_000, "{d}");
    let mut stream = SeedTree::new(0).child("images").stream(0);
    let count = 32;
    let examples = Examples {
        count,
        inputs: vec![Array::Float(
            (0..count * 784).map(|_| stream.uniform() as f32).collect(),
        )],
        targets: Array::Index((0..count as i32).map(|i| i % 10).collect()),
    };
    let w: Vec<f32> = network.initial(0);
    let p = Supervised::new(network, Loss::CROSS_ENTROPY, examples).expect("examples fit");
    PEAK.reset_peak_usage();
    let before = PEAK.current_usage();
    let mut g = vec![0.0; d];
    p.value_grad(&w, &mut g).expect("a value");
    let v = Mat::from_fn(d, 4, |i, j| (((i + j) % 7) as f32 - 3.0) / 7.0);
    let mut hv = Mat::<f32>::zeros(d, 4);
    let op = p.matrix(&w, Matrix::GaussNewton).expect("a matrix");
    op.apply(v.as_ref(), hv.as_mut()).expect("a product");
    let used = PEAK.peak_usage() - before;
    assert!(used < 1200 * MIB, "{} MiB", used / MIB);
    // vᵀ G v is the mean of the squared length of J v in the metric of the loss, so it is not negative; G is symmetric.
    let dot = |i: usize, j: usize| -> f64 {
        let pairs = v.col(i).iter().zip(hv.col(j).iter());
        pairs.map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
    };
    for i in 0..4 {
        assert!(dot(i, i) > 0.0);
        for j in 0..i {
            let scale = dot(i, i).max(dot(j, j));
            assert!((dot(i, j) - dot(j, i)).abs() < 1e-4 * scale);
        }
    }
}
