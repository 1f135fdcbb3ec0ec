//! A matrix of a model at every granularity, from all of it down to its diagonal: what each costs, and how near it is.

mod compare;
mod make;

use crate::factors::Sharing;
use crate::in_double::InDouble;
use crate::watched::{Watch, Watched};
use compare::Whole;
use make::{Made, Maker, Refusal};
use quadric_core::{Error, Matrix, Model, Result, Scalar};
use quadric_linalg::estimate::Estimate;

/// A granularity.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Shape {
    /// All entries.
    Full,
    /// The diagonal blocks of the [layers](crate::blocks).
    Layers,
    /// Kronecker factors of each layer ([`Factors`](crate::Factors)).
    Kronecker,
    /// The eigenvectors of the Kronecker factors with the curvature along them for eigenvalues.
    Ekfac,
    /// For each output of a layer a block of its weights and its bias.
    Units,
    /// The diagonal.
    Diagonal,
    /// Eigenpairs of the largest magnitude.
    LowRank,
}

impl Shape {
    /// All of them, from the finest.
    pub const ALL: [Self; 7] = [
        Self::Full,
        Self::Layers,
        Self::Kronecker,
        Self::Ekfac,
        Self::Units,
        Self::Diagonal,
        Self::LowRank,
    ];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Layers => "layers",
            Self::Kronecker => "kronecker",
            Self::Ekfac => "ekfac",
            Self::Units => "units",
            Self::Diagonal => "diagonal",
            Self::LowRank => "low-rank",
        }
    }
}

/// How shapes are made and compared.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct ShapeOptions {
    /// The damping δ of log-determinants and natural gradients, positive.
    pub damping: f64,
    /// Eigenpairs of [`Shape::LowRank`], or as many as there are parameters.
    pub rank: usize,
    /// Random vectors that errors are estimated from, at least 2.
    pub probes: usize,
    /// The probability with which the interval of an error contains it.
    pub level: f64,
    /// Up to this many parameters, the matrix is written down, and errors are exact.
    pub dense: usize,
    /// Products with single vectors, or gradients, that a shape may take where the matrix is not written down, and that the solution
    /// of the linear system may take.
    pub products: usize,
    /// Products for a diagonal that has to be estimated, at least 4.
    pub diagonal_products: usize,
    /// Bytes that a shape may take while it is made.
    pub memory: u64,
    /// Relative residual of the system whose solution cosines compare with, where the matrix is not written down.
    pub tolerance: f64,
    /// What Kronecker factors do with shared weights.
    pub sharing: Sharing,
    /// What random vectors depend on.
    pub seed: u64,
}

impl ShapeOptions {
    /// With this damping: rank 16, 32 random vectors for intervals at 95 %, matrices of up to 2,000 rows written down, at most 2,000
    /// products and 2 GiB for a shape, 64 products for a diagonal, systems solved to 1e-4.
    pub fn new(damping: f64) -> Self {
        Self {
            damping,
            rank: 16,
            probes: 32,
            level: 0.95,
            dense: 2000,
            products: 2000,
            diagonal_products: 64,
            memory: 2 << 30,
            tolerance: 1e-4,
            sharing: Sharing::Expand,
            seed: 0,
        }
    }
}

/// A shape S of a matrix A.
#[derive(Clone, PartialEq, Debug)]
pub struct ShapeNumbers {
    /// Numbers that it consists of.
    pub numbers: u64,
    /// What it takes to make it alone, in gradients of the model, about.
    pub gradients: f64,
    /// Its trace.
    pub trace: f64,
    /// Its largest eigenvalue.
    pub largest: f64,
    /// `log det (S + δ I)`; none where that is not positive definite.
    pub log_det: Option<f64>,
    /// `‖A - S‖ / ‖A‖` in the Frobenius norm; none where A is 0.
    pub error: Option<Estimate>,
    /// The cosine of the angle between `(S + δ I)⁻¹ g` and `(A + δ I)⁻¹ g` for the gradient g; none where g is 0, the latter is not
    /// [known](Shapes::solution), or `S + δ I` is singular.
    pub cosine: Option<f64>,
    /// Pieces of the parameters that it knows nothing of, and takes for 0: those of no layer that multiplies with weights.
    pub without: Vec<String>,
}

/// Why a shape is not there.
#[derive(Clone, PartialEq, Debug)]
pub enum Absence {
    /// The matrix, or a layer, does not have it, for this reason.
    Undefined(String),
    /// It would take so many bytes while it is made.
    Memory(u64),
    /// It would take so many products with the matrix, or gradients.
    Products(u64),
}

/// A shape, or why it is not there.
#[derive(Clone, PartialEq, Debug)]
pub struct ShapeReport {
    /// Which.
    pub shape: Shape,
    /// What it is like.
    pub found: std::result::Result<ShapeNumbers, Absence>,
}

/// A matrix of a model in several shapes.
#[derive(Clone, PartialEq, Debug)]
pub struct Shapes {
    /// The shapes in the order in which they were asked for.
    pub reports: Vec<ShapeReport>,
    /// Whether the matrix was written down, so that errors and cosines are exact.
    pub exact: bool,
    /// The relative residual to which `(A + δ I)⁻¹ g` is known, 0 where it is exact; or why it is not known.
    pub solution: std::result::Result<f64, String>,
    /// What all of it took, in gradients of the model, about.
    pub gradients: f64,
}

/// A matrix of a model at a point in some shapes, each compared with the matrix itself.
///
/// # Errors
/// Options out of range, those of the model, numbers that are not finite, and [`Stopped`](quadric_core::ErrorKind::Stopped) where
/// the watch breaks off. A shape that does not exist, or is too large, is no error but an [`Absence`].
pub fn shapes<T: Scalar>(
    model: &dyn Model<T>,
    x: &[T],
    matrix: Matrix,
    which: &[Shape],
    options: &ShapeOptions,
    watch: &Watch<'_>,
) -> Result<Shapes> {
    options.check(x.len())?;
    let op = model.matrix(x, matrix)?;
    let watched = Watched::new(&*op, watch);
    let doubled = InDouble(&watched);
    let product = op.cost().product / model.gradient_work()?;
    let mut gradient = vec![T::of(0.0); x.len()];
    model.value_grad(x, &mut gradient)?;
    let gradient: Vec<f64> = gradient.iter().map(|g| g.to_f64()).collect();
    let whole = Whole::new((&doubled, T::EPSILON), &gradient, options)?;
    let maker = Maker::new((model, x, matrix), (&whole, product), options, watch)?;
    let mut reports = Vec::with_capacity(which.len());
    let mut walks = 0.0;
    for &shape in which {
        let found = match maker.make(shape) {
            Ok(made) => {
                walks += made.walks;
                Ok(numbers(&made, &whole, options)?)
            }
            Err(Refusal::Absent(absence)) => Err(absence),
            Err(Refusal::Failed(e)) => return Err(e.context(format!("the shape {}", shape.name()))),
        };
        reports.push(ShapeReport { shape, found });
    }
    Ok(Shapes {
        reports,
        exact: whole.is_written(),
        solution: whole.solution(),
        gradients: 1.0 + walks + maker.overhead() + watched.products() as f64 * product,
    })
}

fn numbers(made: &Made, whole: &Whole<'_>, options: &ShapeOptions) -> Result<ShapeNumbers> {
    let values = made.matrix.eigenvalues();
    if let Some(i) = values.iter().position(|v| !v.is_finite()) {
        return Err(Error::non_finite("the eigenvalues", i, values[i]));
    }
    let definite = values.iter().all(|v| v + options.damping > 0.0);
    Ok(ShapeNumbers {
        numbers: made.numbers,
        gradients: made.gradients,
        trace: values.iter().sum(),
        largest: values.iter().copied().fold(f64::NEG_INFINITY, f64::max),
        log_det: match definite {
            true => Some(made.matrix.log_det(options.damping)?),
            false => None,
        },
        error: whole.error(&*made.matrix)?,
        cosine: whole.cosine(&*made.matrix)?,
        without: made.without.clone(),
    })
}

impl ShapeOptions {
    fn check(&self, d: usize) -> Result<()> {
        crate::factored::check_damping(self.damping)?;
        if d == 0 {
            return Err(Error::argument("parameters", 0, "at least 1"));
        }
        for (name, v, least) in [
            ("rank", self.rank, 1),
            ("probes", self.probes, 2),
            ("diagonal_products", self.diagonal_products, 4),
        ] {
            if v < least {
                return Err(Error::argument(name, v, &format!("at least {least}")));
            }
        }
        for (name, v) in [("level", self.level), ("tolerance", self.tolerance)] {
            if !(v > 0.0 && v < 1.0) {
                return Err(Error::argument(name, v, "a number between 0 and 1"));
            }
        }
        Ok(())
    }
}
