//! Problems with known answers, by name, of a chosen size where they have one.

use super::{TermSum, cutest, mgh};
use quadric_core::config::nearest;
use quadric_core::{Error, ErrorKind, Result, Smooth, Tolerance, vector};

/// Where a problem was published.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Collection {
    /// Moré, Garbow, Hillstrom, "Testing unconstrained optimization software", ACM TOMS 7, 1981.
    Mgh,
    /// Gould, Orban, Toint, "CUTEst", Computational Optimization and Applications 60, 2015: a selection.
    Cutest,
}

impl Collection {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Mgh, Self::Cutest];

    /// The name that users write.
    pub fn name(self) -> &'static str {
        match self {
            Self::Mgh => "mgh",
            Self::Cutest => "cutest",
        }
    }

    /// Authors and year.
    pub fn source(self) -> &'static str {
        match self {
            Self::Mgh => "Moré, Garbow, Hillstrom 1981",
            Self::Cutest => "CUTEst; Gould, Orban, Toint 2015",
        }
    }
}

/// A problem with a known answer.
pub struct TestProblem {
    /// Where it was published.
    pub collection: Collection,
    /// Its number in the collection, if that has numbers.
    pub number: Option<usize>,
    /// Its name, lower case.
    pub name: &'static str,
    /// The sizes that it can have.
    pub sizes: Sizes,
    /// The standard start.
    pub start: Vec<f64>,
    /// The least value, as published; more digits where it is known in closed form. `None` if it is not known at this
    /// size.
    pub minimum: Option<f64>,
    /// Values at other local minima, and infima along directions without end.
    pub others: &'static [f64],
    /// The function.
    pub problem: TermSum,
}

/// The numbers of unknowns that a problem can have.
#[derive(Clone, Copy, Debug)]
pub struct Sizes {
    /// The usual one.
    pub usual: usize,
    /// The least one.
    pub least: usize,
    /// The largest one.
    pub most: usize,
    /// What else is asked of them, such as "a multiple of 4".
    pub rule: &'static str,
    pub(super) fits: fn(usize) -> bool,
}

impl Sizes {
    /// One size.
    pub(super) const fn only(n: usize) -> Self {
        let sizes = Self::from(n, n);
        Self { most: n, ..sizes }
    }

    /// From `least` on.
    pub(super) const fn from(least: usize, usual: usize) -> Self {
        Self {
            usual,
            least,
            most: MOST,
            rule: "a number",
            fits: |_| true,
        }
    }

    /// Those that fit a rule.
    pub(super) const fn that(self, rule: &'static str, fits: fn(usize) -> bool) -> Self {
        Self { rule, fits, ..self }
    }

    /// Up to `most`.
    pub(super) const fn up_to(self, most: usize) -> Self {
        Self { most, ..self }
    }

    /// True if there is no choice.
    pub fn is_fixed(&self) -> bool {
        self.least == self.most
    }

    fn check(&self, n: usize, name: &str) -> Result<()> {
        if (self.least..=self.most).contains(&n) && (self.fits)(n) {
            return Ok(());
        }
        let Self {
            rule, least, most, ..
        } = self;
        let expected = if self.is_fixed() {
            format!("{least}, the only size of `{name}`")
        } else {
            format!("{rule} from {least} to {most}, as `{name}` needs it")
        };
        Err(Error::argument("size", n, &expected))
    }
}

/// Unknowns of a test problem, at most.
const MOST: usize = 100_000;

/// What is known about the least value.
pub(super) enum Minimum {
    /// The same at every size.
    Everywhere(f64),
    /// A formula in the size.
    Formula(fn(usize) -> f64),
    /// Sizes and values.
    At(&'static [(usize, f64)]),
}

impl Minimum {
    fn of(&self, n: usize) -> Option<f64> {
        match self {
            Self::Everywhere(value) => Some(*value),
            Self::Formula(value) => Some(value(n)),
            Self::At(known) => known.iter().find(|k| k.0 == n).map(|k| k.1),
        }
    }
}

/// The start and the function of a size.
type Make = Box<dyn Fn(usize) -> (Vec<f64>, TermSum)>;

/// A row of a collection.
pub(super) struct Row {
    pub collection: Collection,
    pub number: Option<usize>,
    pub name: &'static str,
    pub sizes: Sizes,
    pub make: Make,
    pub minimum: Minimum,
    pub others: &'static [f64],
}

impl Row {
    fn problem(&self, size: Option<usize>) -> Result<TestProblem> {
        let n = size.unwrap_or(self.sizes.usual);
        self.sizes.check(n, self.name)?;
        let (start, problem) = (self.make)(n);
        Ok(TestProblem {
            collection: self.collection,
            number: self.number,
            name: self.name,
            sizes: self.sizes,
            start,
            minimum: self.minimum.of(n),
            others: self.others,
            problem,
        })
    }
}

/// How a value of F relates to what was published.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The least value, to the digits that were published.
    Minimum,
    /// Another local minimum that is known.
    Other,
    /// Neither.
    Elsewhere,
}

/// Published minima have about six digits.
const DIGITS: f64 = 2e-5;
/// A value below this is zero.
const ZERO: f64 = 1e-9;

impl TestProblem {
    /// The tolerance `tol` in units of the problem: a gradient at the start of 10¹⁰ makes no gradient of 1 small, so that the
    /// unit is the largest entry of the gradient at the start or max(1, |F*|), whichever is less; F at the start stands in
    /// for a minimum that is not known.
    ///
    /// # Errors
    /// Those of an evaluation.
    pub fn tolerance(&self, tol: f64) -> Result<Tolerance> {
        let mut g = vec![0.0; self.start.len()];
        let value = self.problem.value_grad(&self.start, &mut g)?;
        let size = self.minimum.unwrap_or(value).abs().max(1.0);
        Ok(Tolerance {
            relative: 0.0,
            absolute: tol * size.min(vector::max_abs(&g)),
        })
    }

    /// How a value of F relates to what was published.
    pub fn judge(&self, value: f64) -> Answer {
        let near = |known: f64| (value - known).abs() <= DIGITS * known.abs() + ZERO;
        if self.minimum.is_some_and(near) {
            Answer::Minimum
        } else if self.others.iter().any(|o| near(*o)) {
            Answer::Other
        } else {
            Answer::Elsewhere
        }
    }
}

fn rows() -> Vec<Row> {
    let mut all = mgh::rows();
    all.extend(cutest::rows());
    all
}

/// The problem of this name, or of this number in the collection of Moré, Garbow and Hillstrom, at its usual size or
/// another.
///
/// # Errors
/// An unknown name; the error lists the names and the nearest one. A size that the problem cannot have.
pub fn test_problem(name: &str, size: Option<usize>) -> Result<TestProblem> {
    let all = rows();
    let wanted = |r: &&Row| r.name == name || r.number.is_some_and(|k| k.to_string() == name);
    if let Some(row) = all.iter().find(wanted) {
        return row.problem(size);
    }
    let names: Vec<&str> = all.iter().map(|r| r.name).collect();
    let error = Error::new(
        ErrorKind::Argument,
        format!(
            "there is no test problem `{name}`; there are {}",
            names.join(", ")
        ),
    );
    Err(match nearest(name, names.iter().copied()) {
        Some(near) => error.with_hint(format!("did you mean `{near}`?")),
        None => error,
    })
}

/// Both collections at their usual sizes, one after the other.
pub fn test_problems() -> Vec<TestProblem> {
    let usual = |r: &Row| {
        r.problem(None)
            .expect("the usual size is one that the problem can have")
    };
    rows().iter().map(usual).collect()
}
