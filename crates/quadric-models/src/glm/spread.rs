//! Location and spread of the columns under the weights, without overflow at either end of the range.
//!
//! One pass finds the range and moments about the first value. Where values are near an end of the range of numbers, a second
//! one finds moments about the middle of the range, in units of a power of two. Only powers of two and coordinates come of it, so
//! a few digits are enough.

use quadric_core::{DataMatrix, DenseRows, Error, Result, Scalar};
use quadric_linalg::kernels::columns::ColumnSums;
use quadric_linalg::parallel::{WAKING, map};

/// A column with nonzeros in less than this share of the rows, by weight, is scaled by its nonzeros.
const FEW: f64 = 0.25;
/// What sums of shares may differ by, which dense and sparse columns add up in another order.
const ROUNDING: f64 = 1e-9;

/// Stored values per column that are worth a task, and tasks at most.
const STORED: usize = 64;
const MOST_PARTS: usize = 16;

/// Dense rows per task, and values that are summed side by side.
const ROWS: usize = 4096;
const WIDE: usize = 64;

/// Where a column lies.
#[derive(Clone, Copy, Debug)]
pub(super) struct Column {
    pub(super) mean: f64,
    /// Standard deviation, or root mean square where nothing is subtracted. 0 for a column that carries nothing.
    pub(super) spread: f64,
    /// Largest magnitude of a column of few nonzeros, else the spread.
    pub(super) size: f64,
}

impl Column {
    /// True for a column of few nonzeros.
    pub(super) fn is_few(&self) -> bool {
        self.size > self.spread
    }
}

/// What one pass over stored values learns about a column: a line of the cache.
#[derive(Clone, Copy)]
struct Stored {
    low: f64,
    high: f64,
    count: f64,
    nonzeros: f64,
    share: f64,
    /// The first value, or zero if nothing is subtracted; squares are about it.
    pivot: f64,
    sum: f64,
    square: f64,
}

/// The range of a column.
#[derive(Clone, Copy)]
struct Extent {
    low: f64,
    high: f64,
    /// Stored values, and the shares of the weights on those that are not zero and on all of them.
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
///
/// # Errors
/// A value that is not finite.
pub(super) fn measure<T: Scalar>(
    x: &DataMatrix<T>,
    rows: &[usize],
    weights: &[f64],
    total: f64,
    centre: bool,
) -> Result<Vec<Column>> {
    let n = rows.len();
    let measured = match x {
        DataMatrix::Dense(x) => dense(x, rows, weights, total, centre),
        DataMatrix::Sparse(_) => sparse(x, rows, weights, total, centre),
    };
    // Finite sums over all rows are of finite values, which spares a pass.
    if n < x.rows() || !measured.iter().all(|(_, m)| m.is_finite()) {
        check_values(x)?;
    }
    let columns = measured.iter();
    Ok(columns.map(|(e, m)| e.column(m, centre)).collect())
}

/// Refuses values that are not finite, of rows that do not count, too.
///
/// # Errors
/// The first one's row and column.
pub(super) fn check_values<T: Scalar>(x: &DataMatrix<T>) -> Result<()> {
    match x.first_non_finite() {
        Some((i, j, value)) => Err(Error::non_finite("the data (row, column)", (i, j), value)),
        None => Ok(()),
    }
}

impl Moments {
    fn is_finite(&self) -> bool {
        self.sum.is_finite() && self.square.is_finite()
    }
}

/// Adds columns `from..` of others, their sums times `share`.
fn join(all: &mut ColumnSums, other: &ColumnSums, from: usize, share: f64) {
    for j in 0..all.low.len() {
        let k = from + j;
        all.low[j] = all.low[j].min(other.low[k]);
        all.high[j] = all.high[j].max(other.high[k]);
        all.nonzeros[j] += share * other.nonzeros[k];
        all.sum[j] += share * other.sum[k];
        all.square[j] += share * other.square[k];
    }
}

/// What a pass over dense rows is about.
struct Pass<'a, T> {
    x: &'a DenseRows<T>,
    rows: &'a [usize],
    weights: &'a [f64],
    total: f64,
}

impl<T: Scalar> Pass<'_, T> {
    fn run(&self, unit: &[f64], pivot: &[f64]) -> ColumnSums {
        let d = unit.len();
        let first = self.weights.first().copied().unwrap_or(0.0);
        let is_whole = self.rows.len() == self.x.view().nrows();
        let plain = is_whole && self.weights.iter().all(|w| *w == first);
        // Several narrow rows count as one wide row, whose loops have no ends.
        let wide = if plain { (WIDE / d.max(1)).max(1) } else { 1 };
        let (unit, pivot) = (unit.repeat(wide), pivot.repeat(wide));
        let rows = match self.rows.len() * d < WAKING {
            true => self.rows.len().max(1),
            false => ROWS,
        };
        let pieces = self.rows.chunks(rows).zip(self.weights.chunks(rows));
        let parts = map(pieces, |_, (rows, weights)| {
            let mut part = ColumnSums::new(d * wide);
            if plain && d > 0 {
                let (start, end) = (rows[0], rows[rows.len() - 1] + 1);
                part.add(&self.x.values()[start * d..end * d], 1.0, &unit, &pivot);
            } else {
                for (&i, weight) in rows.iter().zip(weights) {
                    part.add(self.x.row(i), weight / self.total, &unit, &pivot);
                }
            }
            part
        });
        let share = if plain { first / self.total } else { 1.0 };
        let mut all = ColumnSums::new(d);
        for part in &parts {
            (0..wide).for_each(|copy| join(&mut all, part, copy * d, share));
        }
        all
    }
}

fn dense<T: Scalar>(
    x: &DenseRows<T>,
    rows: &[usize],
    weights: &[f64],
    total: f64,
    centre: bool,
) -> Vec<(Extent, Moments)> {
    let d = x.view().ncols();
    let pass = Pass {
        x,
        rows,
        weights,
        total,
    };
    let extents = |sums: &ColumnSums| -> Vec<Extent> {
        let extent = |j: usize| Extent {
            low: sums.low[j],
            high: sums.high[j],
            count: rows.len() as f64,
            nonzeros: sums.nonzeros[j],
            stored: 1.0,
        };
        (0..d).map(extent).collect()
    };
    let mut unit = vec![1.0; d];
    let mut pivot: Vec<f64> = match rows.first() {
        Some(&i) if centre => x.row(i).iter().map(|v| v.to_f64()).collect(),
        _ => vec![0.0; d],
    };
    let mut sums = pass.run(&unit, &pivot);
    let mut all = extents(&sums);
    if all.iter().any(Extent::is_extreme) {
        let moments: Vec<Moments> = all.iter().map(|e| e.moments(rows.len(), centre)).collect();
        unit = moments.iter().map(|m| m.unit).collect();
        pivot = moments.iter().map(|m| m.pivot).collect();
        sums = pass.run(&unit, &pivot);
        all = extents(&sums);
    }
    let moments = (0..d).map(|j| Moments {
        unit: unit[j],
        pivot: pivot[j],
        sum: sums.sum[j],
        square: sums.square[j],
    });
    all.into_iter().zip(moments).collect()
}

/// In one pass; in two where squares might overflow or vanish. Values are scattered, so what belongs to a column lies together.
fn sparse<T: Scalar>(
    x: &DataMatrix<T>,
    rows: &[usize],
    weights: &[f64],
    total: f64,
    centre: bool,
) -> Vec<(Extent, Moments)> {
    let d = x.cols();
    let parts = (x.stored() / (STORED * d.max(1))).clamp(1, MOST_PARTS);
    let size = rows.len().div_ceil(parts).max(1);
    let parts = map(rows.chunks(size).zip(weights.chunks(size)), |_, (r, w)| {
        let mut part = vec![Stored::NONE; d];
        for (&i, weight) in r.iter().zip(w) {
            let share = weight / total;
            x.for_row(i, |j, v| part[j].add(v.to_f64(), share, centre));
        }
        part
    });
    let mut all = vec![Stored::NONE; d];
    for part in &parts {
        for (column, part) in all.iter_mut().zip(part) {
            column.join(part);
        }
    }
    let measured = all.iter().map(|c| c.measured(rows.len()));
    let (extents, mut moments): (Vec<Extent>, Vec<Moments>) = measured.unzip();
    if extents.iter().any(Extent::is_extreme) {
        let about = extents.iter().map(|e| e.moments(rows.len(), centre));
        moments = sparse_moments(x, rows, weights, total, about.collect());
    }
    extents.into_iter().zip(moments).collect()
}

impl Stored {
    const NONE: Self = Self {
        low: f64::INFINITY,
        high: f64::NEG_INFINITY,
        count: 0.0,
        nonzeros: 0.0,
        share: 0.0,
        pivot: 0.0,
        sum: 0.0,
        square: 0.0,
    };

    #[inline]
    fn add(&mut self, v: f64, share: f64, centre: bool) {
        if centre && self.count == 0.0 {
            self.pivot = v;
        }
        self.low = if v < self.low { v } else { self.low };
        self.high = if v > self.high { v } else { self.high };
        self.count += 1.0;
        self.nonzeros += if v != 0.0 { share } else { 0.0 };
        self.share += share;
        self.sum += share * v;
        self.square += share * (v - self.pivot) * (v - self.pivot);
    }

    fn join(&mut self, other: &Self) {
        if self.count == 0.0 {
            self.pivot = other.pivot;
        }
        let moved = other.pivot - self.pivot;
        let about = other.sum - other.share * other.pivot;
        self.low = self.low.min(other.low);
        self.high = self.high.max(other.high);
        self.count += other.count;
        self.nonzeros += other.nonzeros;
        self.share += other.share;
        self.sum += other.sum;
        self.square += other.square + moved * (2.0 * about + moved * other.share);
    }

    /// With the values that are not stored, among so many rows.
    fn measured(&self, rows: usize) -> (Extent, Moments) {
        let mut extent = Extent {
            low: self.low,
            high: self.high,
            count: self.count,
            nonzeros: self.nonzeros,
            stored: self.share,
        };
        extent.admit_zeros(rows);
        let moments = Moments {
            unit: 1.0,
            pivot: self.pivot,
            sum: self.sum,
            square: self.square + extent.implicit(rows) * self.pivot * self.pivot,
        };
        (extent, moments)
    }
}

/// The moments of columns of known range about its middle, in a unit that keeps squares in range.
fn sparse_moments<T: Scalar>(
    x: &DataMatrix<T>,
    rows: &[usize],
    weights: &[f64],
    total: f64,
    mut moments: Vec<Moments>,
) -> Vec<Moments> {
    for (&i, weight) in rows.iter().zip(weights) {
        let share = weight / total;
        x.for_row(i, |j, v| {
            let m = &mut moments[j];
            let v = v.to_f64() * m.unit;
            m.sum += share * v;
            m.square += share * (v - m.pivot) * (v - m.pivot);
        });
    }
    moments
}

impl Extent {
    /// True if squares of the values may overflow, or vanish.
    fn is_extreme(&self) -> bool {
        let size = self.low.abs().max(self.high.abs());
        size > 0.0 && !(1e-140..1e140).contains(&size)
    }

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
        Moments {
            unit,
            pivot,
            sum: 0.0,
            square: self.implicit(rows) * pivot * pivot,
        }
    }

    /// Takes in the zeros that are not stored.
    fn admit_zeros(&mut self, rows: usize) {
        if self.count < rows as f64 {
            self.low = self.low.min(0.0);
            self.high = self.high.max(0.0);
        }
    }

    /// The share of the weights on values that are not stored.
    fn implicit(&self, rows: usize) -> f64 {
        if self.count < rows as f64 {
            (1.0 - self.stored).max(0.0)
        } else {
            0.0
        }
    }

    fn column(&self, m: &Moments, centre: bool) -> Column {
        let (mean, spread) = self.location(m, centre);
        // The spread of a column of few nonzeros is far below its nonzeros, and rows of rare features would become huge.
        let few = self.nonzeros < FEW * (1.0 - ROUNDING);
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
