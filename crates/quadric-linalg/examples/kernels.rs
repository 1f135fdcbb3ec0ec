//! Measures the kernels beside the machine's own limits: `cargo run --release -p quadric-linalg --example kernels`.
//!
//! Times are the least of many repetitions on the threads rayon finds; set `RAYON_NUM_THREADS` to vary them.

#![allow(clippy::print_stdout)]

use faer::linalg::matmul::matmul;
use faer::{Accum, Mat, MatMut, Par};
use quadric_linalg::random::SeedTree;
use quadric_linalg::{DataMatrix, Scalar, kernels};
use rayon::prelude::*;
use std::hint::black_box;
use std::time::Instant;

/// Seconds of the fastest of several runs, at least three and about `budget` seconds in all.
fn fastest(mut f: impl FnMut()) -> f64 {
    let (mut best, start, mut runs) = (f64::INFINITY, Instant::now(), 0);
    while runs < 3 || start.elapsed().as_secs_f64() < 0.7 {
        let t = Instant::now();
        f();
        best = best.min(t.elapsed().as_secs_f64());
        runs += 1;
    }
    best
}

fn values<T: Scalar>(n: usize) -> Vec<T> {
    let mut s = SeedTree::new(1).child("bench").stream(0);
    (0..n).map(|_| T::of(2.0 * s.uniform() - 1.0)).collect()
}

fn dense<T: Scalar>(n: usize, d: usize) -> DataMatrix<T> {
    DataMatrix::dense(values(n * d), n, d).expect("n d values")
}

fn sparse<T: Scalar>(n: usize, d: usize, per_row: usize) -> DataMatrix<T> {
    let mut s = SeedTree::new(2).child("bench").stream(0);
    let (mut starts, mut columns) = (vec![0u32], Vec::new());
    for _ in 0..n {
        let mut row: Vec<u32> = (0..per_row)
            .map(|_| ((s.uniform() * d as f64) as u32).min(d as u32 - 1))
            .collect();
        row.sort_unstable();
        row.dedup();
        columns.extend(row);
        starts.push(columns.len() as u32);
    }
    let count = columns.len();
    DataMatrix::sparse(starts, columns, values(count), n, d).expect("sorted distinct columns")
}

fn bytes<T>(x: &DataMatrix<T>) -> f64
where
    T: Scalar,
{
    let index = if matches!(x, DataMatrix::Dense(_)) {
        0
    } else {
        4
    };
    (x.stored() * (size_of::<T>() + index)) as f64
}

/// The rate at which all threads read a matrix and add it up: the limit of one pass.
fn read_rate<T: Scalar>(x: &[T]) -> f64 {
    let t = fastest(|| {
        let sums: Vec<f64> = x
            .par_chunks(1 << 15)
            .map(|c| {
                let mut lanes = [0.0; 32];
                for c in c.as_chunks::<32>().0 {
                    for l in 0..32 {
                        lanes[l] += c[l].to_f64();
                    }
                }
                lanes.iter().sum()
            })
            .collect();
        black_box(sums);
    });
    size_of_val(x) as f64 / t * 1e-9
}

/// The rate of square products, one to a thread.
fn product_rate<T: Scalar>() -> f64 {
    const N: usize = 512;
    let threads = rayon::current_num_threads();
    let a = values::<T>(N * N);
    let mut out: Vec<Vec<T>> = vec![vec![T::of(0.0); N * N]; threads];
    let view = faer::MatRef::from_column_major_slice(&a, N, N);
    let t = fastest(|| {
        out.par_iter_mut().for_each(|out| {
            let out = MatMut::from_column_major_slice_mut(out, N, N);
            matmul(out, Accum::Replace, view, view, T::of(1.0), Par::Seq);
        });
    });
    2.0 * (N * N * N * threads) as f64 / t * 1e-9
}

fn passes<T: Scalar>(name: &str, x: &DataMatrix<T>) {
    let (n, d) = (x.rows(), x.cols());
    let gb = bytes(x) * 1e-9;
    for k in [1, 2, 4, 8, 16, 32] {
        let v = Mat::<T>::from_fn(d, k, |j, c| T::of(((j * 7 + c) % 11) as f64 * 0.1 - 0.5));
        let mut products = vec![T::of(0.0); n * k];
        let mut out = Mat::<T>::zeros(d, k);
        let forward = fastest(|| kernels::multiply(x, v.as_ref(), &mut products));
        let back = fastest(|| kernels::multiply_transposed(x, &products, out.as_mut()));
        let both = fastest(|| {
            let f = |_: std::ops::Range<usize>, p: &[T], r: &mut [T]| {
                r.copy_from_slice(p);
                0.0
            };
            kernels::fused(x, None, v.as_ref(), &mut products, f, out.as_mut());
        });
        let flops = 2.0 * (x.stored() * k) as f64 * 1e-9;
        println!(
            "{name:<28} k {k:>2}: XV {:6.1} GB/s {:6.1} GF, XtR {:6.1} GB/s {:6.1} GF, fused {:6.1} GB/s {:6.1} GF",
            gb / forward,
            flops / forward,
            gb / back,
            flops / back,
            gb / both,
            2.0 * flops / both,
        );
    }
}

fn gram<T: Scalar>(name: &str, x: &DataMatrix<T>, limit: f64) {
    let (n, d) = (x.rows(), x.cols());
    let weights = vec![T::of(0.25); n];
    let mut out = Mat::<T>::zeros(d, d);
    let t = fastest(|| kernels::weighted_gram(x, &weights, out.as_mut()));
    let rate = n as f64 * (d * (d + 1)) as f64 / t * 1e-9;
    println!(
        "{name:<28} Gram {:8.2} ms, {rate:6.1} GF of a triangle, {:3.0} % of the product rate",
        t * 1e3,
        100.0 * rate / limit
    );
}

fn both<T: Scalar>() {
    println!("{} on {} threads", T::NAME, rayon::current_num_threads());
    let limit = product_rate::<T>();
    println!("square products: {limit:.1} GF");
    for (n, d) in [
        (20_000, 200),
        (32_561, 123),
        (1_000_000, 10),
        (100_000, 500),
    ] {
        let x = dense::<T>(n, d);
        if let DataMatrix::Dense(x) = &x {
            println!("reading {n}x{d}: {:.1} GB/s", read_rate(x.values()));
        }
        passes(&format!("dense {n}x{d}"), &x);
        gram(&format!("dense {n}x{d}"), &x, limit);
    }
    for (n, d, per_row) in [
        (32_561, 123, 14),
        (20_000, 5_000, 50),
        (1_000_000, 1_000_000, 10),
    ] {
        let x = sparse::<T>(n, d, per_row);
        passes(&format!("sparse {n}x{d}, {per_row}/row"), &x);
        if d <= 5_000 {
            gram(&format!("sparse {n}x{d}, {per_row}/row"), &x, limit);
        }
    }
    let x = dense::<T>(62, 2000);
    passes("dense 62x2000", &x);
    gram("dense 62x2000", &x, limit);
}

fn main() {
    both::<f64>();
    both::<f32>();
}
