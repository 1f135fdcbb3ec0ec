//! Values that need no memory of their own: the entries of a buffer, seen with other steps.

use crate::ops::Op;
use crate::types::{Shape, row_major};
use smallvec::SmallVec;

pub(super) type Strides = SmallVec<[isize; 6]>;

/// Entries of a buffer.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct View {
    pub(super) buffer: usize,
    pub(super) offset: isize,
    pub(super) shape: Shape,
    pub(super) strides: Strides,
}

impl View {
    /// All of a buffer.
    pub(super) fn dense(buffer: usize, shape: &[usize]) -> Self {
        Self {
            buffer,
            offset: 0,
            shape: shape.into(),
            strides: row_major(shape),
        }
    }

    /// True if the entries lie one after another in row-major order.
    pub(super) fn is_dense(&self) -> bool {
        let expected = row_major(&self.shape);
        let pairs = self.strides.iter().zip(&expected).zip(&self.shape);
        let all = |(axis, n): ((&isize, &isize), &usize)| *n == 1 || axis.0 == axis.1;
        pairs.into_iter().all(all)
    }

    /// The result of an operation that only rearranges, if it can be seen in the same buffer.
    pub(super) fn of(&self, op: &Op, shape: &[usize]) -> Option<Self> {
        let (offset, strides) = match op {
            Op::Detach(_) => (0, self.strides.clone()),
            Op::Broadcast(p) => (0, p.strides(&self.strides)),
            Op::Permute(p) => (0, p.axes.iter().map(|&a| self.strides[a]).collect()),
            Op::Slice(p) => p.view(&self.strides),
            Op::Reverse(p) => p.view(&self.shape, &self.strides),
            Op::Reshape(_) => (0, self.reshaped(shape)?),
            _ => return None,
        };
        Some(Self {
            buffer: self.buffer,
            offset: self.offset + offset,
            shape: shape.into(),
            strides,
        })
    }

    /// The steps under another shape, if there are any.
    fn reshaped(&self, shape: &[usize]) -> Option<Strides> {
        if shape.contains(&0) {
            return Some(row_major(shape));
        }
        let mut strides: Strides = shape.iter().map(|_| 0).collect();
        // Axes of both shapes are gone through in groups that hold the same entries.
        let (mut from, mut to) = (0, 0);
        while from < self.shape.len() || to < shape.len() {
            let (first_from, first_to) = (from, to);
            let (mut m, mut n) = (1, 1);
            loop {
                if m == n && (from > first_from || to > first_to) {
                    break;
                }
                if from < self.shape.len() && (m <= n || to == shape.len()) {
                    m *= self.shape[from];
                    from += 1;
                } else if to < shape.len() {
                    n *= shape[to];
                    to += 1;
                } else {
                    break;
                }
            }
            let inner = self.merged(first_from..from)?;
            let mut stride = inner;
            for axis in (first_to..to).rev() {
                strides[axis] = stride;
                stride *= shape[axis] as isize;
            }
        }
        Some(strides)
    }

    /// The step between neighbours of some axes taken as one, if they are equally spaced.
    pub(super) fn merged(&self, axes: std::ops::Range<usize>) -> Option<isize> {
        let long = axes.filter(|&i| self.shape[i] != 1);
        let mut inner: Option<(isize, isize)> = None;
        for axis in long.rev() {
            let (stride, n) = (self.strides[axis], self.shape[axis] as isize);
            inner = match inner {
                None => Some((stride, stride * n)),
                Some((least, next)) if stride == next => Some((least, next * n)),
                Some(_) => return None,
            };
        }
        Some(inner.map_or(0, |(least, _)| least))
    }
}

/// Distance in memory from the first entry to the one with a number in row-major order.
pub(super) fn position(shape: &[usize], strides: &[isize], mut number: usize) -> isize {
    let mut position = 0;
    for (&n, &stride) in shape.iter().zip(strides).rev() {
        position += (number % n) as isize * stride;
        number /= n;
    }
    position
}

/// Axes that all strided arrays of a loop walk together are taken as one; axes of length 1 vanish. At least one axis stays.
pub(super) fn collapse(shape: &[usize], arrays: &mut [&mut Strides]) -> Shape {
    let mut kept: Shape = Shape::new();
    let mut strides: Vec<Strides> = arrays.iter().map(|_| Strides::new()).collect();
    for (axis, &n) in shape.iter().enumerate() {
        if n == 1 {
            continue;
        }
        let joins = !kept.is_empty()
            && arrays
                .iter()
                .zip(&strides)
                .all(|(a, s)| s.last() == Some(&(a[axis] * n as isize)));
        if joins {
            *kept.last_mut().expect("not empty") *= n;
        } else {
            kept.push(n);
        }
        for (a, s) in arrays.iter().zip(&mut strides) {
            if joins {
                s.pop();
            }
            s.push(a[axis]);
        }
    }
    if kept.is_empty() {
        kept.push(1);
        strides.iter_mut().for_each(|s| s.push(0));
    }
    for (a, s) in arrays.iter_mut().zip(strides) {
        **a = s;
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::array::Positions;

    fn positions(v: &View) -> Vec<usize> {
        Positions::new(v.offset, &v.shape, &v.strides).collect()
    }

    #[test]
    fn reshapes_are_views_exactly_where_the_order_allows() {
        let x = View::dense(0, &[2, 3, 4]);
        let y = View {
            strides: Strides::from_slice(&[1, 2]),
            ..View::dense(0, &[3, 2])
        };
        for shape in [&[24][..], &[6, 4], &[2, 12], &[1, 2, 3, 2, 2, 1], &[4, 6]] {
            let strides = x.reshaped(shape).expect("dense arrays always can");
            let seen = View {
                shape: shape.into(),
                strides,
                ..x.clone()
            };
            assert_eq!(positions(&seen), positions(&x), "{shape:?}");
        }
        assert!(y.reshaped(&[6]).is_none());
        let strides = y.reshaped(&[3, 1, 2]).expect("a new axis of length 1");
        let seen = View {
            shape: [3, 1, 2].into_iter().collect(),
            strides,
            ..y.clone()
        };
        assert_eq!(positions(&seen), positions(&y));
    }

    #[test]
    fn collapsed_loops_visit_the_same_entries() {
        let shape = [2, 1, 3, 4];
        let mut a = row_major(&shape);
        let mut b = Strides::from_slice(&[0, 0, 4, 1]);
        let before =
            [a.clone(), b.clone()].map(|s| Positions::new(0, &shape, &s).collect::<Vec<_>>());
        let dims = collapse(&shape, &mut [&mut a, &mut b]);
        assert_eq!(dims.as_slice(), [2, 12]);
        let after = [a, b].map(|s| Positions::new(0, &dims, &s).collect::<Vec<_>>());
        assert_eq!(before, after);
    }
}
