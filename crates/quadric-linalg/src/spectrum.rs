//! Extreme eigenpairs of symmetric operators, with residuals that were measured and a stated search for missed ones.
//!
//! [`eigenpairs`] is the one door; [`Search`] is the same iteration in steps that can be saved. What a result promises:
//!
//! - `residuals[j]` is ‖A v - λ v‖ of the pair that is returned, from a product made for it at the end (rounding of that
//!   product aside): an eigenvalue of A lies within it of λ. `converged[j]` says that it is at most `tolerance` · ‖A‖, the
//!   norm being estimated from below by the largest Ritz value.
//! - `complete` says that no wanted eigenvalue is missing, up to the tolerance, in this sense: a Krylov space of a random
//!   block of b vectors shows, with probability 1, up to b copies of each eigenvalue; the wanted values stayed for two steps,
//!   and no Ritz interval next to them reaches among them. Where b or more of the wanted values coincide and others follow
//!   them, or b is 1, a further search starts from b new random vectors orthogonal to what was found, as long as the first,
//!   and again until one finds nothing. So the search is not doubled while multiplicities stay below b. What remains is chance:
//!   random vectors hide a value that exceeds its neighbour by a relative gap g, at a tolerance t < g, with a probability of
//!   the order (t/g)^b.
//!
//! The cost unit is a product with one vector. One vector at a time needs the fewest (for the top five of spectra with a few
//! outliers, to a relative residual of 1e-3: 12 to 26), blocks of four 1.7 to 2.5 times as many, wider ones more in
//! proportion; but a block of four is one pass of the operator, and shows multiplicities. So `Auto` takes blocks of 4 for up
//! to 8 pairs, of 8 for up to 32, of 16 for more, and the dense matrix where the Krylov space would be as large.

mod approximation;
mod basis;
mod direct;
mod lobpcg;
mod power;
mod saved;
mod search;
mod select;

pub(crate) use basis::rotate;

pub use approximation::{EigenApproximation, randomized_svd};
pub use saved::SavedSearch;
pub use search::Search;

use crate::krylov::finite;
use crate::random::SeedTree;
use crate::vector::dot;
use crate::{Error, ErrorKind, LinearOperator, Result, Scalar};
use basis::{Unit, residual};
use faer::{Mat, MatRef};
use select::report_order;
use std::ops::ControlFlow;

/// Which eigenvalues.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// The largest, descending.
    Largest,
    /// The smallest (most negative), ascending.
    Smallest,
    /// The largest absolute values, in descending order of these.
    LargestMagnitude,
    /// One half from each end (the odd one from above), in one descending list.
    BothEnds,
}

/// How the eigenpairs are found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EigenMethod {
    /// `Dense` where the Krylov space would be about as large as n, else `Block`; `Dense` after all where n is at most 2,048
    /// and n products were not enough.
    Auto,
    /// Lanczos with thick restarts, one vector at a time: the fewest products.
    ThickRestart,
    /// The same with blocks of b: few passes of the operator, and multiplicities. As `ThickRestart`, it holds about 4 `count`
    /// + 10 b vectors of length n (b at least 4), and allocates nothing of that length after the start.
    Block,
    /// Locally optimal block conjugate gradients, for one end and with a preconditioner; 6 (`count` + 2) vectors.
    Lobpcg,
    /// Power iteration with deflation, as PyHessian runs it; for comparison.
    Power,
    /// A dense decomposition.
    Dense,
}

/// What [`eigenpairs`] looks for, and how hard.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct EigenOptions {
    /// Number of eigenpairs, 1 to n.
    pub count: usize,
    /// Which eigenvalues.
    pub which: Which,
    /// A pair counts as converged when ‖A v - λ v‖ is at most this times ‖A‖.
    pub tolerance: f64,
    /// Vectors per product; `None` lets the method choose.
    pub block: Option<usize>,
    /// Largest number of products with single vectors, the final one included.
    pub max_products: usize,
    /// How.
    pub method: EigenMethod,
    /// Wait until the wanted values stayed for two steps instead of one, and search on where more copies of an eigenvalue may
    /// exist than a block shows.
    pub verify: bool,
}

impl Default for EigenOptions {
    /// The largest eigenvalue to 1e-6, with at most 10,000 products.
    fn default() -> Self {
        Self {
            count: 1,
            which: Which::Largest,
            tolerance: 1e-6,
            block: None,
            max_products: 10_000,
            method: EigenMethod::Auto,
            verify: true,
        }
    }
}

/// Where an iteration is.
#[derive(Clone, Debug)]
pub struct Progress {
    /// Products with single vectors so far.
    pub products: usize,
    /// Ritz values in the order of desire; fewer than wanted at the beginning.
    pub values: Vec<f64>,
    /// Estimates of their residuals.
    pub residuals: Vec<f64>,
    /// How many of these are within the tolerance.
    pub converged: usize,
    /// ‖A‖, estimated from below.
    pub norm: f64,
}

/// Called after every product with a block; a break ends the search with what it has.
pub type Watch<'a> = dyn FnMut(&Progress) -> ControlFlow<()> + 'a;

/// What helps a search.
pub struct Help<'a, T> {
    /// Vectors (n, at most 2 count + 16) near the wanted ones, such as eigenvectors of an earlier operator. They need not be
    /// orthonormal. The dense method has no use for them.
    pub start: Option<MatRef<'a, T>>,
    /// An approximate inverse of A minus a shift beyond the wanted end (n, n), positive definite up to its sign; LOBPCG only.
    pub preconditioner: Option<&'a dyn LinearOperator<T>>,
    /// Sees the progress of the iterative methods.
    pub watch: Option<&'a mut Watch<'a>>,
}

impl<T> Default for Help<'_, T> {
    fn default() -> Self {
        Self {
            start: None,
            preconditioner: None,
            watch: None,
        }
    }
}

/// Approximate eigenpairs in the order that [`Which`] names.
#[derive(Clone, Debug)]
pub struct Eigenpairs<T> {
    /// Eigenvalues.
    pub values: Vec<f64>,
    /// Orthonormal eigenvectors in the columns, (n, count).
    pub vectors: Mat<T>,
    /// ‖A v - λ v‖ of each pair, measured.
    pub residuals: Vec<f64>,
    /// Whether each residual is within the tolerance.
    pub converged: Vec<bool>,
    /// Whether no wanted eigenvalue is missing, in the sense of the [module](self).
    pub complete: bool,
    /// Whether they come from a dense decomposition.
    pub exact: bool,
    /// Products with single vectors.
    pub products: usize,
    /// ‖A‖, estimated from below by the largest absolute Ritz value.
    pub norm: f64,
}

impl<T> Eigenpairs<T> {
    /// True if every pair converged and none is missing.
    pub fn is_converged(&self) -> bool {
        self.complete && self.converged.iter().all(|c| *c)
    }

    /// An interval that holds an eigenvalue, as (low, high).
    ///
    /// # Panics
    /// A pair that is not there.
    pub fn enclosure(&self, pair: usize) -> (f64, f64) {
        let (value, residual) = (self.values[pair], self.residuals[pair]);
        (value - residual, value + residual)
    }
}

/// Extreme eigenpairs of a symmetric operator (n, n).
///
/// ```
/// use quadric_linalg::algebra::Diagonal;
/// use quadric_linalg::random::SeedTree;
/// use quadric_linalg::spectrum::{EigenOptions, Which, eigenpairs};
///
/// let op = Diagonal((0..500).map(|i| 1.0 / f64::from(1 + i)).collect());
/// let options = EigenOptions { count: 3, which: Which::Largest, ..EigenOptions::default() };
/// let pairs = eigenpairs(&op, &options, SeedTree::new(0))?;
/// assert!(pairs.is_converged());
/// assert!((pairs.values[2] - 1.0 / 3.0).abs() <= 1e-6);
/// # Ok::<(), quadric_linalg::Error>(())
/// ```
///
/// # Errors
/// An operator that is not square, not known to be symmetric, or random; options out of range, each named; products that are
/// not finite or not symmetric; and whatever the operator reports. Pairs that do not converge are no error.
pub fn eigenpairs<T: Scalar>(
    op: &dyn LinearOperator<T>,
    options: &EigenOptions,
    seed: SeedTree,
) -> Result<Eigenpairs<T>> {
    eigenpairs_with(op, options, Help::default(), seed)
}

/// [`eigenpairs`] with a start, a preconditioner, or a watch.
///
/// # Errors
/// As [`eigenpairs`]; help of a wrong shape, or that the method cannot use.
pub fn eigenpairs_with<T: Scalar>(
    op: &dyn LinearOperator<T>,
    options: &EigenOptions,
    help: Help<'_, T>,
    seed: SeedTree,
) -> Result<Eigenpairs<T>> {
    let n = options.check(op)?;
    let given = help.start.as_ref().map_or(0, MatRef::ncols);
    options.check_start(given)?;
    if help.preconditioner.is_some() && options.method != EigenMethod::Lobpcg {
        return Err(Error::argument(
            "preconditioner",
            "given",
            "none, except for the method Lobpcg",
        ));
    }
    match options.method {
        EigenMethod::Dense => direct::dense(op, options),
        EigenMethod::Power => power::power(op, options, help, seed),
        _ if options.is_small(n, given) => direct::dense(op, options),
        EigenMethod::Lobpcg => lobpcg::lobpcg(op, options, help, seed),
        EigenMethod::Auto | EigenMethod::Block | EigenMethod::ThickRestart => {
            search_for(op, options, help, seed)
        }
    }
}

/// Largest order at which `Auto` gives up an iteration that has cost n products.
const OUTRIGHT: usize = 2048;

/// Steps of a [`Search`] until it is done, stopped, or given up for the dense matrix.
fn search_for<T: Scalar>(
    op: &dyn LinearOperator<T>,
    options: &EigenOptions,
    mut help: Help<'_, T>,
    seed: SeedTree,
) -> Result<Eigenpairs<T>> {
    let n = op.shape().0;
    let may_give_up = options.method == EigenMethod::Auto && n <= OUTRIGHT;
    let mut search = Search::new(op, options, help.start, seed)?;
    while !search.step(op)? {
        let progress = search.progress();
        if let Some(watch) = &mut help.watch
            && watch(&progress).is_break()
        {
            break;
        }
        let left = options.max_products - progress.products;
        if may_give_up && progress.products >= n && left >= n + options.count {
            let mut pairs = direct::dense(op, options)?;
            pairs.products += progress.products;
            return Ok(pairs);
        }
    }
    search.finish(op)
}

impl EigenOptions {
    /// Vectors per product.
    pub(crate) fn width(&self) -> usize {
        if self.method == EigenMethod::ThickRestart {
            return 1;
        }
        self.block.unwrap_or(match self.count {
            0..=8 => 4,
            9..=32 => 8,
            _ => 16,
        })
    }

    /// Columns of a Krylov basis with `start` vectors to begin with.
    fn room(&self, start: usize) -> usize {
        2 * self.count.max(start) + 8 * self.width().max(4)
    }

    /// Columns of the widest block: that of the wanted vectors or of a start.
    fn widest(&self, start: usize) -> usize {
        self.count.max(start + self.width())
    }

    /// True if the space of the iteration leaves too little of the whole, so that the dense decomposition is due. `start` is
    /// the number of starting vectors.
    fn is_small(&self, n: usize, start: usize) -> bool {
        n <= self.room(start) + 2 * self.widest(start)
    }

    /// Checks the operator and the options; returns n.
    fn check<T: Scalar>(&self, op: &dyn LinearOperator<T>) -> Result<usize> {
        let n = check_operator(op)?;
        self.check_range(n)?;
        Ok(n)
    }

    /// Checks the options for operators of order n.
    fn check_range(&self, n: usize) -> Result<()> {
        if self.count == 0 || self.count > n {
            let range = format!("1 to {n}, the size of the operator");
            return Err(Error::argument("count", self.count, &range));
        }
        if !(self.tolerance >= 0.0 && self.tolerance.is_finite()) {
            return Err(Error::argument(
                "tolerance",
                self.tolerance,
                "a finite number of at least 0",
            ));
        }
        if let Some(block) = self.block {
            let limit = if self.method == EigenMethod::ThickRestart {
                1
            } else {
                n
            };
            if block == 0 || block > limit {
                let range = format!("1 to {limit}");
                return Err(Error::argument("block", block, &range));
            }
        }
        Ok(())
    }

    /// Refuses more starting vectors than the memory of a search is made for.
    fn check_start(&self, start: usize) -> Result<()> {
        let limit = 2 * self.count + 16;
        if start <= limit {
            return Ok(());
        }
        let range = format!("at most {limit} vectors for {} pairs", self.count);
        Err(Error::argument("start", start, &range))
    }

    /// Refuses fewer products than `least`.
    fn check_products(&self, least: usize) -> Result<()> {
        if self.max_products >= least {
            return Ok(());
        }
        let range = format!("at least {least} for {} pairs", self.count);
        Err(Error::argument("max_products", self.max_products, &range))
    }

    /// The residual to aim at, for an estimate of the norm: the tolerance, or what rounding allows.
    fn target<T: Scalar>(&self, norm: f64) -> f64 {
        self.tolerance.max(10.0 * T::EPSILON) * norm
    }
}

/// The order n of an operator that is square, symmetric, and the same at each product.
fn check_operator<T: Scalar>(op: &dyn LinearOperator<T>) -> Result<usize> {
    let (m, n) = op.shape();
    if m != n {
        return Err(Error::shape("the operator", (m, n), (n, n)));
    }
    let properties = op.properties();
    if !properties.symmetric || properties.random {
        return Err(Error::new(
            ErrorKind::Capability,
            "eigenpairs need an operator known to be symmetric and the same at each product",
        ));
    }
    Ok(n)
}

/// An operator whose products contradict its properties.
fn not_symmetric() -> Error {
    Error::new(
        ErrorKind::Numeric,
        "the products of the operator are not those of one symmetric matrix, although it says so",
    )
}

/// Vectors with their Rayleigh quotients and residual norms, from a product made for them.
#[derive(Clone, Debug, Default)]
struct Measured {
    values: Vec<f64>,
    residuals: Vec<f64>,
}

impl Measured {
    /// For the orthonormal columns of `v` (n, k) and their images.
    fn new<T: Scalar>(v: &[T], images: &[T], n: usize) -> Result<Self> {
        let mut measured = Self::default();
        for (v, w) in v.chunks_exact(n).zip(images.chunks_exact(n)) {
            let value = finite(dot(v, w))?;
            measured.values.push(value);
            measured.residuals.push(finite(residual(v, w, value))?);
        }
        Ok(measured)
    }

    fn worst(&self) -> f64 {
        self.residuals.iter().fold(0.0, |m, r| m.max(*r))
    }

    fn norm(&self) -> f64 {
        self.values.iter().fold(0.0, |m, v| m.max(v.abs()))
    }

    /// The pairs in the order of the report; `norm` is that of the operator in its units.
    fn pairs<T: Scalar>(
        &self,
        options: &EigenOptions,
        v: &[T],
        norm: f64,
        unit: Unit,
    ) -> Eigenpairs<T> {
        let n = v.len() / self.values.len().max(1);
        let mut order: Vec<usize> = (0..self.values.len()).collect();
        report_order(options.which, &self.values, &mut order);
        let limit = options.tolerance * norm;
        let scaled = |list: &[f64]| order.iter().map(|j| unit.value(list[*j])).collect();
        Eigenpairs {
            values: scaled(&self.values),
            vectors: Mat::from_fn(n, order.len(), |i, j| v[order[j] * n + i]),
            residuals: scaled(&self.residuals),
            converged: order.iter().map(|j| self.residuals[*j] <= limit).collect(),
            complete: false,
            exact: false,
            products: 0,
            norm: unit.value(norm),
        }
    }
}
