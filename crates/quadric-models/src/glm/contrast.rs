//! Softmax predictors without their redundant direction.
//!
//! Adding one number to all K predictors of a sample changes no probability, so K sets of coefficients describe each
//! model infinitely often and the Hessian is singular along the common direction. The unknowns here are K - 1 sets
//! instead: `coef = u Bᵀ` with B (K, K - 1) orthonormal and orthogonal to the ones. The rows of `coef` then sum to zero,
//! as they do at the optimum of the penalised problem, and `‖coef‖ = ‖u‖`: neither the optimum nor the penalty changes.

/// The orthonormal basis B of the K-vectors that sum to zero:
/// `(B u)_c = u_c - sigma S` for c < K - 1 and `-S / √K` for the last, with `S = Σ u` and `sigma = 1 / (K + √K)`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Contrast {
    classes: usize,
    sigma: f64,
    last: f64,
}

impl Contrast {
    pub(crate) fn new(classes: usize) -> Self {
        let (k, root) = (classes as f64, (classes as f64).sqrt());
        Self {
            classes,
            sigma: 1.0 / (k + root),
            last: 1.0 / root,
        }
    }

    pub(crate) fn classes(self) -> usize {
        self.classes
    }

    /// `out <- B u`: K values from K - 1.
    #[inline]
    pub(crate) fn expand(self, u: impl Fn(usize) -> f64, out: &mut [f64]) {
        let m = self.classes - 1;
        let mut sum = 0.0;
        for c in 0..m {
            out[c] = u(c);
            sum += out[c];
        }
        for c in 0..m {
            out[c] -= self.sigma * sum;
        }
        out[m] = -sum * self.last;
    }

    /// `out <- Bᵀ y`: K - 1 values from K.
    #[inline]
    pub(crate) fn reduce(self, y: &[f64], mut out: impl FnMut(usize, f64)) {
        let m = self.classes - 1;
        let sum: f64 = y[..m].iter().sum();
        let common = self.sigma * sum + self.last * y[m];
        for c in 0..m {
            out(c, y[c] - common);
        }
    }

    /// B, entry (class, unknown).
    #[inline]
    pub(crate) fn entry(self, class: usize, unknown: usize) -> f64 {
        if class + 1 == self.classes {
            -self.last
        } else if class == unknown {
            1.0 - self.sigma
        } else {
            -self.sigma
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_basis_is_orthonormal_and_sums_to_zero() {
        for k in [2, 3, 10, 1000] {
            let b = Contrast::new(k);
            let column = |j: usize| -> Vec<f64> {
                let mut out = vec![0.0; k];
                b.expand(|c| if c == j { 1.0 } else { 0.0 }, &mut out);
                out
            };
            let dot = |x: &[f64], y: &[f64]| x.iter().zip(y).map(|(a, b)| a * b).sum::<f64>();
            for j in [0, (k - 1) / 2, k - 2] {
                let v = column(j);
                assert!(v.iter().sum::<f64>().abs() < 1e-13, "columns sum to zero");
                assert!((dot(&v, &v) - 1.0).abs() < 1e-13, "unit length");
                for c in 0..k {
                    assert_eq!(v[c], b.entry(c, j));
                }
                if j > 0 {
                    assert!(dot(&v, &column(0)).abs() < 1e-13, "orthogonal");
                }
                let mut back = vec![0.0; k - 1];
                b.reduce(&v, |c, value| back[c] = value);
                assert!((back[j] - 1.0).abs() < 1e-13, "Bᵀ B = I");
            }
        }
    }
}
