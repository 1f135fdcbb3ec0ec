//! Values of a graph while it is traced: known, or tensors.

use super::known::{Answer, Element, Known, possible, small};
use quadric_autodiff::{Tensor, Tracer};
use std::sync::Arc;

/// A value of a graph.
#[derive(Clone)]
pub(super) enum Value<'t> {
    /// Its entries are known.
    Known(Arc<Known>),
    /// Real numbers that stand for entries of some kind.
    Real(Tensor<'t>, Element),
    /// Indices.
    Index(Tensor<'t>),
}

impl From<Known> for Value<'_> {
    fn from(known: Known) -> Self {
        Self::Known(Arc::new(known))
    }
}

impl<'t> From<Tensor<'t>> for Value<'t> {
    fn from(tensor: Tensor<'t>) -> Self {
        Self::Real(tensor, Element::Float)
    }
}

/// Axes as the engine counts them.
pub(super) fn signed(axes: &[usize]) -> Vec<isize> {
    axes.iter().map(|&a| a as isize).collect()
}

/// The shape that holds arrays of both shapes repeated.
pub(super) fn common_shape(a: &[usize], b: &[usize]) -> Answer<Vec<usize>> {
    let rank = a.len().max(b.len());
    let length = |s: &[usize], i: usize| (i + s.len()).checked_sub(rank).map_or(1, |i| s[i]);
    let shape = (0..rank).map(|i| match (length(a, i), length(b, i)) {
        (m, n) if m == n || n == 1 => Some(m),
        (1, n) => Some(n),
        _ => None,
    });
    let shape: Option<Vec<usize>> = shape.collect();
    let shape = shape.ok_or_else(|| format!("shapes {a:?} and {b:?} do not fit"))?;
    possible(&shape).map(|_| shape)
}

impl Known {
    /// As a tensor of real numbers.
    fn real<'t>(&self, t: &'t Tracer) -> Tensor<'t> {
        let (values, shape) = (self.to_floats(), self.shape.iter().copied());
        match values[..] {
            [] => t.fill(0.0, shape),
            [first, ref others @ ..] if others.iter().all(|v| v.to_bits() == first.to_bits()) => {
                t.fill(first, shape)
            }
            _ => t.constant(&values, shape),
        }
    }

    /// As a tensor: integers as indices, truth values as real numbers.
    pub(super) fn traced<'t>(&self, t: &'t Tracer) -> Answer<Value<'t>> {
        if self.element() != Element::Integer {
            return Ok(Value::Real(self.real(t), self.element()));
        }
        let narrow = self
            .to_integers()?
            .into_iter()
            .map(|v| i32::try_from(v).map_err(|_| format!("the index {v} has more than 32 bits")));
        let narrow: Answer<Vec<i32>> = narrow.collect();
        let shape = self.shape.iter().copied();
        Ok(Value::Index(t.index_constant(&narrow?, shape)))
    }
}

impl<'t> Value<'t> {
    pub(super) fn shape(&self) -> Vec<usize> {
        match self {
            Self::Known(k) => k.shape.clone(),
            Self::Real(t, _) | Self::Index(t) => t.shape().to_vec(),
        }
    }

    pub(super) fn rank(&self) -> usize {
        self.shape().len()
    }

    pub(super) fn element(&self) -> Element {
        match self {
            Self::Known(k) => k.element(),
            Self::Real(_, element) => *element,
            Self::Index(_) => Element::Integer,
        }
    }

    /// As real numbers.
    pub(super) fn real(&self, t: &'t Tracer) -> Tensor<'t> {
        match self {
            Self::Known(k) => k.real(t),
            Self::Real(tensor, _) => *tensor,
            Self::Index(tensor) => tensor.to_float(),
        }
    }

    /// As indices.
    pub(super) fn index(&self, t: &'t Tracer) -> Answer<Tensor<'t>> {
        match self {
            Self::Known(k) if k.element() == Element::Integer => k.traced(t)?.index(t),
            Self::Index(tensor) => Ok(*tensor),
            Self::Real(_, Element::Integer) => {
                Err("integers that are computed from inputs cannot be indices".to_owned())
            }
            _ => Err("takes integers".to_owned()),
        }
    }

    fn map(
        &self,
        known: impl FnOnce(&Known) -> Answer<Known>,
        traced: impl FnOnce(Tensor<'t>) -> Tensor<'t>,
    ) -> Answer<Self> {
        Ok(match self {
            Self::Known(k) => known(k)?.into(),
            Self::Real(t, element) => Self::Real(traced(*t), *element),
            Self::Index(t) => Self::Index(traced(*t)),
        })
    }

    /// The same entries under another shape.
    pub(super) fn reshape(&self, shape: &[usize]) -> Answer<Self> {
        let own = self.shape();
        if possible(&own)? != possible(shape)? {
            return Err(format!("{own:?} cannot become {shape:?}"));
        }
        self.map(
            |k| Ok(k.reshape(shape)),
            |t| t.reshape(shape.iter().copied()),
        )
    }

    /// Axis i of the result is axis `axes[i]`; they are an order of all axes.
    pub(super) fn permute(&self, axes: &[usize]) -> Answer<Self> {
        self.map(|k| k.permute(axes), |t| t.permute(&signed(axes)))
    }

    /// `size` entries along an axis, from `start` on, `step` apart, which may be negative. They exist.
    pub(super) fn slice(
        &self,
        axis: usize,
        start: usize,
        size: usize,
        step: isize,
    ) -> Answer<Self> {
        let at = axis as isize;
        let n = self.shape()[axis];
        self.map(
            |k| k.slice(axis, start, size, step),
            |t| {
                if step < 0 && size > 1 {
                    let start = n - 1 - start;
                    return t
                        .reverse(&[at])
                        .slice_steps(at, start, size, step.unsigned_abs());
                }
                let start = if size == 0 { 0 } else { start };
                t.slice_steps(at, start, size, step.unsigned_abs())
            },
        )
    }

    /// Repeats along axes that are missing in front or have length 1. What becomes too large to be known is traced.
    pub(super) fn broadcast(&self, t: &'t Tracer, shape: &[usize]) -> Answer<Self> {
        let own = self.shape();
        if common_shape(&own, shape)? != shape {
            return Err(format!("{own:?} cannot be repeated to {shape:?}"));
        }
        let wide = |x: Tensor<'t>| x.broadcast_to(shape.iter().copied());
        match self {
            Self::Known(k) if small(shape).is_err() => k.traced(t)?.map(|k| Ok(k.clone()), wide),
            _ => self.map(|k| k.broadcast(shape), wide),
        }
    }

    /// Values one after another along an axis, which all have.
    pub(super) fn concat(t: &'t Tracer, parts: &[Self], axis: usize) -> Answer<Self> {
        let mut known = Vec::new();
        for part in parts {
            if let Self::Known(k) = part {
                known.push(&**k);
            }
        }
        if known.len() == parts.len() {
            return Ok(Known::concat(&known, axis)?.into());
        }
        let element = parts[0].element();
        if parts.iter().any(|p| p.element() != element) {
            return Err("values of different types cannot be joined".to_owned());
        }
        let join = |all: Vec<Tensor<'t>>| all[0].concat(&all[1..], axis as isize);
        if element == Element::Integer && !parts.iter().any(|p| matches!(p, Self::Real(..))) {
            let parts: Answer<Vec<_>> = parts.iter().map(|p| p.index(t)).collect();
            return Ok(Self::Index(join(parts?)));
        }
        let parts = parts.iter().map(|p| p.real(t)).collect();
        Ok(Self::Real(join(parts), element))
    }

    /// The entries along an axis that `rows` name; they exist.
    pub(super) fn take(&self, t: &'t Tracer, axis: usize, rows: &[usize]) -> Answer<Self> {
        if let Self::Known(k) = self {
            return Ok(k.take(axis, rows)?.into());
        }
        // Rows that lie evenly are a slice.
        let step = match rows {
            [a, b, ..] => *b as isize - *a as isize,
            _ => 1,
        };
        let evenly = rows
            .windows(2)
            .all(|w| w[1] as isize - w[0] as isize == step);
        if let (Some(&start), true) = (rows.first(), evenly && step != 0) {
            return self.slice(axis, start, rows.len(), step);
        }
        let rows: Answer<Vec<i32>> = rows
            .iter()
            .map(|&r| i32::try_from(r).map_err(|_| format!("the index {r} has more than 32 bits")))
            .collect();
        let rows = rows?;
        match self {
            Self::Real(tensor, element) => {
                let indices = t.index_constant(&rows, [rows.len()]);
                Ok(Self::Real(take_rows(*tensor, axis, indices), *element))
            }
            _ => {
                let parts = rows.iter().map(|&r| self.slice(axis, r as usize, 1, 1));
                let parts: Answer<Vec<_>> = parts.collect();
                match parts?.as_slice() {
                    [] => self.slice(axis, 0, 0, 1),
                    parts => Self::concat(t, parts, axis),
                }
            }
        }
    }
}

/// The entries along an axis that indices name; the axes of the indices take its place.
pub(super) fn take_rows<'t>(table: Tensor<'t>, axis: usize, indices: Tensor<'t>) -> Tensor<'t> {
    let (rank, outer) = (table.shape().len(), indices.shape().len());
    let front = std::iter::once(axis).chain((0..rank).filter(|&a| a != axis));
    let taken = table
        .permute(&signed(&front.collect::<Vec<_>>()))
        .gather(indices);
    let before = outer..outer + axis;
    let after = outer + axis..outer + rank - 1;
    let order: Vec<usize> = before.chain(0..outer).chain(after).collect();
    taken.permute(&signed(&order))
}
