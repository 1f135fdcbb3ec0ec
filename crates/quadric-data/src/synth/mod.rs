//! Data with prescribed properties: spectrum, correlation, density, separability, groups; targets of every loss.
//!
//! Row i is a pure function of the seed and i, so data are the same for any number of threads, and the first rows do not
//! change when more are asked for.

mod design;
mod target;

use crate::dataset::{self, Dataset};
use design::Design;
use quadric_linalg::parallel;
use quadric_linalg::random::SeedTree;
use quadric_linalg::{DataMatrix, Error, ErrorKind, Result};
use std::str::FromStr;
use target::Truths;

/// How often a row is drawn before separable classes are given up.
const TRIALS: usize = 1000;

/// The kind of target.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Kind {
    /// -1 or +1, with log odds x·w.
    #[default]
    Logistic,
    /// 0 to K - 1, with log odds x·w_k.
    Softmax,
    /// Counts with mean exp(x·w).
    Poisson,
    /// x·w and normal noise.
    Regression,
}

impl FromStr for Kind {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        match name {
            "logistic" => Ok(Self::Logistic),
            "softmax" => Ok(Self::Softmax),
            "poisson" => Ok(Self::Poisson),
            "regression" | "squared" => Ok(Self::Regression),
            _ => Err(Error::argument(
                "kind",
                format!("`{name}`"),
                "logistic, softmax, poisson or regression",
            )),
        }
    }
}

/// How the eigenvalues of the covariance fall from 1 to 1 / condition.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Spectrum {
    /// In equal ratios.
    #[default]
    Geometric,
    /// As a power of the position.
    PowerLaw,
    /// One half at the top, one half at the bottom.
    TwoLevels,
}

/// What data to make.
#[derive(Clone, Debug, PartialEq)]
pub struct Options {
    /// Number of rows n.
    pub rows: usize,
    /// Number of features d.
    pub columns: usize,
    /// The kind of target.
    pub kind: Kind,
    /// Condition number of the covariance of the features (of the distribution; a sample deviates by its size).
    pub condition: f64,
    /// How its eigenvalues fall.
    pub spectrum: Spectrum,
    /// Correlation of neighbouring features, an autoregression: corr(i, j) = rho^|i - j|. Needs condition 1.
    pub correlation: f64,
    /// Share of features that are not zero; below 1 features are independent and the matrix is sparse where that pays.
    pub density: f64,
    /// Number of classes of a softmax target.
    pub classes: usize,
    /// Standard deviation of x·w.
    pub signal: f64,
    /// Standard deviation of the noise of a regression.
    pub noise: f64,
    /// Classes that a hyperplane separates.
    pub separable: bool,
    /// Classes that the last feature separates in part: where it is 1 the target is +1, elsewhere it is 0 and tells
    /// nothing.
    pub quasi_separable: bool,
    /// Least |x·w| of a separable row, at most half the signal.
    pub margin: f64,
    /// Number of consecutive features that form a group.
    pub group_size: usize,
    /// Share of the groups with weights that are not zero.
    pub active: f64,
    /// Seed.
    pub seed: u64,
}

impl Default for Options {
    /// 1000 rows, 20 features, logistic, condition 100, dense, not separable, every group of one feature active.
    fn default() -> Self {
        Self {
            rows: 1000,
            columns: 20,
            kind: Kind::Logistic,
            condition: 100.0,
            spectrum: Spectrum::Geometric,
            correlation: 0.0,
            density: 1.0,
            classes: 3,
            signal: 1.0,
            noise: 0.1,
            separable: false,
            quasi_separable: false,
            margin: 0.0,
            group_size: 1,
            active: 1.0,
            seed: 0,
        }
    }
}

impl Options {
    /// Checks every option.
    ///
    /// # Errors
    /// All faults at once.
    pub fn validate(&self) -> Result<()> {
        let rules = self.design_rules().into_iter().chain(self.target_rules());
        let faults: Vec<&str> = rules
            .filter(|(good, _)| !good)
            .map(|(_, fault)| fault)
            .collect();
        match faults.is_empty() {
            true => Ok(()),
            false => Err(Error::new(ErrorKind::Argument, faults.join("; "))),
        }
    }

    /// What must hold of the features, and what to say if it does not.
    fn design_rules(&self) -> [(bool, &'static str); 9] {
        let chain = self.correlation != 0.0;
        let within = |v: f64, least: f64, most: f64| (least..=most).contains(&v);
        let cells = self.rows as f64 * self.columns as f64 * self.density;
        [
            (self.rows > 0, "`rows` must be at least 1"),
            (self.columns > 0, "`columns` must be at least 1"),
            (
                self.columns <= dataset::LARGEST,
                "`columns` must be below 2^31",
            ),
            (
                within(self.condition, 1.0, 1e30),
                "`condition` must be from 1 to 1e30",
            ),
            (
                self.correlation.abs() < 1.0,
                "`correlation` must be between -1 and 1",
            ),
            (
                !chain || self.condition == 1.0,
                "`correlation` needs `condition` 1",
            ),
            (
                within(self.density, 1e-12, 1.0),
                "`density` must be from 1e-12 to 1",
            ),
            (
                !chain || self.density == 1.0,
                "`correlation` needs `density` 1",
            ),
            (
                cells <= 2f64.powi(31),
                "rows times columns times density must be at most 2^31",
            ),
        ]
    }

    /// What must hold of the target, and what to say if it does not.
    fn target_rules(&self) -> [(bool, &'static str); 10] {
        let within = |v: f64, least: f64, most: f64| (least..=most).contains(&v);
        let binary = self.kind == Kind::Logistic;
        let quasi = binary && !self.separable && self.columns > 1;
        let calm = self.kind != Kind::Poisson || self.signal <= 1.5;
        let classes = binary || self.kind == Kind::Softmax;
        [
            (
                within(self.classes as f64, 2.0, 1000.0),
                "`classes` must be from 2 to 1000",
            ),
            (
                within(self.signal, 1e-6, 1e6),
                "`signal` must be from 1e-6 to 1e6",
            ),
            (calm, "`signal` must be at most 1.5 for counts"),
            (
                within(self.noise, 0.0, 1e100),
                "`noise` must be from 0 to 1e100",
            ),
            (
                within(self.margin, 0.0, 0.5 * self.signal),
                "`margin` must be from 0 to half the signal",
            ),
            (
                self.margin == 0.0 || self.separable,
                "`margin` needs `separable`",
            ),
            (!self.separable || classes, "`separable` needs classes"),
            (
                !self.quasi_separable || quasi,
                "`quasi_separable` needs a logistic target, two features and no `separable`",
            ),
            (self.group_size > 0, "`group_size` must be at least 1"),
            (
                within(self.active, 1e-12, 1.0),
                "`active` must be from 1e-12 to 1",
            ),
        ]
    }
}

/// Makes a data set.
///
/// # Errors
/// Options out of their range, all of them named.
///
/// # Example
/// ```
/// use quadric_data::synth::{Options, generate};
/// let data = generate(&Options { rows: 50, columns: 4, condition: 1e6, ..Options::default() })?;
/// assert_eq!((data.rows(), data.features()), (50, 4));
/// # Ok::<(), quadric_linalg::Error>(())
/// ```
pub fn generate(options: &Options) -> Result<Dataset> {
    Ok(generate_with_truth(options)?.0)
}

/// Makes a data set and tells the weights that the target was made with: (d) after (d), one per class of a softmax
/// target, else one in all.
///
/// # Errors
/// Options out of their range, all of them named.
pub fn generate_with_truth(options: &Options) -> Result<(Dataset, Vec<Vec<f64>>)> {
    options.validate()?;
    let seeds = SeedTree::new(options.seed).child("synth");
    let design = Design::new(options, seeds.child("design"));
    let truths = Truths::new(options, &design, seeds.child("weights"));
    // Rows per task; a constant, so that tasks do not depend on the number of threads.
    let pieces: Vec<Result<Piece>> = parallel::map_ranges(options.rows, 256, |_, rows| {
        let mut piece = Piece::default();
        for i in rows {
            piece.push(options, &design, &truths, seeds, i as u64)?;
        }
        Ok(piece)
    });
    let (mut starts, mut indices, mut values, mut target) =
        (vec![0u32], Vec::new(), Vec::new(), Vec::new());
    for piece in pieces {
        let piece = piece?;
        let offset = values.len() as u32;
        starts.extend(piece.ends.iter().map(|end| offset + end));
        indices.extend(piece.indices);
        values.extend(piece.values);
        target.extend(piece.target);
    }
    let (n, d) = (options.rows, options.columns);
    let x = if options.density < 1.0 && !dataset::prefers_dense(n, d, values.len()) {
        dataset::sparse(starts, indices, values, n, d)?
    } else {
        let mut dense = vec![0.0; n * d];
        for i in 0..n {
            for at in starts[i] as usize..starts[i + 1] as usize {
                dense[i * d + indices[at] as usize] = values[at];
            }
        }
        DataMatrix::dense(dense, n, d)?
    };
    let mut data = Dataset::new("synthetic", x, target)?;
    if options.group_size > 1 {
        data.feature_names = (0..d.min(Dataset::NAMED))
            .map(|j| {
                format!(
                    "g{}_{}",
                    j / options.group_size + 1,
                    j % options.group_size + 1
                )
            })
            .collect();
    }
    Ok((data, truths.weights))
}

/// Some consecutive rows.
#[derive(Default)]
struct Piece {
    ends: Vec<u32>,
    indices: Vec<u32>,
    values: Vec<f64>,
    target: Vec<f64>,
}

impl Piece {
    fn push(
        &mut self,
        options: &Options,
        design: &Design,
        truths: &Truths,
        seeds: SeedTree,
        i: u64,
    ) -> Result<()> {
        let mut features = seeds.child("rows").stream(i);
        let mut labels = seeds.child("labels").stream(i);
        let start = self.values.len();
        for _ in 0..TRIALS {
            self.indices.truncate(start);
            self.values.truncate(start);
            design.row(&mut features, &mut self.indices, &mut self.values);
            let (indices, values) = (&self.indices[start..], &mut self.values[start..]);
            // A row too near the boundary of separable classes is drawn again.
            let Some(y) = truths.target(options, indices, values, &mut labels) else {
                continue;
            };
            if options.density < 1.0 && self.values.last() == Some(&0.0) {
                self.indices.pop();
                self.values.pop();
            }
            self.target.push(y);
            self.ends.push(self.values.len() as u32);
            return Ok(());
        }
        Err(Error::argument(
            "density",
            options.density,
            "a share that leaves the classes apart by the margin that was asked for",
        ))
    }
}

#[cfg(test)]
mod tests;
