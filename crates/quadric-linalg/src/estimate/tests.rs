//! The estimates that leave one test vector out, against leaving it out.

use super::columns::{Columns, gram};
use super::probe::Probe;
use super::trace::{Estimator, TraceOptions};
use super::xdiag::xdiag;
use super::xnystrace::XNysTrace;
use super::xtrace::XTrace;
use crate::algebra::Dense;
use crate::dense::{symmetric_eigen, thin_qr};
use crate::random::SeedTree;
use faer::Mat;

const N: usize = 40;
const K: usize = 11;

/// A symmetric matrix with decaying eigenvalues of both signs, or none negative.
fn matrix(psd: bool) -> Mat<f64> {
    let mut stream = SeedTree::new(4).child("matrix").stream(0);
    let q = thin_qr(Mat::from_fn(N, N, |_, _| stream.normal()).as_ref())
        .unwrap()
        .q;
    let value = |i: usize| 0.6f64.powi(i as i32) * if psd || i % 3 != 1 { 1.0 } else { -1.0 };
    let scaled = Mat::from_fn(N, N, |i, j| q[(i, j)] * value(j));
    let a = scaled * q.transpose();
    Mat::from_fn(N, N, |i, j| a[(i.min(j), i.max(j))])
}

fn test_vectors(probe: Probe, seed: SeedTree) -> Mat<f64> {
    let mut omega = Columns::<f64>::new(N);
    probe
        .extend(&mut omega, K, seed.child("test vectors"))
        .unwrap();
    omega.as_ref().to_owned()
}

/// The matrix without column i.
fn without(m: &Mat<f64>, i: usize) -> Mat<f64> {
    Mat::from_fn(m.nrows(), m.ncols() - 1, |r, c| {
        m[(r, c + usize::from(c >= i))]
    })
}

fn trace(m: &Mat<f64>) -> f64 {
    (0..m.nrows()).map(|i| m[(i, i)]).sum()
}

fn agree(found: &[f64], expected: &[f64], slack: f64) {
    assert_eq!(found.len(), expected.len());
    let size = expected.iter().fold(0.0f64, |m, v| m.max(v.abs()));
    for (i, (a, b)) in found.iter().zip(expected).enumerate() {
        assert!((a - b).abs() <= slack * size, "{i}: {a}, expected {b}");
    }
}

#[test]
fn xtrace_leaves_out() {
    let (a, seed) = (matrix(false), SeedTree::new(1));
    let op = Dense::symmetric(a.clone()).unwrap();
    let omega = test_vectors(Probe::Sphere, seed.child("xtrace"));
    let mut expected = Vec::new();
    for i in 0..K {
        let q = thin_qr((&a * without(&omega, i)).as_ref()).unwrap().q;
        let w = omega.as_ref().subcols(i, 1);
        let rest = w - &q * (q.transpose() * w);
        let form = rest.transpose() * &a * &rest;
        let weight = (N - K + 1) as f64 / rest.squared_norm_l2();
        expected.push(trace(&(q.transpose() * &a * &q)) + weight * form[(0, 0)]);
    }
    // In one piece, and in two.
    for first in [K, 4] {
        let mut method = XTrace::new(N, &TraceOptions::default(), seed);
        method.grow(&op, 2 * first).unwrap();
        method.grow(&op, 2 * K).unwrap();
        agree(&method.estimates().unwrap(), &expected, 1e-12);
    }
}

#[test]
fn xnystrace_leaves_out() {
    let (a, seed) = (matrix(true), SeedTree::new(2));
    let op = Dense::psd(a.clone()).unwrap();
    let omega = test_vectors(Probe::Sphere, seed.child("xnystrace"));
    let mut expected = Vec::new();
    for i in 0..K {
        let others = without(&omega, i);
        let y = &a * &others;
        // The pseudo-inverse of the core, by its eigenvalues.
        let eigen = symmetric_eigen((others.transpose() * &y).as_ref()).unwrap();
        let half = Mat::from_fn(K - 1, K - 1, |r, c| {
            eigen.vectors[(r, c)] / eigen.values[c].sqrt()
        });
        let b = &y * &half;
        let w = omega.as_ref().subcols(i, 1);
        let form = w.transpose() * (&a * w - &b * (b.transpose() * w));
        let span = thin_qr(others.as_ref()).unwrap().q;
        let outside = w - &span * (span.transpose() * w);
        let weight = (N - K + 1) as f64 / outside.squared_norm_l2();
        expected.push(b.squared_norm_l2() + weight * form[(0, 0)]);
    }
    let mut method = XNysTrace::new(N, &TraceOptions::default(), seed);
    method.grow(&op, 5).unwrap();
    method.grow(&op, K).unwrap();
    agree(&method.estimates().unwrap().0, &expected, 1e-12);
}

#[test]
fn xdiag_leaves_out() {
    let (a, seed) = (matrix(false), SeedTree::new(3));
    let op = Dense::symmetric(a.clone()).unwrap();
    let omega = test_vectors(Probe::Rademacher, seed.child("xdiag"));
    let mut expected = Mat::zeros(N, K);
    for i in 0..K {
        let q = thin_qr((&a * without(&omega, i)).as_ref()).unwrap().q;
        let inside = &q * (q.transpose() * &a);
        let image = &a * omega.as_ref().subcols(i, 1);
        let rest = &image - &q * (q.transpose() * &image);
        for entry in 0..N {
            expected[(entry, i)] = inside[(entry, entry)] + omega[(entry, i)] * rest[(entry, 0)];
        }
    }
    let mut seen = 0;
    xdiag(&op, K, 3, seed, |entry, estimates| {
        let row: Vec<f64> = (0..K).map(|i| expected[(entry, i)]).collect();
        agree(estimates, &row, 1e-12);
        seen += 1;
    })
    .unwrap();
    assert_eq!(seen, N);
}

/// Bases stay orthonormal and give back what they came from, in pieces, where columns depend on each other, and in f32.
#[test]
fn bases_of_dependent_columns() {
    let mut stream = SeedTree::new(5).stream(0);
    let low = Mat::from_fn(N, 3, |_, _| stream.normal());
    let mix = Mat::from_fn(3, 8, |_, _| stream.normal());
    let y = &low * &mix;
    let (mut q, mut all) = (Columns::<f32>::new(N), Columns::<f32>::new(N));
    let mut r = Mat::<f64>::zeros(8, 8);
    for (first, count) in [(0, 2), (2, 5), (7, 1)] {
        let mut piece = Columns::<f32>::new(N);
        piece.extend(count).unwrap();
        for (at, v) in piece.entries().iter_mut().enumerate() {
            *v = y[(at % N, first + at / N)] as f32;
        }
        all.extend(count).unwrap()[..].copy_from_slice(piece.entries());
        let part = q.orthonormalise(&piece, SeedTree::new(6)).unwrap();
        for (i, j) in (0..part.nrows()).flat_map(|i| (0..count).map(move |j| (i, j))) {
            r[(i, first + j)] = part[(i, j)];
        }
    }
    let identity = gram(q.as_ref(), q.as_ref()) - Mat::<f64>::identity(8, 8);
    assert!(identity.norm_max() < 1e-6, "{:e}", identity.norm_max());
    let wide = |m: &Columns<f32>| Mat::from_fn(N, 8, |i, j| f64::from(m.as_ref()[(i, j)]));
    let error = (wide(&all) - wide(&q) * &r).norm_max();
    assert!(error < 1e-5, "{error:e}");
}
