//! What eigenpairs promise, on 200 random symmetric operators whose spectra are known.
#![allow(missing_docs, clippy::unwrap_used)]

mod krylov_support;

use faer::Mat;
use krylov_support::*;
use quadric_linalg::algebra::Dense;
use quadric_linalg::random::{SeedTree, Stream};
use quadric_linalg::spectrum::{EigenMethod, EigenOptions, Eigenpairs, Which, eigenpairs};
use quadric_linalg::{LinearOperator, Scalar};

const CASES: u64 = 200;
const KINDS: usize = 6;

/// A spectrum of `n` values, by kind: indefinite, clustered, pairs of both signs, fourfold, graded, low rank.
fn spectrum(kind: usize, n: usize, s: &mut Stream) -> Vec<f64> {
    let mut bulk = |scale: f64| scale * (2.0 * s.uniform() - 1.0);
    let head: Vec<f64> = match kind {
        0 => (0..12).map(|_| bulk(1.0)).collect(),
        1 => [1.0, 0.7, -0.9]
            .iter()
            .flat_map(|c| (0..3).map(move |i| c - 1e-6 * f64::from(i)))
            .collect(),
        2 => (0..5)
            .flat_map(|i| [1.0, -1.0].map(|sign| sign * 0.8f64.powi(i)))
            .collect(),
        3 => [1.0, 0.8, -0.7].iter().flat_map(|c| [*c; 4]).collect(),
        4 => return geometric(n, 1e12),
        _ => {
            return (0..n)
                .map(|i| if i < 6 { bulk(1.0) } else { 0.0 })
                .collect();
        }
    };
    (0..n)
        .map(|i| head.get(i).copied().unwrap_or_else(|| bulk(0.3)))
        .collect()
}

/// The wanted ones of all values, in the order of a report.
fn wanted(values: &[f64], options: &EigenOptions) -> Vec<f64> {
    let k = options.count;
    let mut all = values.to_vec();
    all.sort_by(|a, b| match options.which {
        Which::Smallest => a.total_cmp(b),
        Which::LargestMagnitude => b.abs().total_cmp(&a.abs()),
        Which::Largest | Which::BothEnds => b.total_cmp(a),
    });
    if options.which == Which::BothEnds {
        let low = all.split_off(all.len() - k / 2);
        all.truncate(k - k / 2);
        all.extend(low);
    }
    all.truncate(k);
    all
}

/// How far the vectors are from orthonormal, entry by entry of their products.
fn off_orthonormal<T: Scalar>(pairs: &Eigenpairs<T>) -> f64 {
    let (n, k) = (pairs.vectors.nrows(), pairs.vectors.ncols());
    let v = Mat::from_fn(n, k, |i, j| pairs.vectors[(i, j)].to_f64());
    (v.transpose() * &v - Mat::<f64>::identity(k, k)).norm_max()
}

/// Claimed residuals are true, the order is right, and a converged result has every wanted value.
fn check<T: Scalar>(
    a: &Mat<f64>,
    values: &[f64],
    options: &EigenOptions,
    pairs: &Eigenpairs<T>,
    label: &str,
) {
    let (n, k) = (a.nrows(), options.count);
    assert_eq!((pairs.values.len(), pairs.residuals.len()), (k, k));
    let norm = values.iter().fold(0.0, |m: f64, v| m.max(v.abs()));
    let rounding = 20.0 * T::EPSILON * (n as f64).sqrt();
    let ratio = pairs.norm / norm;
    assert!(
        ratio <= 1.0 + 100.0 * rounding,
        "{label}: norm off by {:e}",
        ratio - 1.0
    );
    assert!(pairs.products <= options.max_products, "{label}");
    for j in 0..k {
        let v: Vec<f64> = (0..n).map(|i| pairs.vectors[(i, j)].to_f64()).collect();
        let image: Vec<f64> = times(a, &v).iter().map(|w| w / norm).collect();
        let theta = pairs.values[j] / norm;
        let shifted: Vec<f64> = v.iter().map(|v| theta * v).collect();
        let residual = crate::norm(&minus(&image, &shifted));
        let claimed = pairs.residuals[j] / norm;
        assert!(
            residual <= claimed * (1.0 + 1e-6) + rounding,
            "{label}: pair {j} has the residual {residual:e}, not {claimed:e}"
        );
        assert_eq!(
            pairs.converged[j],
            pairs.residuals[j] <= options.tolerance * pairs.norm,
            "{label}: pair {j}"
        );
    }
    let gram = off_orthonormal(pairs);
    assert!(gram <= rounding, "{label}: {gram:e} off orthonormal");
    let sorted = wanted(&pairs.values, options);
    assert_eq!(sorted, pairs.values, "{label}: order");
    if pairs.is_converged() {
        let size = |v: f64| {
            if options.which == Which::LargestMagnitude {
                v.abs()
            } else {
                v
            }
        };
        for (found, value) in pairs.values.iter().zip(wanted(values, options)) {
            let error = (size(*found) - size(value)).abs() / norm;
            assert!(
                error <= 2.0 * options.tolerance + 10.0 * rounding,
                "{label}: {found:e} for {value:e}; {:?}",
                pairs.values
            );
        }
    }
}

struct Case {
    label: String,
    is_graded: bool,
    options: EigenOptions,
    values: Vec<f64>,
    matrix: Mat<f64>,
    seed: SeedTree,
}

fn case(number: u64, single: bool) -> Case {
    let seed = SeedTree::new(2026).child("certificate");
    let mut s = seed.stream(number);
    let n = 50 + s.below(351);
    let kind = s.below(KINDS);
    let scale = [1.0, 1.0, 1e30, 1e-30][s.below(4)];
    let values: Vec<f64> = (spectrum(kind, n, &mut s).iter())
        .map(|v| v * scale)
        .collect();
    let which = [
        Which::Largest,
        Which::Smallest,
        Which::LargestMagnitude,
        Which::BothEnds,
    ][s.below(4)];
    let tolerance = if single {
        [1e-2, 1e-3, 1e-5][s.below(3)]
    } else {
        [1e-3, 1e-6, 1e-10][s.below(3)]
    };
    let options = EigenOptions {
        count: 1 + s.below(8),
        which,
        tolerance,
        ..EigenOptions::default()
    };
    let label = format!("case {number}, n = {n}, kind {kind}, scale {scale:e}, {options:?}");
    Case {
        label,
        is_graded: kind == 4,
        options,
        matrix: with_spectrum(&values, number),
        values,
        seed: seed.child("search"),
    }
}

/// Runs a case and returns whether it converged, and the products.
fn run<T: Scalar>(case: &Case, method: EigenMethod, block: Option<usize>) -> (bool, usize) {
    let op = Dense::symmetric(cast_mat::<T>(&case.matrix)).unwrap();
    let a = to_dense(&op as &dyn LinearOperator<T>);
    let options = EigenOptions {
        method,
        block,
        ..case.options
    };
    let label = format!("{} by {method:?} {block:?}", case.label);
    let pairs = eigenpairs(&op, &options, case.seed).unwrap();
    check(&a, &case.values, &options, &pairs, &label);
    (pairs.is_converged(), pairs.products)
}

#[test]
fn converged_pairs_are_what_was_asked_for() {
    let mut open = Vec::new();
    for number in 0..CASES {
        let single = number % 3 == 2;
        let case = case(number, single);
        let method = [
            EigenMethod::Auto,
            EigenMethod::Block,
            EigenMethod::ThickRestart,
        ];
        // The flat end of a graded spectrum takes about n products, of which only `Auto` draws the conclusion.
        let method = if case.is_graded {
            EigenMethod::Auto
        } else {
            method[(number % 7 % 3) as usize]
        };
        let block = (method == EigenMethod::Block).then_some(1 + (number % 6) as usize);
        let (converged, _) = if single {
            run::<f32>(&case, method, block)
        } else {
            run::<f64>(&case, method, block)
        };
        if !converged {
            open.push(format!("{} by {method:?} {block:?}", case.label));
        }
    }
    assert!(open.is_empty(), "not converged: {open:#?}");
}

#[test]
fn lobpcg_and_power_never_claim_falsely() {
    let (mut settled, mut ran) = (0, 0);
    for number in 0..CASES {
        let mut case = case(number, false);
        case.options.max_products = 2_000;
        case.options.tolerance = case.options.tolerance.max(1e-6);
        let method = match case.options.which {
            Which::Largest | Which::Smallest => EigenMethod::Lobpcg,
            Which::LargestMagnitude => EigenMethod::Power,
            Which::BothEnds => continue,
        };
        let (converged, _) = run::<f64>(&case, method, None);
        assert!(!converged || method == EigenMethod::Lobpcg);
        settled += usize::from(converged);
        ran += usize::from(method == EigenMethod::Lobpcg);
    }
    assert!(settled * 10 >= ran * 8, "{settled} of {ran} converged");
}
