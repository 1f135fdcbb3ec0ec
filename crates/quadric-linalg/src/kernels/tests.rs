//! The kernels against plain loops in compensated arithmetic, over many shapes, and against themselves over thread counts.

use super::*;
use crate::random::{SeedTree, Stream};
use faer::Mat;

/// Running sum with the rounding errors of products and additions carried along.
#[derive(Clone, Copy, Default)]
struct Exact {
    sum: f64,
    rest: f64,
    size: f64,
}

impl Exact {
    fn add(&mut self, a: f64, b: f64) {
        let p = a * b;
        let e = a.mul_add(b, -p);
        let t = self.sum + p;
        let z = t - self.sum;
        self.rest += (self.sum - (t - z)) + (p - z) + e;
        self.sum = t;
        self.size += p.abs();
    }
    fn value(self) -> f64 {
        self.sum + self.rest
    }
}

fn stream(purpose: &str) -> Stream {
    SeedTree::new(20_261_125).child(purpose).stream(0)
}

fn uniform<T: Scalar>(s: &mut Stream, n: usize) -> Vec<T> {
    (0..n).map(|_| T::of(2.0 * s.uniform() - 1.0)).collect()
}

fn dense<T: Scalar>(n: usize, d: usize) -> DataMatrix<T> {
    let s = &mut stream("dense");
    DataMatrix::dense(uniform(s, n * d), n, d).unwrap()
}

/// About `per_row` values a row; every seventh row and every fifth column empty.
fn sparse<T: Scalar>(n: usize, d: usize, per_row: usize) -> DataMatrix<T> {
    let s = &mut stream("sparse");
    let (mut starts, mut columns) = (vec![0u32], Vec::new());
    for i in 0..n {
        if i % 7 != 3 && d > 0 {
            let column = |s: &mut Stream| ((s.uniform() * d as f64) as u32).min(d as u32 - 1);
            let mut row: Vec<u32> = (0..per_row).map(|_| column(s)).collect();
            row.retain(|j| j % 5 != 2);
            row.sort_unstable();
            row.dedup();
            columns.extend(row);
        }
        starts.push(columns.len() as u32);
    }
    let values = uniform(s, columns.len());
    DataMatrix::sparse(starts, columns, values, n, d).unwrap()
}

fn block<T: Scalar>(d: usize, k: usize, row_major: bool) -> Mat<T> {
    let values: Vec<T> = uniform(&mut stream("block"), d * k);
    if row_major {
        MatRef::from_row_major_slice(&values, d, k).to_owned()
    } else {
        MatRef::from_column_major_slice(&values, d, k).to_owned()
    }
}

/// Rounding allowed for a sum of products of total size `size`.
fn tolerance<T: Scalar>(x: &DataMatrix<T>, k: usize, terms: usize, size: f64) -> f64 {
    // Only dense f32 blocks sum runs in f32.
    let run = if k > 1 && T::NAME == "f32" && matches!(x, DataMatrix::Dense(_)) {
        terms.min(256) as f64 * T::EPSILON
    } else {
        0.0
    };
    size * (run + terms as f64 * f64::EPSILON) + size * T::EPSILON
}

fn check_products<T: Scalar>(x: &DataMatrix<T>, k: usize) {
    let (n, d) = (x.rows(), x.cols());
    let v = block::<T>(d, k, k.is_multiple_of(2));
    let mut products = vec![T::of(f64::NAN); n * k];
    multiply(x, v.as_ref(), &mut products);
    for i in 0..n {
        let mut sums = vec![Exact::default(); k];
        x.for_row(i, |j, a| {
            (0..k).for_each(|c| sums[c].add(a.to_f64(), v[(j, c)].to_f64()));
        });
        for c in 0..k {
            let error = (products[i * k + c].to_f64() - sums[c].value()).abs();
            let allowed = tolerance(x, k, d, sums[c].size);
            assert!(
                error <= allowed,
                "X V, n {n} d {d} k {k} {}: {error:e} > {allowed:e}",
                T::NAME
            );
        }
    }

    let r: Vec<T> = uniform(&mut stream("r"), n * k);
    let mut out = Mat::from_fn(d, k, |_, _| T::of(f64::NAN));
    multiply_transposed(x, &r, out.as_mut());
    let mut sums = vec![Exact::default(); d * k];
    for i in 0..n {
        x.for_row(i, |j, a| {
            (0..k).for_each(|c| sums[j * k + c].add(a.to_f64(), r[i * k + c].to_f64()));
        });
    }
    for j in 0..d {
        for c in 0..k {
            let sum = sums[j * k + c];
            let error = (out[(j, c)].to_f64() - sum.value()).abs();
            let allowed = tolerance(x, k, n, sum.size);
            assert!(
                error <= allowed,
                "Xᵀ R, n {n} d {d} k {k} {}: {error:e} > {allowed:e}",
                T::NAME
            );
        }
    }
    check_fused(x, v.as_ref(), &products, &r, out.as_ref());
}

/// One pass equals its two halves bit for bit, calls `f` once for every row, and sums what it returns.
fn check_fused<T: Scalar>(
    x: &DataMatrix<T>,
    v: MatRef<'_, T>,
    products: &[T],
    r: &[T],
    transposed: MatRef<'_, T>,
) {
    let (n, k) = (x.rows(), v.ncols());
    let mut again = vec![T::of(f64::NAN); n * k];
    let mut out = Mat::from_fn(x.cols(), k, |_, _| T::of(f64::NAN));
    let rows = fused(
        x,
        None,
        v,
        &mut again,
        |rows, products, residuals| {
            assert_eq!(products.len(), rows.len() * k);
            residuals.copy_from_slice(&r[rows.start * k..rows.end * k]);
            rows.len() as f64
        },
        out.as_mut(),
    );
    assert!(k == 0 || rows == n as f64, "{rows} rows of {n}");
    assert!(again == products, "products of one pass");
    assert!(out.as_ref() == transposed, "sums of one pass");
}

fn check_gram<T: Scalar>(x: &DataMatrix<T>) {
    let (n, d) = (x.rows(), x.cols());
    let weights: Vec<T> = uniform(&mut stream("weights"), n);
    let mut out = Mat::from_fn(d, d, |_, _| T::of(f64::NAN));
    weighted_gram(x, &weights, out.as_mut());
    let mut sums = vec![Exact::default(); d * d];
    for i in 0..n {
        x.for_row(i, |a, va| {
            let scaled = weights[i].to_f64() * va.to_f64();
            x.for_row(i, |b, vb| sums[a * d + b].add(scaled, vb.to_f64()));
        });
    }
    for a in 0..d {
        for b in 0..d {
            let sum = sums[a * d + b];
            let error = (out[(a, b)].to_f64() - sum.value()).abs();
            // One more rounding: the weighted value.
            let allowed = tolerance(x, 2, n, sum.size) + sum.size * T::EPSILON;
            assert!(
                error <= allowed,
                "Gram, n {n} d {d} {}: {error:e} > {allowed:e}",
                T::NAME
            );
            assert!(out[(a, b)] == out[(b, a)]);
        }
    }
}

const SIZES: [usize; 9] = [0, 1, 2, 3, 7, 8, 9, 64, 257];

#[test]
fn products_agree_with_compensated_loops() {
    for n in SIZES {
        for d in SIZES {
            for k in [0, 1, 2, 3, 8, 17] {
                if k > 3 && n.max(d) > 100 {
                    continue;
                }
                check_products(&dense::<f64>(n, d), k);
                check_products(&dense::<f32>(n, d), k);
                check_products(&sparse::<f64>(n, d, 5), k);
                check_products(&sparse::<f32>(n, d, 5), k);
            }
        }
    }
    for (n, d, k) in [
        (1000, 100, 1),
        (100, 1000, 1),
        (1000, 64, 5),
        (64, 1000, 33),
        (5000, 3, 2),
    ] {
        check_products(&dense::<f64>(n, d), k);
        check_products(&dense::<f32>(n, d), k);
        check_products(&sparse::<f64>(n, d, 20), k);
        check_products(&sparse::<f32>(n, d, 20), k);
    }
}

#[test]
fn gram_agrees_with_compensated_loops() {
    for n in SIZES {
        for d in [0, 1, 2, 3, 7, 8, 9, 33, 64, 100] {
            if n * d > 10_000 {
                continue;
            }
            check_gram(&dense::<f64>(n, d));
            check_gram(&dense::<f32>(n, d));
            // Few values a row are scattered, many go through dense blocks.
            check_gram(&sparse::<f64>(n, d, 3));
            check_gram(&sparse::<f32>(n, d, 3));
            check_gram(&sparse::<f64>(n, d, d / 2));
            check_gram(&sparse::<f32>(n, d, d / 2));
        }
    }
    // Every number of registers and of columns left over.
    for d in 1..=50 {
        check_gram(&dense::<f64>(131, d));
        check_gram(&dense::<f32>(131, d));
    }
    // Several partials; several panels of columns.
    for (n, d) in [(3000, 40), (40, 500), (5000, 12)] {
        check_gram(&dense::<f64>(n, d));
        check_gram(&dense::<f32>(n, d));
        check_gram(&sparse::<f64>(n, d, 8));
    }
}

fn check_grams<T: Scalar>(x: &DataMatrix<T>, q: usize) {
    let (n, d) = (x.rows(), x.cols());
    let weights: Vec<T> = uniform(&mut stream("weights"), n * q);
    let mut seen = Vec::new();
    weighted_grams(x, &weights, q, |t, gram| {
        seen.push(t);
        let column: Vec<T> = weights.chunks_exact(q).map(|w| w[t]).collect();
        let mut one = Mat::<T>::zeros(d, d);
        weighted_gram(x, &column, one.as_mut());
        for a in 0..d {
            for b in 0..d {
                let (many, one) = (gram[(a, b)].to_f64(), one[(a, b)].to_f64());
                let allowed = 8.0 * T::EPSILON * n as f64;
                assert!((many - one).abs() <= allowed, "{q} weights, n {n} d {d}");
                assert!(gram[(a, b)] == gram[(b, a)]);
            }
        }
    });
    assert_eq!(seen, (0..q).collect::<Vec<_>>());
}

#[test]
fn many_grams_are_single_ones() {
    for (n, d, per_row) in [(60, 9, 2), (200, 90, 6), (50, 600, 10), (40, 20, 15)] {
        for q in [1, 3, 4, 16, 21] {
            check_grams(&sparse::<f64>(n, d, per_row), q);
            check_grams(&sparse::<f32>(n, d, per_row), q);
        }
    }
    check_grams(&dense::<f64>(50, 30), 5);
    check_grams(&sparse::<f64>(0, 5, 2), 5);
}

/// The bytes of a result, for comparison.
fn bits(values: impl IntoIterator<Item = f64>) -> Vec<u64> {
    values.into_iter().map(f64::to_bits).collect()
}

fn all_kernels<T: Scalar>(x: &DataMatrix<T>, k: usize, gram: bool) -> Vec<u64> {
    let (n, d) = (x.rows(), x.cols());
    let v = block::<T>(d, k, true);
    let mut products = vec![T::of(0.0); n * k];
    let mut out = Mat::<T>::zeros(d, k);
    let value = fused(
        x,
        None,
        v.as_ref(),
        &mut products,
        |_, products, residuals| {
            residuals.copy_from_slice(products);
            products.iter().map(|p| p.to_f64()).sum()
        },
        out.as_mut(),
    );
    let mut all = vec![value.to_bits()];
    all.extend(bits(products.iter().map(|p| p.to_f64())));
    all.extend(bits(
        (0..k)
            .flat_map(|c| (0..d).map(move |j| (j, c)))
            .map(|at| out[at].to_f64()),
    ));
    multiply(x, v.as_ref(), &mut products);
    all.extend(bits(products.iter().map(|p| p.to_f64())));
    multiply_transposed(x, &products, out.as_mut());
    all.extend(bits(
        (0..k)
            .flat_map(|c| (0..d).map(move |j| (j, c)))
            .map(|at| out[at].to_f64()),
    ));
    if gram {
        let mut out = Mat::<T>::zeros(d, d);
        let weights: Vec<T> = (0..n).map(|i| T::of((i % 13) as f64 / 7.0)).collect();
        weighted_gram(x, &weights, out.as_mut());
        all.extend(bits((0..d * d).map(|i| out[(i / d, i % d)].to_f64())));
    }
    all
}

/// The pool is kept busy by another task while the kernels run.
fn same_bits<T: Scalar>(x: &DataMatrix<T>, k: usize, gram: bool) {
    let mut first = None;
    for threads in [1, 2, 3, 8] {
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .build()
            .unwrap();
        let stop = std::sync::atomic::AtomicBool::new(false);
        pool.in_place_scope(|scope| {
            if threads > 1 {
                scope.spawn(|_| {
                    while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                        std::thread::yield_now();
                    }
                });
            }
            for _ in 0..2 {
                let bits = pool.install(|| all_kernels(x, k, gram));
                let expected = first.get_or_insert_with(|| bits.clone());
                assert!(*expected == bits, "{threads} threads, k {k}, {}", T::NAME);
            }
            stop.store(true, std::sync::atomic::Ordering::Relaxed);
        });
    }
}

#[test]
fn t_d01_same_bits_for_any_thread_count() {
    let x = dense::<f32>(100_003, 33);
    same_bits(&x, 1, true);
    same_bits(&x, 4, false);
    let x = dense::<f64>(10_007, 257);
    same_bits(&x, 1, true);
    same_bits(&x, 5, false);
    let x = sparse::<f64>(100_003, 257, 6);
    same_bits(&x, 1, true);
    same_bits(&x, 3, false);
    // Wide: sums over rows are cut by columns as well.
    let x = sparse::<f32>(200, 300_001, 300);
    same_bits(&x, 1, false);
    same_bits(&x, 20, false);
}

#[test]
fn a_transposed_copy_gives_the_transposed_product() {
    let matrices = [
        sparse::<f64>(300, 70, 6),
        sparse(9000, 40, 3),
        dense(60, 33),
        sparse(0, 4, 0),
    ];
    for x in &matrices {
        let t = x.transposed();
        assert_eq!(
            (t.rows(), t.cols(), t.stored()),
            (x.cols(), x.rows(), x.stored())
        );
        let back = t.transposed();
        for i in 0..x.rows() {
            let row = |x: &DataMatrix<f64>| {
                let mut row = Vec::new();
                x.for_row(i, |j, v| row.push((j, v)));
                row
            };
            assert_eq!(row(x), row(&back));
        }
        for k in [1, 2, 19] {
            let r: Vec<f64> = uniform(&mut stream("residuals"), x.rows() * k);
            let (mut a, mut b) = (Mat::zeros(x.cols(), k), Mat::zeros(x.cols(), k));
            multiply_transposed(x, &r, a.as_mut());
            multiply_rows(&t, &r, b.as_mut());
            assert!((a - b).norm_max() <= 1e-11);
        }
    }
}
