//! Eigenvalues of symmetric tridiagonal matrices by Sturm counts.

/// Smallest and largest eigenvalue of the positive definite tridiagonal matrix L D Lᵀ with D = diag(`d`) and L unit lower
/// bidiagonal with `l` below the diagonal; `None` when it is empty. Both carry a relative error of about 1e-12.
///
/// The counts use the stationary quotient-difference form (Dhillon, Parlett, "Multiple representations to compute
/// orthogonal eigenvectors of symmetric tridiagonal matrices", 2004), which keeps tiny eigenvalues to full accuracy.
pub(super) fn factored_extremes(d: &[f64], l: &[f64]) -> Option<(f64, f64)> {
    let n = d.len();
    if n == 0 || l.len() + 1 < n || d.iter().any(|d| *d <= 0.0 || !d.is_finite()) {
        return None;
    }
    let off = |j: usize| d[j] * l[j];
    let (mut upper, mut trace_of_inverse_bound) = (0.0f64, f64::INFINITY);
    for j in 0..n {
        let below = if j > 0 { off(j - 1) * l[j - 1] } else { 0.0 };
        let left = if j > 0 { off(j - 1).abs() } else { 0.0 };
        let right = if j + 1 < n { off(j).abs() } else { 0.0 };
        upper = upper.max(d[j] + below + left + right);
        trace_of_inverse_bound = trace_of_inverse_bound.min(d[j]);
    }
    if !upper.is_finite() {
        return None;
    }
    let largest = bisect(trace_of_inverse_bound * 0.5, upper * 2.0, |s| {
        factored_count(d, l, s) == n
    });
    // Any d[j] bounds the smallest eigenvalue from above: L D Lᵀ x = d[n-1] e_n for some x with x_n = 1.
    let smallest = bisect(largest * f64::EPSILON * f64::EPSILON, d[n - 1] * 2.0, |s| {
        factored_count(d, l, s) >= 1
    });
    Some((smallest.min(largest), largest))
}

/// Number of eigenvalues of L D Lᵀ below `shift`.
fn factored_count(d: &[f64], l: &[f64], shift: f64) -> usize {
    let (mut s, mut count) = (-shift, 0);
    for j in 0..d.len() {
        let mut pivot = d[j] + s;
        if pivot == 0.0 {
            pivot = -f64::MIN_POSITIVE;
        }
        count += usize::from(pivot < 0.0);
        if j + 1 < d.len() {
            // d l² s / pivot, ordered so that neither factor overflows first.
            s = (d[j] / pivot) * l[j] * (l[j] * s) - shift;
        }
    }
    count
}

/// The point in [low, high] (both positive) where `above` turns from false to true, by bisection on the logarithm.
fn bisect(mut low: f64, mut high: f64, above: impl Fn(f64) -> bool) -> f64 {
    while high > low * (1.0 + 1e-12) {
        let ratio = high / low;
        let middle = if ratio > 4.0 {
            low * ratio.sqrt()
        } else {
            low + 0.5 * (high - low)
        };
        if middle <= low || middle >= high {
            break;
        }
        if above(middle) {
            high = middle;
        } else {
            low = middle;
        }
    }
    low + 0.5 * (high - low)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn second_difference_matrix() {
        // tridiag(-1, 2, -1) has eigenvalues 2 - 2 cos(k pi / (n + 1)); its factors are d_j = (j + 2)/(j + 1), l_j = -1/d_j.
        for n in [1usize, 2, 7, 300] {
            let d: Vec<f64> = (0..n).map(|j| (j + 2) as f64 / (j + 1) as f64).collect();
            let l: Vec<f64> = d.iter().map(|d| -1.0 / d).collect();
            let (low, high) = factored_extremes(&d, &l).unwrap();
            let exact = |k: usize| {
                4.0 * (k as f64 * std::f64::consts::PI / (2 * (n + 1)) as f64)
                    .sin()
                    .powi(2)
            };
            assert!((low / exact(1) - 1.0).abs() < 1e-11, "{n}: {low}");
            assert!((high / exact(n) - 1.0).abs() < 1e-11, "{n}: {high}");
        }
        assert_eq!(factored_extremes(&[], &[]), None);
        assert_eq!(factored_extremes(&[-1.0], &[]), None);
    }

    #[test]
    fn tiny_eigenvalues_keep_their_digits() {
        // D = diag(1, 1e-30), l = 1: the product of the eigenvalues is 1e-30 and their sum 2 + 1e-30.
        let (low, high) = factored_extremes(&[1.0, 1e-30], &[1.0]).unwrap();
        assert!((high - 2.0).abs() < 1e-11);
        assert!((low / 5e-31 - 1.0).abs() < 1e-11, "{low:e}");
    }
}
