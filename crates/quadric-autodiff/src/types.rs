//! What a value is: a dense row-major array of numbers or of indices, of a shape that is known when the program is traced.

use smallvec::SmallVec;
use std::fmt;

/// The lengths of the axes of an array; the empty shape is a single number.
pub type Shape = SmallVec<[usize; 6]>;

/// What the entries of an array are.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Kind {
    /// Real numbers, in the precision that the program is run in.
    Float,
    /// 32-bit signed integers: labels, positions. They carry no derivatives.
    Index,
}

/// Kind and shape of a value.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Type {
    /// What the entries are.
    pub kind: Kind,
    /// Lengths of the axes.
    pub shape: Shape,
}

impl Type {
    /// Real numbers of a shape.
    pub fn float(shape: impl IntoIterator<Item = usize>) -> Self {
        Self {
            kind: Kind::Float,
            shape: shape.into_iter().collect(),
        }
    }

    /// Indices of a shape.
    pub fn index(shape: impl IntoIterator<Item = usize>) -> Self {
        Self {
            kind: Kind::Index,
            shape: shape.into_iter().collect(),
        }
    }

    /// Number of entries.
    pub fn len(&self) -> usize {
        self.shape.iter().fold(1, |n, &m| n.saturating_mul(m))
    }

    /// Refuses arrays in which positions overflow, whatever the lengths of other axes.
    pub(crate) fn check_size(&self) -> Result<(), String> {
        let extent = self
            .shape
            .iter()
            .fold(1_usize, |n, &m| n.saturating_mul(m.max(1)));
        if extent > isize::MAX as usize / size_of::<f64>() {
            return Err(format!("{self} is larger than any memory"));
        }
        Ok(())
    }

    /// True if an axis has length 0.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Number of axes.
    pub fn rank(&self) -> usize {
        self.shape.len()
    }

    /// The same kind with one more axis in front.
    pub(crate) fn with_leading(&self, size: usize) -> Self {
        Self {
            kind: self.kind,
            shape: with_leading(size, &self.shape),
        }
    }
}

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.kind {
            Kind::Float => "float",
            Kind::Index => "index",
        })?;
        write!(f, "{:?}", self.shape.as_slice())
    }
}

/// The shape with one more axis in front.
pub(crate) fn with_leading(size: usize, shape: &[usize]) -> Shape {
    std::iter::once(size).chain(shape.iter().copied()).collect()
}

/// The steps in memory between neighbours along each axis of a dense row-major array.
pub(crate) fn row_major(shape: &[usize]) -> SmallVec<[isize; 6]> {
    let mut strides: SmallVec<[isize; 6]> = shape.iter().map(|_| 1).collect();
    for axis in (1..shape.len()).rev() {
        strides[axis - 1] = strides[axis] * shape[axis] as isize;
    }
    strides
}

/// The shape without some of its axes.
pub(crate) fn without(shape: &[usize], axes: &[usize]) -> Shape {
    let kept = shape.iter().enumerate().filter(|(i, _)| !axes.contains(i));
    kept.map(|(_, &n)| n).collect()
}

/// A value of a program, by number.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub(crate) struct Var(pub(crate) u32);

impl Var {
    pub(crate) fn index(self) -> usize {
        self.0 as usize
    }
}

impl fmt::Display for Var {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "%{}", self.0)
    }
}
