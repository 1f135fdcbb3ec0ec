//! Rows of a table by number, and their sums back into a table.

use super::{Evaluated, Primitive, Site, Tangents, Types, arity, batched_everywhere, one, single};
use crate::array::{Array, Operand};
use crate::graph::Vars;
use crate::types::{Kind, Shape, Type, Var};
use quadric_linalg::{Error, Scalar};

/// `table (batch.., rows, inner..)` and `indices (batch.., outer..)` give `(batch.., outer.., inner..)`: the rows that the
/// indices name. The first `batch` axes are common to both. An index that names no row is an error.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Gather {
    pub(crate) batch: usize,
}

/// `indices (batch.., outer..)` and `updates (batch.., outer.., inner..)` give `(batch.., rows, inner..)`: the sums of the
/// updates of each row, in the order of the updates.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) struct ScatterAdd {
    pub(crate) batch: usize,
    pub(crate) rows: usize,
}

/// Sizes of a gather or scatter.
struct Extent {
    rows: usize,
    outer: usize,
    inner: usize,
}

impl Extent {
    fn new(batch: usize, rows: usize, indices: &[usize], updates: &[usize]) -> Self {
        Self {
            rows,
            outer: indices[batch..].iter().product(),
            inner: updates[indices.len()..].iter().product(),
        }
    }

    /// For every index: the positions of its row in the table and of its update.
    fn pairs<'a>(
        &'a self,
        indices: &'a [i32],
    ) -> impl Iterator<Item = Result<(usize, usize), NoRow>> + 'a {
        indices.iter().enumerate().map(|(position, &index)| {
            let row = row(index, self.rows).ok_or(NoRow {
                index,
                position,
                rows: self.rows,
            })?;
            let table = position / self.outer.max(1) * self.rows;
            Ok(((table + row) * self.inner, position * self.inner))
        })
    }
}

/// The row that an index names, if there are that many.
pub(crate) fn row(index: i32, rows: usize) -> Option<usize> {
    usize::try_from(index).ok().filter(|&r| r < rows)
}

/// An index that names no row.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NoRow {
    pub(crate) index: i32,
    /// Its number among all indices.
    pub(crate) position: usize,
    pub(crate) rows: usize,
}

impl NoRow {
    /// The error of the operation of this name.
    pub(crate) fn error(self, name: &str) -> Error {
        let Self {
            index,
            position,
            rows,
        } = self;
        Error::data(format!(
            "{name}: index {index} at position {position} names none of {rows} rows"
        ))
    }
}

fn check_batch(batch: usize, indices: &Type, other: &Type) -> Result<(), String> {
    if indices.kind != Kind::Index || other.kind != Kind::Float {
        return Err(format!(
            "takes real numbers and indices, not {other} and {indices}"
        ));
    }
    let fits = indices.rank() >= batch
        && other.rank() > batch
        && indices.shape[..batch] == other.shape[..batch];
    if !fits {
        return Err(format!(
            "{other} and {indices} do not have the same first {batch} axes"
        ));
    }
    Ok(())
}

impl Primitive for Gather {
    fn name(&self) -> &'static str {
        "gather"
    }

    fn infer(&self, args: &[&Type]) -> Result<Types, String> {
        let [table, indices] = arity(args)?;
        check_batch(self.batch, &indices, &table)?;
        let inner = table.shape[self.batch + 1..].iter();
        single(Type::float(indices.shape.iter().chain(inner).copied()))
    }

    fn eval<T: Scalar>(&self, args: &[Operand<'_, T>], results: &[Type]) -> Evaluated<T> {
        let (table, indices) = (args[0].floats(), args[1].indices());
        let rows = args[0].shape[self.batch];
        let extent = Extent::new(self.batch, rows, args[1].shape, &results[0].shape);
        let mut out = vec![T::of(0.0); results[0].len()];
        for pair in extent.pairs(indices) {
            let (from, to) = pair.map_err(|e| e.error(self.name()))?;
            let row = &table[from..from + extent.inner];
            out[to..to + extent.inner].copy_from_slice(row);
        }
        Ok(vec![Array::Float(out)])
    }

    fn jvp(&self, site: &mut Site<'_>, tangents: &[Option<Var>]) -> Tangents {
        let indices = site.args[1];
        one(tangents[0].map(|t| site.graph.emit(self.clone(), &[t, indices])))
    }

    fn transpose(&self, site: &mut Site<'_>, _: &[bool], cotangents: &[Option<Var>]) -> Tangents {
        let (g, table, indices) = (&mut *site.graph, site.args[0], site.args[1]);
        let op = ScatterAdd {
            batch: self.batch,
            rows: g.shape(table)[self.batch],
        };
        let c = cotangents[0].map(|c| g.emit(op, &[indices, c]));
        [c, None].into_iter().collect()
    }

    fn batch(&self, site: &mut Site<'_>, batched: &[bool], size: usize) -> Vars {
        let batch = self.batch + 1;
        batched_everywhere(Self { batch }, site, batched, size)
    }

    fn flops(&self, _: &[&Type], _: &[Type]) -> u64 {
        0
    }
}

impl Primitive for ScatterAdd {
    fn name(&self) -> &'static str {
        "scatter_add"
    }

    fn infer(&self, args: &[&Type]) -> Result<Types, String> {
        let [indices, updates] = arity(args)?;
        let n = indices.rank();
        if updates.rank() < n || updates.shape[..n] != indices.shape[..] {
            return Err(format!("{updates} is not a row for each of {indices}"));
        }
        if indices.kind != Kind::Index || updates.kind != Kind::Float || n < self.batch {
            return Err(format!(
                "takes indices and real numbers, not {indices} and {updates}"
            ));
        }
        let front = indices.shape[..self.batch].iter().copied();
        let shape: Shape = front
            .chain([self.rows])
            .chain(updates.shape[n..].iter().copied())
            .collect();
        single(Type::float(shape))
    }

    fn eval<T: Scalar>(&self, args: &[Operand<'_, T>], results: &[Type]) -> Evaluated<T> {
        let (indices, updates) = (args[0].indices(), args[1].floats());
        let extent = Extent::new(self.batch, self.rows, args[0].shape, args[1].shape);
        let mut sums = vec![0.0; results[0].len()];
        for pair in extent.pairs(indices) {
            let (to, from) = pair.map_err(|e| e.error(self.name()))?;
            let row = &updates[from..from + extent.inner];
            for (sum, v) in sums[to..].iter_mut().zip(row) {
                *sum += v.to_f64();
            }
        }
        Ok(vec![Array::Float(sums.into_iter().map(T::of).collect())])
    }

    fn jvp(&self, site: &mut Site<'_>, tangents: &[Option<Var>]) -> Tangents {
        let indices = site.args[0];
        one(tangents[1].map(|t| site.graph.emit(self.clone(), &[indices, t])))
    }

    fn transpose(&self, site: &mut Site<'_>, _: &[bool], cotangents: &[Option<Var>]) -> Tangents {
        let indices = site.args[0];
        let op = Gather { batch: self.batch };
        let c = cotangents[0].map(|c| site.graph.emit(op, &[c, indices]));
        [None, c].into_iter().collect()
    }

    fn batch(&self, site: &mut Site<'_>, batched: &[bool], size: usize) -> Vars {
        let op = Self {
            batch: self.batch + 1,
            rows: self.rows,
        };
        batched_everywhere(op, site, batched, size)
    }

    fn flops(&self, args: &[&Type], _: &[Type]) -> u64 {
        args[1].len() as u64
    }
}
