//! Kronecker products, and symmetric matrices whose eigenvectors are such products.

use super::{SYMMETRIC, check_dense, product};
use crate::dense::symmetric_eigen;
use crate::{Cost, Error, ErrorKind, LinearOperator, Properties, Result, Scalar, check_apply};
use faer::{Mat, MatMut, MatRef};

/// `B ⊗ A` for symmetric B (p, p) and A (q, q), on vectors that hold matrices (p, q) row after row: X becomes `B X A`.
#[derive(Clone, Debug)]
pub struct Kronecker<T> {
    b: Mat<T>,
    a: Mat<T>,
    properties: Properties,
}

/// `(V ⊗ U) diag(s) (V ⊗ U)ᵀ` with orthogonal V (p, p) and U (q, q), for a number s of each entry of a matrix (p, q), on
/// vectors that hold such matrices row after row.
#[derive(Clone, Debug)]
pub struct KroneckerEigen<T> {
    v: Mat<T>,
    u: Mat<T>,
    values: Mat<f64>,
}

fn check_square<T>(what: &str, a: &Mat<T>) -> Result<()> {
    let n = a.nrows();
    match a.ncols() == n {
        true => Ok(()),
        false => Err(Error::shape(what, (n, a.ncols()), (n, n))),
    }
}

impl<T: Scalar> Kronecker<T> {
    /// From factors that are symmetric; `psd` says that neither has negative eigenvalues.
    ///
    /// # Errors
    /// A factor that is not square or not exactly symmetric.
    pub fn symmetric(b: Mat<T>, a: Mat<T>, psd: bool) -> Result<Self> {
        for (what, m) in [("factor B", &b), ("factor A", &a)] {
            check_square(what, m)?;
            for j in 0..m.nrows() {
                if let Some(i) = (0..j).find(|&i| m[(i, j)] != m[(j, i)]) {
                    let found = format!("not symmetric at ({i}, {j})");
                    return Err(Error::argument(what, found, "a symmetric matrix"));
                }
            }
        }
        let properties = Properties { psd, ..SYMMETRIC };
        Ok(Self { b, a, properties })
    }

    /// The factors B and A.
    pub fn factors(&self) -> (MatRef<'_, T>, MatRef<'_, T>) {
        (self.b.as_ref(), self.a.as_ref())
    }

    /// The eigenvectors of both factors, and all products of an eigenvalue of B and one of A. If the operator has no negative
    /// eigenvalues, those that rounding makes negative are 0.
    ///
    /// # Errors
    /// A factor with an entry that is not finite, or an iteration that does not converge.
    pub fn eigen(&self) -> Result<KroneckerEigen<T>> {
        let (b, a) = (
            symmetric_eigen(self.b.as_ref())?,
            symmetric_eigen(self.a.as_ref())?,
        );
        let least = if self.properties.psd {
            0.0
        } else {
            f64::NEG_INFINITY
        };
        let value = |v: &[T], i: usize| v[i].to_f64().max(least);
        let (p, q) = (b.values.len(), a.values.len());
        let values = Mat::from_fn(p, q, |i, j| value(&b.values, i) * value(&a.values, j));
        KroneckerEigen::new(b.vectors, a.vectors, values)
    }
}

impl<T: Scalar> KroneckerEigen<T> {
    /// From orthogonal matrices V and U, and the eigenvalues.
    ///
    /// # Errors
    /// Shapes that do not fit, or an eigenvalue that is not finite.
    pub fn new(v: Mat<T>, u: Mat<T>, values: Mat<f64>) -> Result<Self> {
        check_square("the vectors V", &v)?;
        check_square("the vectors U", &u)?;
        let (found, expected) = ((values.nrows(), values.ncols()), (v.nrows(), u.nrows()));
        if found != expected {
            return Err(Error::shape("the eigenvalues", found, expected));
        }
        for j in 0..values.ncols() {
            if let Some(i) = (0..values.nrows()).find(|&i| !values[(i, j)].is_finite()) {
                return Err(Error::non_finite("the eigenvalues", (i, j), values[(i, j)]));
            }
        }
        Ok(Self { v, u, values })
    }

    /// V and U.
    pub fn vectors(&self) -> (MatRef<'_, T>, MatRef<'_, T>) {
        (self.v.as_ref(), self.u.as_ref())
    }

    /// The eigenvalues (p, q).
    pub fn values(&self) -> MatRef<'_, f64> {
        self.values.as_ref()
    }

    /// The same vectors with other eigenvalues.
    ///
    /// # Errors
    /// As [`KroneckerEigen::new`].
    pub fn with_values(&self, values: Mat<f64>) -> Result<Self> {
        Self::new(self.v.clone(), self.u.clone(), values)
    }

    /// A function of the operator: that of each eigenvalue.
    ///
    /// # Errors
    /// A value that is not finite, such as the inverse of 0.
    pub fn map(&self, f: impl Fn(f64) -> f64) -> Result<Self> {
        let (p, q) = (self.values.nrows(), self.values.ncols());
        self.with_values(Mat::from_fn(p, q, |i, j| f(self.values[(i, j)])))
    }

    /// The sum of a function of all eigenvalues: the trace for the identity, `log det` for the logarithm.
    ///
    /// # Errors
    /// A sum that is not finite.
    pub fn sum(&self, f: impl Fn(f64) -> f64) -> Result<f64> {
        let columns = (0..self.values.ncols()).map(|j| self.values.col(j));
        let sum: f64 = columns.map(|c| c.iter().map(|&v| f(v)).sum::<f64>()).sum();
        match sum.is_finite() {
            true => Ok(sum),
            false => {
                let text = format!("the sum over eigenvalues is {sum}");
                Err(Error::new(ErrorKind::Numeric, text))
            }
        }
    }
}

/// Calls `f` with each column as a matrix (p, q), and with the room for the result.
fn each<T: Scalar>(
    (p, q): (usize, usize),
    x: MatRef<'_, T>,
    mut y: MatMut<'_, T>,
    f: impl Fn(MatRef<'_, T>, &mut Mat<T>),
) -> Result<()> {
    check_apply((p * q, p * q), &x, &y)?;
    let (mut from, mut to) = (Mat::zeros(p, q), Mat::zeros(p, q));
    for k in 0..x.ncols() {
        for (i, j) in (0..p).flat_map(|i| (0..q).map(move |j| (i, j))) {
            from[(i, j)] = x[(i * q + j, k)];
        }
        f(from.as_ref(), &mut to);
        for (i, j) in (0..p).flat_map(|i| (0..q).map(move |j| (i, j))) {
            y[(i * q + j, k)] = to[(i, j)];
        }
    }
    Ok(())
}

fn cost(p: usize, q: usize, products: f64) -> Cost {
    let (p, q) = (p as f64, q as f64);
    let product = 2.0 * products * p * q * (p + q);
    Cost {
        product,
        dense: product * p * q,
    }
}

impl<T: Scalar> LinearOperator<T> for Kronecker<T> {
    fn shape(&self) -> (usize, usize) {
        let n = self.b.nrows() * self.a.nrows();
        (n, n)
    }

    fn apply(&self, x: MatRef<'_, T>, y: MatMut<'_, T>) -> Result<()> {
        let (p, q) = (self.b.nrows(), self.a.nrows());
        each((p, q), x, y, |x, y| {
            let mut half = Mat::zeros(p, q);
            product(self.b.as_ref(), x, half.as_mut());
            product(half.as_ref(), self.a.as_ref(), y.as_mut());
        })
    }

    fn properties(&self) -> Properties {
        self.properties
    }

    fn dense(&self, mut out: MatMut<'_, T>) -> Result<()> {
        check_dense(self.shape(), &out)?;
        let (n, q) = (out.nrows(), self.a.nrows());
        for (i, j) in (0..n).flat_map(|i| (0..n).map(move |j| (i, j))) {
            let (b, a) = (self.b[(i / q, j / q)], self.a[(i % q, j % q)]);
            out[(i, j)] = T::of(b.to_f64() * a.to_f64());
        }
        Ok(())
    }

    fn cost(&self) -> Cost {
        let (p, q) = (self.b.nrows(), self.a.nrows());
        Cost {
            dense: (p * q) as f64 * (p * q) as f64,
            ..cost(p, q, 1.0)
        }
    }
}

impl<T: Scalar> LinearOperator<T> for KroneckerEigen<T> {
    fn shape(&self) -> (usize, usize) {
        let n = self.v.nrows() * self.u.nrows();
        (n, n)
    }

    fn apply(&self, x: MatRef<'_, T>, y: MatMut<'_, T>) -> Result<()> {
        let (p, q) = (self.v.nrows(), self.u.nrows());
        each((p, q), x, y, |x, y| {
            let (mut half, mut inside) = (Mat::zeros(p, q), Mat::zeros(p, q));
            product(self.v.transpose(), x, half.as_mut());
            product(half.as_ref(), self.u.as_ref(), inside.as_mut());
            for j in 0..q {
                for i in 0..p {
                    inside[(i, j)] = T::of(self.values[(i, j)] * inside[(i, j)].to_f64());
                }
            }
            product(self.v.as_ref(), inside.as_ref(), half.as_mut());
            product(half.as_ref(), self.u.transpose(), y.as_mut());
        })
    }

    fn properties(&self) -> Properties {
        let mut columns = (0..self.values.ncols()).map(|j| self.values.col(j));
        Properties {
            psd: columns.all(|c| c.iter().all(|&v| v >= 0.0)),
            ..SYMMETRIC
        }
    }

    fn cost(&self) -> Cost {
        cost(self.v.nrows(), self.u.nrows(), 2.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::SeedTree;

    const SEED: u64 = 3;

    fn psd(name: &str, n: usize, rank: usize) -> Mat<f64> {
        let mut s = SeedTree::new(SEED).child(name).stream(0);
        let half = Mat::from_fn(n, rank, |_, _| s.normal());
        let full = &half * half.transpose();
        Mat::from_fn(n, n, |i, j| full[(i.max(j), i.min(j))])
    }

    fn dense(op: &impl LinearOperator<f64>, by_columns: bool) -> Mat<f64> {
        let (m, n) = op.shape();
        let mut out = Mat::zeros(m, n);
        match by_columns {
            true => crate::dense_by_columns(op, out.as_mut()).expect("a matrix"),
            false => op.dense(out.as_mut()).expect("a matrix"),
        }
        out
    }

    fn sample() -> (Kronecker<f64>, Mat<f64>) {
        let (b, a) = (psd("b", 3, 3), psd("a", 5, 2));
        let whole = Mat::from_fn(15, 15, |i, j| b[(i / 5, j / 5)] * a[(i % 5, j % 5)]);
        (Kronecker::symmetric(b, a, true).expect("symmetric"), whole)
    }

    #[test]
    fn two_products_are_the_large_matrix() {
        let (op, whole) = sample();
        for by_columns in [false, true] {
            let error = (dense(&op, by_columns) - &whole).norm_max();
            assert!(error < 1e-13 * whole.norm_max(), "{error:e}, seed {SEED}");
        }
    }

    #[test]
    fn functions_are_those_of_the_large_matrix() {
        let (op, whole) = sample();
        let eigen = op.eigen().expect("finite");
        let most = whole.norm_max();
        assert!((dense(&eigen, true) - &whole).norm_max() < 1e-13 * most);
        assert!(eigen.properties().psd);
        // Six eigenvalues of fifteen are not 0.
        let inverse = eigen.map(|v| 1.0 / (v + 0.1)).expect("positive");
        let shifted = &whole + 0.1 * Mat::<f64>::identity(15, 15);
        let error = dense(&inverse, true) * &shifted - Mat::<f64>::identity(15, 15);
        assert!(error.norm_max() < 1e-12, "{:e}", error.norm_max());
        let root = dense(&eigen.map(f64::sqrt).expect("not negative"), true);
        assert!((&root * &root - &whole).norm_max() < 1e-13 * most);
        let values = symmetric_eigen(shifted.as_ref()).expect("finite").values;
        let log_det: f64 = values.iter().map(|v| v.ln()).sum();
        let found = eigen.sum(|v| (v + 0.1).ln()).expect("positive");
        assert!((found - log_det).abs() < 1e-12, "{found} {log_det}");
        assert!(eigen.map(|v| 1.0 / v).is_err(), "an inverse of 0");
        assert!(eigen.sum(f64::ln).is_err(), "a logarithm of 0");
    }

    #[test]
    fn wrong_factors_are_refused() {
        let (b, a) = (psd("b", 3, 3), psd("a", 5, 2));
        let mut skew = a.clone();
        skew[(0, 1)] += 1.0;
        let error = Kronecker::symmetric(b.clone(), skew, true).expect_err("not symmetric");
        assert!(error.to_string().contains("factor A"), "{error}");
        let long = Mat::zeros(2, 3);
        let error = Kronecker::symmetric(long, a.clone(), true).expect_err("not square");
        assert_eq!(error.kind(), ErrorKind::Shape);
        let values = Mat::from_fn(3, 5, |_, _| f64::NAN);
        let error = KroneckerEigen::new(b, a, values).expect_err("no numbers");
        assert_eq!(error.kind(), ErrorKind::NonFinite);
    }
}
