//! The names of the pieces of a flat vector of parameters.

use crate::{Error, ErrorKind, Result};
use std::ops::Range;
use std::sync::Arc;

/// What a piece of the parameters does in a model; layer-wise methods treat them differently.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Role {
    /// Anything else.
    Plain,
    /// Multiplied with what goes through the layer.
    Weight,
    /// Added.
    Bias,
    /// The factor of a normalisation.
    Scale,
}

/// One named piece.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Segment {
    /// Its name: the path of its layer, then its own, with dots between.
    pub name: String,
    /// Its shape, row-major.
    pub shape: Vec<usize>,
    /// Where it starts in the flat vector.
    pub offset: usize,
    /// What it does.
    pub role: Role,
}

impl Segment {
    /// Number of its entries.
    pub fn len(&self) -> usize {
        self.shape.iter().product()
    }

    /// True without entries.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Where its entries lie in the flat vector.
    pub fn range(&self) -> Range<usize> {
        self.offset..self.offset + self.len()
    }
}

/// The pieces of a flat vector, one after the other.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Layout {
    segments: Arc<[Segment]>,
}

impl Layout {
    /// Pieces in order, given as name, shape and role.
    ///
    /// # Errors
    ///
    /// If two have the same name, or all together are too large.
    pub fn new(pieces: impl IntoIterator<Item = (String, Vec<usize>, Role)>) -> Result<Self> {
        let mut segments = Vec::new();
        let mut names = std::collections::HashSet::new();
        let mut offset = 0usize;
        for (name, shape, role) in pieces {
            if !names.insert(name.clone()) {
                let text = format!("two pieces of the parameters are named `{name}`");
                return Err(Error::new(ErrorKind::Argument, text));
            }
            let size = shape.iter().try_fold(1usize, |n, &d| n.checked_mul(d));
            let end = size.and_then(|n| offset.checked_add(n)).ok_or_else(|| {
                let text = format!("`{name}` of shape {shape:?} is too large");
                Error::new(ErrorKind::Shape, text)
            })?;
            segments.push(Segment {
                name,
                shape,
                offset,
                role,
            });
            offset = end;
        }
        Ok(Self {
            segments: segments.into(),
        })
    }

    /// The pieces.
    pub fn segments(&self) -> &[Segment] {
        &self.segments
    }

    /// Entries of the flat vector.
    pub fn len(&self) -> usize {
        self.segments.last().map_or(0, |s| s.range().end)
    }

    /// True without entries.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The piece of a name.
    pub fn find(&self, name: &str) -> Option<&Segment> {
        self.segments.iter().find(|s| s.name == name)
    }
}
