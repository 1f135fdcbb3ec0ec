//! Location and spread of the columns under the weights, without overflow at either end of the range.
//!
//! A first pass finds the range of each column, a second one its moments about the middle of the range, in units of a power
//! of two. Only powers of two and coordinates come of it, so a few digits are enough.

use quadric_core::{DataMatrix, DenseRows, Scalar};
use quadric_linalg::parallel::map;

/// A column with fewer nonzeros than one row in this many is scaled by its nonzeros.
const FEW: usize = 4;

/// Dense rows per task.
const ROWS: usize = 4096;

/// Where a column lies.
#[derive(Clone, Copy, Debug)]
pub(super) struct Column {
    pub(super) mean: f64,
    /// Standard deviation, or root mean square where nothing is subtracted. 0 for a column that carries nothing.
    pub(super) spread: f64,
    /// Largest magnitude of a column of few nonzeros, else the spread.
    pub(super) size: f64,
}

/// What the first pass learns about a column.
#[derive(Clone, Copy)]
struct Extent {
    low: f64,
    high: f64,
    /// Stored values, those that are not zero, and the share of the weights on the stored ones.
    count: f64,
    nonzeros: f64,
    stored: f64,
}

/// Weighted sums of the second pass, in units that keep squares from overflow: of the values, which gives a dense and a
/// sparse column the same mean, and of squares about `pivot`.
#[derive(Clone, Copy)]
struct Moments {
    unit: f64,
    pivot: f64,
    sum: f64,
    square: f64,
}

/// 2^e with the exponent kept where both it and its inverse are normal numbers.
pub(super) fn power_of_two(exponent: i32) -> f64 {
    2f64.powi(exponent.clamp(-1000, 1000))
}

/// The exponent of the power of two nearest to a positive finite number, on a logarithmic scale.
pub(super) fn exponent(v: f64) -> i32 {
    v.log2().round() as i32
}

/// Of every column: `rows` are the rows that count, `weights` their weights, of sum `total`; moments are central if
/// `centre`.
pub(super) fn measure<T: Scalar>(
    x: &DataMatrix<T>,
    rows: &[usize],
    weights: &[f64],
    total: f64,
    centre: bool,
) -> Vec<Column> {
    let n = rows.len();
    let extents = match x {
        DataMatrix::Dense(x) => dense_extents(x, rows),
        DataMatrix::Sparse(_) => sparse_extents(x, rows, weights, total),
    };
    let mut moments: Vec<Moments> = extents.iter().map(|e| e.moments(n, centre)).collect();
    match x {
        DataMatrix::Dense(x) => add_dense(x, rows, weights, total, &mut moments),
        DataMatrix::Sparse(_) => add_sparse(x, rows, weights, total, &mut moments),
    }
    let columns = extents.iter().zip(&moments);
    columns.map(|(e, m)| e.column(m, n, centre)).collect()
}

/// Loops over whole rows are vectorised, so the columns lie in arrays side by side.
struct Ranges {
    low: Vec<f64>,
    high: Vec<f64>,
    nonzeros: Vec<f64>,
}

fn dense_extents<T: Scalar>(x: &DenseRows<T>, rows: &[usize]) -> Vec<Extent> {
    let mut parts = map(rows.chunks(ROWS), |_, rows| Ranges::of(x, rows)).into_iter();
    let mut all = parts.next().unwrap_or_else(|| Ranges::of(x, &[]));
    parts.for_each(|part| all.join(&part));
    let extent = |j: usize| Extent {
        low: all.low[j],
        high: all.high[j],
        count: rows.len() as f64,
        nonzeros: all.nonzeros[j],
        stored: 1.0,
    };
    (0..all.low.len()).map(extent).collect()
}

impl Ranges {
    fn of<T: Scalar>(x: &DenseRows<T>, rows: &[usize]) -> Self {
        let d = x.view().ncols();
        let (mut low, mut high) = (vec![f64::INFINITY; d], vec![f64::NEG_INFINITY; d]);
        let mut nonzeros = vec![0.0; d];
        for &i in rows {
            let ranges = low.iter_mut().zip(&mut high).zip(&mut nonzeros);
            for (v, ((low, high), nonzeros)) in x.row(i).iter().zip(ranges) {
                let v = v.to_f64();
                *low = if v < *low { v } else { *low };
                *high = if v > *high { v } else { *high };
                *nonzeros += if v != 0.0 { 1.0 } else { 0.0 };
            }
        }
        Self {
            low,
            high,
            nonzeros,
        }
    }

    fn join(&mut self, other: &Self) {
        let columns = other.low.iter().zip(&other.high).zip(&other.nonzeros);
        for (j, ((low, high), nonzeros)) in columns.enumerate() {
            self.low[j] = self.low[j].min(*low);
            self.high[j] = self.high[j].max(*high);
            self.nonzeros[j] += nonzeros;
        }
    }
}

fn add_dense<T: Scalar>(
    x: &DenseRows<T>,
    rows: &[usize],
    weights: &[f64],
    total: f64,
    moments: &mut [Moments],
) {
    let units: Vec<f64> = moments.iter().map(|m| m.unit).collect();
    let pivots: Vec<f64> = moments.iter().map(|m| m.pivot).collect();
    let pieces = rows.chunks(ROWS).zip(weights.chunks(ROWS));
    let parts = map(pieces, |_, (rows, weights)| {
        let (mut sums, mut squares) = (vec![0.0; units.len()], vec![0.0; units.len()]);
        for (&i, weight) in rows.iter().zip(weights) {
            let share = weight / total;
            let about = units.iter().zip(&pivots);
            let targets = sums.iter_mut().zip(&mut squares);
            for ((v, (unit, pivot)), (sum, square)) in x.row(i).iter().zip(about).zip(targets) {
                let v = v.to_f64() * unit;
                *sum += share * v;
                *square += share * (v - pivot) * (v - pivot);
            }
        }
        (sums, squares)
    });
    for (sums, squares) in parts {
        for (m, (sum, square)) in moments.iter_mut().zip(sums.iter().zip(&squares)) {
            m.sum += sum;
            m.square += square;
        }
    }
}

/// Values are scattered, so what belongs to a column lies together.
fn sparse_extents<T: Scalar>(
    x: &DataMatrix<T>,
    rows: &[usize],
    weights: &[f64],
    total: f64,
) -> Vec<Extent> {
    let none = Extent {
        low: f64::INFINITY,
        high: f64::NEG_INFINITY,
        count: 0.0,
        nonzeros: 0.0,
        stored: 0.0,
    };
    let mut all = vec![none; x.cols()];
    for (&i, weight) in rows.iter().zip(weights) {
        let share = weight / total;
        x.for_row(i, |j, v| {
            let (v, column) = (v.to_f64(), &mut all[j]);
            column.low = if v < column.low { v } else { column.low };
            column.high = if v > column.high { v } else { column.high };
            column.count += 1.0;
            column.nonzeros += if v != 0.0 { 1.0 } else { 0.0 };
            column.stored += share;
        });
    }
    for column in &mut all {
        if column.count < rows.len() as f64 {
            column.low = column.low.min(0.0);
            column.high = column.high.max(0.0);
        }
    }
    all
}

fn add_sparse<T: Scalar>(
    x: &DataMatrix<T>,
    rows: &[usize],
    weights: &[f64],
    total: f64,
    moments: &mut [Moments],
) {
    for (&i, weight) in rows.iter().zip(weights) {
        let share = weight / total;
        x.for_row(i, |j, v| {
            let m = &mut moments[j];
            let v = v.to_f64() * m.unit;
            m.sum += share * v;
            m.square += share * (v - m.pivot) * (v - m.pivot);
        });
    }
}

impl Extent {
    /// What the values that are not stored add to the sums; squares are about the middle of the range or about zero.
    fn moments(&self, rows: usize, centre: bool) -> Moments {
        let size = self.low.abs().max(self.high.abs());
        let unit = if size > 0.0 {
            power_of_two(-exponent(size))
        } else {
            1.0
        };
        let pivot = if centre {
            0.5 * (self.low * unit) + 0.5 * (self.high * unit)
        } else {
            0.0
        };
        let implicit = if self.count < rows as f64 {
            (1.0 - self.stored).max(0.0)
        } else {
            0.0
        };
        Moments {
            unit,
            pivot,
            sum: 0.0,
            square: implicit * pivot * pivot,
        }
    }

    fn column(&self, m: &Moments, rows: usize, centre: bool) -> Column {
        let (mean, spread) = self.location(m, centre);
        // The spread of a column of few nonzeros is far below its nonzeros, and rows of rare features would become huge.
        let few = (FEW as f64) * self.nonzeros < rows as f64;
        let size = if spread > 0.0 && few {
            self.low.abs().max(self.high.abs())
        } else {
            spread
        };
        Column { mean, spread, size }
    }

    /// Mean and standard deviation, or zero and the root mean square.
    fn location(&self, m: &Moments, centre: bool) -> (f64, f64) {
        if !centre {
            return (0.0, m.square.sqrt() / m.unit);
        }
        if self.low == self.high {
            // A constant column must become exactly zero.
            return (self.low, 0.0);
        }
        // A mean outside the range is rounding. The square loses digits to that of the mean, but must not lose them all.
        let (low, high) = (self.low * m.unit, self.high * m.unit);
        let mean = m.sum.clamp(low, high);
        let least = f64::EPSILON * (high - low).powi(2);
        let square = (m.square - (mean - m.pivot).powi(2)).max(least);
        (mean / m.unit, square.sqrt() / m.unit)
    }
}
