//! The diagonal blocks of a matrix that belong to the layers of a model.

use faer::{Mat, MatMut, MatRef};
use quadric_core::{Layout, LinearOperator, Properties, Result, Scalar};
use quadric_linalg::check_apply;
use std::ops::Range;

/// Parameters of a model that lie together and belong together.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Block {
    /// Its name: what the names of its pieces have in common.
    pub name: String,
    /// Its place in the flat vector.
    pub range: Range<usize>,
}

/// The layers of a model: neighbouring pieces whose names differ behind the last dot or slash only.
pub fn blocks(layout: &Layout) -> Vec<Block> {
    let mut all: Vec<Block> = Vec::new();
    for segment in layout.segments() {
        let stem = segment
            .name
            .rfind(['.', '/'])
            .map(|end| &segment.name[..end]);
        let (name, range) = (stem.unwrap_or(&segment.name).to_owned(), segment.range());
        match all.last_mut() {
            Some(last) if stem.is_some() && last.name == name => last.range.end = range.end,
            _ => all.push(Block { name, range }),
        }
    }
    all.retain(|layer| !layer.range.is_empty());
    all
}

/// The diagonal block of a square operator that belongs to some coordinates.
pub struct DiagonalBlock<'a, T: Scalar> {
    op: &'a dyn LinearOperator<T>,
    range: Range<usize>,
}

impl<'a, T: Scalar> DiagonalBlock<'a, T> {
    /// The rows and columns of `range`, which lies within those of `op`.
    pub fn new(op: &'a dyn LinearOperator<T>, range: Range<usize>) -> Self {
        Self { op, range }
    }
}

impl<T: Scalar> LinearOperator<T> for DiagonalBlock<'_, T> {
    fn shape(&self) -> (usize, usize) {
        (self.range.len(), self.range.len())
    }

    fn apply(&self, x: MatRef<'_, T>, mut y: MatMut<'_, T>) -> Result<()> {
        check_apply(self.shape(), &x, &y)?;
        let (n, k) = (self.op.shape().0, x.ncols());
        let (mut wide, mut image) = (Mat::zeros(n, k), Mat::zeros(n, k));
        let (start, rows) = (self.range.start, self.range.len());
        wide.as_mut().subrows_mut(start, rows).copy_from(x);
        self.op.apply(wide.as_ref(), image.as_mut())?;
        y.copy_from(image.as_ref().subrows(start, rows));
        Ok(())
    }

    fn properties(&self) -> Properties {
        self.op.properties()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use quadric_core::Role;

    #[test]
    fn pieces_with_one_stem_are_one_layer() {
        let piece = |name: &str, n| (name.to_owned(), vec![n], Role::Plain);
        let pieces = [
            piece("a.weight", 3),
            piece("a.bias", 2),
            piece("scale", 1),
            piece("shift", 1),
            piece("empty.weight", 0),
            piece("b/c.weight", 4),
            piece("a.more", 5),
        ];
        let layout = Layout::new(pieces).expect("names");
        let found: Vec<_> = blocks(&layout)
            .into_iter()
            .map(|l| (l.name, l.range))
            .collect();
        let expected = [
            ("a", 0..5),
            ("scale", 5..6),
            ("shift", 6..7),
            ("b/c", 7..11),
            ("a", 11..16),
        ];
        let expected = expected.map(|(name, range)| (name.to_owned(), range));
        assert_eq!(found, expected);
    }
}
