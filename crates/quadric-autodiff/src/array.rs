//! Arrays as the primitives see them: a shape beside a dense row-major slice.

use crate::types::{Kind, Type};
use quadric_linalg::{Error, ErrorKind, Result, Scalar};
use smallvec::SmallVec;

/// The entries of a value that is read.
#[derive(Debug)]
pub enum Data<'a, T> {
    /// Real numbers.
    Float(&'a [T]),
    /// Indices.
    Index(&'a [i32]),
}

impl<T> Clone for Data<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Data<'_, T> {}

impl<'a, T> Data<'a, T> {
    /// Number of entries.
    pub fn len(&self) -> usize {
        match self {
            Self::Float(v) => v.len(),
            Self::Index(v) => v.len(),
        }
    }

    /// True if there are no entries.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What the entries are.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Float(_) => Kind::Float,
            Self::Index(_) => Kind::Index,
        }
    }
}

impl<T> Data<'_, T> {
    /// Refuses entries that are not what an input of a program takes.
    pub(crate) fn check(&self, name: &str, t: &Type) -> Result<()> {
        if self.len() == t.len() && self.kind() == t.kind {
            return Ok(());
        }
        let kind = match self.kind() {
            Kind::Float => "real numbers",
            Kind::Index => "indices",
        };
        let message = format!("input `{name}` is given {} {kind}; it is {t}", self.len());
        Err(Error::new(ErrorKind::Shape, message))
    }
}

impl<'a, T> From<&'a [T]> for Data<'a, T> {
    fn from(v: &'a [T]) -> Self {
        Self::Float(v)
    }
}

/// A value that owns its entries.
#[derive(Clone, Debug, PartialEq)]
pub enum Array<T> {
    /// Real numbers.
    Float(Vec<T>),
    /// Indices.
    Index(Vec<i32>),
}

impl<T: Scalar> Array<T> {
    /// Zeros of a type.
    pub(crate) fn zeros(t: &Type) -> Self {
        match t.kind {
            Kind::Float => Self::Float(vec![T::of(0.0); t.len()]),
            Kind::Index => Self::Index(vec![0; t.len()]),
        }
    }

    /// A view of the entries.
    pub fn data(&self) -> Data<'_, T> {
        match self {
            Self::Float(v) => Data::Float(v),
            Self::Index(v) => Data::Index(v),
        }
    }

    /// The real numbers.
    ///
    /// # Panics
    ///
    /// If the entries are indices.
    #[track_caller]
    pub fn floats(&self) -> &[T] {
        match self {
            Self::Float(v) => v,
            Self::Index(_) => panic!("the value holds indices, not real numbers"),
        }
    }
}

/// An argument of a primitive.
#[derive(Clone, Copy)]
pub(crate) struct Operand<'a, T> {
    pub(crate) shape: &'a [usize],
    pub(crate) data: Data<'a, T>,
}

impl<'a, T> Operand<'a, T> {
    /// The real numbers; type inference has checked the kind.
    pub(crate) fn floats(&self) -> &'a [T] {
        match self.data {
            Data::Float(v) => v,
            Data::Index(_) => unreachable!("type inference admits no indices here"),
        }
    }

    /// The indices; type inference has checked the kind.
    pub(crate) fn indices(&self) -> &'a [i32] {
        match self.data {
            Data::Index(v) => v,
            Data::Float(_) => unreachable!("type inference admits only indices here"),
        }
    }
}

/// Copies the entries of `x` at the positions `at` in order: how every change of layout is evaluated.
pub(crate) fn collect<T: Scalar>(x: Data<'_, T>, at: impl Iterator<Item = usize>) -> Array<T> {
    match x {
        Data::Float(v) => Array::Float(at.map(|i| v[i]).collect()),
        Data::Index(v) => Array::Index(at.map(|i| v[i]).collect()),
    }
}

/// The positions in memory of the entries of a strided array, in row-major order of the shape.
pub(crate) struct Positions<'a> {
    shape: &'a [usize],
    strides: SmallVec<[isize; 6]>,
    at: SmallVec<[usize; 6]>,
    position: isize,
    left: usize,
}

impl<'a> Positions<'a> {
    pub(crate) fn new(start: isize, shape: &'a [usize], strides: &[isize]) -> Self {
        debug_assert_eq!(shape.len(), strides.len());
        Self {
            shape,
            strides: strides.into(),
            at: shape.iter().map(|_| 0).collect(),
            position: start,
            left: shape.iter().product(),
        }
    }
}

impl Iterator for Positions<'_> {
    type Item = usize;

    fn next(&mut self) -> Option<usize> {
        if self.left == 0 {
            return None;
        }
        self.left -= 1;
        let here = self.position as usize;
        for axis in (0..self.shape.len()).rev() {
            self.at[axis] += 1;
            self.position += self.strides[axis];
            if self.at[axis] < self.shape[axis] {
                break;
            }
            self.position -= self.strides[axis] * self.shape[axis] as isize;
            self.at[axis] = 0;
        }
        Some(here)
    }
}
