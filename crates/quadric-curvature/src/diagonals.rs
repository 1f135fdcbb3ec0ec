//! Diagonals of the matrices of a model.
//!
//! A Fisher matrix is a sum of squares of gradients, and so is its diagonal, without an error. That of the covariance of the
//! gradients has the squares of their mean taken off. The Hessian is the Gauss-Newton matrix and [`Matrix::Functional`], of which
//! only the latter, small where the model fits, has to be estimated.

use crate::in_double::InDouble;
use crate::layer_sums::fisher_diagonal;
use crate::traces::MOST_COLUMNS;
use crate::watched::{Watch, Watched};
use quadric_core::{Error, Matrix, Model, Result, Scalar};
use quadric_linalg::estimate::{DiagonalOptions, DiagonalReport, diagonal};
use quadric_linalg::random::SeedTree;
use quadric_linalg::{LinearOperator, apply_vector};

/// Gradients that a gradient of each example costs here, with its squares, about.
const OF_COLUMN: f64 = 2.0;

/// A diagonal, and what it took.
#[derive(Clone, PartialEq, Debug)]
pub struct ModelDiagonal {
    /// The entries, in the order of the parameters, with their errors. Products are those with the matrix, or with the part of it that
    /// is estimated.
    pub report: DiagonalReport,
    /// All of it in gradients of the model, about.
    pub gradients: f64,
}

/// The diagonal of a matrix of a model at a point: exact for a Fisher matrix, a Gauss-Newton matrix that is one, and the covariance; or
/// where the options allow a product for each parameter.
///
/// # Errors
/// Those of the model and of [`diagonal`], and [`Stopped`](quadric_core::ErrorKind::Stopped) where the watch breaks off.
pub fn model_diagonal<T: Scalar>(
    model: &dyn Model<T>,
    x: &[T],
    matrix: Matrix,
    options: &DiagonalOptions,
    seed: u64,
    watch: &Watch<'_>,
) -> Result<ModelDiagonal> {
    let op = model.matrix(x, matrix)?;
    let watched = Watched::new(&*op, watch);
    let squares = squares_of(model, x, matrix)?;
    let (of, seed) = ((model, x, matrix), SeedTree::new(seed));
    let at = (&squares, &InDouble(&watched) as &dyn LinearOperator<f64>);
    let found = diagonal_with(of, at, options, seed, watch)?;
    let product = op.cost().product / model.gradient_work()?;
    let products = found.products as f64 + squares.cost;
    Ok(ModelDiagonal {
        report: found.report,
        gradients: found.walks + products * product,
    })
}

/// The squares of gradients that a matrix is a sum of.
pub(crate) struct Squares {
    /// The Fisher matrix that it is, if it is one.
    pub(crate) matrix: Option<Matrix>,
    /// The gradients of each example.
    pub(crate) columns: usize,
    /// Products that it took to know.
    pub(crate) cost: f64,
}

/// What a matrix is a sum of. Whether a Gauss-Newton matrix is a Fisher matrix, the products of both with a random vector say.
pub(crate) fn squares_of<T: Scalar>(
    model: &dyn Model<T>,
    x: &[T],
    matrix: Matrix,
) -> Result<Squares> {
    let columns = |matrix: Matrix| -> Result<usize> {
        Ok(match matrix {
            Matrix::Fisher => model.jacobian(x)?.shape().0 / model.examples().max(1),
            Matrix::SampledFisher { draws, .. } => draws,
            _ => 1,
        })
    };
    let (matrix, cost) = match matrix {
        Matrix::Fisher | Matrix::SampledFisher { .. } | Matrix::EmpiricalFisher => {
            (Some(matrix), 0.0)
        }
        Matrix::GaussNewton if is_fisher(model, x)? => (Some(Matrix::Fisher), 2.0),
        Matrix::GaussNewton => (None, 2.0),
        Matrix::Hessian | Matrix::Functional | Matrix::Covariance => (None, 0.0),
    };
    Ok(Squares {
        matrix,
        columns: matrix.map_or(Ok(0), columns)?,
        cost,
    })
}

/// Whether the Gauss-Newton matrix is the Fisher matrix, to rounding.
fn is_fisher<T: Scalar>(model: &dyn Model<T>, x: &[T]) -> Result<bool> {
    let d = x.len();
    let mut stream = SeedTree::new(0).child("is Fisher").stream(0);
    let probe: Vec<f64> = (0..d).map(|_| stream.sign()).collect();
    let product = |matrix: Matrix| {
        let op = model.matrix(x, matrix)?;
        let mut out = vec![0.0; d];
        apply_vector(&InDouble(&*op), &probe, &mut out)?;
        Ok::<_, Error>(out)
    };
    let fisher = match product(Matrix::Fisher) {
        Ok(fisher) => fisher,
        // The loss has none.
        Err(e) if e.kind() == quadric_core::ErrorKind::Capability => return Ok(false),
        Err(e) => return Err(e),
    };
    let newton = product(Matrix::GaussNewton)?;
    let square = |v: &mut dyn Iterator<Item = f64>| v.map(|v| v * v).sum::<f64>();
    let apart = square(&mut newton.iter().zip(&fisher).map(|(a, b)| a - b));
    let whole = square(&mut newton.iter().copied());
    Ok(apart.sqrt() <= T::EPSILON.powf(0.6) * whole.sqrt())
}

/// A diagonal, and what it took: products with the matrix, and gradients beside them.
pub(crate) struct Found {
    pub(crate) report: DiagonalReport,
    pub(crate) products: usize,
    pub(crate) walks: f64,
}

/// The diagonal of a matrix whose products `op` gives.
pub(crate) fn diagonal_with<T: Scalar>(
    (model, x, matrix): (&dyn Model<T>, &[T], Matrix),
    (squares, op): (&Squares, &dyn LinearOperator<f64>),
    options: &DiagonalOptions,
    seed: SeedTree,
    watch: &Watch<'_>,
) -> Result<Found> {
    let exact = |values: Vec<f64>, walks: f64| Found {
        report: DiagonalReport {
            half_widths: vec![0.0; values.len()],
            values,
            products: 0,
            exact: true,
        },
        products: 0,
        walks,
    };
    if let Some(fisher) = squares.matrix.filter(|_| squares.columns <= MOST_COLUMNS) {
        let values = fisher_diagonal(model, x, fisher)?.0;
        return Ok(exact(values, OF_COLUMN * squares.columns as f64));
    }
    if matrix == Matrix::Covariance {
        let mut values = fisher_diagonal(model, x, Matrix::EmpiricalFisher)?.0;
        let mut mean = vec![T::of(0.0); x.len()];
        model.value_grad(x, &mut mean)?;
        let means = mean.iter().map(|g| g.to_f64().powi(2));
        values.iter_mut().zip(means).for_each(|(v, g)| *v -= g);
        return Ok(exact(values, OF_COLUMN + 1.0));
    }
    if matrix == Matrix::Hessian && options.products < x.len() {
        let newton = squares_of(model, x, Matrix::GaussNewton)?;
        if newton.matrix.is_some() && newton.columns <= MOST_COLUMNS {
            let base = fisher_diagonal(model, x, Matrix::Fisher)?.0;
            let functional = model.matrix(x, Matrix::Functional)?;
            let watched = Watched::new(&*functional, watch);
            let mut report = diagonal(&InDouble(&watched), options, seed)?;
            let products = report.products as f64 + newton.cost;
            let product = functional.cost().product / model.gradient_work()?;
            let values = report.values.iter_mut().zip(base);
            values.for_each(|(v, base)| *v += base);
            return Ok(Found {
                report,
                products: 0,
                walks: OF_COLUMN * newton.columns as f64 + products * product,
            });
        }
    }
    let report = diagonal(op, options, seed)?;
    Ok(Found {
        products: report.products,
        report,
        walks: 0.0,
    })
}
