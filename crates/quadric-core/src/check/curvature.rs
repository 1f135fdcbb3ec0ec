//! Hessians, preconditioners and self-concordance.

use super::{Bench, Worst, best_pair, moved, normal, sweep};
use crate::{LinearOperator, Result, Scalar, TwiceSmooth, vector};
use faer::Mat;
use quadric_linalg::{apply_adjoint_vector, apply_vector};

impl<T: Scalar> Bench<'_, T> {
    pub(super) fn hessian(&mut self) -> Result<()> {
        let Some(twice) = self.problem.as_twice_smooth() else {
            self.skip(
                "Hessian against gradients",
                "the problem does not offer TwiceSmooth",
            );
            return Ok(());
        };
        let n = self.x.len();
        let op = twice.hessian(self.x)?;
        let mut shape = Worst::default();
        shape.see(f64::from(op.shape() != (n, n)), || {
            format!("the Hessian has shape {:?}", op.shape())
        });
        shape.see(f64::from(!op.properties().symmetric), || {
            "the Hessian does not say that it is symmetric".into()
        });
        let is_square = shape.error == 0.0;
        self.add("Hessian is square and symmetric", shape, 0.0);
        if !is_square {
            return Ok(());
        }
        self.products(twice, &*op)?;
        self.operator(&*op, "Hessian")?;
        self.preconditioner(twice)
    }

    fn products(&mut self, twice: &dyn TwiceSmooth<T>, op: &dyn LinearOperator<T>) -> Result<()> {
        let n = self.x.len();
        let mut stream = self.stream("hessian");
        let mut worst = Worst::default();
        for k in 0..5 {
            let d = normal::<T>(n, &mut stream);
            let error = product_error(twice, op, self.x, &d, self.scale())?;
            worst.see(error, || format!("in random direction {k}"));
        }
        let limit = if T::EPSILON < 1e-10 { 1e-5 } else { 5e-2 };
        self.add("Hessian against gradients", worst, limit);
        Ok(())
    }

    /// Linearity over blocks, symmetry, adjoint, claims: what holds for any symmetric operator.
    fn operator(&mut self, op: &dyn LinearOperator<T>, purpose: &str) -> Result<()> {
        let n = self.x.len();
        let limit = 1e3 * self.rounding();
        let mut stream = self.stream(purpose);
        let (mut symmetry, mut adjoint) = (Worst::default(), Worst::default());
        let (mut psd, mut repeat) = (Worst::default(), Worst::default());
        for k in 0..20 {
            let (u, v) = (normal::<T>(n, &mut stream), normal::<T>(n, &mut stream));
            let (hu, hv) = (product(op, &u)?, product(op, &v)?);
            let size =
                |a: &[T], b: &[T]| (vector::norm2(a) * vector::norm2(b)).max(f64::MIN_POSITIVE);
            let (uhv, vhu) = (vector::dot(&u, &hv), vector::dot(&v, &hu));
            let both = size(&u, &hv) + size(&v, &hu);
            symmetry.see((uhv - vhu).abs() / both, || {
                format!("pair {k}: {uhv:e} and {vhu:e}")
            });
            let mut htu = vec![T::of(0.0); n];
            apply_adjoint_vector(op, &u, &mut htu)?;
            let other = vector::dot(&htu, &v);
            adjoint.see((uhv - other).abs() / both, || {
                format!("pair {k}: {uhv:e} and {other:e}")
            });
            let vhv = vector::dot(&v, &hv);
            psd.see(-vhv / size(&v, &hv), || format!("vector {k}: {vhv:e}"));
            repeat.see(f64::from(product(op, &v)? != hv), || {
                format!("vector {k}: two products differ")
            });
        }
        self.add("operator equals its adjoint (pairs)", symmetry, limit);
        self.add("adjoint product", adjoint, limit);
        if op.properties().psd {
            self.add("positive semidefinite as claimed", psd, limit);
        }
        if !op.properties().random {
            self.add("two products are equal", repeat, 0.0);
        }
        self.blocks(op, limit)
    }

    /// A block product is the products of its columns, and so is the dense matrix, where it is small enough to write down.
    fn blocks(&mut self, op: &dyn LinearOperator<T>, limit: f64) -> Result<()> {
        let n = self.x.len();
        let mut stream = self.stream("blocks");
        let columns: Vec<Vec<T>> = (0..3).map(|_| normal(n, &mut stream)).collect();
        let block = Mat::<T>::from_fn(n, 3, |i, j| columns[j][i]);
        let mut out = Mat::<T>::zeros(n, 3);
        op.apply(block.as_ref(), out.as_mut())?;
        let mut worst = Worst::default();
        for (j, column) in columns.iter().enumerate() {
            let one = product(op, column)?;
            let error = distance(&one, |i| out[(i, j)].to_f64());
            worst.see(error, || format!("column {j} of a block"));
        }
        if n <= 512 {
            let mut dense = Mat::<T>::zeros(n, n);
            op.dense(dense.as_mut())?;
            let v = &columns[0];
            let one = product(op, v)?;
            let row =
                |i: usize| -> f64 { (0..n).map(|j| dense[(i, j)].to_f64() * v[j].to_f64()).sum() };
            worst.see(distance(&one, row), || "the dense matrix".into());
        }
        self.add("blocks and dense matrix", worst, limit);
        Ok(())
    }

    fn preconditioner(&mut self, twice: &dyn TwiceSmooth<T>) -> Result<()> {
        let name = "preconditioner is positive definite";
        let Some(inverse) = twice.preconditioner(self.x, 1e-3)? else {
            self.skip(name, "the problem knows no preconditioner");
            return Ok(());
        };
        let op = inverse.operator;
        let mut stream = self.stream("preconditioner");
        let mut worst = Worst::default();
        for k in 0..10 {
            let n = self.x.len();
            let (u, v) = (normal::<T>(n, &mut stream), normal::<T>(n, &mut stream));
            let (pu, pv) = (product(&*op, &u)?, product(&*op, &v)?);
            let size =
                vector::norm2(&u) * vector::norm2(&pv) + vector::norm2(&v) * vector::norm2(&pu);
            let difference = (vector::dot(&u, &pv) - vector::dot(&v, &pu)).abs();
            worst.see(difference / size.max(f64::MIN_POSITIVE), || {
                format!("pair {k} is not symmetric")
            });
            let curvature = vector::dot(&v, &pv);
            worst.see(f64::from(curvature.is_nan() || curvature <= 0.0), || {
                format!("vector {k} has curvature {curvature:e}")
            });
        }
        let limit = 1e3 * self.rounding();
        self.add(name, worst, limit);
        Ok(())
    }

    /// Along any line `|d/dt v'H(x + t h)v| <= concordance(h) v'Hv`, so `v'Hv` changes by at most the factor
    /// `exp(t concordance(h))`.
    pub(super) fn concordance(&mut self) -> Result<()> {
        let name = "self-concordance";
        let Some(p) = self.problem.as_self_concordant() else {
            self.skip(name, "the problem does not offer SelfConcordant");
            return Ok(());
        };
        let n = self.x.len();
        let mut stream = self.stream("concordance");
        let here = p.hessian(self.x)?;
        let mut worst = Worst::default();
        for k in 0..5 {
            let (h, v) = (normal::<T>(n, &mut stream), normal::<T>(n, &mut stream));
            let rate = p.concordance(&h)?;
            worst.see(f64::from(rate.is_nan() || rate < 0.0), || {
                format!("concordance is {rate:e}")
            });
            let before = vector::dot(&v, &product(&*here, &v)?);
            for t in [-0.5, -0.01, 0.01, 0.5] {
                let there = p.hessian(&moved(self.x, &h, t))?;
                let after = vector::dot(&v, &product(&*there, &v)?);
                let change = (after.max(f64::MIN_POSITIVE) / before.max(f64::MIN_POSITIVE)).ln();
                worst.see(change.abs() - rate * f64::abs(t), || {
                    format!(
                        "line {k} at {t}: the curvature changes by the factor {:e}",
                        change.exp()
                    )
                });
            }
        }
        let limit = 1e4 * self.rounding();
        self.add(name, worst, limit);
        Ok(())
    }
}

fn product<T: Scalar>(op: &dyn LinearOperator<T>, v: &[T]) -> Result<Vec<T>> {
    let mut out = vec![T::of(0.0); op.shape().0];
    apply_vector(op, v, &mut out)?;
    Ok(out)
}

/// `|a - b|` relative to the larger norm.
fn distance<T: Scalar>(a: &[T], b: impl Fn(usize) -> f64) -> f64 {
    let b: Vec<f64> = (0..a.len()).map(b).collect();
    let difference: Vec<f64> = a.iter().zip(&b).map(|(a, b)| a.to_f64() - b).collect();
    let size = vector::norm2(a).max(vector::norm2(&b));
    vector::norm2(&difference) / size.max(f64::MIN_POSITIVE)
}

fn product_error<T: Scalar>(
    twice: &dyn TwiceSmooth<T>,
    op: &dyn LinearOperator<T>,
    x: &[T],
    d: &[T],
    scale: f64,
) -> Result<f64> {
    let n = x.len();
    let hd = product(op, d)?;
    let length = vector::norm2(d).max(f64::MIN_POSITIVE);
    let (mut up, mut down) = (vec![T::of(0.0); n], vec![T::of(0.0); n]);
    let mut errors = Vec::new();
    for step in sweep::<T>() {
        let h = step * scale / length;
        twice.value_grad(&moved(x, d, h), &mut up)?;
        twice.value_grad(&moved(x, d, -h), &mut down)?;
        let difference = |i: usize| (up[i].to_f64() - down[i].to_f64()) / (2.0 * h);
        errors.push(distance(&hd, difference));
    }
    // A function without curvature here: differences of rounding are all there is.
    let is_flat = vector::norm2(&hd) <= 1e-12 * vector::norm2(&up) * length;
    Ok(if is_flat { 0.0 } else { best_pair(&errors) })
}
