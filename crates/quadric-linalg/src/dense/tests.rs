//! LAPACK-style test ratios over sizes and kinds of matrices, and the edges.

use super::*;
use crate::random::SeedTree;
use crate::{DataMatrix, Scalar};
use faer::Mat;

const SIZES: [usize; 9] = [1, 2, 3, 5, 10, 33, 64, 100, 257];
/// What a ratio of a backward error to `n ‖A‖ eps` must stay below.
const RATIO: f64 = 30.0;

/// Uniform entries in [-1, 1].
fn random(m: usize, n: usize, purpose: &str) -> Mat<f64> {
    let mut s = SeedTree::new(20_261_125).child(purpose).stream(n as u64);
    Mat::from_fn(m, n, |_, _| 2.0 * s.uniform() - 1.0)
}

fn product(a: &Mat<f64>, b: &Mat<f64>) -> Mat<f64> {
    a * b
}

/// `Q diag(values) Qᵀ` with a random orthogonal Q.
fn with_spectrum(values: &[f64]) -> Mat<f64> {
    let n = values.len();
    let q = thin_qr(random(n, n, "basis").as_ref()).unwrap().q;
    let scaled = Mat::from_fn(n, n, |i, j| q[(i, j)] * values[j]);
    let a = product(&scaled, &q.transpose().to_owned());
    Mat::from_fn(n, n, |i, j| a[(i.max(j), i.min(j))])
}

/// From 1 down to `1 / cond`, evenly in the logarithm.
fn logspace(n: usize, cond: f64) -> Vec<f64> {
    (0..n)
        .map(|i| cond.powf(-(i as f64) / (n.max(2) - 1) as f64))
        .collect()
}

/// Positive definite kinds that even `f32` can factor when `single`.
fn definite(n: usize, single: bool) -> Vec<(&'static str, Mat<f64>)> {
    let mut all = vec![
        ("well conditioned", with_spectrum(&logspace(n, 1.0))),
        ("cond 1e2", with_spectrum(&logspace(n, 1e2))),
        ("cond 1e4", with_spectrum(&logspace(n, 1e4))),
    ];
    let base = with_spectrum(&logspace(n, 10.0));
    let graded = |step: f64| {
        let s = |i: usize| step.powf(-(i as f64) / n as f64);
        Mat::from_fn(n, n, |i, j| base[(i, j)] * s(i) * s(j))
    };
    all.push(("graded", graded(if single { 1e6 } else { 1e100 })));
    if !single {
        all.push(("cond 1e8", with_spectrum(&logspace(n, 1e8))));
        all.push(("cond 1e12", with_spectrum(&logspace(n, 1e12))));
        for power in [-500, 500] {
            let scale = 2f64.powi(power);
            all.push(("scaled", Mat::from_fn(n, n, |i, j| base[(i, j)] * scale)));
        }
    }
    all
}

fn cast<T: Scalar>(a: &Mat<f64>) -> Mat<T> {
    Mat::from_fn(a.nrows(), a.ncols(), |i, j| T::of(a[(i, j)]))
}

fn widen<T: Scalar>(a: MatRef<'_, T>) -> Mat<f64> {
    Mat::from_fn(a.nrows(), a.ncols(), |i, j| a[(i, j)].to_f64())
}

fn largest(a: &Mat<f64>) -> f64 {
    let mut m = 0.0f64;
    for j in 0..a.ncols() {
        for i in 0..a.nrows() {
            assert!(a[(i, j)].is_finite());
            m = m.max(a[(i, j)].abs());
        }
    }
    m
}

/// `‖A - rebuilt‖ / (n ‖A‖ eps)` in the norm of the largest entry times n.
fn backward<T: Scalar>(a: &Mat<f64>, rebuilt: &Mat<f64>) -> f64 {
    let n = a.nrows().max(a.ncols()).max(1) as f64;
    let norm = largest(a);
    // The difference is scaled first so that tiny matrices do not vanish.
    let scale = if norm > 0.0 { 1.0 / norm } else { 1.0 };
    let difference = Mat::from_fn(a.nrows(), a.ncols(), |i, j| {
        a[(i, j)] * scale - rebuilt[(i, j)] * scale
    });
    largest(&difference) / (n * T::EPSILON)
}

fn orthogonality<T: Scalar>(q: &Mat<f64>) -> f64 {
    let gram = product(&q.transpose().to_owned(), q);
    let n = q.nrows().max(1) as f64;
    let off = Mat::from_fn(gram.nrows(), gram.ncols(), |i, j| {
        gram[(i, j)] - if i == j { 1.0 } else { 0.0 }
    });
    largest(&off) / (n * T::EPSILON)
}

fn lower(a: &Mat<f64>) -> Mat<f64> {
    Mat::from_fn(
        a.nrows(),
        a.ncols(),
        |i, j| if i >= j { a[(i, j)] } else { 0.0 },
    )
}

fn check_cholesky<T: Scalar>(name: &str, a: &Mat<f64>) {
    let n = a.nrows();
    let narrow = cast::<T>(a);
    let a = &widen(narrow.as_ref());
    let b = cast::<T>(&random(n, 3, "right side"));
    let mut plain = narrow.clone();
    cholesky_in_place(plain.as_mut()).unwrap_or_else(|e| panic!("{name} {n}: {e}"));
    let equilibrated = EquilibratedCholesky::new(narrow.as_ref(), 0.0).unwrap();
    assert_eq!(equilibrated.info().shift, 0.0);
    assert!(equilibrated.info().smallest_pivot > 0.0);
    let s = equilibrated.scale();
    let l = lower(&widen(equilibrated.factor()));
    let rebuilt = product(&l, &l.transpose().to_owned());
    let rebuilt = Mat::from_fn(n, n, |i, j| rebuilt[(i, j)] / s[i].to_f64() / s[j].to_f64());
    let l = lower(&widen(plain.as_ref()));
    for (kind, rebuilt) in [
        ("plain", product(&l, &l.transpose().to_owned())),
        ("equilibrated", rebuilt),
    ] {
        let ratio = backward::<T>(a, &rebuilt);
        assert!(
            ratio < RATIO,
            "{kind} Cholesky, {name} {n} {}: {ratio}",
            T::NAME
        );
    }
    let (mut x, mut y) = (b.clone(), b.clone());
    cholesky_solve_in_place(plain.as_ref(), x.as_mut());
    equilibrated.solve_in_place(y.as_mut());
    let norm = largest(a);
    for x in [x, y] {
        let (x, b) = (widen(x.as_ref()), widen(b.as_ref()));
        for c in 0..3 {
            let size = norm * (0..n).map(|j| x[(j, c)].abs()).sum::<f64>() + 1.0;
            for i in 0..n {
                let ax: f64 = (0..n).map(|j| a[(i, j)] * x[(j, c)]).sum();
                let ratio = (ax - b[(i, c)]).abs() / size / (n as f64 * T::EPSILON);
                assert!(ratio < RATIO, "solve, {name} {n} {}: {ratio}", T::NAME);
            }
        }
    }
}

#[test]
fn cholesky_ratios() {
    for n in SIZES {
        definite(n, false)
            .iter()
            .for_each(|(name, a)| check_cholesky::<f64>(name, a));
        definite(n, true)
            .iter()
            .for_each(|(name, a)| check_cholesky::<f32>(name, a));
    }
}

/// A size that is cut into tasks at every level: the factor, both ways to solve, a bad pivot in the second half, and the
/// same bits for any number of threads.
#[test]
fn large_factorisations_are_cut_into_tasks() {
    let n = 1300;
    let b = random(n, n, "large");
    let a = &b * b.transpose() + Mat::<f64>::identity(n, n);
    let factor = EquilibratedCholesky::new(a.as_ref(), 0.0).unwrap();
    let x = random(n, 2, "right side");
    let mut columns = x.clone();
    factor.solve_in_place(columns.as_mut());
    let back = product(&a, &columns);
    for j in 0..2 {
        let mut single: Vec<f64> = (0..n).map(|i| x[(i, j)]).collect();
        factor.solve_vector_in_place(&mut single);
        for i in 0..n {
            let size = 1.0 + columns[(i, j)].abs();
            assert!(
                (single[i] - columns[(i, j)]).abs() < 1e-9 * size,
                "seed 20261125"
            );
            assert!((back[(i, j)] - x[(i, j)]).abs() < 1e-8, "seed 20261125");
        }
    }
    let mut bad = a.clone();
    bad[(1000, 1000)] = -1.0;
    assert_eq!(cholesky_in_place(bad.as_mut()).unwrap_err().index, 1000);
    let solve = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads);
        pool.build().unwrap().install(|| {
            let factor = EquilibratedCholesky::new(a.as_ref(), 0.0).unwrap();
            let mut x: Vec<f64> = (0..n).map(|i| x[(i, 0)]).collect();
            factor.solve_vector_in_place(&mut x);
            x.into_iter().map(f64::to_bits).collect::<Vec<_>>()
        })
    };
    let one = solve(1);
    for threads in [2, 3, 8] {
        assert!(solve(threads) == one, "{threads} threads");
    }
}

#[test]
fn equilibration_makes_bad_scaling_harmless() {
    // Columns from 1e-150 to 1e140 around a matrix of condition 10: the solution is accurate in every entry.
    let n = 30;
    let base = with_spectrum(&logspace(n, 10.0));
    let s = |i: usize| 2f64.powi(33 * i as i32 - 498);
    let a = Mat::from_fn(n, n, |i, j| base[(i, j)] * s(i) * s(j));
    let x = |i: usize| (i + 1) as f64 / s(i);
    let mut b: Vec<f64> = (0..n)
        .map(|i| s(i) * (0..n).map(|j| base[(i, j)] * (j + 1) as f64).sum::<f64>())
        .collect();
    let factor = EquilibratedCholesky::new(a.as_ref(), 0.0).unwrap();
    factor.solve_vector_in_place(&mut b);
    for i in 0..n {
        assert!((b[i] / x(i) - 1.0).abs() < 1e-12, "{i}: {} {}", b[i], x(i));
    }
}

#[test]
fn failures_name_the_pivot() {
    let mut a = Mat::<f64>::identity(5, 5);
    a[(3, 3)] = -1.0;
    let mut copy = a.clone();
    let failed = NotPositiveDefinite { index: 3 };
    assert_eq!(cholesky_in_place(copy.as_mut()), Err(failed));
    assert_eq!(
        EquilibratedCholesky::new(a.as_ref(), 1.0).unwrap_err(),
        failed
    );
    a[(3, 3)] = f64::NAN;
    let mut copy = a.clone();
    assert_eq!(cholesky_in_place(copy.as_mut()), Err(failed));
    assert_eq!(
        EquilibratedCholesky::new(a.as_ref(), 1.0).unwrap_err(),
        failed
    );
    a[(3, 3)] = 1.0;
    a[(4, 3)] = f64::NAN;
    let mut copy = a.clone();
    assert!(cholesky_in_place(copy.as_mut()).is_err());
    assert!(EquilibratedCholesky::new(a.as_ref(), 1.0).is_err());
    let error: crate::Error = failed.into();
    assert!(error.to_string().contains("pivot 3"), "{error}");
    cholesky_in_place(Mat::<f64>::zeros(0, 0).as_mut()).unwrap();
}

#[test]
fn a_singular_matrix_is_shifted_and_says_so() {
    // Two equal columns and a zero column: scaled, the smallest eigenvalues are 0.
    let x = random(20, 6, "singular");
    let value = |i: usize, j: usize| match j {
        6 => x[(i, 2)] * 1e8,
        7 => 0.0,
        _ => x[(i, j)],
    };
    let a = Mat::from_fn(8, 8, |a, b| {
        (0..20).map(|i| value(i, a) * value(i, b)).sum::<f64>()
    });
    assert!(EquilibratedCholesky::new(a.as_ref(), 0.0).is_err());
    let mut factor = EquilibratedCholesky::new(a.as_ref(), 1e-8).unwrap();
    let info = factor.info();
    assert!(
        info.shift > 0.0 && info.shift <= 1e-8 && info.attempts > 1,
        "{info:?}"
    );
    // A consistent system is still solved: A (A⁺ b) = b.
    let b: Vec<f64> = (0..8).map(|j| a[(j, 0)]).collect();
    let mut z = b.clone();
    factor.solve_vector_in_place(&mut z);
    for i in 0..8 {
        let az: f64 = (0..8).map(|j| a[(i, j)] * z[j]).sum();
        assert!(
            (az - b[i]).abs() <= 1e-7 * a[(i, i)].sqrt() * a[(0, 0)].sqrt(),
            "{i}: {az} {}",
            b[i]
        );
    }
    factor
        .refactor(Mat::<f64>::identity(8, 8).as_ref(), 0.0)
        .unwrap();
    assert_eq!((factor.info().shift, factor.info().attempts), (0.0, 1));
}

#[test]
fn max_row_norm_agrees_with_solves() {
    for (n, d) in [(1, 1), (130, 7), (300, 33)] {
        let x = random(n, d, "rows");
        let sparse = Mat::from_fn(n, d, |i, j| if (i + j) % 3 == 0 { x[(i, j)] } else { 0.0 });
        for (x, constant) in [(x, false), (sparse, true)] {
            let width = d + usize::from(constant);
            let row = |i: usize, j: usize| if j < d { x[(i, j)] } else { 1.0 };
            let mut a = with_spectrum(&logspace(width, 100.0));
            a[(0, 0)] += 1e6;
            let factor = EquilibratedCholesky::new(a.as_ref(), 0.0).unwrap();
            let mut expected = 0.0f64;
            for i in 0..n {
                let mut z: Vec<f64> = (0..width).map(|j| row(i, j)).collect();
                factor.solve_vector_in_place(&mut z);
                expected = expected.max((0..width).map(|j| row(i, j) * z[j]).sum::<f64>().sqrt());
            }
            let values = (0..n * d).map(|p| x[(p / d, p % d)]).collect();
            let data = DataMatrix::dense(values, n, d).unwrap();
            let norm = factor.max_row_norm(&data, constant).unwrap();
            assert!((norm / expected - 1.0).abs() < 1e-12, "{norm} {expected}");
            assert!(factor.max_row_norm(&data, !constant).is_err());
        }
    }
}

fn check_spectral<T: Scalar>(name: &str, a: &Mat<f64>) {
    let narrow = cast::<T>(a);
    let a = &widen(narrow.as_ref());
    let n = a.nrows();
    let limit = |what: &str, ratio: f64| {
        assert!(
            ratio < RATIO,
            "{what}, {name} {n}x{} {}: {ratio}",
            a.ncols(),
            T::NAME
        );
    };
    if n == a.ncols() && (0..n).all(|i| (0..i).all(|j| a[(i, j)] == a[(j, i)])) {
        let eigen = symmetric_eigen(narrow.as_ref()).unwrap();
        let v = widen(eigen.vectors.as_ref());
        limit("eigenvectors", orthogonality::<T>(&v));
        assert!(eigen.values.windows(2).all(|w| w[0] <= w[1]));
        let scaled = Mat::from_fn(n, n, |i, j| v[(i, j)] * eigen.values[j].to_f64());
        limit(
            "eigenvalues",
            backward::<T>(a, &product(&scaled, &v.transpose().to_owned())),
        );
    }
    let ThinQr { q, r } = thin_qr(narrow.as_ref()).unwrap();
    let (q, r) = (widen(q.as_ref()), widen(r.as_ref()));
    limit("Q", orthogonality::<T>(&q));
    limit("QR", backward::<T>(a, &product(&q, &r)));
    assert!((0..r.nrows()).all(|i| (0..i.min(r.ncols())).all(|j| r[(i, j)] == 0.0)));
    let Svd { u, values, v } = svd(narrow.as_ref()).unwrap();
    let (u, v) = (widen(u.as_ref()), widen(v.as_ref()));
    limit("U", orthogonality::<T>(&u));
    limit("V", orthogonality::<T>(&v));
    assert!(values.windows(2).all(|w| w[0] >= w[1]));
    assert!(values.iter().all(|s| s.to_f64() >= 0.0));
    let scaled = Mat::from_fn(u.nrows(), u.ncols(), |i, j| u[(i, j)] * values[j].to_f64());
    limit(
        "SVD",
        backward::<T>(a, &product(&scaled, &v.transpose().to_owned())),
    );
}

#[test]
fn spectral_ratios() {
    for n in SIZES {
        for (name, a) in definite(n, true) {
            check_spectral::<f64>(name, &a);
            check_spectral::<f32>(name, &a);
        }
        for (name, a) in definite(n, false) {
            check_spectral::<f64>(name, &a);
        }
        let mixed: Vec<f64> = (0..n)
            .map(|i| (i as f64 - n as f64 / 3.0) / n as f64)
            .collect();
        let deficient: Vec<f64> = (0..n).map(|i| f64::from(u8::from(i % 3 == 0))).collect();
        for (name, a) in [
            ("indefinite", with_spectrum(&mixed)),
            ("rank-deficient", with_spectrum(&deficient)),
            ("zero", Mat::zeros(n, n)),
            ("random", random(n, n, "random")),
            ("tall", random(2 * n + 3, n, "tall")),
            ("wide", random(n, 2 * n + 3, "wide")),
        ] {
            check_spectral::<f64>(name, &a);
            check_spectral::<f32>(name, &a);
        }
    }
    for (m, n) in [(0, 0), (0, 3), (3, 0)] {
        check_spectral::<f64>("empty", &Mat::zeros(m, n));
    }
}

#[test]
fn known_spectra_are_found() {
    let values = logspace(40, 1e6);
    let a = with_spectrum(&values);
    let eigen = symmetric_eigen(a.as_ref()).unwrap();
    let svd = svd(a.as_ref()).unwrap();
    for (i, expected) in values.iter().enumerate() {
        assert!((eigen.values[39 - i] - expected).abs() < 1e-14);
        assert!((svd.values[i] - expected).abs() < 1e-14);
    }
}

#[test]
fn entries_that_are_not_finite_are_refused() {
    for bad in [f64::NAN, f64::INFINITY] {
        let mut a = Mat::<f64>::identity(4, 4);
        a[(2, 1)] = bad;
        for error in [
            symmetric_eigen(a.as_ref()).unwrap_err(),
            thin_qr(a.as_ref()).unwrap_err(),
            svd(a.as_ref()).unwrap_err(),
        ] {
            assert_eq!(error.kind(), crate::ErrorKind::NonFinite);
            assert!(error.to_string().contains("(2, 1)"), "{error}");
        }
        // The upper triangle is not read.
        let mut a = Mat::<f64>::identity(4, 4);
        a[(1, 2)] = bad;
        symmetric_eigen(a.as_ref()).unwrap();
    }
    assert!(symmetric_eigen(Mat::<f64>::zeros(2, 3).as_ref()).is_err());
}

/// Bands, arrows and full matrices: the factor, solves, and a shift.
#[test]
fn envelope_factors_agree_with_full_ones() {
    for n in [1, 2, 3, 7, 20, 70] {
        let full = with_spectrum(&logspace(n, 1e4));
        let kinds = [n, 1, n.min(3)].map(|band| {
            let is_in =
                |i: usize, j: usize| i.abs_diff(j) < band || (band == 3 && i.max(j) + 1 == n);
            Mat::from_fn(n, n, |i, j| {
                let lift = if i == j { n as f64 } else { 0.0 };
                if is_in(i, j) {
                    full[(i, j)] + lift
                } else {
                    0.0
                }
            })
        });
        for (kind, a) in kinds.iter().enumerate() {
            let mut envelope = EnvelopeCholesky::default();
            envelope.load(a).unwrap();
            envelope.factor(0.25, 0.0).unwrap();
            let shifted = a + 0.25 * Mat::<f64>::identity(n, n);
            let b: Vec<f64> = (0..n).map(|i| (i as f64).cos()).collect();
            let mut x = b.clone();
            envelope.solve_lower_in_place(&mut x);
            envelope.solve_upper_in_place(&mut x);
            let back = &shifted * faer::ColRef::from_slice(&x);
            for i in 0..n {
                assert!(
                    (back[i] - b[i]).abs() < 1e-13 * (1.0 + n as f64),
                    "{n}, {kind}"
                );
            }
            let mut z = vec![0.0; n];
            let curvature = envelope.flattest(&mut z);
            let image = &shifted * faer::ColRef::from_slice(&z);
            let along: f64 = z.iter().zip(image.iter()).map(|(z, v)| z * v).sum();
            assert!(
                (crate::vector::norm2(&z) - 1.0).abs() < 1e-14,
                "{n}, {kind}"
            );
            assert!((along - curvature).abs() < 1e-12 * curvature, "{n}, {kind}");
        }
    }
}

#[test]
fn a_refused_pivot_of_an_envelope_tells_a_direction() {
    let mut a = with_spectrum(&logspace(6, 10.0));
    a[(3, 3)] -= 2.0;
    let mut envelope = EnvelopeCholesky::default();
    envelope.load(&a).unwrap();
    let pivot = envelope.factor(0.0, 0.0).unwrap_err();
    assert!(pivot.index == 3 && pivot.value < 0.0);
    let mut u = vec![0.0; 6];
    let square = envelope.direction_of(pivot, &mut u);
    let image = &a * faer::ColRef::from_slice(&u);
    let along: f64 = u.iter().zip(image.iter()).map(|(u, v)| u * v).sum();
    assert!((along - pivot.value).abs() < 1e-12, "{along} {pivot:?}");
    assert!((square - crate::vector::dot(&u, &u)).abs() < 1e-14);
    a[(4, 2)] = f64::NAN;
    a[(2, 4)] = f64::NAN;
    assert!(envelope.load(&a).is_err());
}

/// Every entry against the sum in double precision: of few rows, of right matrices that stay in the cache, of columns that fill no
/// register, of arguments with any steps, written and added.
#[test]
fn products_of_few_rows_follow_the_definition() {
    fn check<T: crate::Scalar>(m: usize, k: usize, n: usize) {
        let entry = |i: usize, j: usize| T::of(((i * 7 + j * 3) % 11) as f64 - 5.0);
        let (a, b) = (
            Mat::<T>::from_fn(m, k, entry),
            Mat::<T>::from_fn(k, n, |i, j| entry(j, i)),
        );
        let rows = |x: &Mat<T>| -> Vec<T> {
            let (m, n) = x.shape();
            (0..m * n).map(|at| x[(at / n, at % n)]).collect()
        };
        let (flat_a, flat_b) = (rows(&a), rows(&b));
        let row_major = MatRef::from_row_major_slice(&flat_a, m, k);
        for left in [row_major, a.as_ref()] {
            let right = MatRef::from_row_major_slice(&flat_b, k, n);
            let mut out = vec![T::of(1.0); m * n];
            for adds in [true, false] {
                let view = MatMut::from_row_major_slice_mut(&mut out, m, n);
                let multiply = if adds {
                    super::add_product
                } else {
                    super::product
                };
                multiply(left, right, view);
                let start = if adds { 1.0 } else { 0.0 };
                for (at, v) in out.iter().enumerate() {
                    let terms = (0..k).map(|l| a[(at / n, l)].to_f64() * b[(l, at % n)].to_f64());
                    // Sums of integers, so exact.
                    let exact = start + terms.sum::<f64>();
                    assert_eq!(v.to_f64(), exact, "{m} {k} {n}, entry {at}, {}", T::NAME);
                }
            }
        }
    }
    for (m, k, n) in [
        (1, 5, 16),
        (7, 128, 33),
        (16, 512, 128),
        (32, 3, 75),
        (13, 40, 49),
        (64, 64, 32),
        (33, 8, 70),
    ] {
        check::<f32>(m, k, n);
        check::<f64>(m, k, n);
    }
}

#[test]
#[should_panic(expected = "inner sizes of a product")]
fn products_of_few_rows_that_do_not_fit_panic() {
    let (a, b) = (vec![1.0; 8], vec![1.0; 96]);
    let a = MatRef::from_row_major_slice(&a, 2, 4);
    let b = MatRef::from_row_major_slice(&b, 3, 32);
    super::few::multiply(
        a,
        b,
        Mat::<f64>::zeros(32, 2).as_mut().transpose_mut(),
        false,
    );
}
