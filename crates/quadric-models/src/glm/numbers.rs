//! A number for every sample, in as little memory as it takes: rows of few values are not much larger than a few such columns.

use super::samples::BLOCK;
use std::ops::Range;

/// Weights or targets of the samples.
#[derive(Clone, Debug)]
pub(crate) enum Numbers {
    /// The same for all.
    Same {
        value: f64,
        len: usize,
    },
    /// Small integers, such as signs, classes and counts.
    Small(Vec<i8>),
    All(Vec<f64>),
}

impl Numbers {
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Same { len, .. } => *len,
            Self::Small(all) => all.len(),
            Self::All(all) => all.len(),
        }
    }

    #[inline]
    pub(crate) fn get(&self, i: usize) -> f64 {
        match self {
            Self::Same { value, .. } => *value,
            Self::Small(all) => f64::from(all[i]),
            Self::All(all) => all[i],
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = f64> + '_ {
        (0..self.len()).map(|i| self.get(i))
    }

    /// Room for [`Numbers::block`].
    #[inline]
    pub(super) fn room(&self) -> [f64; BLOCK] {
        match self {
            Self::Same { value, .. } => [*value; BLOCK],
            _ => [0.0; BLOCK],
        }
    }

    /// Those of at most [`BLOCK`] rows, in the room that it made or where they are.
    #[inline]
    pub(super) fn block<'a>(&'a self, rows: Range<usize>, room: &'a mut [f64; BLOCK]) -> &'a [f64] {
        match self {
            Self::Same { .. } => &room[..rows.len()],
            Self::Small(all) => {
                let room = &mut room[..rows.len()];
                for (to, from) in room.iter_mut().zip(&all[rows]) {
                    *to = f64::from(*from);
                }
                room
            }
            Self::All(all) => &all[rows],
        }
    }
}

impl From<Vec<f64>> for Numbers {
    fn from(all: Vec<f64>) -> Self {
        let bits = |v: &f64| v.to_bits();
        if let Some(first) = all.first()
            && all.iter().all(|v| bits(v) == bits(first))
        {
            return Self::Same {
                value: *first,
                len: all.len(),
            };
        }
        // Casts saturate, so that what is no small integer comes back as another number.
        let is_small = |v: &f64| bits(&f64::from(*v as i8)) == bits(v);
        if all.iter().all(is_small) {
            return Self::Small(all.iter().map(|v| *v as i8).collect());
        }
        Self::All(all)
    }
}

impl FromIterator<f64> for Numbers {
    fn from_iter<I: IntoIterator<Item = f64>>(all: I) -> Self {
        all.into_iter().collect::<Vec<f64>>().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_keep_their_bits() {
        let odd = [
            vec![],
            vec![1.0; 300],
            vec![-0.0; 3],
            vec![f64::NAN, f64::NAN],
            (0..300).map(|i| f64::from(i % 256 - 128)).collect(),
            vec![1.0, -0.0],
            vec![1.0, 128.0],
            vec![-128.0, 127.0, 0.0],
            vec![1.0, 0.5],
            vec![1.0, f64::INFINITY],
        ];
        for all in odd {
            let numbers = Numbers::from(all.clone());
            let same = |a: f64, b: f64| a.to_bits() == b.to_bits();
            assert_eq!(numbers.len(), all.len());
            assert!(numbers.iter().zip(&all).all(|(a, b)| same(a, *b)));
            let mut room = numbers.room();
            for from in (0..all.len()).step_by(BLOCK) {
                let rows = from..all.len().min(from + BLOCK);
                let block = numbers.block(rows.clone(), &mut room);
                assert_eq!(block.len(), rows.len());
                assert!(block.iter().zip(&all[rows]).all(|(a, b)| same(*a, *b)));
            }
        }
    }

    #[test]
    fn what_is_small_takes_little() {
        let kind = |all: Vec<f64>| match Numbers::from(all) {
            Numbers::Same { .. } => 0,
            Numbers::Small(_) => 1,
            Numbers::All(_) => 8,
        };
        assert_eq!(kind(vec![1.0; 5]), 0);
        assert_eq!(kind(vec![1.0, -1.0, 1.0]), 1);
        assert_eq!(kind(vec![1.0, -0.0]), 8);
    }
}
