//! Gauss quadrature from a tridiagonal matrix.
//!
//! Golub, Welsch, "Calculation of Gauss quadrature rules" (1969): the nodes are the eigenvalues, and the weights are the squares
//! of the first entries of the eigenvectors, which the implicit QL iteration finds without the other entries.

use super::density::Rule;
use crate::{Error, ErrorKind, Result};

/// Most sweeps for one eigenvalue; two are the rule.
const SWEEPS: usize = 60;

/// The Gauss rule of the symmetric tridiagonal matrix with `diagonal` (m) and `beside` (m - 1) it, nodes ascending; its weights
/// sum to 1. Sums of weights times values of a polynomial are exact up to degree 2m - 1.
///
/// # Errors
/// Lengths that do not fit, entries that are not finite, or an iteration that does not converge.
pub fn gauss_rule(diagonal: &[f64], beside: &[f64]) -> Result<Rule> {
    let m = diagonal.len();
    if beside.len() + 1 != m {
        return Err(Error::shape("`beside`", beside.len(), m.saturating_sub(1)));
    }
    let size = diagonal.iter().chain(beside).fold(0.0f64, |a, v| {
        if v.abs() > a || v.is_nan() {
            v.abs()
        } else {
            a
        }
    });
    if !size.is_finite() {
        return Err(Error::non_finite("the tridiagonal matrix", 0, size));
    }
    let unit = if size == 0.0 { 1.0 } else { size };
    let mut d: Vec<f64> = diagonal.iter().map(|v| v / unit).collect();
    let mut e: Vec<f64> = beside.iter().map(|v| v / unit).chain([0.0]).collect();
    let mut first = vec![0.0; m];
    first[0] = 1.0;
    for l in 0..m {
        let mut sweeps = 0;
        loop {
            let small = |j: &usize| e[*j].abs() <= f64::EPSILON * (d[*j].abs() + d[*j + 1].abs());
            let end = (l..m - 1).find(small).unwrap_or(m - 1);
            if end == l {
                break;
            }
            sweeps += 1;
            if sweeps > SWEEPS {
                return Err(Error::new(
                    ErrorKind::Numeric,
                    "the eigenvalues of a tridiagonal matrix did not converge",
                ));
            }
            sweep(&mut d, &mut e, &mut first, l, end);
        }
    }
    let mut pairs: Vec<(f64, f64)> = d.iter().copied().zip(first).collect();
    pairs.sort_by(|a, b| a.0.total_cmp(&b.0));
    Ok(Rule {
        nodes: pairs.iter().map(|p| p.0 * unit).collect(),
        weights: pairs.iter().map(|p| p.1 * p.1).collect(),
    })
}

/// One implicit QL sweep on rows `l` to `end`, with the shift of Wilkinson; `first` is the first row of the eigenvectors.
fn sweep(d: &mut [f64], e: &mut [f64], first: &mut [f64], l: usize, end: usize) {
    let slope = (d[l + 1] - d[l]) / (2.0 * e[l]);
    let root = slope.hypot(1.0).copysign(slope);
    let mut g = d[end] - d[l] + e[l] / (slope + root);
    let (mut s, mut c, mut p) = (1.0, 1.0, 0.0);
    for i in (l..end).rev() {
        let (f, b) = (s * e[i], c * e[i]);
        let r = f.hypot(g);
        e[i + 1] = r;
        if r == 0.0 {
            // The matrix falls apart here.
            d[i + 1] -= p;
            e[end] = 0.0;
            return;
        }
        (s, c) = (f / r, g / r);
        g = d[i + 1] - p;
        let t = (d[i] - g) * s + 2.0 * c * b;
        p = s * t;
        d[i + 1] = g + p;
        g = c * t - b;
        (first[i], first[i + 1]) = (
            c * first[i] - s * first[i + 1],
            s * first[i] + c * first[i + 1],
        );
    }
    d[l] -= p;
    e[l] = g;
    e[end] = 0.0;
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The second difference matrix: eigenvalues 2 - 2 cos(kπ/(m + 1)), first entries √(2/(m + 1)) sin(kπ/(m + 1)).
    #[test]
    fn the_second_difference_matrix() {
        for (m, unit) in [(1, 1.0), (2, 1e-200), (7, 1e200), (100, 1.0)] {
            let rule = gauss_rule(&vec![2.0 * unit; m], &vec![-unit; m - 1]).unwrap();
            for k in 0..m {
                let angle = (k + 1) as f64 * std::f64::consts::PI / (m + 1) as f64;
                let (node, weight) = (
                    2.0 - 2.0 * angle.cos(),
                    2.0 / (m + 1) as f64 * angle.sin().powi(2),
                );
                assert!((rule.nodes[k] / unit - node).abs() < 1e-14, "{m} {k}");
                assert!((rule.weights[k] - weight).abs() < 1e-14, "{m} {k}");
            }
        }
    }

    /// Gauss-Legendre: beside the diagonal k/√(4k² - 1); moments 1/(j + 1) of even degree up to 2m - 1, not of degree 2m.
    #[test]
    fn gauss_legendre() {
        let beside: Vec<f64> = (1..8)
            .map(|k: i32| f64::from(k) / f64::from(4 * k * k - 1).sqrt())
            .collect();
        let rule = gauss_rule(&[0.0; 8], &beside).unwrap();
        for degree in 0..=16 {
            let exact = f64::from((degree + 1) % 2) / f64::from(degree + 1);
            let error = (rule.sum(|t| t.powi(degree)) - exact).abs();
            assert_eq!(error < 1e-15, degree < 16, "{degree}: {error:e}");
        }
    }

    #[test]
    fn degenerate_matrices() {
        let rule = gauss_rule(&[0.0; 3], &[0.0; 2]).unwrap();
        assert_eq!(rule.nodes, [0.0; 3]);
        assert_eq!(rule.weights, [1.0, 0.0, 0.0]);
        let rule = gauss_rule(&[0.0; 2], &[3.0]).unwrap();
        assert!((rule.nodes[0] + 3.0).abs() + (rule.weights[0] - 0.5).abs() < 1e-14);
        assert!(gauss_rule(&[], &[]).is_err());
        assert!(gauss_rule(&[1.0, f64::NAN], &[1.0]).is_err());
    }
}
